"""Whether the assistant says the values that it should, and none that it should not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_realtime_eval.graders.base import Finding
from pytest_realtime_eval.graders.json_path import find
from pytest_realtime_eval.graders.spoken import Speech
from pytest_realtime_eval.schemas.simulation import NotMentionsGrader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_realtime_eval.schemas.simulation import MentionsGrader, ToolOutputReference
    from pytest_realtime_eval.schemas.transcript import ToolOutput, Turn

__all__ = ["compare_words"]


@dataclass(slots=True)
class _Wanted:
    """Values to look for.

    Attributes:
        values: Those of the grader, and those that tool outputs hold.
        problems: Outputs that should have been there.
    """

    values: list[str | int | float]
    problems: list[str] = field(default_factory=list)


def compare_words(spec: MentionsGrader | NotMentionsGrader, turns: Sequence[Turn]) -> Finding:
    """Look for the grader's values in what the assistant said in ``turns``.

    A reference to a tool's output means the last output of that tool in these turns
    that has something at the path; with ``*`` in the path, every value there. In a
    single turn whose tools give nothing to look for, there is nothing to grade; in a
    whole conversation, a value that never came cannot have been mentioned.
    """
    outputs = [output for turn in turns for output in turn.tool_outputs]
    wanted = _wanted(spec.values, spec.from_tool_output, outputs)
    # A full stop, so that no number is read across two turns.
    speech = Speech(" . ".join(turn.assistant_text for turn in turns))
    said = [value for value in wanted.values if speech.mentions(value)]
    if not wanted.values and (len(turns) == 1 or isinstance(spec, NotMentionsGrader)):
        return Finding("not_applicable", "; ".join(wanted.problems))
    if isinstance(spec, NotMentionsGrader):
        if said:
            return Finding("fail", f"said {_list(said)}", wanted.values, said)
        return Finding("pass", f"said none of {_list(wanted.values)}", wanted.values, said)
    problems = [f"did not say {value!r}" for value in wanted.values if value not in said]
    problems += wanted.problems
    if problems:
        return Finding("fail", "; ".join(problems), wanted.values, said)
    return Finding("pass", f"said {_list(said)}", wanted.values, said)


def _list(values: Sequence[object]) -> str:
    return ", ".join(repr(value) for value in values)


def _wanted(
    values: Sequence[str | float],
    references: Sequence[ToolOutputReference],
    outputs: Sequence[ToolOutput],
) -> _Wanted:
    wanted = _Wanted(list(values))
    for reference in references:
        try:
            wanted.values += _values(reference, outputs)
        except LookupError as error:
            wanted.problems.append(str(error.args[0]))
    return wanted


def _values(
    reference: ToolOutputReference, outputs: Sequence[ToolOutput]
) -> list[str | int | float]:
    of_tool = [output for output in outputs if output.name == reference.tool]
    if not of_tool:
        raise LookupError(f"{reference.tool} gave no output")
    for output in reversed(of_tool):
        found = find(reference.path, _as_json(output.output))
        values = [leaf for value in found for leaf in _leaves(value)]
        if values:
            return values
    raise LookupError(f"the output of {reference.tool} has nothing to say at {reference.path}")


def _as_json(output: object) -> object:
    """Return what a text holds, where a mock's output is JSON written as text."""
    if isinstance(output, str) and output.lstrip().startswith(("{", "[")):
        try:
            return json.loads(output)
        except ValueError:
            return output
    return output


def _leaves(value: Any) -> list[str | int | float]:  # noqa: ANN401 - JSON
    """Return the texts and numbers in a JSON value; booleans and null are not said."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    if isinstance(value, bool) or value is None or value == "":
        return []
    return [value]
