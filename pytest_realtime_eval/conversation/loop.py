"""Playing one simulation: two sessions, turn after turn, until the call ends.

Pure asyncio: no pytest, no files but the ones that it is told to write.
"""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pytest_realtime_eval.conversation.setup import DEFAULT_MODEL
from pytest_realtime_eval.conversation.turn import TurnInProgress, Wire
from pytest_realtime_eval.conversation.user import (
    RULES,
    check_completed,
    first_utterance,
    next_utterance,
)
from pytest_realtime_eval.exceptions import (
    InfraError,
    InvalidSimulation,
    RealtimeEvalError,
    StorageFailed,
)
from pytest_realtime_eval.execution.lag import LagGauge
from pytest_realtime_eval.realtime import audio
from pytest_realtime_eval.realtime.connection import connect_websocket
from pytest_realtime_eval.realtime.event_log import EventLog
from pytest_realtime_eval.realtime.events import function_call_output
from pytest_realtime_eval.realtime.pacing import schedule_error
from pytest_realtime_eval.realtime.session import SessionConfig, open_session
from pytest_realtime_eval.schemas.transcript import (
    Failure,
    ToolCall,
    ToolOutput,
    Transcript,
    Turn,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from pytest_realtime_eval.conversation.files import ConversationFiles
    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.conversation.tools import MockedAnswer, ToolMocks
    from pytest_realtime_eval.conversation.user import Utterance
    from pytest_realtime_eval.execution.lag import LagMonitor
    from pytest_realtime_eval.realtime.connection import Connect
    from pytest_realtime_eval.realtime.endpoint import Endpoint
    from pytest_realtime_eval.realtime.event_log import EventSource
    from pytest_realtime_eval.realtime.protocol import Response
    from pytest_realtime_eval.realtime.session import Session

#: Responses of one turn at most: a model that calls tools for ever is stopped.
MAX_RESPONSES_PER_TURN: Final = 10


@dataclass(frozen=True)
class Endpoints:
    """Where the two sessions of a conversation are opened, and how they are reached."""

    assistant: Endpoint
    simulator: Endpoint
    connect_assistant: Connect = connect_websocket
    connect_simulator: Connect = connect_websocket


@dataclass(frozen=True)
class Played:
    """A transcript, and the error that ended the conversation before its end, if one did."""

    transcript: Transcript
    error: RealtimeEvalError | None = None


async def play(
    setup: ConversationSetup,
    endpoints: Endpoints,
    tools: ToolMocks,
    files: ConversationFiles,
    on_turn: Callable[[Turn], None] | None = None,
    lag: LagMonitor | None = None,
) -> Played:
    """Play a simulation to its end.

    What went wrong is in the result; none of the project's own errors is raised, so that
    the turns that were played are never lost.

    Args:
        setup: The simulation, with every setting decided.
        endpoints: Where the sessions are opened.
        tools: What the tools answer.
        files: Where event log and audio go.
        on_turn: Told of each turn as it ends.
        lag: Watches the event loop; without it the loop's lag is not recorded.
    """
    log = EventLog(files.event_log)
    conversation = _Conversation(setup, files, log, tools.start(), on_turn)
    with lag.gauge() if lag else nullcontext(conversation.lag) as conversation.lag:
        async with log:
            await conversation.run_or_fail(endpoints)
    if log.failure is not None and conversation.error is None:
        conversation.error, conversation.ended_by = log.failure, "failure"
    return Played(conversation.transcript(), conversation.error)


def assistant_session(
    setup: ConversationSetup, endpoints: Endpoints, log: EventSource | None = None
) -> AbstractAsyncContextManager[Session]:
    """Open a session of the assistant under test."""
    config = SessionConfig(
        instructions=setup.instructions,
        voice=setup.assistant_voice,
        tools=setup.tools,
        input_format=audio.AudioFormat(setup.input_format),
        output_format=audio.AudioFormat(setup.output_format),
        sample_rate_hz=setup.sample_rate_hz,
    )
    return open_session(
        _for_model(endpoints.assistant, setup.assistant_model),
        config,
        log=log,
        timeout=setup.response_timeout,
        connect=endpoints.connect_assistant,
    )


def simulator_session(
    setup: ConversationSetup, endpoints: Endpoints, log: EventSource | None = None
) -> AbstractAsyncContextManager[Session]:
    """Open a session of the simulated user.

    It speaks in the format that the assistant hears, so nothing is converted between.
    """
    config = SessionConfig(
        instructions=f"{setup.persona}\n\n{RULES}",
        voice=setup.simulator_voice,
        input_format=audio.AudioFormat(setup.input_format),
        output_format=audio.AudioFormat(setup.input_format),
        sample_rate_hz=setup.sample_rate_hz,
    )
    return open_session(
        _for_model(endpoints.simulator, setup.simulator_model),
        config,
        log=log,
        timeout=setup.response_timeout,
        connect=endpoints.connect_simulator,
    )


def _for_model(endpoint: Endpoint, model: str | None) -> Endpoint:
    """Return the endpoint for a model; one that has a model of its own keeps it."""
    return endpoint if endpoint.model else endpoint.with_model(model or DEFAULT_MODEL)


def failure_of(error: Exception) -> Failure:
    """Return what a record keeps of an error."""
    stage = getattr(error, "failure_stage", "simulation_execution")
    return Failure(
        stage=stage,
        error_type=type(error).__name__,
        message=str(error),
        fatal=getattr(error, "fatal", False),
    )


@dataclass
class _Conversation:
    """The state of a conversation while it is played."""

    setup: ConversationSetup
    files: ConversationFiles
    log: EventLog
    answer: Callable[[ToolCall], MockedAnswer]
    on_turn: Callable[[Turn], None] | None
    turns: list[Turn] = field(default_factory=list)
    current: TurnInProgress | None = None
    error: RealtimeEvalError | None = None
    ended_by: Literal["end_call", "max_turns", "failure"] = "max_turns"
    last_words: Utterance | None = None
    models: tuple[str, str] = ("", "")
    schedule_errors_ms: list[float] = field(default_factory=list)
    lag: LagGauge = field(default_factory=LagGauge)
    started: float = field(default_factory=time.perf_counter)
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    async def run_or_fail(self, endpoints: Endpoints) -> None:
        """Play to the end, or keep what ended the conversation before."""
        try:
            await self.run(endpoints)
        except (InfraError, InvalidSimulation) as error:
            await self.fail(error)
        except OSError as error:
            await self.fail(StorageFailed(error))

    async def run(self, endpoints: Endpoints) -> None:
        """Open both sessions, keep them open, and alternate."""
        async with AsyncExitStack() as stack:
            assistant, simulator = await self._open(stack, endpoints)
            for index in range(1, self.setup.max_turns + 1):
                self.log.turn_index = index
                utterance = await self._user_turn(simulator)
                if utterance.ends_call:
                    self.ended_by, self.last_words = "end_call", utterance
                    return
                await self._assistant_turn(assistant, simulator, utterance)

    async def _open(self, stack: AsyncExitStack, endpoints: Endpoints) -> tuple[Session, Session]:
        setup, log = self.setup, self.log
        self.models = (setup.assistant_model or "", setup.simulator_model or "")
        assistant = await stack.enter_async_context(
            assistant_session(setup, endpoints, log.source("assistant"))
        )
        simulator = await stack.enter_async_context(
            simulator_session(setup, endpoints, log.source("simulator"))
        )
        self.models = (assistant.model, simulator.model)
        return assistant, simulator

    async def _user_turn(self, simulator: Session) -> Utterance:
        if not self.turns:
            first = self.setup.simulation.turns.fixed_first_user_turn
            return await first_utterance(simulator, first)
        return await next_utterance(simulator, self.turns)

    async def _assistant_turn(
        self, session: Session, simulator: Session, utterance: Utterance
    ) -> None:
        turn = TurnInProgress(
            index=len(self.turns) + 1,
            utterance=utterance,
            started=self.started,
            input=Wire(session.input_format, session.input_rate_hz),
            output=Wire(session.output_format, session.output_rate_hz),
        )
        spoken = Wire(simulator.output_format, simulator.output_rate_hz)
        turn.spoken = turn.input.convert(utterance.audio, spoken)
        self.current = turn
        await self._speak(session, turn)
        await self._listen(session, turn)
        await turn.save(self.files)
        self.turns.append(turn.as_turn(self.files))
        self.current = None
        self._tell()

    async def _speak(self, session: Session, turn: TurnInProgress) -> None:
        """Stream the user's audio as chunks of the set length, then commit it."""
        setup, wire = self.setup, turn.input
        turn.spoken = audio.pad(turn.spoken, wire.format, wire.rate_hz)
        sent = await session.append(turn.spoken, chunk_ms=setup.chunk_ms, real_time=setup.real_time)
        turn.speech_started, turn.speech_ended = sent.started_at, sent.ended_at
        self.schedule_errors_ms += sent.schedule_errors_ms
        await session.commit()

    async def _listen(self, session: Session, turn: TurnInProgress) -> None:
        """Collect responses, answering their tool calls, until one calls none."""
        for _ in range(MAX_RESPONSES_PER_TURN):
            response = await session.respond()
            turn.responses.append(response)
            check_completed(response, f"the assistant's turn {turn.index}")
            if not response.function_calls:
                return
            await self._answer_calls(session, turn, response)
        raise InfraError(
            f"turn {turn.index}: the assistant called tools in {MAX_RESPONSES_PER_TURN} "
            "responses in a row and never answered",
            failure_stage="tool_loop",
            retryable=False,
        )

    async def _answer_calls(
        self, session: Session, turn: TurnInProgress, response: Response
    ) -> None:
        for call in response.function_calls:
            mocked, output = self._mocked(call, turn.index)
            if mocked.delay_s:
                await asyncio.sleep(mocked.delay_s)
            turn.tool_outputs.append(
                ToolOutput(
                    call_id=call.call_id,
                    name=call.name,
                    arguments=call.arguments,
                    output=mocked.output,
                    mocked=mocked.mocked,
                )
            )
            await session.create_item(function_call_output(call.call_id, output))

    def _mocked(self, call: ToolCall, turn: int) -> tuple[MockedAnswer, str]:
        """Return a mock's answer, and its output as JSON.

        Raises:
            InfraError: The user's own function raised, or returned what is no JSON.
        """
        try:
            mocked = self.answer(call)
            return mocked, json.dumps(mocked.output, ensure_ascii=False)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            raise InfraError(
                f"turn {turn}: the mock of {call.name} raised "
                f"{type(error).__name__}: {error} ({place})",
                failure_stage="tool_mock",
                retryable=False,
            ) from error

    async def fail(self, error: RealtimeEvalError) -> None:
        """Keep the error, and what there is of the turn that it broke."""
        self.error, self.ended_by = error, "failure"
        turn, self.current = self.current, None
        if turn is not None:
            with suppress(OSError):
                await turn.save(self.files)
            self.turns.append(turn.as_turn(self.files, failure_of(error)))
            self._tell()

    def _tell(self) -> None:
        if self.on_turn is not None:
            self.on_turn(self.turns[-1])

    def transcript(self) -> Transcript:
        """Return the conversation as it stands."""
        last = self.last_words
        return Transcript(
            simulation_id=self.setup.simulation.simulation_id,
            assistant_model=self.models[0],
            simulator_model=self.models[1],
            turns=tuple(self.turns),
            ended_by=self.ended_by,
            end_text=last.text if last else "",
            end_usage=last.usage if last else Usage(),
            failure=failure_of(self.error) if self.error else None,
            event_log_path=self.files.relative(self.files.event_log),
            started_at=self.started_at,
            duration_ms=round((time.perf_counter() - self.started) * 1000, 3),
            schedule_error=schedule_error(self.schedule_errors_ms, self.lag.max_ms),
        )
