from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.graders.calls import assign, compare_arguments, compare_names, follow
from pytest_realtime_eval.graders.columns import call_columns
from pytest_realtime_eval.schemas.simulation import ExpectedToolCall
from pytest_realtime_eval.schemas.transcript import Failure, ToolCall, Transcript, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

Calls = list[tuple[str, Any]]

FIND = {"name": "find", "arguments": {"id": 1}}
MOVE = {"name": "move", "arguments": {"id": 1, "time": "18:30"}}
FIND_MADE = ("find", {"id": "1", "extra": True})
MOVE_MADE = ("move", {"id": 1, "time": "18:30"})
WRONG_FIND = ("find", {"id": 2})

#: Expected calls, the calls of each turn, then names and arguments turn by turn.
TURN_BY_TURN: list[tuple[str, list[dict[str, Any]], list[Calls], list[Any], list[Any]]] = [
    ("none expected, none made", [], [[], []], [None, 1], [None, 1]),
    ("none expected, one made", [], [[FIND_MADE], []], [0, None], [0, None]),
    ("made in the first turn", [FIND], [[FIND_MADE], []], [1, None], [1, None]),
    ("made in the last turn", [FIND], [[], [FIND_MADE]], [None, 1], [None, 1]),
    ("never made", [FIND], [[], []], [None, 0], [None, 0]),
    ("two turns, two calls", [FIND, MOVE], [[FIND_MADE], [MOVE_MADE]], [1, 1], [1, 1]),
    ("the other order", [FIND, MOVE], [[MOVE_MADE], [FIND_MADE]], [1, 1], [1, 1]),
    ("both in one turn", [FIND, MOVE], [[MOVE_MADE, FIND_MADE], []], [1, None], [1, None]),
    ("one missing", [FIND, MOVE], [[FIND_MADE], []], [1, 0], [1, 0]),
    ("right last turn, one missing", [FIND, MOVE], [[], [FIND_MADE]], [None, 0], [None, 0]),
    ("wrong arguments", [FIND], [[WRONG_FIND], []], [1, None], [0, 0]),
    ("wrong arguments, last turn", [FIND], [[], [WRONG_FIND]], [None, 1], [None, 0]),
    ("corrected in the turn", [FIND], [[WRONG_FIND, FIND_MADE]], [0], [1]),
    ("corrected later", [FIND], [[WRONG_FIND], [FIND_MADE]], [1, 0], [0, 1]),
    ("made twice", [FIND], [[FIND_MADE], [FIND_MADE]], [1, 0], [1, 1]),
    ("two expected, both", [FIND, FIND], [[FIND_MADE], [FIND_MADE]], [1, 1], [1, 1]),
    ("two expected, one made", [FIND, FIND], [[FIND_MADE], []], [1, 0], [1, 0]),
    ("nobody expects it", [FIND], [[FIND_MADE], [MOVE_MADE]], [1, 0], [1, 0]),
    ("arguments are no object", [FIND], [[("find", "{oops")]], [1], [0]),
    (
        "a repeat of the wrong one while another is to come",
        [FIND, {"name": "find", "arguments": {"id": 2}}],
        [[FIND_MADE], [FIND_MADE], [WRONG_FIND]],
        [1, 1, 0],
        [1, 0, 1],
    ),
    (
        "repeats allowed",
        [{**FIND, "allow_repeat": True}],
        [[FIND_MADE], [FIND_MADE, FIND_MADE], []],
        [1, 1, None],
        [1, 1, None],
    ),
    ("a repeat allowed, never made", [{**FIND, "allow_repeat": True}], [[]], [0], [0]),
    (
        "the general one leaves the only fitting call to the particular one",
        [{"name": "find"}, FIND],
        [[FIND_MADE], [WRONG_FIND]],
        [1, 1],
        [1, 1],
    ),
]


def _expected(raw: list[dict[str, Any]]) -> list[ExpectedToolCall]:
    return [ExpectedToolCall.model_validate(each) for each in raw]


@pytest.mark.parametrize(
    ("expected", "calls", "names", "arguments"),
    [case[1:] for case in TURN_BY_TURN],
    ids=[case[0] for case in TURN_BY_TURN],
)
def test_turn_by_turn(
    make_turn: Callable[..., Turn],
    make_transcript: Callable[..., Transcript],
    expected: list[dict[str, Any]],
    calls: list[Calls],
    names: list[int | None],
    arguments: list[int | None],
) -> None:
    turns = [make_turn(index, made) for index, made in enumerate(calls, start=1)]
    columns = call_columns(make_transcript(*turns), _expected(expected))
    assert [row.tool_call_correctness for row in columns] == names
    assert [row.tool_call_arg_correctness for row in columns] == arguments


def test_a_conversation_that_broke_does_not_answer_for_what_is_missing(
    make_turn: Callable[..., Turn], make_transcript: Callable[..., Transcript]
) -> None:
    failure = Failure(stage="connection", error_type="ConnectionFailed", message="gone")
    turns = [make_turn(1, [FIND_MADE]), make_turn(2, [MOVE_MADE], failure=failure)]
    transcript = make_transcript(*turns, failure=failure)
    columns = call_columns(transcript, _expected([FIND, MOVE, MOVE]))
    assert [row.tool_call_correctness for row in columns] == [1, None]
    assert [row.tool_call_arg_correctness for row in columns] == [1, None]


