"""Exact match, as the reports of the field count it."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, ClassVar

from pytest_realtime_eval.metrics.base import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_realtime_eval.metrics.base import FloatArray


def normalise(text: str) -> str:
    """Apply NFC, trim, lower-case, and make runs of white space one space."""
    return " ".join(unicodedata.normalize("NFC", text).strip().lower().split())


def exact_match(hypothesis: str, reference: str) -> bool:
    """Tell whether both are equal once normalised; an empty hypothesis never matches."""
    normalised = normalise(hypothesis)
    return bool(normalised) and normalised == normalise(reference)


class ExactMatch(Metric):
    """The share of entries that match exactly; punctuation counts, case does not; 0-1."""

    name: ClassVar[str] = "exact_match_rate"
    entry_name: ClassVar[str] = "exact_match"

    @property
    def signature(self) -> str:
        """The normalisation, and what an empty output counts."""
        return "norm:nfc+trim+lower+space|empty:never|version:1"

    def statistics(self, hypothesis: str, reference: str) -> Sequence[float]:
        """Return whether it matches, and 1."""
        return (float(exact_match(hypothesis, reference)), 1.0)

    def score(self, totals: FloatArray) -> float:
        """Return matches over entries."""
        return float(totals[0] / totals[1])

    def scores(self, totals: FloatArray) -> FloatArray:
        """Return matches over entries of each row."""
        return totals[:, 0] / totals[:, 1]
