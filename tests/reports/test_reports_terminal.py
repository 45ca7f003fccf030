from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.reports import terminal
from pytest_realtime_eval.reports.summary import quantiles, summarise
from pytest_realtime_eval.reports.table import results_frame
from pytest_realtime_eval.reports.text import cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.schemas.results import EntryRecord, SimulationRecord


def closing(records: list[Any], info: RunInfo, **options: Any) -> str:  # noqa: ANN401 - passed on
    summary = summarise(results_frame(records), records, info)
    return "\n".join(terminal.closing_lines(records, summary, info, **options))


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_a_row_for_each_simulation(records: list[Any], info: RunInfo) -> None:
    text = closing(records, info)
    assert row(text, "sim_booking").split() == [
        "sim_booking", "2", "4/4", "pass", "450/495", "$0.0123", "passed",
    ]  # fmt: skip
    assert row(text, "sim_refused").split() == ["sim_refused", "0", "-", "-", "-", "INFRA", "ERROR"]
    assert "    politeness 1/2, goal_completion 0/1, right_arguments 0/1" in text


def test_a_row_for_each_dataset(records: list[Any], info: RunInfo) -> None:
    line = row(closing(records, info), "eng-spa-demo").split()
    assert line == ["eng-spa-demo", "4", "58.3", "[41.0-70.5]", "25.0", "%", "50.0", "%", "-", "1"]


def test_thresholds_stand_with_their_values(records: list[Any], info: RunInfo) -> None:
    text = closing(records, info)
    assert row(text, "pass_rate>=0.9").split()[1:] == ["0.5", "MISSED", "ini"]
    assert row(text, "chrf_plus_plus").split()[1:3] == ["58.3", "met"]
    assert "not measured  MISSED" in row(text, "latency_first_text_ms_p95")


def test_what_was_not_graded_is_said_with_its_reason(records: list[Any], info: RunInfo) -> None:
    text = closing(records, info)
    assert "  no judge is configured\n    sim_ungraded goal_completion\n" in text
    assert "  429 after 5 tries\n    e4 (infra error)\n" in text


def test_a_reason_that_many_share_stands_once(ungraded: SimulationRecord) -> None:
    many = [ungraded.model_copy(update={"simulation_id": f"sim_{n}"}) for n in range(9)]
    text = " ".join(terminal.not_graded(many))
    assert text.count("no judge is configured") == 1
    assert "sim_5 goal_completion and 3 more" in " ".join(text.split())


def test_when_all_is_graded_nothing_is_said_about_it(passed: SimulationRecord) -> None:
    assert terminal.not_graded([passed]) == []


def test_outcomes_tokens_and_dollars_close_it(records: list[Any], info: RunInfo) -> None:
    text = closing(records, info)
    counts = "evals: 4 passed, 1 failed, 3 infra errors, 1 judge error, 1 ungraded in 1 min 02 s"
    assert counts in " ".join(text.split())
    assert "tokens in/out: assistant 1,080/810" in text
    assert "cost: $0.0621 and more: the cost of 2 items is not known" in text


def test_a_cost_that_is_known_is_plain(passed: SimulationRecord, info: RunInfo) -> None:
    assert "cost: $0.0123" in closing([passed], info).splitlines()
    free = passed.model_copy(update={"cost_usd": None})
    assert "cost: unknown: the cost of 1 item is not known" in closing([free], info)


def test_it_says_where_the_report_lies(records: list[Any], info: RunInfo) -> None:
    text = closing(records, info, report=info.folder / "report.html")
    assert text.splitlines()[-1] == f"report:  {info.folder / 'report.html'}"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_of_a_table_is_wider_than_the_terminal(
    records: list[Any], info: RunInfo, width: int
) -> None:
    long = [
        record.model_copy(update={"simulation_id": "sim_预订_" + "x" * 90, "reason": "r " * 90})
        if hasattr(record, "simulation_id")
        else record.model_copy(update={"dataset_id": "d" * 90})
        for record in records
    ]
    short = dataclasses.replace(info, folder=info.folder.__class__("results/run"))
    lines = closing(long, short, width=width).splitlines()
    assert max(map(cells, lines)) <= width


def test_of_many_simulations_those_that_failed_are_all_shown(
    many_simulations: Callable[[int], list[Any]], info: RunInfo
) -> None:
    records = many_simulations(200)
    text = closing(records, info)
    failed = [record.simulation_id for record in records if record.outcome == "failed"]
    assert len(failed) > terminal.MAX_ROWS
    assert all(row(text, name) for name in failed)
    assert f"... and {200 - len(failed)} more that passed" in text


def test_the_percentiles_are_those_of_the_summary(
    many_simulations: Callable[[int], list[Any]],
) -> None:
    (record,) = many_simulations(1)
    found = quantiles(results_frame([record])["latency_first_audio_ms"])
    (line,) = [line for line in terminal.simulation_table([record]) if line.startswith("sim_")]
    shown = re.search(r"(\S+)/(\S+)  ", line.split("pass")[1])
    assert shown
    assert shown.groups() == (f"{found['p50']:,.0f}", f"{found['p95']:,.0f}")


def test_an_empty_run_says_so(info: RunInfo) -> None:
    empty = dataclasses.replace(info, thresholds=(), dataset_scores={})
    assert closing([], empty).startswith("evals: none in 1 min 02 s\ncost: $0.00")


def test_entries_alone_have_no_table_of_simulations(
    entries: list[EntryRecord], info: RunInfo
) -> None:
    assert closing(list(entries), info).startswith("dataset ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sim_a           1  1/1 pass               6/6     -  passed", "green"),
        ("sim_a           1  0/1 pass               6/6     -  FAILED", "red"),
        ("sim_a           1  -                        -     -  INFRA ERROR", "red"),
        ("sim_a           1  0/1 pass               6/6     -  FAILED (resumed)", "red"),
        ("infra_errors<=0      1  MISSED  default", "red"),
        ("ERROR: the run's tables could not be written", "red"),
        ("infra_errors<=0      0  met     default", ""),
        ("1 passed, 1 failed in 4.0 s", ""),
        ("", ""),
    ],
)
def test_what_went_wrong_stands_out(line: str, expected: str) -> None:
    assert terminal.colour(line) == expected
