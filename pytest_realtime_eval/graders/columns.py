"""The results' columns about tool calls, a row for each turn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_realtime_eval.graders.calls import follow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_realtime_eval.schemas.simulation import ExpectedToolCall
    from pytest_realtime_eval.schemas.transcript import ToolCall, Transcript

__all__ = ["CallColumns", "call_columns"]


@dataclass(frozen=True, slots=True)
class CallColumns:
    """The columns of one turn, under their names in ``results.csv``.

    One call is written as itself (``find_booking``, ``{"id": 1}``), several as a JSON
    list, none as empty text. A correctness is 1, 0, or ``None`` for a turn that is not
    graded; how turns are compared is told in `pytest_realtime_eval.graders.calls`.
    """

    turn_index: int
    gt_tool_call: str
    pred_tool_call: str
    tool_call_correctness: int | None
    gt_tool_call_arg: str
    pred_tool_call_arg: str
    tool_call_arg_correctness: int | None


def call_columns(transcript: Transcript, expected: Sequence[ExpectedToolCall]) -> list[CallColumns]:
    """Return the columns of every turn, in order."""
    return [
        CallColumns(
            turn_index=followed.turn.index,
            gt_tool_call=_names([call.name for call in followed.names.expected]),
            pred_tool_call=_names([call.name for call in followed.turn.tool_calls]),
            tool_call_correctness=_number(followed.names.correct),
            gt_tool_call_arg=_json([call.arguments for call in followed.arguments.expected]),
            pred_tool_call_arg=_json(
                [_arguments(call) for call in followed.arguments.actual or followed.turn.tool_calls]
            ),
            tool_call_arg_correctness=_number(followed.arguments.correct),
        )
        for followed in follow(transcript, expected)
    ]


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else _json(names)


def _json(values: Sequence[Any]) -> str:
    if not values:
        return ""
    return json.dumps(values[0] if len(values) == 1 else list(values), ensure_ascii=False)


def _arguments(call: ToolCall) -> Any:  # noqa: ANN401 - JSON, or the text that is none
    return call.raw_arguments if call.arguments is None else call.arguments


def _number(correct: bool | None) -> int | None:
    return None if correct is None else int(correct)
