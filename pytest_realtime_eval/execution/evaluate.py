"""From a simulation to its record: play, grade, decide the outcome."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_realtime_eval.conversation.files import ConversationFiles
from pytest_realtime_eval.conversation.loop import Endpoints, Played, failure_of, play
from pytest_realtime_eval.conversation.tools import ToolMocks
from pytest_realtime_eval.execution.retries import is_worth_repeating, wait_before
from pytest_realtime_eval.graders import conversation_outcome, grade
from pytest_realtime_eval.reports.conversation import conversation_text
from pytest_realtime_eval.reports.files import write_text
from pytest_realtime_eval.schemas.results import Attempt, EntryUsage, SimulationRecord
from pytest_realtime_eval.schemas.transcript import Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.execution.lag import LagMonitor
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.pricing import PriceTable
    from pytest_realtime_eval.schemas.results import Outcome, Verdict
    from pytest_realtime_eval.schemas.transcript import Transcript, Turn


@dataclass(frozen=True)
class SimulationJob:
    """All that a conversation and its grading need, and nothing of pytest.

    Attributes:
        nodeid: pytest's id of the item.
        path: The simulation file, relative to the rootdir.
        name: Names the conversation, and its files, within the run.
        folder: The run's folder.
        retries: How often a conversation is played again when the infrastructure failed.
    """

    nodeid: str
    path: str
    name: str
    setup: ConversationSetup
    folder: Path
    prices: PriceTable
    content_key: str = ""
    retries: int = 0
    lag: LagMonitor | None = None

    async def play(
        self,
        endpoints: Endpoints,
        tools: ToolMocks | None = None,
        on_turn: Callable[[Turn], None] | None = None,
    ) -> tuple[Played, tuple[Attempt, ...]]:
        """Play the conversation, again if the infrastructure failed.

        Without ``tools`` the simulation's own mocks answer.
        """
        mocks = tools or ToolMocks(self.setup.simulation.tool_mocks)
        attempts: list[Attempt] = []
        while True:
            files = ConversationFiles(self.folder, self.name, len(attempts) + 1)
            played = await play(self.setup, endpoints, mocks, files, on_turn, self.lag)
            attempts.append(_attempt(files.attempt, played))
            if files.attempt > self.retries or not is_worth_repeating(played.error):
                break
            await asyncio.sleep(wait_before(files.attempt + 1, played.error))
        await _write_text(files, played.transcript)
        return played, tuple(attempts)

    def record(self, **fields: object) -> SimulationRecord:
        """Return a record of this job with what is known before it is run."""
        simulation = self.setup.simulation
        known: dict[str, object] = {
            "nodeid": self.nodeid,
            "path": self.path,
            "content_key": self.content_key,
            "simulation_id": self.name,
            "scenario": simulation.scenario,
            "tags": tuple(simulation.tags),
            "assistant_model": self.setup.assistant_model or "",
            "simulator_model": self.setup.simulator_model or "",
            "setup": self.setup.describe(),
            "expected_tool_calls": tuple(
                call.model_dump(exclude={"metadata"}) for call in simulation.expected_tool_call
            ),
        }
        return SimulationRecord.model_validate(known | fields)


async def evaluate(
    job: SimulationJob,
    endpoints: Endpoints,
    tools: ToolMocks,
    judge: Judge | None,
    on_turn: Callable[[Turn], None] | None = None,
) -> SimulationRecord:
    """Play a simulation, grade its transcript, and return its record."""
    played, attempts = await job.play(endpoints, tools, on_turn)
    return await record_of(job, played, attempts, judge)


def _attempt(number: int, played: Played) -> Attempt:
    transcript = played.transcript
    outcome, _ = conversation_outcome(transcript, ())
    return Attempt(
        number=number,
        outcome=outcome,
        failure=transcript.failure,
        event_log_path=transcript.event_log_path,
        duration_ms=transcript.duration_ms,
    )


async def _write_text(files: ConversationFiles, transcript: Transcript) -> None:
    # What could not be written is in the record all the same.
    with contextlib.suppress(OSError):
        await asyncio.to_thread(write_text, files.text, conversation_text(transcript))


async def record_of(
    job: SimulationJob, played: Played, attempts: tuple[Attempt, ...], judge: Judge | None
) -> SimulationRecord:
    """Grade a conversation that was played, and return its record."""
    transcript = played.transcript
    verdicts, outcome, reason = await _graded(job, transcript, judge)
    return _record(job, played, attempts, verdicts, outcome, reason)


def ungraded_record(
    job: SimulationJob, played: Played, attempts: tuple[Attempt, ...]
) -> SimulationRecord:
    """Return the record of a conversation whose grader is the Python test that played it."""
    return _record(job, played, attempts, (), *conversation_outcome(played.transcript, ()))


def _record(
    job: SimulationJob,
    played: Played,
    attempts: tuple[Attempt, ...],
    verdicts: tuple[Verdict, ...],
    outcome: Outcome,
    reason: str,
) -> SimulationRecord:
    transcript = played.transcript
    last = attempts[-1].model_copy(update={"outcome": outcome})
    return job.record(
        outcome=outcome,
        reason=reason,
        assistant_model=transcript.assistant_model,
        simulator_model=transcript.simulator_model,
        transcript=transcript,
        verdicts=verdicts,
        started_at=transcript.started_at,
        duration_ms=transcript.duration_ms,
        cost_usd=_cost(job.prices, transcript, verdicts),
        failure=failure_of(played.error) if played.error else None,
        attempts=(*attempts[:-1], last) if len(attempts) > 1 else (),
    )


async def _graded(
    job: SimulationJob, transcript: Transcript, judge: Judge | None
) -> tuple[tuple[Verdict, ...], Outcome, str]:
    try:
        verdicts = await grade(
            transcript, job.setup.simulation, judge, instructions=job.setup.instructions
        )
    except Exception as error:  # noqa: BLE001 - a conversation that was paid for is never lost
        return (), "judge_error", f"grading broke: {type(error).__name__}: {error}"
    return verdicts, *conversation_outcome(transcript, verdicts)


def _cost(
    prices: PriceTable, transcript: Transcript, verdicts: tuple[Verdict, ...]
) -> float | None:
    """Sum assistant, simulator and judge in USD; ``None`` as soon as one is not known."""
    assistant = sum((turn.usage for turn in transcript.turns), Usage())
    simulator = sum((turn.simulator_usage for turn in transcript.turns), transcript.end_usage)
    costs = [
        prices.realtime_cost(transcript.assistant_model, assistant),
        prices.realtime_cost(transcript.simulator_model, simulator),
        *(_judge_cost(prices, verdict) for verdict in verdicts if verdict.model),
    ]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _judge_cost(prices: PriceTable, verdict: Verdict) -> float | None:
    if verdict.cost_usd is not None:
        return verdict.cost_usd
    usage = EntryUsage(
        prompt_tokens=verdict.usage.input_tokens,
        completion_tokens=verdict.usage.output_tokens,
        cached_tokens=verdict.usage.cached_tokens,
    )
    return prices.text_cost(verdict.model, usage)
