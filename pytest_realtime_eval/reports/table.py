"""results.csv: a row per simulation turn, per dataset entry, per item without a turn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.reports.files import write_text
from pytest_realtime_eval.schemas.results import (
    AnyRecord,
    EntryRecord,
    ItemRecord,
    SimulationRecord,
    Verdict,
)
from pytest_realtime_eval.schemas.simulation import ExpectedToolCall
from pytest_realtime_eval.schemas.transcript import Failure, Transcript, Turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

Row = dict[str, Any]

#: The field's columns, in the field's order.
TURN_COLUMNS: Final = (
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
)

#: What this project adds; it stands after the graders' columns.
ADDED_COLUMNS: Final = (
    "kind",
    "outcome",
    "reason",
    "nodeid",
    "path",
    "tags",
    "latency_first_audio_after_speech_ms",
    "input_tokens",
    "cached_tokens",
    "user_audio_ms",
    "assistant_audio_ms",
    "schedule_error_p50_ms",
    "schedule_error_p99_ms",
    "schedule_error_max_ms",
    "loop_lag_max_ms",
    "late",
    "ended_by",
    "duration_ms",
    "cost_usd",
    "attempts",
    "resumed",
    "content_key",
)

DATASET_COLUMNS: Final = (
    "dataset_id",
    "entry_id",
    "source",
    "reference",
    "predicted",
    "difficulty",
    "provenance",
    "exact_match",
    "entry_chrf",
    "fst_accepted",
    "latency_seconds",
    "prompt_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "model_id",
)

_INTEGERS: Final = frozenset(
    {
        "turn_index",
        "tool_call_correctness",
        "tool_call_arg_correctness",
        "output_tokens",
        "output_audio_tokens",
        "output_text_tokens",
        "input_tokens",
        "cached_tokens",
        "prompt_tokens",
        "completion_tokens",
        "reasoning_tokens",
        "attempts",
    }
)
_FLOATS: Final = frozenset(
    {
        "latency_first_audio_ms",
        "latency_first_text_ms",
        "latency_response_done_ms",
        "latency_first_audio_after_speech_ms",
        "user_audio_ms",
        "assistant_audio_ms",
        "schedule_error_p50_ms",
        "schedule_error_p99_ms",
        "schedule_error_max_ms",
        "loop_lag_max_ms",
        "duration_ms",
        "cost_usd",
        "entry_chrf",
        "latency_seconds",
    }
)
_SCHEDULE: Final = ("p50", "p99", "max")
_TOOL_COLUMNS: Final = tuple(
    name for name in TURN_COLUMNS if "_tool_call" in name or name.startswith("tool_call_")
)
_BOOLEANS: Final = frozenset({"exact_match", "fst_accepted", "late", "resumed"})

#: Outcomes of items that did not get to their end, and the stage when nothing names it.
_BROKEN: Final = {
    "infra_error": ("connection", "InfraError"),
    "judge_error": ("judge", "JudgeError"),
    "invalid_simulation": ("simulation_execution", "InvalidSimulation"),
    "skipped": ("skipped", "Skipped"),
}


def results_frame(records: Sequence[AnyRecord]) -> pd.DataFrame:
    """Return the table of all records, typed; what is not known is NA.

    Columns are the field's turn columns, ``<grader_id>_grade`` (1, 0, NA) and
    ``<grader_id>_rationale`` for each grader, then what this project adds. The dataset
    columns and the scores of users' own metrics are there when the run has entries.
    """
    import pandas as pd
    from pandas.api.types import pandas_dtype

    rows = [row for record in records for row in _rows(record)]
    frame = pd.DataFrame(rows, columns=columns(records), dtype=object)
    for name in frame.columns:
        if dtype := _dtype(name):
            frame[name] = frame[name].astype(pandas_dtype(dtype))
    return frame


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write results.csv: UTF-8, a header, NA as an empty cell."""
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def columns(records: Sequence[AnyRecord]) -> list[str]:
    """Return the column names of the records' table, in their order."""
    entries = [record for record in records if isinstance(record, EntryRecord)]
    names = [*TURN_COLUMNS]
    for grader_id in grader_ids(records):
        names += [f"{grader_id}_grade", f"{grader_id}_rationale"]
    names += ADDED_COLUMNS
    if entries:
        names += DATASET_COLUMNS
        names += _unique(f"score_{name}" for entry in entries for name in _own_scores(entry))
    return _unique(names)


def grader_ids(records: Iterable[AnyRecord]) -> list[str]:
    """Return the graders' ids in the order in which the records name them."""
    return _unique(verdict.grader_id for record in records for verdict in record.verdicts)


def item_failure(record: ItemRecord) -> Failure | None:
    """Return what broke an item; ``None`` for items that came to a result."""
    transcript = record.transcript if isinstance(record, SimulationRecord) else None
    failure = record.failure or (transcript.failure if transcript else None)
    if failure or record.outcome not in _BROKEN:
        return failure
    stage, error_type = _BROKEN[record.outcome]
    return Failure(stage=stage, error_type=error_type, message=record.reason)


def _dtype(name: str) -> str | None:
    if name in _INTEGERS or name.endswith("_grade"):
        return "Int64"
    if name in _FLOATS or name.startswith("score_"):
        return "Float64"
    return "boolean" if name in _BOOLEANS else None


