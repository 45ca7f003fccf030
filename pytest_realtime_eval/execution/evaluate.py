"""From a simulation to its record: play, grade, decide the outcome."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_realtime_eval.conversation.files import ConversationFiles
from pytest_realtime_eval.conversation.loop import Endpoints, Played, failure_of, play
from pytest_realtime_eval.conversation.tools import ToolMocks
from pytest_realtime_eval.exceptions import BudgetReached, CassetteError
from pytest_realtime_eval.execution.cassettes import ConversationCassette, Take
from pytest_realtime_eval.execution.limits import SESSIONS
from pytest_realtime_eval.execution.retries import is_worth_repeating, wait_before
from pytest_realtime_eval.graders import conversation_outcome, grade
from pytest_realtime_eval.reports.conversation import conversation_text
from pytest_realtime_eval.reports.files import write_text
from pytest_realtime_eval.schemas.results import Attempt, SimulationRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.exceptions import InfraError, RealtimeEvalError
    from pytest_realtime_eval.execution.cassettes import CassetteMode
    from pytest_realtime_eval.execution.lag import LagMonitor
    from pytest_realtime_eval.execution.limits import Limits
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
        cassettes: What is recorded, and what is replayed; ``None`` for neither.
        limits: Of the whole run; without them everything starts at once.
        max_lag_ms: A conversation whose p99 schedule error is above that is late.
        whole_call: Whether to write the call as one WAV, for the page: while others go on
            it costs no time, at the run's end it would.
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
    cassettes: CassetteMode | None = None
    limits: Limits | None = None
    max_lag_ms: float = 50.0
    whole_call: bool = False

    def open_take(self) -> Take:
        """Return how the conversation is played: live, recorded, or from its recording.

        Raises:
            CassetteError: It is to be replayed, and no recording fits.
        """
        path = self.setup.path
        if path is None or self.cassettes is None or not self.cassettes.is_used:
            return Take()
        return ConversationCassette.beside(path, self.name, self.cassettes).open(self.setup)

    def taking(self, take: Take) -> SimulationJob:
        """Return the job for a take: a replay opens no session and costs nothing."""
        return replace(self, limits=None) if take.replay else self

    async def play(
        self,
        endpoints: Endpoints,
        tools: ToolMocks | None = None,
        on_turn: Callable[[Turn], None] | None = None,
        take: Take | None = None,
    ) -> tuple[Played, tuple[Attempt, ...]]:
        """Play the conversation, again if the infrastructure failed.

        Without ``tools`` the simulation's own mocks answer; without ``take`` it is live.

        Raises:
            BudgetReached: The run has cost what it may, and this was not begun.
        """
        take = take or Take()
        setup, endpoints = take.setup(self.setup), await take.endpoints(endpoints)
        mocks = take.tools(tools or ToolMocks(self.setup.simulation.tool_mocks))
        tell = _telling(on_turn, take)
        attempts: list[Attempt] = []
        await _discard(ConversationFiles(self.folder, self.name))
        while True:
            files = ConversationFiles(self.folder, self.name, len(attempts) + 1)
            async with self._leave_to_start(begun=bool(attempts)):
                played = take.played(await play(setup, endpoints, mocks, files, tell, self.lag))
            attempts.append(_attempt(files.attempt, played))
            await self.charge(self.prices.spoken_costs(played.transcript))
            if not is_worth_repeating(played.error):
                break
            wait_s = await self._wait_for_all(files.attempt + 1, played.error)
            if files.attempt > self.retries:
                break
            await asyncio.sleep(wait_s)
        await _write_text(files, played.transcript)
        if self.whole_call:
            await _write_call(files, played.transcript)
        return played, tuple(attempts)

    def _leave_to_start(self, *, begun: bool) -> AbstractAsyncContextManager[None]:
        return self.limits.conversation(begun=begun) if self.limits else contextlib.nullcontext()

    async def _wait_for_all(self, attempt: int, error: InfraError) -> float:
        """Return the seconds before an attempt; all wait when the server is asked too often."""
        wait_s = wait_before(attempt, error)
        if self.limits and error.throttled:
            await self.limits.hold(SESSIONS, wait_s)
        return wait_s

    async def charge(self, costs: Iterable[float | None]) -> None:
        """Count what is known of what something has cost."""
        if self.limits:
            await self.limits.add_cost(sum(cost for cost in costs if cost))

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
    try:
        take = await asyncio.to_thread(job.open_take)
        job = job.taking(take)
        played, attempts = await job.play(endpoints, tools, on_turn, take)
    except (CassetteError, BudgetReached) as error:
        return _unplayed(job, error)
    record = await record_of(job, played, attempts, take.judge(judge))
    return await _finished(job, record, take)


async def play_only(
    job: SimulationJob, endpoints: Endpoints, tools: ToolMocks | None
) -> tuple[SimulationRecord, Transcript | RealtimeEvalError]:
    """Play a simulation for a Python test, which grades it.

    Returns:
        Its record, and the transcript, or what broke the conversation.
    """
    try:
        take = await asyncio.to_thread(job.open_take)
        job = job.taking(take)
        played, attempts = await job.play(endpoints, tools, take=take)
    except (CassetteError, BudgetReached) as error:
        return _unplayed(job, error), error
    record = ungraded_record(job, played, attempts)
    return await _finished(job, record, take), played.error or played.transcript


def _unplayed(job: SimulationJob, error: CassetteError | BudgetReached) -> SimulationRecord:
    """Return the record of a conversation that there is no recording of, or no money for."""
    outcome = "skipped" if isinstance(error, BudgetReached) else "infra_error"
    return job.record(outcome=outcome, reason=str(error), failure=failure_of(error))


async def _finished(job: SimulationJob, record: SimulationRecord, take: Take) -> SimulationRecord:
    """Keep the recording, if one was made, and say in the record what there is to say of it."""
    problem = await take.finish(record.outcome)
    changed = {
        "reason": "; ".join(filter(None, (record.reason, problem))),
        "replay": take.replay,
        "content_key": take.key(job.setup, job.content_key),
    }
    return record.model_copy(update=changed)


def _telling(on_turn: Callable[[Turn], None] | None, take: Take) -> Callable[[Turn], None] | None:
    return None if on_turn is None else lambda turn: on_turn(take.heard(turn))


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


async def _discard(files: ConversationFiles) -> None:
    # A folder that cannot be changed is told when the event log cannot be written.
    with contextlib.suppress(OSError):
        await asyncio.to_thread(files.discard)


async def _write_text(files: ConversationFiles, transcript: Transcript) -> None:
    # What could not be written is in the record all the same.
    with contextlib.suppress(OSError):
        await asyncio.to_thread(write_text, files.text, conversation_text(transcript))


async def _write_call(files: ConversationFiles, transcript: Transcript) -> None:
    from pytest_realtime_eval.reports.timeline import timeline, write_stereo

    # The page writes what is missing.
    with contextlib.suppress(OSError):
        await asyncio.to_thread(write_stereo, timeline(transcript), files.folder, files.call)


async def record_of(
    job: SimulationJob, played: Played, attempts: tuple[Attempt, ...], judge: Judge | None
) -> SimulationRecord:
    """Grade a conversation that was played, and return its record."""
    transcript = played.transcript
    verdicts, outcome, reason = await _graded(job, transcript, judge)
    await job.charge(job.prices.judge_costs(verdicts))
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
        cost_usd=job.prices.conversation_cost(transcript, verdicts),
        failure=failure_of(played.error) if played.error else None,
        late=_is_late(transcript, job.max_lag_ms),
        attempts=(*attempts[:-1], last) if len(attempts) > 1 else (),
    )


def _is_late(transcript: Transcript, limit_ms: float) -> bool:
    error = transcript.schedule_error
    return error is not None and error.p99_ms > limit_ms


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
