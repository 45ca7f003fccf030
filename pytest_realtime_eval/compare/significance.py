"""Tests of paired differences: the same items, played or translated twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_realtime_eval.metrics.base import FloatArray, Metric

#: sacrebleu's own defaults, with which its paired test is reproduced.
SEED: Final = 12345
RESAMPLES: Final = 1000
#: Fewer pairs than this say nothing by being drawn again.
FEWEST_PAIRS: Final = 2
#: Draws handled at once; bounds the memory at some tens of MB.
_BLOCK_DRAWS: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A difference between two runs over the same items.

    Attributes:
        difference: After minus before.
        low, high: The 95 % interval of the difference; ``None`` with too few pairs.
        p_value: ``None`` where no test was made.
    """

    before: float
    after: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after - self.before


def paired_bootstrap(
    metric: Metric,
    before: FloatArray,
    after: FloatArray,
    *,
    seed: int = SEED,
    resamples: int = RESAMPLES,
) -> PairedTest:
    """Test the difference of corpus scores by paired bootstrap resampling (Koehn 2004).

    The draws, the statistic and the p-value are those of sacrebleu's paired test, so that
    for chrF++ and BLEU the result is the same as that of ``sacrebleu --paired-bs``; in
    one respect it is not: outputs that are the same have a p-value of 1, where
    sacrebleu reports the smallest that it knows.

    Args:
        metric: Computes scores from summed statistics.
        before: Entries by statistics; at least one entry.
        after: The same entries' statistics.
        seed: Seeds the draws.
        resamples: How many resamples are drawn.
    """
    scored = PairedTest(metric.score(before.sum(axis=0)), metric.score(after.sum(axis=0)))
    if len(before) < FEWEST_PAIRS:
        return scored
    if np.array_equal(before, after):
        return PairedTest(scored.before, scored.after, 0.0, 0.0, 1.0)
    differences = np.concatenate(
        [
            metric.scores(counts @ after) - metric.scores(counts @ before)
            for counts in _draws(len(before), seed, resamples)
        ]
    )
    low, high = _interval(differences)
    distances = np.abs(differences)
    beyond = np.sum(distances - distances.mean() > abs(scored.difference))
    p_value = (int(beyond) + 1) / (resamples + 1)
    return PairedTest(scored.before, scored.after, low, high, p_value)


def paired_means(before: Sequence[float], after: Sequence[float]) -> PairedTest:
    """Return the difference of two means over pairs, with its bootstrap interval."""
    first, second = (np.asarray(values, dtype=np.float64) for values in (before, after))
    if len(first) < FEWEST_PAIRS:
        return PairedTest(float(first.mean()), float(second.mean()))
    shifts = second - first
    means = [counts @ shifts / len(shifts) for counts in _draws(len(shifts), SEED, RESAMPLES)]
    low, high = _interval(np.concatenate(means))
    return PairedTest(float(first.mean()), float(second.mean()), low, high)


def mcnemar(lost: int, gained: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        lost: Items that passed before and fail now.
        gained: Items that failed before and pass now.
    """
    changed = lost + gained
    term, tail = 1, 1
    for drawn in range(min(lost, gained)):
        term = term * (changed - drawn) // (drawn + 1)
        tail += term
    # Whole numbers until here: a run of thousands of items must not underflow.
    p_value: float = 2 * tail / 2**changed
    return min(1.0, p_value)


def _interval(differences: FloatArray) -> tuple[float, float]:
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


def _draws(entries: int, seed: int, resamples: int) -> Iterator[FloatArray]:
    """Yield blocks of resamples as rows of counts: resamples by entries.

    The draws are those of ``default_rng(seed).choice(entries, (resamples, entries))``.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK_DRAWS // entries)
    for first in range(0, resamples, rows):
        block = min(rows, resamples - first)
        drawn = rng.choice(entries, size=(block, entries), replace=True)
        offsets = np.arange(block, dtype=np.int64)[:, None] * entries
        counts = np.bincount((drawn + offsets).ravel(), minlength=block * entries)
        yield counts.reshape(block, entries).astype(np.float64)
