"""Tool mocks: what the tools answer when the assistant calls them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_realtime_eval.schemas.simulation import ToolMock
    from pytest_realtime_eval.schemas.transcript import ToolCall

#: What a call of a tool without a mock returns to the model.
UNSUPPORTED: Final = {"status": "Unsupported tool"}


@dataclass(frozen=True)
class MockedAnswer:
    """The output of one call, the seconds it takes, and whether a mock was there."""

    output: Any
    delay_s: float = 0.0
    mocked: bool = True


class ToolMocks:
    """Answers the calls of one conversation.

    Of the mocks of a tool the first whose ``when`` matches the arguments answers, those
    with ``when`` before those without. Override the fixture ``tool_mocks`` to return an
    object with another ``answer``; `with_function` computes an output in Python.
    """

    def __init__(self, mocks: Iterable[ToolMock] = ()) -> None:
        self._mocks = sorted(mocks, key=lambda mock: mock.when is None)
        self._functions: dict[str, Callable[[dict[str, Any]], Any]] = {}

    def with_function(self, name: str, function: Callable[[dict[str, Any]], Any]) -> ToolMocks:
        """Return mocks in which ``function(arguments)`` answers the calls of ``name``."""
        mocks = ToolMocks(self._mocks)
        mocks._functions = {**self._functions, name: function}
        return mocks

    def start(self) -> Callable[[ToolCall], MockedAnswer]:
        """Return the answering function of one conversation; sequences begin anew in each."""
        used: Counter[int] = Counter()

        def answer(call: ToolCall) -> MockedAnswer:
            return self._answer(call, used)

        return answer

    def _answer(self, call: ToolCall, used: Counter[int]) -> MockedAnswer:
        if call.name in self._functions:
            return MockedAnswer(self._functions[call.name](call.arguments or {}))
        for index, mock in enumerate(self._mocks):
            if mock.name == call.name and _matches(mock, call):
                used[index] += 1
                return MockedAnswer(_output(mock, used[index]), mock.delay_ms / 1000)
        return MockedAnswer(UNSUPPORTED, mocked=False)


def _matches(mock: ToolMock, call: ToolCall) -> bool:
    from pytest_realtime_eval.graders.matching import matches

    return mock.when is None or matches(mock.when, call.arguments or {})


def _output(mock: ToolMock, nth: int) -> Any:  # noqa: ANN401 - any JSON value
    if mock.error is not None:
        return {"error": mock.error}
    if mock.outputs is not None:
        return mock.outputs[min(nth, len(mock.outputs)) - 1]
    return mock.output
