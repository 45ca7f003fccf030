"""Graders: they read transcripts and nothing else, and answer with verdicts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.graders import json_path
from pytest_realtime_eval.graders.base import Grader, GradingCase, Level
from pytest_realtime_eval.graders.judge import Judge, JudgeGrader
from pytest_realtime_eval.graders.rules import RuleGrader
from pytest_realtime_eval.schemas.simulation import JudgeGrader as JudgeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_realtime_eval.schemas.results import Outcome, Verdict
    from pytest_realtime_eval.schemas.simulation import GraderSpec, Simulation
    from pytest_realtime_eval.schemas.transcript import Transcript

__all__ = [
    "Grader",
    "GradingCase",
    "Judge",
    "Level",
    "build_graders",
    "conversation_outcome",
    "grade",
]


def build_graders(simulation: Simulation, judge: Judge | None) -> list[Grader]:
    """Return the simulation's graders: those of turns first, in the file's order.

    Raises:
        ConfigurationError: A grader's JSON path cannot be read.
    """
    specs = simulation.graders
    return [
        *(_build(spec, "turn", judge) for spec in specs.turn_level),
        *(_build(spec, "trace", judge) for spec in specs.trace_level),
    ]


def _build(spec: GraderSpec, level: Level, judge: Judge | None) -> Grader:
    if isinstance(spec, JudgeSpec):
        return JudgeGrader(spec, level, judge)
    for reference in getattr(spec, "from_tool_output", ()):
        json_path.parse(reference.path)
    return RuleGrader(spec, level)


async def grade(
    transcript: Transcript,
    simulation: Simulation,
    judge: Judge | None,
    *,
    instructions: str = "",
) -> tuple[Verdict, ...]:
    """Grade a conversation; all judge calls of it run at the same time.

    Args:
        transcript: One that broke is not graded: what happened to it says nothing about
            the assistant.
        simulation: The file that it was played from.
        judge: ``None`` leaves what needs a judge ungraded.
        instructions: The assistant's system prompt as it was sent, for the judge.

    Returns:
        The verdicts, grader by grader and turn by turn.
    """
    if transcript.failure is not None:
        return ()
    case = GradingCase(transcript, simulation, instructions)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(grader.grade(case)) for grader in build_graders(simulation, judge)
        ]
    return tuple(each for task in tasks for each in task.result())


#: What conversations broke at that is no fault of an endpoint, a network or a quota.
_BROKEN_BY: Final[Mapping[str, Outcome]] = {
    "simulation_execution": "invalid_simulation",
    "tool_loop": "failed",
}


def conversation_outcome(
    transcript: Transcript, verdicts: Sequence[Verdict]
) -> tuple[Outcome, str]:
    """Sum a conversation up.

    The first that holds:

    1. The conversation broke: ``invalid_simulation`` where the simulated user left its
       role, ``failed`` where the assistant called tools without end, else ``infra_error``.
    2. A verdict is fail: ``failed``, also when a judge broke beside it. What failed is
       known, and no answer of the judge could turn it into a pass.
    3. A judge gave no answer: ``judge_error``.
    4. No verdict is a pass: ``ungraded``.
    5. ``passed``. Verdicts that wait for a judge are counted in the reason.

    Returns:
        The outcome, and why, in a sentence; empty when everything passed.
    """
    if transcript.failure is not None:
        stage, message = transcript.failure.stage, transcript.failure.message
        return _BROKEN_BY.get(stage, "infra_error"), message
    failed = [each for each in verdicts if each.status == "fail"]
    if failed:
        return "failed", _reason(failed)
    broken = [each for each in verdicts if each.status == "error"]
    if broken:
        return "judge_error", _reason(broken)
    waiting = [each for each in verdicts if each.status == "ungraded"]
    if any(each.status == "pass" for each in verdicts):
        return "passed", _waiting(waiting)
    return "ungraded", _waiting(waiting) or "no grader had anything to grade"


def _reason(verdicts: Sequence[Verdict]) -> str:
    first = verdicts[0]
    where = "" if first.turn_index is None else f" (turn {first.turn_index})"
    more = f"; and {len(verdicts) - 1} more" if len(verdicts) > 1 else ""
    return f"{first.grader_id}{where}: {first.rationale}{more}"


def _waiting(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    graders = ", ".join(dict.fromkeys(each.grader_id for each in verdicts))
    count = "1 verdict" if len(verdicts) == 1 else f"{len(verdicts)} verdicts"
    return f"{count} ungraded ({graders}): {verdicts[0].rationale}"
