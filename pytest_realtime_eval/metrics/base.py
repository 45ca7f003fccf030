"""What a metric is: statistics of each entry, and a score from their sum.

Corpus scores come from summed statistics and never from averaged sentence scores, so
that a score of a whole dataset, of a group and of a bootstrap resample are the same
computation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class Metric(ABC):
    """A score of translations against references.

    Subclasses define `statistics` and `score`; a user's own metric needs no more, beside
    its name and signature. An entry that failed is scored as an empty hypothesis.

    Attributes:
        name: Names the score in summaries, thresholds and run cards.
        entry_name: Names the column of the score of one entry; ``name`` when empty.
        higher_is_better: Whether a larger score is the better one.
    """

    name: ClassVar[str]
    entry_name: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True

    @property
    @abstractmethod
    def signature(self) -> str:
        """What reproduces the score: implementation, version and parameters."""

    @abstractmethod
    def statistics(self, hypothesis: str, reference: str) -> Sequence[float]:
        """Return the entry's statistics, always of the same length; they add up."""

    @abstractmethod
    def score(self, totals: FloatArray) -> float:
        """Return the score from summed statistics."""

    def scores(self, totals: FloatArray) -> FloatArray:
        """Return the score of each row of summed statistics (resamples by statistics)."""
        return np.array([self.score(row) for row in totals], dtype=np.float64)

    def entry_score(self, hypothesis: str, reference: str) -> float:
        """Return the score of one entry alone."""
        return self.score(np.asarray(self.statistics(hypothesis, reference), dtype=np.float64))

    def matrix(self, pairs: Iterable[tuple[str, str]]) -> FloatArray:
        """Return the statistics of (hypothesis, reference) pairs: entries by statistics."""
        rows = [self.statistics(hypothesis, reference) for hypothesis, reference in pairs]
        return np.asarray(rows, dtype=np.float64)

    def corpus(self, statistics: FloatArray) -> float | None:
        """Return the corpus score of entries by statistics; ``None`` without entries."""
        return self.score(statistics.sum(axis=0)) if len(statistics) else None

    def corpus_of(self, pairs: Iterable[tuple[str, str]]) -> float | None:
        """Return the corpus score of (hypothesis, reference) pairs."""
        return self.corpus(self.matrix(pairs))


def entry_name(metric: Metric) -> str:
    """Return the name under which the metric's score of one entry is kept."""
    return metric.entry_name or metric.name


def describe(metric: Metric, score: float | None) -> dict[str, Any]:
    """Return a score with the signature that reproduces it, as run cards hold it."""
    return {"score": score, "signature": metric.signature}