def _rows(record: AnyRecord) -> list[Row]:
    if isinstance(record, EntryRecord):
        return [_entry_row(record)]
    transcript = record.transcript
    if transcript and transcript.turns:
        return _turn_rows(record, transcript)
    return [_turnless_row(record)]


def _turn_rows(record: SimulationRecord, transcript: Transcript) -> list[Row]:
    rows = [
        _item_cells(record) | _turn_cells(turn) | tool_cells
        for turn, tool_cells in zip(transcript.turns, _tool_cells(record, transcript), strict=True)
    ]
    for turn, row in zip(transcript.turns, rows, strict=True):
        row |= _verdict_cells(v for v in record.verdicts if v.turn_index == turn.index)
    rows[-1] |= _verdict_cells(v for v in record.verdicts if v.turn_index is None)
    failure = item_failure(record)
    if failure and not any(turn.failure for turn in transcript.turns):
        rows[-1] |= _failure_cells(failure)
    return rows


def _tool_cells(record: SimulationRecord, transcript: Transcript) -> list[Row]:
    from pytest_realtime_eval.graders.columns import call_columns

    expected = [ExpectedToolCall.model_validate(call) for call in record.expected_tool_calls]
    return [
        {name: _none_if_empty(getattr(cells, name)) for name in _TOOL_COLUMNS}
        for cells in call_columns(transcript, expected)
    ]


def _turnless_row(record: SimulationRecord) -> Row:
    row = _item_cells(record) | _failure_cells(item_failure(record))
    return row | _verdict_cells(record.verdicts)


def _entry_row(record: EntryRecord) -> Row:
    return (
        _item_cells(record)
        | _failure_cells(item_failure(record))
        | _verdict_cells(record.verdicts)
        | {name: getattr(record, name) for name in DATASET_COLUMNS if hasattr(record, name)}
        | {name: getattr(record.usage, name) for name in DATASET_COLUMNS if "_tokens" in name}
        | {f"score_{name}": value for name, value in _own_scores(record).items()}
        | {"assistant_model": record.model_id or None, "cached_tokens": record.usage.cached_tokens}
    )


def _own_scores(record: EntryRecord) -> dict[str, float | None]:
    """Return the scores of metrics that have no column of their own."""
    return {name: value for name, value in record.scores.items() if name not in DATASET_COLUMNS}


def _item_cells(record: AnyRecord) -> Row:
    cells: Row = {name: getattr(record, name) for name in ("kind", "outcome", "nodeid", "path")}
    cells |= {
        "reason": record.reason or None,
        "tags": ",".join(record.tags) or None,
        "duration_ms": record.duration_ms,
        "cost_usd": record.cost_usd,
        "attempts": max(1, len(record.attempts)),
        "resumed": record.resumed,
        "content_key": record.content_key or None,
    }
    return cells | _conversation_cells(record) if isinstance(record, SimulationRecord) else cells


def _conversation_cells(record: SimulationRecord) -> Row:
    cells: Row = {
        "simulation_id": record.simulation_id,
        "assistant_model": record.assistant_model or None,
        "simulator_model": record.simulator_model or None,
    }
    if not (transcript := record.transcript):
        return cells
    cells |= {"ended_by": transcript.ended_by, "event_log_path": transcript.event_log_path}
    cells["late"] = record.late
    if schedule := transcript.schedule_error:
        cells |= {f"schedule_error_{n}_ms": getattr(schedule, f"{n}_ms") for n in _SCHEDULE}
        cells["loop_lag_max_ms"] = schedule.loop_lag_max_ms
    return cells


def _turn_cells(turn: Turn) -> Row:
    latencies, usage = turn.latencies, turn.usage
    return {
        "turn_index": turn.index,
        "user_text": turn.user_text,
        "assistant_text": turn.assistant_text,
        "tool_calls": _json([call.model_dump() for call in turn.tool_calls]),
        "tool_outputs": _json([o.model_dump(exclude={"mocked"}) for o in turn.tool_outputs]),
        "user_audio_path": turn.user_audio_path,
        "assistant_audio_path": turn.assistant_audio_path,
        "latency_first_audio_ms": latencies.first_audio,
        "latency_first_text_ms": latencies.first_text,
        "latency_response_done_ms": latencies.response_done,
        "latency_first_audio_after_speech_ms": latencies.first_audio_after_speech,
        "output_tokens": usage.output_tokens,
        "output_audio_tokens": usage.output_audio_tokens,
        "output_text_tokens": usage.output_text_tokens,
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "user_audio_ms": turn.user_audio_ms,
        "assistant_audio_ms": turn.assistant_audio_ms,
    } | _failure_cells(turn.failure)


def _verdict_cells(verdicts: Iterable[Verdict]) -> Row:
    cells: Row = {}
    for verdict in verdicts:
        cells[f"{verdict.grader_id}_grade"] = verdict.grade
        cells[f"{verdict.grader_id}_rationale"] = verdict.rationale or None
    return cells


def _failure_cells(failure: Failure | None) -> Row:
    if failure is None:
        return {"status": "ok"}
    return {
        "status": "failed",
        "failure_stage": failure.stage,
        "error_type": failure.error_type,
        "error_message": failure.message,
    }


def _none_if_empty(cell: object) -> object:
    return None if cell == "" else cell


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
