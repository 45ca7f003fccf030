"""Which names thresholds can have, before a run has its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_realtime_eval.reports.summary import summarise
from pytest_realtime_eval.reports.table import results_frame
from pytest_realtime_eval.run_card.scores import WITH_INTERVAL, score_results
from pytest_realtime_eval.thresholds import evaluate_all, is_entry_threshold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_realtime_eval.metrics.registry import MetricRegistry
    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.thresholds import Threshold

#: How the names of graders' means end, whatever the graders are called.
_GRADE_MEAN = "_grade_mean"


def check_names(thresholds: Iterable[Threshold], info: RunInfo, metrics: MetricRegistry) -> None:
    """Refuse thresholds over names that no run has, whatever is in it.

    A name that some run could have passes: with a grader, a dataset or a group of entries in
    it, which is known when the run has ended.

    Raises:
        ConfigurationError: There are such names, or what they name is no number.
    """
    scores = {*score_results((), ()), *(metric.name for metric in metrics)}
    scores |= {f"{name}_interval_{end}" for name in WITH_INTERVAL for end in ("low", "high")}
    of_parts = (_GRADE_MEAN, *(f"_{name}" for name in scores))
    summary = summarise(results_frame(()), (), info) | dict.fromkeys(scores)
    summary["regressions"] = None
    whole = (t for t in thresholds if not is_entry_threshold(t) and not t.name.endswith(of_parts))
    evaluate_all(whole, summary)
