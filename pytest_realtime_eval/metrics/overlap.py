"""chrF++ and BLEU, by sacrebleu.

sacrebleu extracts the statistics and, for single scores, computes them. Scores of many
resamples at once are computed here, in the order of sacrebleu's own operations, so that
they are equal to its results and not merely close.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from pytest_realtime_eval.metrics.base import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_realtime_eval.metrics.base import FloatArray


#: Segments whose counts are kept: an entry is scored when it ends, and again within its
#: corpus. About 1 kB each with its texts.
_KEPT_SEGMENTS: Final = 2**14


class _Sacrebleu(Metric):
    """A metric of sacrebleu with one reference for each entry."""

    def __init__(self, implementation: Any) -> None:  # noqa: ANN401 - sacrebleu is untyped
        self._implementation = implementation
        # The signature tells the number of references, which is learnt from the first one.
        implementation.corpus_score([""], [[""]])
        self._signature = str(implementation.get_signature())
        self._counts = lru_cache(_KEPT_SEGMENTS)(self._count)

    @property
    def signature(self) -> str:
        """The signature by sacrebleu: parameters and version."""
        return self._signature

    def statistics(self, hypothesis: str, reference: str) -> Sequence[float]:
        """Return sacrebleu's counts for one segment."""
        return self._counts(hypothesis, reference)

    def _count(self, hypothesis: str, reference: str) -> tuple[int, ...]:
        # The public methods return scores only; sacrebleu's own significance tests use
        # this one, and test_overlap.py holds it to corpus_score.
        (counts,) = self._implementation._extract_corpus_statistics([hypothesis], [[reference]])
        return tuple(counts)

    def score(self, totals: FloatArray) -> float:
        """Return sacrebleu's score of summed counts."""
        return self._score(self._implementation, [int(total) for total in totals])

    def entry_score(self, hypothesis: str, reference: str) -> float:
        """Return sacrebleu's score of one segment."""
        return self._score(self._implementation, list(self._counts(hypothesis, reference)))

    @staticmethod
    def _score(implementation: Any, counts: list[int]) -> float:  # noqa: ANN401 - untyped
        score: float = implementation._compute_score_from_stats(counts).score
        return score


class ChrF(_Sacrebleu):
    """chrF++ (Popović 2017): character 6-grams and word 2-grams, β = 2; 0-100."""

    name: ClassVar[str] = "chrf_plus_plus"
    entry_name: ClassVar[str] = "entry_chrf"

    def __init__(self) -> None:
        super().__init__(CHRF(word_order=2))

    def scores(self, totals: FloatArray) -> FloatArray:
        """Return the score of each row: the F-score of averaged precision and recall."""
        factor = self._implementation.beta**2
        precision = np.zeros(len(totals))
        recall = np.zeros(len(totals))
        orders = np.zeros(len(totals))
        for first in range(0, totals.shape[1], 3):
            hypothesis, reference, match = totals[:, first : first + 3].T
            counted = (hypothesis > 0) & (reference > 0)
            precision += _ratio(match, hypothesis, counted)
            recall += _ratio(match, reference, counted)
            orders += counted
        precision = _ratio(precision, orders, orders > 0)
        recall = _ratio(recall, orders, orders > 0)
        f_score = (1 + factor) * precision * recall
        return 100 * _ratio(f_score, (factor * precision) + recall, precision + recall > 0)


def _ratio(numerator: FloatArray, denominator: FloatArray, where: Any) -> FloatArray:  # noqa: ANN401 - a boolean array
    """Divide where allowed, and give 0 elsewhere."""
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=where)


class Bleu(_Sacrebleu):
    """BLEU (Papineni et al. 2002) with sacrebleu's 13a tokens and exponential smoothing; 0-100.

    The score of one entry uses the effective order, since most sentences lack 4-grams.
    """

    name: ClassVar[str] = "bleu"
    entry_name: ClassVar[str] = "entry_bleu"

    def __init__(self) -> None:
        super().__init__(BLEU(force=True))
        self._sentence = BLEU(effective_order=True)

    def entry_score(self, hypothesis: str, reference: str) -> float:
        """Return sacrebleu's sentence score."""
        return self._score(self._sentence, list(self._counts(hypothesis, reference)))
