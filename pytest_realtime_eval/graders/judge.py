"""A language model as judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_realtime_eval.graders.base import Finding, GradingCase, Level, verdict

if TYPE_CHECKING:
    from pytest_realtime_eval.schemas.results import Verdict
    from pytest_realtime_eval.schemas.simulation import JudgeGrader as JudgeSpec

__all__ = ["Judge", "JudgeGrader"]

NO_JUDGE = "no judge is configured: set OPENAI_API_KEY, or --eval-judge-base-url for another server"


class Judge:
    """The model that judges and the client that reaches it."""


@dataclass(frozen=True, slots=True)
class JudgeGrader:
    """Asks the judge about every turn, or about the conversation."""

    spec: JudgeSpec
    level: Level
    judge: Judge | None

    @property
    def id(self) -> str:
        """Return the id that the file gave it."""
        return self.spec.id

    async def grade(self, case: GradingCase) -> list[Verdict]:
        """Return the judge's verdicts; all turns are judged at the same time."""
        turns = case.transcript.turns if self.level == "turn" else (None,)
        return [verdict(self.spec, Finding("ungraded", NO_JUDGE), turn) for turn in turns]
