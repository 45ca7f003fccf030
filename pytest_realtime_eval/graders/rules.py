"""Graders that need no model: the same transcript always has the same verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from pytest_realtime_eval.graders.base import Finding, GradingCase, Level, verdict
from pytest_realtime_eval.graders.calls import compare_arguments, compare_names, follow
from pytest_realtime_eval.graders.mentions import compare_words
from pytest_realtime_eval.schemas.simulation import (
    EndsCallGrader,
    MaxLatencyGrader,
    MentionsGrader,
    NotMentionsGrader,
    ToolCallArgsGrader,
    ToolCallGrader,
    ToolOrderGrader,
)
from pytest_realtime_eval.thresholds import NO_LATENCIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_realtime_eval.graders.calls import Comparison
    from pytest_realtime_eval.schemas.results import Verdict, VerdictStatus
    from pytest_realtime_eval.schemas.simulation import ExpectedToolCall
    from pytest_realtime_eval.schemas.transcript import ToolCall, Transcript, Turn

    TurnFinding = tuple[Turn | None, Finding]

__all__ = ["RuleGrader", "RuleSpec"]

RuleSpec = (
    ToolCallGrader
    | ToolCallArgsGrader
    | MentionsGrader
    | NotMentionsGrader
    | MaxLatencyGrader
    | ToolOrderGrader
    | EndsCallGrader
)


@dataclass(frozen=True, slots=True)
class RuleGrader:
    """A deterministic grader of a simulation file.

    At turn level, what can only be said of the whole conversation (``tool_order``,
    ``ends_call``) stands on the last turn.
    """

    spec: RuleSpec
    level: Level

    @property
    def id(self) -> str:
        """Return the id that the file gave it."""
        return self.spec.id

    async def grade(self, case: GradingCase) -> list[Verdict]:
        """Return a verdict for each turn, or one for the conversation."""
        if self.level == "turn" and case.transcript.turns:
            findings = _of_turns(self.spec, case)
        else:
            findings = [(None, _of_conversation(self.spec, case))]
        return [verdict(self.spec, finding, turn) for turn, finding in findings]


def _of_conversation(spec: RuleSpec, case: GradingCase) -> Finding:
    transcript, expected = case.transcript, case.simulation.expected_tool_call
    match spec:
        case ToolCallGrader():
            return _compared(compare_names(expected, transcript.tool_calls))
        case ToolCallArgsGrader():
            return _compared(compare_arguments(expected, transcript.tool_calls))
        case MentionsGrader() | NotMentionsGrader():
            return compare_words(spec, transcript.turns)
        case MaxLatencyGrader():
            return _slowest(spec, transcript, transcript.turns)
        case ToolOrderGrader():
            return _order(spec, transcript)
        case EndsCallGrader():
            return _ending(transcript)
    assert_never(spec)


def _of_turns(spec: RuleSpec, case: GradingCase) -> list[TurnFinding]:
    turns, expected = case.transcript.turns, case.simulation.expected_tool_call
    match spec:
        case ToolCallGrader():
            followed = follow(case.transcript, expected)
            return [(each.turn, _compared(each.names)) for each in followed]
        case ToolCallArgsGrader():
            followed = follow(case.transcript, expected)
            return [(each.turn, _compared(each.arguments)) for each in followed]
        case MentionsGrader() | NotMentionsGrader():
            return [(turn, compare_words(spec, [turn])) for turn in turns]
        case MaxLatencyGrader():
            return [(turn, _slowest(spec, case.transcript, [turn])) for turn in turns]
        case ToolOrderGrader() | EndsCallGrader():
            earlier = Finding("not_applicable", "decided at the end of the conversation")
            ending = (turns[-1], _of_conversation(spec, case))
            return [*((turn, earlier) for turn in turns[:-1]), ending]
    assert_never(spec)


def _compared(comparison: Comparison) -> Finding:
    expected = [_expected(each) for each in comparison.expected]
    actual = [_made(call) for call in comparison.actual]
    if comparison.correct is None:
        return Finding("not_applicable", comparison.reason)
    return Finding(_status(ok=comparison.correct), comparison.reason, expected, actual)


def _status(*, ok: bool) -> VerdictStatus:
    return "pass" if ok else "fail"


def _expected(call: ExpectedToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": call.arguments}


def _made(call: ToolCall) -> dict[str, Any]:
    arguments = call.raw_arguments if call.arguments is None else call.arguments
    return {"name": call.name, "arguments": arguments}


def _slowest(spec: MaxLatencyGrader, transcript: Transcript, turns: Sequence[Turn]) -> Finding:
    if transcript.replay == "fast":
        return Finding("not_applicable", NO_LATENCIES, spec.limit_ms)
    measured = {turn.index: getattr(turn.latencies, spec.metric) for turn in turns}
    known = {index: value for index, value in measured.items() if value is not None}
    if not known:
        return Finding("not_applicable", f"no {spec.metric} was measured", spec.limit_ms)
    worst = max(known, key=lambda index: known[index])
    reason = f"{spec.metric} took {known[worst]:.0f} ms in turn {worst}; limit {spec.limit_ms:g} ms"
    return Finding(_status(ok=known[worst] <= spec.limit_ms), reason, spec.limit_ms, known[worst])


def _order(spec: ToolOrderGrader, transcript: Transcript) -> Finding:
    called = [call.name for call in transcript.tool_calls]
    remaining = iter(called)
    for position, tool in enumerate(spec.tools):
        if tool not in remaining:  # searching consumes the iterator: what is left comes later
            after = f" after {spec.tools[position - 1]}" if position else ""
            return Finding("fail", f"{tool} was not called{after}", spec.tools, called)
    return Finding("pass", "called in the expected order", spec.tools, called)


def _ending(transcript: Transcript) -> Finding:
    if transcript.ended_by == "end_call":
        return Finding("pass", "the user ended the call", "end_call", "end_call")
    reason = f"the call was still going on after {len(transcript.turns)} turns"
    return Finding("fail", reason, "end_call", transcript.ended_by)
