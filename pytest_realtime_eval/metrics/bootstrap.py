"""Percentile bootstrap intervals from per-entry statistics.

Each resample is a row of counts (how often each entry was drawn); counts times
statistics gives the summed statistics of all resamples in one matrix product, so no
resample is scored from its texts. The draws are those of
``random.Random(12345).randint(0, n - 1)``, which is what published intervals used.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from pytest_realtime_eval.metrics.base import FloatArray, Metric

SEED: Final = 12345
RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95
#: Draws handled at once; bounds the memory at about 15 MB whatever the dataset's size.
_BLOCK_DRAWS: Final = 250_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval of a corpus score."""

    low: float
    high: float
    seed: int = SEED
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE


def interval(
    metric: Metric, statistics: FloatArray, *, seed: int = SEED, resamples: int = RESAMPLES
) -> Interval | None:
    """Return the percentile bootstrap interval of the metric's corpus score.

    Of 1,000 sorted scores these are the 26th and the 975th.

    Args:
        metric: Computes scores from summed statistics.
        statistics: Entries by statistics, as `Metric.matrix` gives them.
        seed: Seeds the draws.
        resamples: How many resamples are drawn.

    Returns:
        The interval; ``None`` without entries.
    """
    if not len(statistics):
        return None
    blocks = [
        metric.scores(counts @ statistics)
        for counts in draw_counts(len(statistics), seed=seed, resamples=resamples)
    ]
    ordered = np.sort(np.concatenate(blocks))
    tail = (1 - CONFIDENCE) / 2
    low = min(int(resamples * tail), resamples - 1)
    high = max(int(resamples * (1 - tail)) - 1, 0)
    return Interval(float(ordered[low]), float(ordered[high]), seed, resamples)


def draw_counts(
    entries: int, *, seed: int = SEED, resamples: int = RESAMPLES
) -> Iterator[FloatArray]:
    """Yield blocks of resamples as rows of counts: resamples by entries."""
    rng = random.Random(seed)  # noqa: S311 - resampling, and the seed is the format's
    rows = max(1, _BLOCK_DRAWS // entries)
    rest = np.empty(0, dtype=np.int64)
    for first in range(0, resamples, rows):
        block = min(rows, resamples - first)
        drawn, rest = _draw(rng, entries, block * entries, rest)
        offsets = np.repeat(np.arange(block, dtype=np.int64) * entries, entries)
        counts = np.bincount(drawn + offsets, minlength=block * entries)
        yield counts.reshape(block, entries).astype(np.float64)


def _draw(
    rng: random.Random, entries: int, wanted: int, rest: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return ``wanted`` results of ``rng.randint(0, entries - 1)``, and what is left over.

    randint takes the top bits of one 32-bit word and draws again while the number is too
    large. ``randbytes`` gives the same words, a million in milliseconds.
    """
    shift = 32 - entries.bit_length()
    parts, have = [rest], len(rest)
    while have < wanted:
        words = np.frombuffer(rng.randbytes(4 * (wanted - have + 64)), dtype="<u4") >> shift
        numbers = words[words < entries].astype(np.int64)
        parts.append(numbers)
        have += len(numbers)
    numbers = np.concatenate(parts)
    return numbers[:wanted], numbers[wanted:]
