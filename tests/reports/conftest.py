"""Sample records as a run leaves them: every outcome, simulations and entries."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytest_realtime_eval.reports.run_info import RunInfo, ThresholdCheck
from pytest_realtime_eval.schemas.results import (
    Attempt,
    EntryRecord,
    EntryUsage,
    SimulationRecord,
    Verdict,
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

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AnyRecord = SimulationRecord | EntryRecord

STARTED = "2026-11-21T12:00:00Z"


def make_turn(index: int, simulation_id: str, **changes: object) -> Turn:
    start = (index - 1) * 6000.0
    values: dict[str, Any] = {
        "index": index,
        "user_text": "Hello, I need to move my booking to 7 pm." if index == 1 else "Yes, please.",
        "assistant_text": "I moved it to seven p.m. Anything else?",
        "latencies": Latencies(
            first_audio=300.0 + 100 * index,
            first_text=250.0,
            response_done=900.0 + index,
            first_audio_after_speech=320.0 + 100 * index,
        ),
        "usage": Usage(
            input_tokens=120,
            input_text_tokens=40,
            input_audio_tokens=80,
            output_tokens=90,
            output_text_tokens=20,
            output_audio_tokens=70,
        ),
        "simulator_usage": Usage(input_tokens=60, output_tokens=30),
        "user_audio_path": f"audio/{simulation_id}/turn_{index:02}_user.wav",
        "assistant_audio_path": f"audio/{simulation_id}/turn_{index:02}_assistant.wav",
        "user_started_ms": start,
        "user_ended_ms": start + 2000,
        "assistant_started_ms": start + 2400,
        "assistant_ended_ms": start + 5400,
        "user_audio_ms": 2000.0,
        "assistant_audio_ms": 3000.0,
    }
    return Turn.model_validate(values | changes)


def make_transcript(simulation_id: str, turns: tuple[Turn, ...], **changes: object) -> Transcript:
    values: dict[str, Any] = {
        "simulation_id": simulation_id,
        "assistant_model": "gpt-realtime",
        "simulator_model": "gpt-realtime-mini",
        "turns": turns,
        "ended_by": "end_call",
        "end_text": "Thanks, goodbye. END_CALL",
        "event_log_path": f"events/{simulation_id}.jsonl",
        "started_at": STARTED,
        "duration_ms": 6000.0 * len(turns),
        "schedule_error": ScheduleError(p50_ms=0.2, p99_ms=1.9, max_ms=3.4),
        "end_usage": Usage(input_tokens=70, output_tokens=12),
    }
    return Transcript.model_validate(values | changes)


def make_simulation(simulation_id: str, **changes: object) -> SimulationRecord:
    values: dict[str, Any] = {
        "nodeid": f"evals/simulations/{simulation_id}.json::{simulation_id}",
        "path": f"evals/simulations/{simulation_id}.json",
        "outcome": "passed",
        "tags": ("booking",),
        "content_key": "c0ffee",
        "started_at": STARTED,
        "duration_ms": 12_000.0,
        "cost_usd": 0.0123,
        "simulation_id": simulation_id,
        "scenario": "A guest moves a booking to the evening.",
        "assistant_model": "gpt-realtime",
        "simulator_model": "gpt-realtime-mini",
        "setup": {
            "chunk_ms": 20,
            "instructions_sha256": "ab" * 32,
            "files": {f"evals/simulations/{simulation_id}.json": "cd" * 32},
        },
    }
    return SimulationRecord.model_validate(values | changes)


CALL = ToolCall(
    name="change_booking",
    arguments={"booking_id": "BK-204", "time": "19:00"},
    raw_arguments='{"booking_id": "BK-204", "time": "19:00"}',
    call_id="call_1",
)
OUTPUT = ToolOutput(
    call_id="call_1",
    name="change_booking",
    arguments={"booking_id": "BK-204", "time": "19:00"},
    output={"status": "ok", "time": "19:00"},
)
EXPECTED = {"name": "change_booking", "arguments": {"booking_id": "BK-204", "time": "19:00"}}
WRONG = ToolCall(
    name="change_booking",
    arguments={"booking_id": "BK-204", "time": "17:00"},
    raw_arguments='{"booking_id": "BK-204", "time": "17:00"}',
    call_id="call_1",
)


def judged(status: str, turn_index: int | None = None, **changes: object) -> Verdict:
    values: dict[str, Any] = {
        "grader_id": "goal_completion" if turn_index is None else "politeness",
        "type": "llm_as_judge",
        "turn_index": turn_index,
        "status": status,
        "criteria": "The booking is moved to 19:00 and the guest is told so.",
        "rationale": "The assistant said so." if status == "pass" else "It was moved to 17:00.",
        "model": "judge-1",
        "usage": Usage(input_tokens=200, output_tokens=20),
    }
    return Verdict.model_validate(values | changes)


def called(status: str, **changes: object) -> Verdict:
    values: dict[str, Any] = {
        "grader_id": "right_arguments",
        "type": "tool_call_args",
        "status": status,
        "rationale": "" if status == "pass" else "`time` is 17:00 and should be 19:00.",
        "criteria": "Every expected call was made with the expected arguments.",
    }
    return Verdict.model_validate(values | changes)


@pytest.fixture
def passed() -> SimulationRecord:
    turns = (
        make_turn(1, "sim_booking", tool_calls=(CALL,), tool_outputs=(OUTPUT,)),
        make_turn(2, "sim_booking"),
    )
    return make_simulation(
        "sim_booking",
        transcript=make_transcript("sim_booking", turns),
        expected_tool_calls=(EXPECTED,),
        verdicts=(judged("pass", 1), judged("pass", 2), judged("pass"), called("pass")),
        attempts=(
            Attempt(number=1, outcome="infra_error", duration_ms=300.0),
            Attempt(number=2, outcome="passed", duration_ms=12_000.0),
        ),
    )


@pytest.fixture
def failed() -> SimulationRecord:
    turns = (
        make_turn(1, "sim_wrong_time"),
        make_turn(2, "sim_wrong_time", tool_calls=(WRONG,), tool_outputs=(OUTPUT,)),
        make_turn(3, "sim_wrong_time", latencies=Latencies()),
    )
    return make_simulation(
        "sim_wrong_time",
        outcome="failed",
        reason="right_arguments failed",
        tags=("booking", "correction"),
        transcript=make_transcript("sim_wrong_time", turns, ended_by="max_turns", end_text=""),
        expected_tool_calls=(EXPECTED,),
        verdicts=(
            judged("pass", 1),
            judged("fail", 2),
            judged("not_applicable", 3),
            judged("fail"),
            called("fail", turn_index=2, expected=[EXPECTED], actual=[WRONG.model_dump()]),
        ),
    )


@pytest.fixture
def refused() -> SimulationRecord:
    return make_simulation(
        "sim_refused",
        outcome="infra_error",
        reason="the server refused the connection",
        cost_usd=None,
        failure=Failure(
            stage="connection",
            error_type="ConnectionFailed",
            message="ws://127.0.0.1:1 refused the connection",
        ),
    )


@pytest.fixture
def broken() -> SimulationRecord:
    failure = Failure(
        stage="response_timeout", error_type="ResponseTimeout", message="silent for 30 s"
    )
    turns = (
        make_turn(1, "sim_broken"),
        make_turn(
            2,
            "sim_broken",
            assistant_text="",
            assistant_audio_path=None,
            assistant_started_ms=None,
            assistant_ended_ms=None,
            assistant_audio_ms=0.0,
            latencies=Latencies(),
            failure=failure,
        ),
    )
    return make_simulation(
        "sim_broken",
        outcome="infra_error",
        reason="silent for 30 s",
        transcript=make_transcript(
            "sim_broken", turns, ended_by="failure", end_text="", failure=failure
        ),
    )


@pytest.fixture
def unjudged() -> SimulationRecord:
    return make_simulation(
        "sim_unjudged",
        outcome="judge_error",
        reason="goal_completion: the judge answered in prose",
        transcript=make_transcript("sim_unjudged", (make_turn(1, "sim_unjudged"),)),
        verdicts=(judged("error", rationale="the judge answered in prose"),),
    )


@pytest.fixture
def ungraded() -> SimulationRecord:
    return make_simulation(
        "sim_ungraded",
        outcome="ungraded",
        reason="no judge is configured",
        transcript=make_transcript("sim_ungraded", (make_turn(1, "sim_ungraded"),)),
        verdicts=(judged("ungraded", rationale="no judge is configured"),),
    )


@pytest.fixture
def simulations(
    passed: SimulationRecord,
    failed: SimulationRecord,
    refused: SimulationRecord,
    broken: SimulationRecord,
    unjudged: SimulationRecord,
    ungraded: SimulationRecord,
) -> list[AnyRecord]:
    return [passed, failed, refused, broken, unjudged, ungraded]


def make_entry(entry_id: str, **changes: object) -> EntryRecord:
    values: dict[str, Any] = {
        "nodeid": f"evals/datasets/eng_spa.json::{entry_id}",
        "path": "evals/datasets/eng_spa.json",
        "outcome": "passed",
        "started_at": STARTED,
        "duration_ms": 420.0,
        "cost_usd": 0.0002,
        "dataset_id": "eng-spa-demo",
        "entry_id": entry_id,
        "source": "The dog sleeps in the house.",
        "reference": "El perro duerme en la casa.",
        "predicted": "El perro duerme en casa.",
        "difficulty": "easy",
        "provenance": "own",
        "scores": {"entry_chrf": 81.25, "exact_match": 0.0, "length_ratio": 0.9},
        "entry_chrf": 81.25,
        "latency_seconds": 0.4,
        "usage": EntryUsage(prompt_tokens=80, completion_tokens=12),
        "model_id": "gpt-4o-2024-11-20",
    }
    return EntryRecord.model_validate(values | changes)


@pytest.fixture
def entries() -> list[AnyRecord]:
    return [
        make_entry("e1"),
        make_entry(
            "e2",
            predicted="El perro duerme en la casa.",
            exact_match=True,
            entry_chrf=100.0,
            scores={"entry_chrf": 100.0, "exact_match": 1.0, "length_ratio": 1.0},
            fst_accepted=True,
            fst_analysis={"perro": ["perro<n><m><sg>"]},
            difficulty="medium",
        ),
        make_entry("e3", predicted="The dog", entry_chrf=9.5, fst_accepted=False, scores={}),
        make_entry(
            "e4",
            outcome="infra_error",
            reason="429 after 5 tries",
            predicted="",
            entry_chrf=0.0,
            scores={},
            cost_usd=None,
            latency_seconds=None,
            difficulty="hard",
            provenance="crowd",
            failure=Failure(
                stage="connection", error_type="InfraError", message="429 after 5 tries"
            ),
        ),
    ]


@pytest.fixture
def records(simulations: list[AnyRecord], entries: list[AnyRecord]) -> list[AnyRecord]:
    return [*simulations, *entries]


@pytest.fixture
def scores() -> dict[str, dict[str, Any]]:
    return {
        "eng-spa-demo": {
            "total": 4,
            "exact_matches": 1,
            "exact_match_rate": 0.25,
            "fst_accepted": 1,
            "fst_acceptance_rate": 0.5,
            "chrf_plus_plus": 58.3,
            "chrf_plus_plus_interval": [41.0, 70.5],
            "errors": 1,
            "by_difficulty": {
                "easy": {"total": 2, "chrf_plus_plus": 48.2, "exact_match_rate": 0.0},
                "medium": {"total": 1, "chrf_plus_plus": 100.0, "exact_match_rate": 1.0},
                "hard": {"total": 1, "chrf_plus_plus": 0.0, "exact_match_rate": 0.0},
            },
            "by_provenance": {
                "own": {"total": 3, "chrf_plus_plus": 66.0, "exact_match_rate": 0.33},
                "crowd": {"total": 1, "chrf_plus_plus": 0.0, "exact_match_rate": 0.0},
            },
        }
    }


@pytest.fixture
def info(tmp_path: Path, scores: dict[str, dict[str, Any]]) -> RunInfo:
    return RunInfo(
        run_id="20261121T120000Z",
        run_name="nightly",
        folder=tmp_path,
        started_at=STARTED,
        elapsed_seconds=61.5,
        configuration={
            "run_name": "nightly",
            "assistant_model_default": "gpt-realtime",
            "simulator_model_default": "gpt-realtime-mini",
            "input_audio_format": "pcm16",
            "output_audio_format": "pcm16",
            "chunk_ms": 20,
            "sample_rate_hz": 24000,
            "real_time": False,
            "data_csv": None,
        },
        endpoint="embedded",
        environment={"python_version": "3.11.7", "os": "Linux"},
        dataset_scores=scores,
        thresholds=(
            ThresholdCheck("pass_rate>=0.9", 0.5, False, "ini"),
            ThresholdCheck("chrf_plus_plus>=40", 58.3, True, "command line"),
            ThresholdCheck("latency_first_text_ms_p95<=400", None, False, "sim_booking.json"),
        ),
    )


@pytest.fixture
def many_simulations() -> Callable[[int], list[AnyRecord]]:
    """Return a maker of runs with so many simulations, some values missing."""

    def make(count: int) -> list[AnyRecord]:
        draw = random.Random(7)  # noqa: S311 - sample data
        return [_random_simulation(f"sim_case_{number:03}", draw) for number in range(count)]

    return make


def _random_simulation(simulation_id: str, draw: random.Random) -> SimulationRecord:
    turns = tuple(
        make_turn(
            index,
            simulation_id,
            latencies=Latencies(
                first_audio=draw.lognormvariate(6, 0.4),
                first_text=draw.lognormvariate(5.6, 0.4) if draw.random() > 0.1 else None,
                response_done=draw.lognormvariate(7.2, 0.4),
            ),
            usage=Usage(
                output_tokens=(audio := draw.randint(60, 300)) + (text := draw.randint(10, 60)),
                output_audio_tokens=audio,
                output_text_tokens=text,
            ),
        )
        for index in range(1, draw.randint(1, 8) + 1)
    )
    good = draw.random() > 0.2
    polite = tuple(judged(draw.choice(["pass", "pass", "fail"]), turn.index) for turn in turns)
    verdicts = (*polite, judged("pass" if good else "fail"), called("pass" if good else "fail"))
    return make_simulation(
        simulation_id,
        outcome="passed" if good else "failed",
        transcript=make_transcript(simulation_id, turns),
        verdicts=verdicts,
    )


@functools.cache
def tone(duration_ms: float, pitch: float) -> bytes:
    """Return PCM16 at 24 kHz that swells and fades, as speech does."""
    seconds = np.arange(int(duration_ms * 24)) / 24000
    loudness = np.abs(np.sin(2 * np.pi * 1.5 * seconds)) * 0.6
    return (np.sin(2 * np.pi * pitch * seconds) * loudness * 32767).astype("<i2").tobytes()


@pytest.fixture
def write_audio() -> Callable[[list[AnyRecord], Path], None]:
    """Return a writer of the WAV files that records name."""
    import wave

    def write(records: list[AnyRecord], folder: Path) -> None:
        for record in records:
            if isinstance(record, SimulationRecord) and record.transcript:
                for turn in record.transcript.turns:
                    write_wav(folder, turn.user_audio_path, turn.user_audio_ms, 220)
                    write_wav(folder, turn.assistant_audio_path, turn.assistant_audio_ms, 330)

    def write_wav(folder: Path, name: str | None, duration_ms: float, pitch: float) -> None:
        if name is None:
            return
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(24000)
            wav.writeframes(tone(duration_ms, pitch))

    return write


@pytest.fixture
def benchmark_clock() -> Callable[[], float]:
    """Return a clock of this process's own CPU seconds: other processes do not count."""
    import time

    return time.process_time
