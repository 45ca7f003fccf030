from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.conversation.tools import UNSUPPORTED, MockedAnswer, ToolMocks
from pytest_realtime_eval.schemas.simulation import ToolMock
from pytest_realtime_eval.schemas.transcript import ToolCall


def call(name: str = "find", **arguments: object) -> ToolCall:
    return ToolCall(name=name, arguments=arguments, raw_arguments="", call_id="c1")


def mocks(*specs: dict[str, Any]) -> ToolMocks:
    return ToolMocks(ToolMock.model_validate({"name": "find", **spec}) for spec in specs)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_a_static_output_is_returned_as_it_is(output: object) -> None:
    assert mocks({"output": output}).start()(call()) == MockedAnswer(output)


def test_a_tool_without_a_mock_is_unsupported_and_marked() -> None:
    answer = mocks({"output": 1}).start()(call("other"))
    assert answer == MockedAnswer(UNSUPPORTED, mocked=False)


def test_a_tool_whose_mocks_all_want_other_arguments_is_unsupported() -> None:
    answer = mocks({"when": {"order": "A"}, "output": 1}).start()(call(order="B"))
    assert answer == MockedAnswer(UNSUPPORTED, mocked=False)


def test_the_first_mock_whose_arguments_match_answers() -> None:
    answer = mocks(
        {"when": {"order": "A"}, "output": "a"},
        {"when": {"order": "A", "size": 2}, "output": "never"},
        {"when": {"order": "B"}, "output": "b"},
    ).start()
    assert answer(call(order="A", size=2)).output == "a"
    assert answer(call(order="B")).output == "b"


def test_mocks_with_when_answer_before_those_without_wherever_they_stand() -> None:
    answer = mocks({"output": "else"}, {"when": {"order": "A"}, "output": "a"}).start()
    assert answer(call(order="A")).output == "a"
    assert answer(call(order="Z")).output == "else"


def test_when_matches_as_graders_match_arguments() -> None:
    answer = mocks({"when": {"order": "ORD-1001", "count": 2}, "output": "a"}).start()
    assert answer(call(order="ord1001", count="2", extra=True)).output == "a"


@given(st.lists(st.integers(), min_size=1, max_size=5), st.integers(1, 9))
def test_a_sequence_ends_with_its_last_output_repeated(outputs: list[int], calls: int) -> None:
    answer = mocks({"outputs": outputs}).start()
    answers = [answer(call()).output for _ in range(calls)]
    assert answers == (outputs + outputs[-1:] * calls)[:calls]


def test_sequences_count_each_mock_for_itself() -> None:
    answer = mocks({"when": {"order": "A"}, "outputs": [1, 2]}, {"outputs": ["x", "y"]}).start()
    assert [answer(call(order=o)).output for o in "ABAB"] == [1, "x", 2, "y"]


def test_sequences_begin_anew_in_each_conversation() -> None:
    tools = mocks({"outputs": [1, 2]})
    for _ in range(2):
        answer = tools.start()
        assert [answer(call()).output, answer(call()).output] == [1, 2]


def test_an_error_is_what_the_tool_says() -> None:
    assert mocks({"error": "no such order"}).start()(call()).output == {"error": "no such order"}


def test_a_delay_is_given_in_seconds() -> None:
    assert mocks({"output": 1, "delay_ms": 250}).start()(call()).delay_s == 0.25


def test_a_function_answers_in_place_of_the_mocks() -> None:
    tools = mocks({"output": "static"})
    computed = tools.with_function("find", lambda arguments: {"got": arguments})
    assert computed.start()(call(order="A")).output == {"got": {"order": "A"}}
    assert tools.start()(call()).output == "static"


def test_functions_add_up_and_leave_other_tools_to_the_mocks() -> None:
    tools = mocks({"output": "static"}).with_function("a", lambda _: 1).with_function("b", len)
    answer = tools.start()
    assert [answer(call(name, x=1)).output for name in ("a", "b", "find")] == [1, 1, "static"]


def test_arguments_that_are_no_object_reach_a_function_as_none_given() -> None:
    tools = mocks().with_function("find", lambda arguments: arguments)
    broken = ToolCall(name="find", arguments=None, raw_arguments="[1", call_id="c1")
    assert tools.start()(broken).output == {}


@pytest.mark.parametrize("mock", [{}, {"output": 1, "error": "x"}, {"outputs": [], "name": "a"}])
def test_a_mock_returns_exactly_one_kind_of_thing(mock: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"exactly one of|at least 1"):
        mocks(mock)
