from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.graders import build_graders, grade
from pytest_realtime_eval.graders.json_path import find, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_realtime_eval.schemas.results import Verdict
    from pytest_realtime_eval.schemas.transcript import Turn

    Graded = Callable[..., tuple[Verdict, ...]]
    MakeTurn = Callable[..., Turn]

BOOKING = {
    "booking": {"time": "18:30", "guests": 4, "paid": True, "note": None},
    "ids": ["A-1", "B-2"],
}


@pytest.fixture
def graded(make_transcript: Callable[..., Any], make_simulation: Callable[..., Any]) -> Graded:
    """``graded(kind, fields of the grader, *turns, level="trace")``."""

    def run(
        kind: str, fields: dict[str, Any], *turns: Turn, level: str = "trace"
    ) -> tuple[Verdict, ...]:
        spec = {"id": "g", "type": kind, **fields}
        simulation = make_simulation(None, **{f"{level}_level": [spec]})
        return asyncio.run(grade(make_transcript(*turns), simulation, None))

    return run


def _at(path: str, tool: str = "find") -> dict[str, Any]:
    return {"from_tool_output": [{"tool": tool, "path": path}]}


def test_all_values_must_be_said(graded: Graded, make_turn: MakeTurn) -> None:
    turns = [make_turn(1, said="It is at half past six."), make_turn(2, said="For four people.")]
    (found,) = graded("mentions", {"values": ["18:30", 4]}, *turns)
    assert (found.status, found.expected, found.actual) == ("pass", ["18:30", 4], ["18:30", 4])
    (found,) = graded("mentions", {"values": ["18:30", 5]}, *turns)
    assert (found.status, found.rationale) == ("fail", "did not say 5")


def test_none_of_the_values_may_be_said(graded: Graded, make_turn: MakeTurn) -> None:
    turns = [make_turn(1, said="It is at half past six.")]
    (found,) = graded("not_mentions", {"values": ["19:30", "18:30"]}, *turns)
    assert (found.status, found.rationale) == ("fail", "said '18:30'")
    (found,) = graded("not_mentions", {"values": ["19:30", 4]}, *turns)
    assert found.status == "pass"


def test_what_the_user_said_does_not_count(graded: Graded, make_turn: MakeTurn) -> None:
    (found,) = graded("mentions", {"values": ["user text"]}, make_turn(1, said="Yes."))
    assert found.status == "fail"


def test_values_of_one_turn_are_not_read_across_turns(graded: Graded, make_turn: MakeTurn) -> None:
    turns = [make_turn(1, said="I have one"), make_turn(2, said="thousand thanks")]
    assert graded("mentions", {"values": [1000]}, *turns)[0].status == "fail"


def test_turn_by_turn(graded: Graded, make_turn: MakeTurn) -> None:
    turns = [make_turn(1, said="Hello."), make_turn(2, said="Six.")]
    found = graded("mentions", {"values": [6]}, *turns, level="turn")
    assert [each.status for each in found] == ["fail", "pass"]


@pytest.mark.parametrize(
    ("path", "said", "status"),
    [
        ("$.booking.time", "at six thirty", "pass"),
        ("$.booking.time", "at seven thirty", "fail"),
        ("$['booking']['guests']", "four of you", "pass"),
        ("$.ids[*]", "A one and B two", "pass"),
        ("$.ids[*]", "A one", "fail"),
        ("$.ids[-1]", "B two", "pass"),
        ("$.booking", "four at half past six", "pass"),
        ("$.nowhere", "four at half past six", "fail"),
        ("$.booking.paid", "true", "fail"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_values_from_tool_outputs(
    graded: Graded, make_turn: MakeTurn, path: str, said: str, status: str, as_text: bool
) -> None:
    import json

    output = json.dumps(BOOKING) if as_text else BOOKING
    turns = [make_turn(1, outputs=[("find", output)]), make_turn(2, said=said)]
    (found,) = graded("mentions", _at(path), *turns)
    assert found.status == status


def test_the_last_output_with_a_value_counts(graded: Graded, make_turn: MakeTurn) -> None:
    outputs = [
        ("find", {"id": 1}),
        ("find", {"id": 2}),
        ("find", {"error": "busy"}),
        ("x", {"id": 3}),
    ]
    turn = make_turn(1, said="Number two.", outputs=outputs)
    assert graded("mentions", _at("$.id"), turn)[0].status == "pass"


def test_a_tool_that_was_never_called(graded: Graded, make_turn: MakeTurn) -> None:
    turns = [make_turn(1, said="Hello."), make_turn(2)]
    (found,) = graded("mentions", _at("$.id"), *turns)
    assert (found.status, found.rationale) == ("fail", "find gave no output")
    (found,) = graded("not_mentions", _at("$.id"), *turns)
    assert found.status == "not_applicable"
    found_by_turn = graded("mentions", _at("$.id"), *turns, level="turn")
    assert [each.status for each in found_by_turn] == ["not_applicable", "not_applicable"]


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$", []),
        ("$.a.b-c", ["a", "b-c"]),
        ("$['a b'][\"c\"]", ["a b", "c"]),
        ("$[0][ -1 ][*].*", [0, -1, None, None]),
    ],
)
def test_paths(path: str, steps: list[Any]) -> None:
    assert parse(path) == steps


@pytest.mark.parametrize(
    "path", ["", "a", "$a", "$..a", "$[?(@.a)]", "$[1:2]", "$.", "$[", "$.a b"]
)
def test_paths_that_cannot_be_read(path: str, make_simulation: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="JSON path"):
        parse(path)
    simulation = make_simulation(None, None, [{"id": "g", "type": "mentions", **_at(path)}])
    with pytest.raises(ConfigurationError, match="JSON path"):
        build_graders(simulation, None)


def test_find_leads_nowhere_quietly() -> None:
    assert find("$.a[3].b", {"a": [1]}) == []
    assert find("$[0]", {"0": 1}) == []
    assert find("$.a", [1]) == []
    assert find("$[*]", {"a": 1, "b": 2}) == [1, 2]
