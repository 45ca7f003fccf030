"""A session of the Realtime API: one connection, one conversation on the server.

A receiving task feeds the protocol; the methods send, and wait for what the protocol
says. The first failure ends the session: whoever waits gets it, and so does whoever
asks for something later. Nothing waits without a limit.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from pytest_realtime_eval.exceptions import (
    ConnectionFailed,
    ProtocolError,
    ResponseTimeout,
)
from pytest_realtime_eval.realtime import events
from pytest_realtime_eval.realtime.audio import AudioFormat, chunks, duration_ms
from pytest_realtime_eval.realtime.connection import connect_websocket
from pytest_realtime_eval.realtime.failures import server_failed
from pytest_realtime_eval.realtime.pacing import Pacer
from pytest_realtime_eval.realtime.protocol import (
    BufferCommitted,
    ProtocolEvent,
    Response,
    ResponseDone,
    ServerError,
    SessionProtocol,
    SessionReady,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pytest_realtime_eval.realtime.connection import Connect, Connection
    from pytest_realtime_eval.realtime.endpoint import Endpoint
    from pytest_realtime_eval.realtime.event_log import EventSource

__all__ = ["SendTiming", "Session", "SessionConfig", "open_session"]

T = TypeVar("T")

#: A response may last this many time-outs in all, however busily it streams.
_LONGEST_RESPONSE: Final = 10
#: For what a server said just before it hung up to be read, s.
_LAST_WORDS: Final = 1.0
#: Chunks for which a limit is set in one go, and which are sent in one go when nothing
#: paces them; then the loop's other work has a turn.
_BURST: Final = 16


@dataclass(frozen=True)
class SessionConfig:
    """What ``session.update`` asks for.

    Attributes:
        tools: Function tools in the Realtime API's flat shape.
        sample_rate_hz: Of PCM16 in both directions; G.711 is always 8000.
    """

    instructions: str = ""
    voice: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    input_format: AudioFormat = AudioFormat.PCM16
    output_format: AudioFormat = AudioFormat.PCM16
    sample_rate_hz: int = 24000
    output_modalities: tuple[str, ...] = ("audio",)


@dataclass(frozen=True, slots=True)
class SendTiming:
    """How audio was sent.

    Attributes:
        started_at: Clock reading (`time.perf_counter`, s) when the first chunk was sent.
        ended_at: When the audio was over; without real time, when it was all sent.
        schedule_errors_ms: By how much each chunk missed its deadline; empty without real time.
    """

    started_at: float
    ended_at: float
    schedule_errors_ms: tuple[float, ...] = ()


@asynccontextmanager
async def open_session(
    endpoint: Endpoint,
    config: SessionConfig,
    *,
    log: EventSource | None = None,
    timeout: float = 30.0,  # noqa: ASYNC109 - silence that is allowed, not a scope
    connect: Connect = connect_websocket,
) -> AsyncIterator[Session]:
    """Open a session, configure it, and close it at the end.

    Args:
        endpoint: Where to, with the model.
        config: What to ask for.
        log: Where the events go.
        timeout: Seconds without progress after which the server counts as silent.
        connect: How to connect; a cassette replaces the network here.

    Raises:
        ConnectionFailed: The session could not be opened, or broke.
        ResponseFailed: The server answered the configuration with an error.
        ProtocolError: What the server sent is not the protocol.
    """
    connection = await _connected(endpoint, timeout, connect)
    session = Session(connection, endpoint, config, log=log, timeout=timeout)
    try:
        await session.start()
        yield session
    finally:
        await session.close()


async def _connected(endpoint: Endpoint, limit: float, connect: Connect) -> Connection:
    """Connect within the limit, whatever the given ``connect`` does."""
    try:
        async with asyncio.timeout(limit):
            return await connect(endpoint, limit)
    except TimeoutError:
        raise ConnectionFailed(
            f"{endpoint.shown_url} did not open a session within {limit:g} s"
        ) from None


class Session:
    """An open session; made by `open_session`.

    Attributes:
        id, model: As the server says; the model may be another name than was asked for.
        input_format, input_rate_hz: What the server takes; the rate in Hz.
        output_format, output_rate_hz: What the server sends. Rates can differ from the
            configured one: ``session.updated`` says which.
    """

    def __init__(
        self,
        connection: Connection,
        endpoint: Endpoint,
        config: SessionConfig,
        *,
        log: EventSource | None,
        timeout: float,
    ) -> None:
        self.input_format = config.input_format
        self.output_format = config.output_format
        self.input_rate_hz = config.sample_rate_hz
        self.output_rate_hz = config.sample_rate_hz
        self._connection = connection
        self._endpoint = endpoint
        self._config = config
        self._log = log
        self._timeout = timeout
        self._protocol = SessionProtocol(
            input_format=config.input_format,
            output_format=config.output_format,
            sample_rate_hz=config.sample_rate_hz,
        )
        # The first failure; everything asked for afterwards gets it.
        self._failure: BaseException | None = None
        # What is being waited for: the kind of event that ends the wait, and the wait,
        # whose result is None when the session failed.
        self._awaited: type[Any] | None = None
        self._waiter: asyncio.Future[Any] | None = None
        self._progress_at = time.perf_counter()
        self._receiver: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The server's id of the session; empty if it gave none."""
        return self._protocol.session_id

    @property
    def model(self) -> str:
        """The model as the server resolved it, else as it was asked for."""
        return self._protocol.model or self._endpoint.model

    async def start(self) -> None:
        """Begin to receive, send ``session.update`` and await its answer."""
        self._receiver = asyncio.create_task(self._receive(), name="realtime-receiver")
        self._receiver.add_done_callback(self._receiver_ended)
        config = self._config
        update = events.session_update(
            instructions=config.instructions,
            voice=config.voice,
            tools=config.tools,
            input_format=config.input_format,
            output_format=config.output_format,
            sample_rate_hz=config.sample_rate_hz,
            output_modalities=config.output_modalities,
        )
        try:
            ready = await self._exchange(update, SessionReady)
        except ResponseTimeout:
            raise ConnectionFailed(
                f"{self._endpoint.shown_url} did not answer session.update "
                f"within {self._timeout:g} s"
            ) from None
        self.input_format, self.input_rate_hz = ready.input_format, ready.input_rate_hz
        self.output_format, self.output_rate_hz = ready.output_format, ready.output_rate_hz

    async def append(self, audio: bytes, *, chunk_ms: int, real_time: bool) -> SendTiming:
        """Stream wire audio in chunks of exactly ``chunk_ms``.

        Args:
            audio: In the session's input format and rate.
            chunk_ms: Of each ``input_audio_buffer.append``; the last one may be shorter.
            real_time: Take as long as the audio lasts, each chunk at its own deadline.

        Raises:
            InfraError: The session broke.
            ResponseTimeout: The server stopped reading.
        """
        pieces = list(chunks(audio, self.input_format, self.input_rate_hz, chunk_ms))
        if not real_time:
            return await self._send_at_once(pieces)
        lasts = duration_ms(audio, self.input_format, self.input_rate_hz) / 1000
        return await self._send_paced(pieces, chunk_ms / 1000, lasts)

    async def _send_paced(self, pieces: list[bytes], interval: float, lasts: float) -> SendTiming:
        async with self._sending() as limit:
            pacer = Pacer()
            for index, piece in enumerate(pieces):
                if index % _BURST == 0:
                    self._extend(limit, _BURST * interval)
                await pacer.until(index * interval)
                await self._send_audio(piece)
            errors = tuple(pacer.errors_ms)
            # The speech is over when its last sample would have been spoken.
            await pacer.until(lasts)
        return SendTiming(pacer.started_at, pacer.started_at + lasts, errors)

    async def _send_at_once(self, pieces: list[bytes]) -> SendTiming:
        started_at = time.perf_counter()
        async with self._sending() as limit:
            for index, piece in enumerate(pieces):
                if index % _BURST == 0:
                    self._extend(limit)
                    await asyncio.sleep(0)
                await self._send_audio(piece)
        return SendTiming(started_at, time.perf_counter())

    def _extend(self, limit: asyncio.Timeout, work_s: float = 0.0) -> None:
        """Move a limit to a time-out after the work ahead; for a batch, since it costs a timer."""
        limit.reschedule(asyncio.get_running_loop().time() + work_s + self._timeout)

    async def _send_audio(self, piece: bytes) -> None:
        self._check()
        encoded = binascii.b2a_base64(piece, newline=False)
        if self._log is not None:
            self._log.sent_audio(encoded, time.perf_counter())
        await self._connection.send(events.append_line(encoded))

    async def clear(self) -> None:
        """Drop the audio that was appended and not committed."""
        await self._send(events.CLEAR)

    async def commit(self) -> str:
        """Make the appended audio a user item; return the item's id.

        Raises:
            InfraError: The session broke, or the server answered with an error.
            ResponseTimeout: The server did not answer.
        """
        done = await self._exchange(events.COMMIT, BufferCommitted)
        return done.item_id

    async def create_item(self, item: Mapping[str, Any]) -> None:
        """Add an item to the conversation.

        It is not waited for: the server takes events in order, and an error would end
        the next step.
        """
        await self._send(events.item_create(item))

    async def respond(self, **fields: Any) -> Response:  # noqa: ANN401 - fields of the event
        """Ask for a response and collect it to its end.

        Args:
            **fields: Of ``response.create``; without them the session's settings hold.

        Returns:
            The response, whatever its status: ``failed``, ``incomplete`` and
            ``cancelled`` ones are returned as well.

        Raises:
            ConnectionFailed: The connection broke before ``response.done``.
            ResponseFailed: The server sent an ``error`` event.
            ResponseTimeout: Nothing of the response came for the time-out.
            ProtocolError: What came is not the protocol.
        """
        self._check()
        metadata = fields.get("metadata")
        self._protocol.start_response(time.perf_counter(), metadata)
        try:
            done = await self._exchange(events.response_create(fields), ResponseDone)
        except ConnectionFailed as error:
            error.failure_stage = "response_missing_done"
            raise
        finally:
            self._protocol.abandon_response()
        return done.response

    async def close(self) -> None:
        """Close the connection; idempotent, bounded in time."""
        if self._receiver is not None:
            self._receiver.cancel()
            await asyncio.wait({self._receiver})
        await self._connection.close()

    # Sending and waiting

    async def _send(self, event: events.Event) -> None:
        async with self._sending():
            await self._send_event(event)

    async def _send_event(self, event: events.Event) -> None:
        self._check()
        line = json.dumps(event, ensure_ascii=False)
        if self._log is not None:
            self._log.event(event, time.perf_counter(), line)
        await self._connection.send(line.encode("utf-8", "replace"))

    @asynccontextmanager
    async def _sending(self) -> AsyncIterator[asyncio.Timeout]:
        """Bound a send: a server that reads nothing would block it for ever."""
        try:
            async with asyncio.timeout(self._timeout) as limit:
                yield limit
        except TimeoutError:
            raise ResponseTimeout(
                f"{self._endpoint.shown_url} read nothing for {self._timeout:g} s"
            ) from None
        except ConnectionFailed:
            # What the server said before it hung up explains more than the hang-up.
            if self._receiver is not None:
                await asyncio.wait({self._receiver}, timeout=_LAST_WORDS)
            self._check()
            raise

    async def _exchange(self, event: events.Event, awaited: type[T]) -> T:
        """Send an event and wait for the kind of event that answers it.

        The wait begins before the event is sent, so that no answer can be missed.
        """
        waiter: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._awaited, self._waiter = awaited, waiter
        self._progress_at = started_at = time.perf_counter()
        try:
            await self._send(event)
            return await self._answer(waiter, event["type"], started_at)
        finally:
            self._awaited = self._waiter = None

    async def _answer(self, waiter: asyncio.Future[T | None], sent: str, started_at: float) -> T:
        """Wait for the waiter as long as there is progress.

        Progress only moves a clock reading; the limit is looked at when it runs out, so
        a delta costs no timer.
        """
        latest = started_at + _LONGEST_RESPONSE * self._timeout
        while not waiter.done():
            now = time.perf_counter()
            limit = min(self._progress_at + self._timeout, latest)
            if now >= limit:
                raise self._silence(sent, endless=now >= latest)
            await asyncio.wait({waiter}, timeout=limit - now)
        answer = waiter.result()
        if answer is None:
            self._check()
            raise AssertionError("a wait ended without an answer or a failure")
        return answer

    def _silence(self, sent: str, *, endless: bool) -> ResponseTimeout:
        where = self._endpoint.shown_url
        if endless:
            longest = _LONGEST_RESPONSE * self._timeout
            return ResponseTimeout(f"{where} did not finish {sent} within {longest:g} s")
        return ResponseTimeout(f"{where} was silent for {self._timeout:g} s after {sent}")

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    # Receiving

    async def _receive(self) -> None:
        connection, protocol, log = self._connection, self._protocol, self._log
        while True:
            raw = await connection.recv()
            at = time.perf_counter()
            event = parse_event(raw)
            if log is not None:
                self._log_received(log, event, raw, at)
            for found in protocol.receive(event, at):
                self._take(found, at)
            # Queued events come without waiting: a burst of deltas would make other
            # conversations' chunks late (p99 at 128 at once: 17 ms, with this 5).
            await asyncio.sleep(0)

    def _log_received(self, log: EventSource, event: events.Event, raw: str, at: float) -> None:
        """Log an event as it came, but for credentials that a server repeats in its words."""
        if not event["type"].endswith(".delta"):
            shown = self._endpoint.redact(raw)
            if shown != raw:
                event, raw = parse_event(shown), shown
        log.event(event, at, raw)

    def _take(self, found: ProtocolEvent, at: float) -> None:
        self._progress_at = at
        if type(found) is self._awaited:
            self._wake(found)
        elif isinstance(found, ServerError):
            raise server_failed(found._replace(message=self._endpoint.redact(found.message)))

    def _receiver_ended(self, task: asyncio.Task[None]) -> None:
        """Pass on why nothing more will be received: whoever waits must not wait on."""
        if task.cancelled():
            return
        failure = task.exception()
        # Frames of the receiver hold what the server sent, which may repeat credentials.
        self._failure = failure.with_traceback(None) if failure is not None else None
        self._wake(None)

    def _wake(self, answer: ProtocolEvent | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(answer)


def parse_event(raw: str) -> events.Event:
    """Return the event of a server's text message.

    Raises:
        ProtocolError: It is no JSON, or no event.
    """
    try:
        event = _DECODER.decode(raw)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the server sent text that is no JSON: {error}") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise ProtocolError("the server sent JSON that is no event: it has no 'type'")
    return event


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


# json's own C scanner: parsers written in Rust save 2 % of a client's CPU a frame, most
# of which goes to base64 and to the websocket.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
