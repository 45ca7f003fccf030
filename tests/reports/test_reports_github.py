from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_realtime_eval.reports.github import annotation, job_summary, line_of
from pytest_realtime_eval.reports.summary import summarise
from pytest_realtime_eval.reports.table import results_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.schemas.results import SimulationRecord


def summary_of(records: list[Any], info: RunInfo) -> str:
    return job_summary(records, summarise(results_frame(records), records, info), info)


def test_a_failing_item_is_marked_at_its_file_and_line(failed: SimulationRecord) -> None:
    assert annotation(failed, line=3) == (
        "::error file=evals/simulations/sim_wrong_time.json,line=3,"
        "title=sim_wrong_time failed::right_arguments failed"
    )


def test_what_passed_is_not_marked_and_what_is_ungraded_is_a_notice(
    passed: SimulationRecord, ungraded: SimulationRecord
) -> None:
    assert annotation(passed) is None
    assert (annotation(ungraded) or "").startswith("::notice file=")


def test_a_reason_cannot_forge_a_command(failed: SimulationRecord) -> None:
    hostile = failed.model_copy(
        update={"reason": "100 %\n::error::forged", "path": "a:b,c.json\n::error::x"}
    )
    line = annotation(hostile) or ""
    assert "\n" not in line
    assert "100 %25 ::error::forged" in line
    assert "file=a%3Ab%2Cc.json %3A%3Aerror%3A%3Ax," in line


def test_the_line_is_the_one_that_names_the_item() -> None:
    content = '{\n  "scenario": "sim_a",\n  "simulation_id" : "sim_b.c"\n}'
    assert line_of(content, "sim_b.c") == 3
    assert line_of(content, "sim_bxc") == 1


def test_the_job_summary_has_thresholds_simulations_and_datasets(
    records: list[Any], info: RunInfo
) -> None:
    text = summary_of(records, info)
    assert text.startswith("## Evals: nightly\n")
    assert "4 passed, 1 failed, 3 infra errors" in text
    assert "| `pass_rate>=0.9` | 0.5 | ❌ missed |" in text
    assert "| sim\\_booking | ✅ passed | 2 | 4/4 | 12.0 s | $0.0123 |" in text
    assert "| eng-spa-demo | 4 | 58.3 [41.0, 70.5] | 25.0 % | 50.0 % |" in text
    assert "6 items did not pass" in text


def test_what_did_not_pass_stands_first(records: list[Any], info: RunInfo) -> None:
    text = summary_of(records, info)
    assert text.index("| sim\\_wrong\\_time") < text.index("| sim\\_booking")


def test_text_of_models_is_shown_and_never_rendered(
    failed: SimulationRecord, info: RunInfo
) -> None:
    hostile = failed.model_copy(
        update={"reason": "<img src=x> | **bold** [x](javascript:1) @everyone\n# big"}
    )
    text = summary_of([hostile], info)
    (line,) = [line for line in text.splitlines() if "everyone" in line]
    assert "<img" not in line
    assert "\\| \\*\\*bold\\*\\* \\[x\\]\\(javascript:1\\)" in line
    assert "@everyone" not in line
    assert "\n# big" not in text


def test_a_large_run_is_cut(many_simulations: Callable[[int], list[Any]], info: RunInfo) -> None:
    plain = dataclasses.replace(info, thresholds=(), dataset_scores={})
    text = summary_of(many_simulations(250), plain)
    assert "... and 50 more." in text
    assert len(text.encode()) < 1024 * 1024


def test_an_empty_run_is_said(info: RunInfo) -> None:
    plain = dataclasses.replace(info, thresholds=(), dataset_scores={})
    assert "no items in 1 min 02 s" in summary_of([], plain)
