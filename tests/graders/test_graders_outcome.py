from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.graders import conversation_outcome
from pytest_realtime_eval.schemas.results import Verdict, VerdictStatus
from pytest_realtime_eval.schemas.transcript import Failure, Transcript

if TYPE_CHECKING:
    from collections.abc import Callable


def _verdicts(*statuses: VerdictStatus) -> list[Verdict]:
    return [
        Verdict(grader_id=f"g{at}", type="llm_as_judge", status=status, rationale=f"r{at}")
        for at, status in enumerate(statuses)
    ]


@pytest.mark.parametrize(
    ("statuses", "outcome", "reason"),
    [
        (["pass"], "passed", ""),
        (["pass", "not_applicable"], "passed", ""),
        (["pass", "fail"], "failed", "g1: r1"),
        (["error", "fail", "pass", "fail"], "failed", "g1: r1; and 1 more"),
        (["pass", "error"], "judge_error", "g1: r1"),
        (["ungraded", "error"], "judge_error", "g1: r1"),
        (["pass", "ungraded", "ungraded"], "passed", "2 verdicts ungraded (g1, g2): r1"),
        (["ungraded"], "ungraded", "1 verdict ungraded (g0): r0"),
        (["ungraded", "not_applicable"], "ungraded", "1 verdict ungraded (g0): r0"),
        (["not_applicable"], "ungraded", "no grader had anything to grade"),
        ([], "ungraded", "no grader had anything to grade"),
    ],
)
def test_outcome_by_verdicts(
    make_transcript: Callable[..., Transcript],
    statuses: list[VerdictStatus],
    outcome: str,
    reason: str,
) -> None:
    assert conversation_outcome(make_transcript(), _verdicts(*statuses)) == (outcome, reason)


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [
        ("connection", "infra_error"),
        ("response_timeout", "infra_error"),
        ("simulation_execution", "invalid_simulation"),
        ("tool_loop", "failed"),
    ],
)
def test_what_broke_comes_before_every_verdict(
    make_transcript: Callable[..., Transcript], stage: str, outcome: str
) -> None:
    failure = Failure(stage=stage, error_type="E", message="it broke")
    transcript = make_transcript(failure=failure)
    for verdicts in ([], _verdicts("pass"), _verdicts("fail"), _verdicts("error")):
        assert conversation_outcome(transcript, verdicts) == (outcome, "it broke")


def test_the_reason_names_the_turn(make_transcript: Callable[..., Transcript]) -> None:
    failed = Verdict(grader_id="g", type="t", status="fail", turn_index=3, rationale="no")
    assert conversation_outcome(make_transcript(), [failed])[1] == "g (turn 3): no"
