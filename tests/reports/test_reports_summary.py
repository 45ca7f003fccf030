from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.reports.summary import quantiles, summarise
from pytest_realtime_eval.reports.table import results_frame

if TYPE_CHECKING:
    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.schemas.results import SimulationRecord


def summary_of(records: list[Any], info: RunInfo) -> dict[str, Any]:
    return summarise(results_frame(records), records, info)


def test_it_is_flat_json_that_starts_as_the_field_does(records: list[Any], info: RunInfo) -> None:
    summary = summary_of(records, info)
    assert not [name for name, value in summary.items() if isinstance(value, dict | list)]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert list(summary)[:5] == [
        "total_rows",
        "failed_simulations",
        "politeness_grade_mean",
        "goal_completion_grade_mean",
        "right_arguments_grade_mean",
    ]
    assert summary["total_rows"] == 14


def test_outcomes_are_counted_apart(records: list[Any], info: RunInfo) -> None:
    summary = summary_of(records, info)
    counted = {
        name: summary[name]
        for name in ("passed", "failed", "infra_errors", "judge_errors", "ungraded", "skipped")
    }
    assert counted == {
        "passed": 4,
        "failed": 1,
        "infra_errors": 3,
        "judge_errors": 1,
        "ungraded": 1,
        "skipped": 0,
    }
    assert summary["pass_rate"] == pytest.approx(4 / 5)
    assert (summary["simulations"], summary["entries"], summary["turns"]) == (6, 4, 9)
    assert summary["failed_simulations"] == 3
    assert summary["ungraded_verdicts"] == 1
    assert summary["retried"] == 1


def test_skipped_simulations_did_not_fail(passed: SimulationRecord, info: RunInfo) -> None:
    skipped = passed.model_copy(
        update={"outcome": "skipped", "transcript": None, "reason": "the budget is spent"}
    )
    summary = summary_of([skipped], info)
    assert (summary["failed_simulations"], summary["skipped"]) == (0, 1)
    assert summary["pass_rate"] is None
    assert summary["total_cost_usd"] == 0


def test_grade_means_leave_out_what_is_no_grade(records: list[Any], info: RunInfo) -> None:
    summary = summary_of(records, info)
    assert summary["politeness_grade_mean"] == 0.75
    assert summary["goal_completion_grade_mean"] == 0.5


def test_a_cost_that_is_not_known_is_null_and_never_0(records: list[Any], info: RunInfo) -> None:
    summary = summary_of(records, info)
    assert summary["total_cost_usd"] is None
    assert summary["items_without_cost"] == 2
    assert summary["known_cost_usd"] == pytest.approx(5 * 0.0123 + 3 * 0.0002)
    assert summary_of(records[:2], info)["total_cost_usd"] == pytest.approx(0.0246)


def test_tokens_are_summed_by_who_used_them(passed: SimulationRecord, info: RunInfo) -> None:
    summary = summary_of([passed], info)
    assert summary["total_assistant_output_tokens"] == 180
    assert summary["total_simulator_input_tokens"] == 60 + 60 + 70
    assert summary["total_judge_input_tokens"] == 600


def test_percentiles_are_those_of_pandas(records: list[Any], info: RunInfo) -> None:
    summary = summary_of(records, info)
    known = results_frame(records)["latency_first_audio_ms"].dropna().astype(float)
    assert summary["latency_first_audio_ms_p95"] == pytest.approx(known.quantile(0.95))
    assert summary["latency_first_audio_ms_avg"] == pytest.approx(known.mean())


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=30))
def test_quantiles_interpolate_linearly_over_what_is_known(values: list[float | None]) -> None:
    import pandas as pd

    found = quantiles(pd.Series(values, dtype="Float64"))
    known = sorted(value for value in values if value is not None)
    if not known:
        assert set(found.values()) == {None}
        return
    place = 0.95 * (len(known) - 1)
    low, share = int(place), place - int(place)
    high = min(low + 1, len(known) - 1)
    expected = known[low] + (known[high] - known[low]) * share
    assert found["p95"] == pytest.approx(expected, abs=1e-6)


def test_configuration_and_scores_stand_beside(records: list[Any], info: RunInfo) -> None:
    summary = summary_of(records, info)
    assert summary["chunk_ms"] == 20
    assert summary["endpoint"] == "embedded"
    assert summary["chrf_plus_plus"] == summary["eng-spa-demo_chrf_plus_plus"] == 58.3
    assert summary["chrf_plus_plus_interval_low"] == 41.0
    assert summary["by_difficulty_easy_chrf_plus_plus"] == 48.2


def test_with_several_datasets_unprefixed_scores_are_the_callers(
    records: list[Any], info: RunInfo
) -> None:
    two = {"a": {"chrf_plus_plus": 10.0}, "b": {"chrf_plus_plus": 20.0}}
    apart = summary_of(records, dataclasses.replace(info, dataset_scores=two))
    assert "chrf_plus_plus" not in apart
    assert apart["b_chrf_plus_plus"] == 20.0
    pooled = {**two, "": {"chrf_plus_plus": 16.0}}
    summary = summary_of(records, dataclasses.replace(info, dataset_scores=pooled))
    assert summary["chrf_plus_plus"] == 16.0


def test_an_empty_run_has_every_name_and_no_values(info: RunInfo) -> None:
    summary = summary_of([], dataclasses.replace(info, dataset_scores={}))
    assert summary["total_rows"] == 0
    assert summary["latency_response_done_ms_p99"] is None
    assert summary["pass_rate"] is None
