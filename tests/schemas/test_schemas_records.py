"""Transcripts and records survive the way to disk and back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_realtime_eval.schemas.results import (
    RESULT_OUTCOMES,
    EntryRecord,
    SimulationRecord,
    Verdict,
    parse_record,
)
from pytest_realtime_eval.schemas.transcript import (
    Failure,
    Latencies,
    ScheduleError,
    ToolCall,
    ToolOutput,
    Transcript,
    Turn,
    Usage,
)

TEXT = st.text(max_size=12)
COUNT = st.integers(0, 10_000)
MS = st.floats(0, 1e6, allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.none() | st.dictionaries(TEXT, JSON, max_size=3)
USAGES = st.builds(Usage, **dict.fromkeys(Usage.model_fields, COUNT))
FAILURES = st.builds(Failure, stage=TEXT, error_type=TEXT, message=TEXT)
LATENCIES = st.builds(Latencies, **{name: st.none() | MS for name in Latencies.model_fields})
CALLS = st.builds(ToolCall, name=TEXT, arguments=ARGUMENTS, raw_arguments=TEXT, call_id=TEXT)
OUTPUTS = st.builds(
    ToolOutput, call_id=TEXT, name=TEXT, arguments=ARGUMENTS, output=JSON, mocked=st.booleans()
)
TURNS = st.builds(
    Turn,
    index=st.integers(1, 99),
    user_text=TEXT,
    assistant_text=TEXT,
    tool_calls=st.lists(CALLS, max_size=2).map(tuple),
    tool_outputs=st.lists(OUTPUTS, max_size=2).map(tuple),
    latencies=LATENCIES,
    usage=USAGES,
    failure=st.none() | FAILURES,
)
TRANSCRIPTS = st.builds(
    Transcript,
    simulation_id=TEXT,
    assistant_model=TEXT,
    simulator_model=TEXT,
    turns=st.lists(TURNS, max_size=3).map(tuple),
    ended_by=st.sampled_from(["end_call", "max_turns", "failure"]),
    failure=st.none() | FAILURES,
    started_at=TEXT,
    duration_ms=MS,
    schedule_error=st.none() | st.builds(ScheduleError, p50_ms=MS, p99_ms=MS, max_ms=MS),
    end_usage=USAGES,
)
VERDICTS = st.builds(
    Verdict,
    grader_id=TEXT,
    type=TEXT,
    turn_index=st.none() | COUNT,
    status=st.sampled_from(["pass", "fail", "not_applicable", "ungraded", "error"]),
    rationale=TEXT,
    expected=JSON,
    actual=JSON,
)
OUTCOMES = st.sampled_from(["passed", "failed", "infra_error", "judge_error", "ungraded"])
SIMULATIONS = st.builds(
    SimulationRecord,
    nodeid=TEXT,
    path=TEXT,
    outcome=OUTCOMES,
    simulation_id=TEXT,
    transcript=st.none() | TRANSCRIPTS,
    verdicts=st.lists(VERDICTS, max_size=2).map(tuple),
    cost_usd=st.none() | MS,
)
ENTRIES = st.builds(
    EntryRecord,
    nodeid=TEXT,
    path=TEXT,
    outcome=OUTCOMES,
    dataset_id=TEXT,
    entry_id=TEXT,
    source=TEXT,
    reference=TEXT,
    scores=st.dictionaries(TEXT, st.none() | MS, max_size=2),
    fst_analysis=st.none() | st.dictionaries(TEXT, st.lists(TEXT, max_size=2), max_size=2),
)


@given(SIMULATIONS | ENTRIES)
def test_a_record_is_the_same_after_a_line_of_json(record: SimulationRecord | EntryRecord) -> None:
    line = json.dumps(record.model_dump(mode="json"), ensure_ascii=False)
    assert "\n" not in line
    back = parse_record(json.loads(line))
    assert type(back) is type(record)
    assert back == record


@given(TRANSCRIPTS)
def test_a_transcript_is_the_same_after_json(transcript: Transcript) -> None:
    assert Transcript.model_validate_json(transcript.model_dump_json()) == transcript


@given(st.lists(USAGES, max_size=4))
def test_usage_adds_counter_by_counter(usages: list[Usage]) -> None:
    total = sum(usages, Usage())
    for name in Usage.model_fields:
        assert getattr(total, name) == sum(getattr(usage, name) for usage in usages)


@given(TRANSCRIPTS)
def test_calls_of_a_transcript_are_those_of_its_turns(transcript: Transcript) -> None:
    assert len(transcript.tool_calls) == sum(len(turn.tool_calls) for turn in transcript.turns)


def test_records_are_frozen_and_know_their_keys() -> None:
    verdict = Verdict(grader_id="a", type="b", status="pass")
    with pytest.raises(ValidationError, match="frozen"):
        verdict.status = "fail"  # type: ignore[misc]  # what is tested
    with pytest.raises(ValidationError, match="Extra inputs"):
        Usage.model_validate({"tokens": 1})


@pytest.mark.parametrize(
    ("status", "grade"),
    [("pass", 1), ("fail", 0), ("not_applicable", None), ("ungraded", None), ("error", None)],
)
def test_only_pass_and_fail_are_grades(status: Any, grade: int | None) -> None:  # noqa: ANN401 - a literal
    assert Verdict(grader_id="a", type="b", status=status).grade == grade


def test_a_latency_that_is_no_number_survives() -> None:
    latencies = Latencies(first_audio=math.inf)
    assert Latencies.model_validate_json(latencies.model_dump_json()) == latencies


def test_what_broke_is_no_result() -> None:
    assert sorted(RESULT_OUTCOMES) == ["failed", "passed", "ungraded"]


@pytest.mark.parametrize("kind", ["entry", "simulation"])
def test_a_line_of_another_shape_is_refused(kind: str) -> None:
    with pytest.raises(ValidationError):
        parse_record({"kind": kind, "nodeid": "a"})
