from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from pytest_realtime_eval.reports.table import results_frame, write_csv
from pytest_realtime_eval.schemas.results import EntryRecord, SimulationRecord, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIELD_COLUMNS = [
    "simulation_id",
    "assistant_model",
    "simulator_model",
    "turn_index",
    "user_text",
    "assistant_text",
    "gt_tool_call",
    "pred_tool_call",
    "tool_call_correctness",
    "gt_tool_call_arg",
    "pred_tool_call_arg",
    "tool_call_arg_correctness",
    "tool_calls",
    "tool_outputs",
    "status",
    "failure_stage",
    "error_type",
    "error_message",
    "user_audio_path",
    "assistant_audio_path",
    "event_log_path",
    "latency_first_audio_ms",
    "latency_first_text_ms",
    "latency_response_done_ms",
    "output_tokens",
    "output_audio_tokens",
    "output_text_tokens",
]


def rows_of(frame: pd.DataFrame, simulation_id: str) -> pd.DataFrame:
    return frame[frame["simulation_id"] == simulation_id]


def test_columns_stand_in_the_fields_order_then_graders_then_ours(records: list[Any]) -> None:
    names = list(results_frame(records).columns)
    graders = [
        f"{grader}_{cell}"
        for grader in ("politeness", "goal_completion", "right_arguments")
        for cell in ("grade", "rationale")
    ]
    assert names[:27] == FIELD_COLUMNS
    assert names[27:33] == graders
    assert names[33:35] == ["kind", "outcome"]
    assert names[-1] == "score_length_ratio"


def test_a_row_per_turn_per_entry_and_per_item_without_a_turn(records: list[Any]) -> None:
    frame = results_frame(records)
    counts = frame.groupby("nodeid", sort=False).size()
    assert list(counts) == [2, 3, 1, 2, 1, 1, 1, 1, 1, 1]


def test_trace_level_grades_stand_on_the_last_row_only(failed: SimulationRecord) -> None:
    frame = results_frame([failed])
    assert frame["goal_completion_grade"].isna().tolist() == [True, True, False]
    assert frame["goal_completion_grade"].iloc[2] == 0
    assert frame["goal_completion_rationale"].iloc[2] == "It was moved to 17:00."


def test_turn_level_grades_stand_on_their_turn(failed: SimulationRecord) -> None:
    frame = results_frame([failed])
    assert frame["politeness_grade"].tolist()[:2] == [1, 0]
    assert pd.isna(frame["politeness_grade"].iloc[2])
    assert frame["politeness_rationale"].notna().all()


@pytest.mark.parametrize("status", ["not_applicable", "ungraded", "error"])
def test_what_is_no_grade_is_never_a_number(passed: SimulationRecord, status: str) -> None:
    verdict = Verdict(grader_id="g", type="llm_as_judge", status=status, rationale="because")
    frame = results_frame([passed.model_copy(update={"verdicts": (verdict,)})])
    assert frame["g_grade"].isna().all()
    assert frame["g_rationale"].tolist()[-1] == "because"


def test_an_item_that_ended_before_its_first_turn_names_its_failure(
    refused: SimulationRecord,
) -> None:
    (row,) = results_frame([refused]).to_dict("records")
    assert row["simulation_id"] == "sim_refused"
    assert pd.isna(row["turn_index"])
    assert (row["status"], row["failure_stage"], row["error_type"]) == (
        "failed",
        "connection",
        "ConnectionFailed",
    )


def test_the_turn_that_broke_is_the_failed_row(broken: SimulationRecord) -> None:
    frame = results_frame([broken])
    assert frame["status"].tolist() == ["ok", "failed"]
    assert frame["failure_stage"].iloc[1] == "response_timeout"


def test_a_failure_outside_any_turn_stands_on_the_last_row(unjudged: SimulationRecord) -> None:
    (row,) = results_frame([unjudged]).to_dict("records")
    assert (row["status"], row["failure_stage"]) == ("failed", "judge")
    assert "prose" in row["error_message"]


def test_a_verdict_of_fail_is_no_failure_to_run(failed: SimulationRecord) -> None:
    assert results_frame([failed])["status"].eq("ok").all()


def test_tool_cells_are_json(passed: SimulationRecord) -> None:
    row = results_frame([passed]).iloc[0]
    (call,) = json.loads(row["tool_calls"])
    (output,) = json.loads(row["tool_outputs"])
    assert set(call) == {"name", "arguments", "raw_arguments", "call_id"}
    assert set(output) == {"call_id", "name", "arguments", "output"}
    assert row["gt_tool_call"] == row["pred_tool_call"] == "change_booking"
    assert json.loads(row["pred_tool_call_arg"]) == {"booking_id": "BK-204", "time": "19:00"}


def test_several_calls_of_a_turn_are_lists(passed: SimulationRecord) -> None:
    transcript = passed.transcript
    assert transcript
    call = transcript.turns[0].tool_calls[0]
    spoilt = call.model_copy(update={"arguments": None, "raw_arguments": "{oops"})
    turn = transcript.turns[0].model_copy(update={"tool_calls": (call, spoilt)})
    changed = transcript.model_copy(update={"turns": (turn,)})
    update = {"transcript": changed, "expected_tool_calls": ()}
    row = results_frame([passed.model_copy(update=update)]).iloc[0]
    assert json.loads(row["pred_tool_call"]) == ["change_booking", "change_booking"]
    assert json.loads(row["pred_tool_call_arg"])[1] == "{oops"


def test_entries_fill_the_dataset_columns(entries: list[EntryRecord]) -> None:
    frame = results_frame(entries)
    assert frame["entry_id"].tolist() == ["e1", "e2", "e3", "e4"]
    assert frame["exact_match"].tolist() == [False, True, False, False]
    assert frame["fst_accepted"].isna().tolist() == [True, False, False, True]
    assert frame["score_length_ratio"].tolist()[:2] == [0.9, 1.0]
    assert frame["prompt_tokens"].tolist() == [80] * 4
    assert frame["status"].tolist() == ["ok", "ok", "ok", "failed"]
    assert frame["simulation_id"].isna().all()


def test_a_run_without_entries_has_no_dataset_columns(simulations: list[Any]) -> None:
    assert "entry_id" not in results_frame(simulations).columns


def test_no_records_are_an_empty_table_with_the_fields_columns() -> None:
    frame = results_frame([])
    assert len(frame) == 0
    assert list(frame.columns)[:27] == FIELD_COLUMNS


def test_the_csv_reads_back_with_whole_numbers_and_empty_cells(
    records: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "results.csv"
    write_csv(results_frame(records), path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert [row["turn_index"] for row in rows[:3]] == ["1", "2", "1"]
    assert rows[0]["politeness_grade"] == "1"
    assert rows[0]["goal_completion_grade"] == ""
    assert rows[5]["latency_first_audio_ms"] == ""


def test_text_survives_the_csv_unchanged(passed: SimulationRecord, tmp_path: Path) -> None:
    text = '=SUM(A1)\n"quoted", ünïcode \u0000 ✓'
    changed = passed.model_copy(update={"reason": text})
    write_csv(results_frame([changed]), tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["reason"] == text


def test_ten_thousand_entries_are_tabled_in_seconds(
    entries: list[EntryRecord], benchmark_clock: Callable[[], float]
) -> None:
    many = entries[:1] * 10_000
    start = benchmark_clock()
    assert len(results_frame(many)) == 10_000
    assert benchmark_clock() - start < 10