def test_columns_are_written_as_one_value_or_as_a_list(
    make_turn: Callable[..., Turn], make_transcript: Callable[..., Transcript]
) -> None:
    turns = [make_turn(1), make_turn(2, [FIND_MADE]), make_turn(3, [MOVE_MADE, ("x", "{oops")])]
    rows = call_columns(make_transcript(*turns), _expected([FIND, MOVE]))
    assert (rows[0].gt_tool_call, rows[0].pred_tool_call, rows[0].pred_tool_call_arg) == ("",) * 3
    assert (rows[1].gt_tool_call, rows[1].pred_tool_call) == ("find", "find")
    assert rows[1].gt_tool_call_arg == '{"id": 1}'
    assert rows[1].pred_tool_call_arg == '{"id": "1", "extra": true}'
    assert (rows[2].gt_tool_call, rows[2].pred_tool_call) == ("move", '["move", "x"]')
    assert rows[2].pred_tool_call_arg == '[{"id": 1, "time": "18:30"}, "{oops"]'


def test_the_last_turn_shows_what_never_came(
    make_turn: Callable[..., Turn], make_transcript: Callable[..., Transcript]
) -> None:
    turns = [make_turn(1, [WRONG_FIND]), make_turn(2)]
    rows = call_columns(make_transcript(*turns), _expected([FIND, MOVE]))
    assert (rows[0].gt_tool_call, rows[1].gt_tool_call) == ("find", "move")
    assert rows[1].pred_tool_call_arg == ""
    reason = follow(make_transcript(*turns), _expected([FIND, MOVE]))[-1].arguments.reason
    assert reason == "find: $.id is 2, expected 1; move was never called"


def _made(*calls: tuple[str, Any]) -> list[ToolCall]:
    return [
        ToolCall(name=name, arguments=arguments, raw_arguments="", call_id=str(at))
        for at, (name, arguments) in enumerate(calls)
    ]


def test_names_of_a_conversation_count() -> None:
    assert compare_names(_expected([FIND, MOVE]), _made(MOVE_MADE, FIND_MADE)).correct
    assert compare_names([], []).correct
    twice = compare_names(_expected([FIND]), _made(FIND_MADE, FIND_MADE, FIND_MADE))
    assert twice.correct is False
    assert twice.reason == "called without being expected: find (2 times)"
    missing = compare_names(_expected([FIND, MOVE]), _made(FIND_MADE))
    assert missing.reason == "expected and never called: move"
    assert not compare_names([], _made(FIND_MADE)).correct
    repeatable = _expected([{**FIND, "allow_repeat": True}])
    assert compare_names(repeatable, _made(FIND_MADE, FIND_MADE)).correct
    assert not compare_names(repeatable, []).correct


def test_some_call_with_the_arguments_is_enough_and_is_the_one_reported() -> None:
    found = compare_arguments(_expected([FIND]), _made(WRONG_FIND, FIND_MADE, ("x", {})))
    assert found.correct
    assert [call.arguments for call in found.actual] == [{"id": "1", "extra": True}]


def test_where_no_call_has_the_arguments_all_of_the_name_are_reported() -> None:
    found = compare_arguments(_expected([FIND, MOVE]), _made(WRONG_FIND, ("find", {}), ("x", {})))
    assert found.correct is False
    assert [call.arguments for call in found.actual] == [{"id": 2}, {}]
    assert found.reason == "find: $.id is missing, expected 1; move was never called"


def test_no_call_expected() -> None:
    assert compare_arguments([], []).correct
    assert compare_arguments([], _made(FIND_MADE)).correct is False


def test_two_expected_calls_need_two_calls() -> None:
    found = compare_arguments(_expected([FIND, FIND]), _made(FIND_MADE))
    assert found.correct is False
    assert found.reason == "find: fewer calls with these arguments than expected"


keys = st.dictionaries(st.sampled_from("abc"), st.integers(0, 1), max_size=3)


@given(st.lists(keys, max_size=5), st.lists(keys, max_size=5))
def test_assignment_is_sound_and_as_large_as_any(
    wanted: list[dict[str, int]], given_arguments: list[dict[str, int]]
) -> None:
    expected = [ExpectedToolCall(name="f", arguments=each) for each in wanted]
    calls = _made(*(("f", each) for each in given_arguments))
    assigned = assign(expected, calls)
    taken = [at for at in assigned if at is not None]
    assert len(set(taken)) == len(taken)
    for each, at in zip(wanted, assigned, strict=True):
        assert at is None or each.items() <= given_arguments[at].items()
    assert len(taken) == _largest(wanted, given_arguments)


def _largest(wanted: list[dict[str, int]], offered: list[dict[str, int]]) -> int:
    """The size of the best assignment, by trying all."""
    if not wanted:
        return 0
    first, *rest = wanted
    best = _largest(rest, offered)
    for at, each in enumerate(offered):
        if first.items() <= each.items():
            best = max(best, 1 + _largest(rest, offered[:at] + offered[at + 1 :]))
    return best


@given(st.permutations(range(4)), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_perfect_conversation_has_the_mean_one(order: list[int], turn_of: list[int]) -> None:
    expected = [ExpectedToolCall(name=f"f{n % 2}", arguments={"n": n}) for n in range(4)]
    turns = []
    for index in range(1, 5):
        made = [n for n, at in zip(order, turn_of, strict=True) if at == index - 1]
        calls = tuple(_made(*((f"f{n % 2}", {"n": n}) for n in made)))
        turns.append(Turn(index=index, user_text="", tool_calls=calls))
    transcript = Transcript(
        simulation_id="s",
        assistant_model="",
        simulator_model="",
        turns=tuple(turns),
        ended_by="end_call",
        started_at="",
        duration_ms=0,
    )
    for followed in follow(transcript, expected):
        assert followed.names.correct is (True if followed.turn.tool_calls else None)
        assert followed.arguments.correct is (True if followed.turn.tool_calls else None)
