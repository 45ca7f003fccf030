"""Builders of small transcripts and simulations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.schemas.simulation import Simulation
from pytest_realtime_eval.schemas.transcript import (
    Failure,
    Latencies,
    ToolCall,
    ToolOutput,
    Transcript,
    Turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def _calls(calls: list[tuple[str, Any]]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(
            name=name,
            arguments=arguments if isinstance(arguments, dict) else None,
            raw_arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
            call_id=f"call_{index}",
        )
        for index, (name, arguments) in enumerate(calls)
    )


def _make_turn(
    index: int,
    calls: list[tuple[str, Any]] | None = None,
    said: str = "",
    outputs: list[tuple[str, Any]] | None = None,
    failure: Failure | None = None,
    **latencies: float,
) -> Turn:
    answers = tuple(
        ToolOutput(call_id=f"call_{at}", name=name, arguments={}, output=output)
        for at, (name, output) in enumerate(outputs or [])
    )
    return Turn(
        index=index,
        user_text=f"user text {index}",
        assistant_text=said,
        tool_calls=_calls(calls or []),
        tool_outputs=answers,
        latencies=Latencies(**latencies),
        failure=failure,
    )


def _make_transcript(
    *turns: Turn,
    failure: Failure | None = None,
    **fields: Any,  # noqa: ANN401 - whatever the schema takes
) -> Transcript:
    return Transcript(
        simulation_id="sim_test",
        assistant_model="assistant",
        simulator_model="simulator",
        turns=turns,
        ended_by="failure" if failure else fields.pop("ended_by", "end_call"),
        failure=failure,
        started_at="2026-11-01T00:00:00Z",
        duration_ms=1000.0,
        **fields,
    )


def _make_simulation(
    expected: object = None,
    turn_level: list[dict[str, Any]] | None = None,
    trace_level: list[dict[str, Any]] | None = None,
) -> Simulation:
    return Simulation.model_validate(
        {
            "simulation_id": "sim_test",
            "scenario": "The user moves a booking.",
            "turns": {"fixed_first_user_turn": "Hello."},
            "expected_tool_call": expected,
            "graders": {"turn_level": turn_level or [], "trace_level": trace_level or []},
        }
    )


@pytest.fixture
def make_turn() -> Callable[..., Turn]:
    """``make_turn(index, [(tool, arguments), …], said, [(tool, output), …], first_audio=…)``."""
    return _make_turn


@pytest.fixture
def make_transcript() -> Callable[..., Transcript]:
    """``make_transcript(*turns, failure=None, ended_by=…)``."""
    return _make_transcript


@pytest.fixture
def make_simulation() -> Callable[..., Simulation]:
    """``make_simulation(expected_tool_call, turn_level, trace_level)``."""
    return _make_simulation
