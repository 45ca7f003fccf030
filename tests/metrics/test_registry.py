from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.metrics.base import Metric
from pytest_realtime_eval.metrics.registry import MetricRegistry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_realtime_eval.metrics.base import FloatArray


class CaseSensitive(Metric):
    name = "case_sensitive_match"
    signature = "case:kept|version:1"

    def statistics(self, hypothesis: str, reference: str) -> Sequence[float]:
        return (float(hypothesis == reference), 1.0)

    def score(self, totals: FloatArray) -> float:
        return float(totals[0] / totals[1])


def test_a_users_metric_joins_the_defaults() -> None:
    registry = MetricRegistry()
    registry.register(CaseSensitive)
    names = [metric.name for metric in registry]
    assert names == ["chrf_plus_plus", "bleu", "exact_match_rate", "case_sensitive_match"]
    scores = registry.entry_scores("la sopa", "La sopa")
    assert set(scores) == {"entry_chrf", "entry_bleu", "exact_match", "case_sensitive_match"}
    assert (scores["exact_match"], scores["case_sensitive_match"]) == (1.0, 0.0)
    assert registry["case_sensitive_match"].corpus_of([("a", "a"), ("A", "a")]) == 0.5


@pytest.mark.parametrize(
    "name", ["bleu", "entry_chrf", "errors", "p95_latency_seconds", "", "two words", "1st"]
)
def test_names_that_are_taken_or_no_names_are_refused(name: str) -> None:
    registry = MetricRegistry()
    made = type("Named", (CaseSensitive,), {"name": name})
    with pytest.raises(ConfigurationError, match=r"taken|needs a name"):
        registry.register(made)


def test_a_metric_without_signature_is_refused() -> None:
    made = type("Unsigned", (CaseSensitive,), {"signature": " "})
    with pytest.raises(ConfigurationError, match="needs a signature"):
        MetricRegistry().register(made)


def test_what_is_no_metric_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no metric"):
        MetricRegistry().register("chrf")  # type: ignore[arg-type] # what a user may do


def test_a_score_that_is_no_number_is_none() -> None:
    class Undefined(CaseSensitive):
        name = "undefined"

        def score(self, totals: FloatArray) -> float:
            return float(totals[0]) * float("nan")

    registry = MetricRegistry()
    registry.register(Undefined)
    assert registry.entry_scores("a", "b")["undefined"] is None
