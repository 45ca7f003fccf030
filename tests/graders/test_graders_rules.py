from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pytest_realtime_eval.graders import build_graders, grade
from pytest_realtime_eval.schemas.results import Verdict
from pytest_realtime_eval.schemas.simulation import Simulation
from pytest_realtime_eval.schemas.transcript import Failure, Transcript, Turn

MakeTurn = Callable[..., Turn]
MakeTranscript = Callable[..., Transcript]
MakeSimulation = Callable[..., Simulation]

FIND = {"name": "find", "arguments": {"id": 1}}


def _grade(transcript: Transcript, simulation: Simulation) -> tuple[Verdict, ...]:
    return asyncio.run(grade(transcript, simulation, None))


def _statuses(verdicts: tuple[Verdict, ...]) -> list[tuple[int | None, str]]:
    return [(each.turn_index, each.status) for each in verdicts]


@pytest.fixture
def verdicts(
    make_transcript: MakeTranscript, make_simulation: MakeSimulation
) -> Callable[..., tuple[Verdict, ...]]:
    """``verdicts(grader, *turns, level="trace", expected=None, **transcript fields)``."""

    def run(
        grader: dict[str, Any],
        *turns: Turn,
        level: str = "trace",
        expected: object = None,
        **fields: Any,  # noqa: ANN401 - whatever the schema takes
    ) -> tuple[Verdict, ...]:
        graders = {f"{level}_level": [{"id": "g", **grader}]}
        simulation = make_simulation(expected, **graders)
        return _grade(make_transcript(*turns, **fields), simulation)

    return run


Verdicts = Callable[..., tuple[Verdict, ...]]


def test_tool_call_over_the_conversation(verdicts: Verdicts, make_turn: MakeTurn) -> None:
    turns = [make_turn(1, [("find", {"id": 2})]), make_turn(2)]
    (found,) = verdicts({"type": "tool_call"}, *turns, expected=FIND)
    assert (found.turn_index, found.status, found.grade) == (None, "pass", 1)
    assert found.expected == [{"name": "find", "arguments": {"id": 1}}]
    assert found.actual == [{"name": "find", "arguments": {"id": 2}}]


def test_tool_call_args_over_the_conversation(verdicts: Verdicts, make_turn: MakeTurn) -> None:
    turns = [make_turn(1, [("find", {"id": 2})]), make_turn(2)]
    (found,) = verdicts({"type": "tool_call_args"}, *turns, expected=FIND)
    assert (found.status, found.grade) == ("fail", 0)
    assert found.rationale == "find: $.id is 2, expected 1"


@pytest.mark.parametrize("kind", ["tool_call", "tool_call_args"])
def test_tool_calls_by_turn(verdicts: Verdicts, make_turn: MakeTurn, kind: str) -> None:
    made = verdicts(
        {"type": kind},
        make_turn(1, [("find", {"id": 1})]),
        make_turn(2),
        level="turn",
        expected=FIND,
    )
    assert _statuses(made) == [(1, "pass"), (2, "not_applicable")]
    never = verdicts({"type": kind}, make_turn(1), make_turn(2), level="turn", expected=FIND)
    assert _statuses(never) == [(1, "not_applicable"), (2, "fail")]
    none = verdicts({"type": kind}, make_turn(1), make_turn(2), level="turn", expected={})
    assert _statuses(none) == [(1, "not_applicable"), (2, "pass")]


@pytest.mark.parametrize("level", ["turn", "trace"])
def test_a_conversation_without_turns_has_a_verdict(verdicts: Verdicts, level: str) -> None:
    assert _statuses(verdicts({"type": "tool_call"}, level=level)) == [(None, "pass")]
    assert _statuses(verdicts({"type": "tool_call"}, level=level, expected=FIND)) == [
        (None, "fail")
    ]


def test_latency_by_turn(verdicts: Verdicts, make_turn: MakeTurn) -> None:
    turns = [make_turn(1, first_audio=500.0), make_turn(2, first_audio=500.5), make_turn(3)]
    found = verdicts({"type": "max_latency_ms", "limit_ms": 500}, *turns, level="turn")
    assert _statuses(found) == [(1, "pass"), (2, "fail"), (3, "not_applicable")]
    assert (found[1].expected, found[1].actual) == (500.0, 500.5)


def test_latency_of_the_conversation_is_its_slowest_turn(
    verdicts: Verdicts, make_turn: MakeTurn
) -> None:
    turns = [make_turn(1, response_done=100.0), make_turn(2, response_done=900.0), make_turn(3)]
    rule = {"type": "max_latency_ms", "limit_ms": 800, "metric": "response_done"}
    (found,) = verdicts(rule, *turns)
    assert (found.status, found.actual) == ("fail", 900.0)
    assert "turn 2" in found.rationale
    assert _statuses(verdicts(rule, make_turn(1, first_audio=1.0))) == [(None, "not_applicable")]


@pytest.mark.parametrize(
    ("called", "status"),
    [
        (["a", "b"], "pass"),
        (["a", "x", "b"], "pass"),
        (["b", "a", "b"], "pass"),
        (["b", "a"], "fail"),
        (["a"], "fail"),
        ([], "fail"),
    ],
)
def test_tool_order(
    verdicts: Verdicts, make_turn: MakeTurn, called: list[str], status: str
) -> None:
    turns = [make_turn(at, [(name, {})]) for at, name in enumerate(called, start=1)]
    (found,) = verdicts({"type": "tool_order", "tools": ["a", "b"]}, *turns)
    assert (found.status, found.actual) == (status, called)


def test_what_is_said_of_the_conversation_stands_on_the_last_turn(
    verdicts: Verdicts, make_turn: MakeTurn
) -> None:
    turns = [make_turn(1), make_turn(2)]
    found = verdicts({"type": "ends_call"}, *turns, level="turn", ended_by="max_turns")
    assert _statuses(found) == [(1, "not_applicable"), (2, "fail")]


def test_ends_call(verdicts: Verdicts, make_turn: MakeTurn) -> None:
    assert _statuses(verdicts({"type": "ends_call"}, make_turn(1))) == [(None, "pass")]
    (found,) = verdicts({"type": "ends_call"}, make_turn(1), ended_by="max_turns")
    assert (found.status, found.actual) == ("fail", "max_turns")


def test_a_conversation_that_broke_is_not_graded(verdicts: Verdicts, make_turn: MakeTurn) -> None:
    failure = Failure(stage="connection", error_type="ConnectionFailed", message="gone")
    assert verdicts({"type": "ends_call"}, make_turn(1), failure=failure) == ()


def test_graders_of_turns_come_first_in_the_order_of_the_file(
    make_simulation: MakeSimulation,
) -> None:
    simulation = make_simulation(
        None,
        [{"id": "b", "type": "tool_call"}, {"id": "judge", "criteria": "polite"}],
        [{"id": "a", "type": "ends_call"}],
    )
    built = build_graders(simulation, None)
    assert [(each.id, each.level) for each in built] == [
        ("b", "turn"),
        ("judge", "turn"),
        ("a", "trace"),
    ]
