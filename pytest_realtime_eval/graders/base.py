"""What every grader is: something with an id that turns a transcript into verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pytest_realtime_eval.schemas.results import Verdict, VerdictStatus

if TYPE_CHECKING:
    from pytest_realtime_eval.schemas.simulation import GraderSpec, Simulation
    from pytest_realtime_eval.schemas.transcript import Transcript, Turn

Level = Literal["turn", "trace"]


@dataclass(frozen=True, slots=True)
class GradingCase:
    """All that a grader may look at.

    Attributes:
        transcript: The conversation; it came to its end without a failure.
        simulation: The file that it was played from.
        instructions: The assistant's system prompt as it was sent.
    """

    transcript: Transcript
    simulation: Simulation
    instructions: str = ""


class Grader(Protocol):
    """Turns a conversation into verdicts.

    Its id names the columns ``<id>_grade`` and ``<id>_rationale``; its level says
    whether it gives a verdict for every turn or one for the conversation.
    """

    @property
    def id(self) -> str:
        """Return what names the grader's columns."""
        ...

    @property
    def level(self) -> Level:
        """Return whether it looks at turns or at the conversation."""
        ...

    async def grade(self, case: GradingCase) -> list[Verdict]:
        """Return the verdicts; what keeps a judge from answering is a verdict, too."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict without its grader: status, reason, and what was compared."""

    status: VerdictStatus
    rationale: str
    expected: Any = None
    actual: Any = None


def verdict(spec: GraderSpec, finding: Finding, turn: Turn | None) -> Verdict:
    """Write ``finding`` under the grader's name, on ``turn`` or on the conversation."""
    return Verdict(
        grader_id=spec.id,
        type=spec.type,
        turn_index=None if turn is None else turn.index,
        status=finding.status,
        rationale=finding.rationale,
        criteria=spec.criteria,
        expected=finding.expected,
        actual=finding.actual,
    )
