"""Recordings of sessions: what both sides said, and connections that record and replay it.

A tape is JSON lines, one for each event: ``at_ms`` since the session was opened, and the
event under ``sent`` or ``received``. Audio stands beside it (see `clips`), and lines refer
to it as ``audio/<name>[<first byte>:<last byte>]``; a run of chunks that were streamed
without anything in between is one line with ``until_ms`` and ``chunk_bytes``.

Replay keeps the recorded order of cause and effect: an event is received when everything
has been sent that had been sent before it. What is sent is held against what was recorded.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from pytest_realtime_eval.differences import differences
from pytest_realtime_eval.exceptions import CassetteError
from pytest_realtime_eval.realtime.audio import AudioFormat
from pytest_realtime_eval.realtime.clips import Clip, read_clip, write_clip
from pytest_realtime_eval.realtime.connection import connect_websocket
from pytest_realtime_eval.realtime.events import CANONICAL_NAMES
from pytest_realtime_eval.realtime.protocol import SessionProtocol, SessionReady
from pytest_realtime_eval.realtime.scrub import Pseudonyms, redact, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_realtime_eval.realtime.connection import Connect, Connection
    from pytest_realtime_eval.realtime.endpoint import Endpoint
    from pytest_realtime_eval.realtime.events import Event

__all__ = ["Pace", "SessionPlayer", "SessionRecorder", "Step", "read_tape"]

#: How a replay passes time.
Pace = Literal["fast", "recorded"]

APPEND: Final = "input_audio_buffer.append"
_APPEND_TYPE: Final = b'"type":"input_audio_buffer.append"'
#: After these the input buffer begins anew, and with it the next clip.
_BUFFER_ENDS: Final = frozenset({"input_audio_buffer.commit", "input_audio_buffer.clear"})
_AUDIO_DELTA: Final = "response.output_audio.delta"
_REFERENCE: Final = re.compile(r"audio/([0-9a-f]{16})\[(\d+):(\d+)\]")


@dataclass(eq=False, slots=True)
class _Stream:
    """Audio that belongs together while it is recorded: an utterance, an answer."""

    is_input: bool
    data: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> _Slice:
        start = len(self.data)
        self.data += data
        return _Slice(self, start, len(self.data))


@dataclass(slots=True)
class _Slice:
    stream: _Stream
    start: int
    end: int


@dataclass(slots=True)
class _Line:
    """A line of the tape while it is recorded; ``audio`` stands for one of its fields."""

    sent: bool
    at_ms: float
    event: Event
    audio: _Slice | None = None
    until_ms: float | None = None
    chunk_bytes: int = 0


class SessionRecorder:
    """Connects like the network does, and remembers what is said.

    Connecting again forgets what was recorded before: an attempt that is repeated leaves
    the recording of the last one.

    Args:
        connect: How the session is really reached.
    """

    def __init__(self, connect: Connect = connect_websocket) -> None:
        self._connect = connect
        self._begin()

    def _begin(self) -> None:
        self.names = Pseudonyms()
        self.endpoint: Endpoint | None = None
        self._lines: list[_Line] = []
        self._input = _Stream(is_input=True)
        self._outputs: dict[tuple[str, ...], _Stream] = {}
        self._ready: SessionReady | None = None
        self._protocol: SessionProtocol | None = None
        self._opened = time.perf_counter()

    async def connect(self, endpoint: Endpoint, timeout: float) -> Connection:  # noqa: ASYNC109 - as `Connect`
        """Open a connection that is recorded."""
        connection = await self._connect(endpoint, timeout)
        self._begin()
        self.endpoint = endpoint
        return _RecordingConnection(connection, self)

    def sent_audio(self, data: bytes) -> None:
        """Take note of a chunk of the user's audio."""
        now, audio = self._now(), self._input.add(data)
        last = self._lines[-1] if self._lines else None
        if last is not None and last.audio is not None and _continues(last, last.audio, audio):
            last.audio.end, last.until_ms = audio.end, now
            return
        line = _Line(sent=True, at_ms=now, event={"type": APPEND}, audio=audio, until_ms=now)
        line.chunk_bytes = len(data)
        self._lines.append(line)

    def sent(self, event: Event) -> None:
        """Take note of an event of ours, call ids under their names."""
        if event["type"] == "session.update":
            self._protocol = _protocol_of(event)
        if event["type"] in _BUFFER_ENDS:
            self._input = _Stream(is_input=True)
        self._lines.append(_Line(sent=True, at_ms=self._now(), event=self.names.known(event)))

    def received(self, event: Event) -> None:
        """Take note of a server's event."""
        line = _Line(sent=False, at_ms=self._now(), event=self.names.scrub(event))
        kind = event.get("type", "")
        if CANONICAL_NAMES.get(kind, kind) == _AUDIO_DELTA:
            self._take_delta(line, event)
        if kind == "session.updated" and self._protocol is not None:
            (self._ready,) = (
                found
                for found in self._protocol.receive(event, 0.0)
                if isinstance(found, SessionReady)
            )
        self._lines.append(line)

    def _take_delta(self, line: _Line, event: Event) -> None:
        try:
            data = binascii.a2b_base64(event["delta"], strict_mode=True)
        except (KeyError, TypeError, ValueError):
            return
        key = tuple(str(event.get(k)) for k in ("response_id", "item_id", "content_index"))
        stream = self._outputs.setdefault(key, _Stream(is_input=False))
        line.audio = stream.add(data)

    def _now(self) -> float:
        return round((time.perf_counter() - self._opened) * 1000, 1)

    def write(self, path: Path) -> None:
        """Write the tape, and its audio into the folder ``audio`` beside it."""
        names: dict[int, str] = {}
        for line in self._lines:
            if line.audio is not None and id(line.audio.stream) not in names:
                clip = self._clip(line.audio.stream)
                names[id(line.audio.stream)] = clip.name
                if clip.data:
                    write_clip(path.parent / "audio", clip)
        written = (json.dumps(self._json(line, names), ensure_ascii=False) for line in self._lines)
        text = "".join(f"{line}\n" for line in written)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "backslashreplace"))

    def _clip(self, stream: _Stream) -> Clip:
        ready = self._ready
        if ready is None:
            return Clip(AudioFormat.PCM16, 24_000, bytes(stream.data))
        if stream.is_input:
            return Clip(ready.input_format, ready.input_rate_hz, bytes(stream.data))
        return Clip(ready.output_format, ready.output_rate_hz, bytes(stream.data))

    def _json(self, line: _Line, names: Mapping[int, str]) -> dict[str, Any]:
        event = redact(line.event, self._clean)
        written: dict[str, Any] = {"at_ms": line.at_ms}
        if line.chunk_bytes:
            written |= {"until_ms": line.until_ms, "chunk_bytes": line.chunk_bytes}
        if line.audio is not None:
            name = names[id(line.audio.stream)]
            reference = f"audio/{name}[{line.audio.start}:{line.audio.end}]"
            event["audio" if line.sent else "delta"] = reference
        return {**written, "sent" if line.sent else "received": event}

    def _clean(self, text: str) -> str:
        return redact_text(text if self.endpoint is None else self.endpoint.redact(text))


def _continues(line: _Line, run: _Slice, chunk: _Slice) -> bool:
    """Whether a chunk belongs to the run that the line holds: only the last may be short."""
    if not line.chunk_bytes or run.stream is not chunk.stream:
        return False
    whole = (run.end - run.start) % line.chunk_bytes == 0
    return whole and chunk.end - chunk.start <= line.chunk_bytes


def _protocol_of(update: Event) -> SessionProtocol:
    """Return a protocol that knows what ``session.update`` asked for."""
    audio = update["session"]["audio"]
    into, out = audio["input"]["format"], audio["output"]["format"]
    return SessionProtocol(
        input_format=AudioFormat.from_wire(into["type"]) or AudioFormat.PCM16,
        output_format=AudioFormat.from_wire(out["type"]) or AudioFormat.PCM16,
        sample_rate_hz=into.get("rate") or out.get("rate") or 8_000,
    )


class _RecordingConnection:
    """A connection whose events are taken note of before they go on."""

    def __init__(self, connection: Connection, recorder: SessionRecorder) -> None:
        self._connection = connection
        self._recorder = recorder

    async def send(self, line: bytes) -> None:
        """Take note of an event and send it."""
        event: Event = json.loads(line)
        # Noted first: the answer can come before the sending returns.
        if event["type"] == APPEND:
            self._recorder.sent_audio(base64.b64decode(event["audio"]))
        else:
            self._recorder.sent(event)
            restored = self._recorder.names.restore_calls(event)
            if restored != event:
                line = json.dumps(restored, ensure_ascii=False).encode()
        await self._connection.send(line)

    async def recv(self) -> str:
        """Return the next event's text, function calls under their names."""
        raw = await self._connection.recv()
        try:
            event = json.loads(raw)
        except (ValueError, RecursionError):
            return raw  # The session says what is wrong with it, and nothing is kept.
        if not isinstance(event, dict):
            return raw
        self._recorder.received(event)
        named = self._recorder.names.name_calls(event)
        return raw if named == event else json.dumps(named, ensure_ascii=False)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


@dataclass(frozen=True, slots=True)
class Step:
    """A line of a tape.

    Attributes:
        line: Its number, for messages.
        audio: What its reference stands for; ``None`` without one.
        until_ms: When the last chunk of a run was sent; else ``at_ms``.
        after: Of a received event: how many lines were sent before it.
    """

    line: int
    sent: bool
    event: Event
    at_ms: float
    until_ms: float
    chunk_bytes: int = 0
    audio: bytes | None = None
    after: int = 0


def read_tape(path: Path) -> tuple[Step, ...]:
    """Read a tape with its audio.

    Raises:
        CassetteError: It, or audio that it refers to, is missing or damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CassetteError(f"{path}: the recording cannot be read: {error}") from error
    return tuple(_steps(path, lines))


def _steps(path: Path, lines: Iterable[str]) -> Iterator[Step]:
    clips: dict[str, bytes] = {}
    sent = 0
    for number, line in enumerate(lines, start=1):
        try:
            step = _step(json.loads(line), number, sent, path.parent / "audio", clips)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CassetteError(
                f"{path}, line {number}: this is no line of a recording: {error!r}"
            ) from error
        sent += step.sent
        yield step


def _step(
    written: dict[str, Any], number: int, sent: int, folder: Path, clips: dict[str, bytes]
) -> Step:
    is_sent = "sent" in written
    event: Event = written["sent" if is_sent else "received"]
    reference = event.get("audio" if is_sent else "delta")
    audio = None
    if isinstance(event["type"], str) and isinstance(reference, str):
        found = _REFERENCE.fullmatch(reference)
        audio = _audio(found, folder, clips) if found else None
    return Step(
        line=number,
        sent=is_sent,
        event=event,
        at_ms=float(written["at_ms"]),
        until_ms=float(written.get("until_ms", written["at_ms"])),
        chunk_bytes=int(written.get("chunk_bytes", 0)),
        audio=audio,
        after=sent,
    )


def _audio(found: re.Match[str], folder: Path, clips: dict[str, bytes]) -> bytes:
    name, start, end = found[1], int(found[2]), int(found[3])
    if start == end:
        return b""
    if name not in clips:
        clips[name] = read_clip(folder, name).data
    if end > len(clips[name]):
        raise CassetteError(f"{folder / name}: the recorded audio ends before byte {end}")
    return clips[name][start:end]


class SessionPlayer:
    """Connects to a recording in place of a server.

    Args:
        place: Names the recording in messages.
        steps: Its lines.
        pace: ``recorded`` lets as much time pass between cause and effect as it did.
    """

    def __init__(self, place: str, steps: tuple[Step, ...], pace: Pace = "fast") -> None:
        self._place = place
        self._steps = steps
        self._pace = pace
        self._connection: _ReplayConnection | None = None

    async def connect(self, endpoint: Endpoint, timeout: float) -> Connection:  # noqa: ARG002, ASYNC109 - as `Connect`
        """Return a connection to the recording's beginning."""
        self._connection = _ReplayConnection(self._place, self._steps, self._pace)
        return self._connection

    def check_finished(self) -> None:
        """Check that all was sent that had been sent when it was recorded.

        Raises:
            CassetteError: The recording goes on.
        """
        ours = next((step for step in self._steps if step.sent), None)
        step = ours if self._connection is None else self._connection.awaited
        if step is not None:
            raise CassetteError(
                f"{self._place}, line {step.line}: the harness is done, and "
                f"{step.event['type']} was recorded here ($.type is nothing, recorded "
                f'"{step.event["type"]}")'
            )


class _ReplayConnection:
    """The other side of a recorded session."""

    def __init__(self, place: str, steps: tuple[Step, ...], pace: Pace) -> None:
        self._place = place
        self._pace = pace
        self._ours = [step for step in steps if step.sent]
        self._theirs = [step for step in steps if not step.sent]
        # For each line of ours when it had been sent, after when the session was opened.
        self._sent_at = [time.perf_counter()]
        self._recorded_at = [0.0, *(step.until_ms for step in self._ours)]
        self._received = 0
        # Of the run that is being sent: how much of it.
        self._offset = 0
        self._moved = asyncio.Event()

    @property
    def awaited(self) -> Step | None:
        """The line that has to be sent next; ``None`` at the end."""
        index = len(self._sent_at) - 1
        return self._ours[index] if index < len(self._ours) else None

    async def send(self, line: bytes) -> None:
        """Hold an event against the recording.

        Raises:
            CassetteError: Another one was recorded.
        """
        event: Event = json.loads(line)
        step = self.awaited
        if step is None:
            raise CassetteError(
                f"{self._place}: the recording ends here, and the harness sends "
                f'{event["type"]} ($.type is "{event["type"]}", recorded nothing)'
            )
        if event["type"] == APPEND and step.audio is not None:
            self._check_chunk(step, step.audio, base64.b64decode(event["audio"]))
            if self._offset < len(step.audio):
                return
        else:
            self._check(step, event)
        self._offset = 0
        self._sent_at.append(time.perf_counter())
        self._moved.set()

    def _check(self, step: Step, event: Event) -> None:
        found = next(differences(step.event, redact(event)), None)
        if found is not None and event["type"] != step.event["type"]:
            raise self._mismatch(step, event["type"], "$.type", step.event["type"], event["type"])
        if found is not None:
            recorded, now = found.shown()
            raise self._mismatch(step, event["type"], found.path, recorded, now)

    def _check_chunk(self, step: Step, audio: bytes, data: bytes) -> None:
        recorded = audio[self._offset : self._offset + step.chunk_bytes]
        if len(data) != len(recorded):
            sizes = (f"{len(recorded)} bytes", f"{len(data)} bytes")
            raise self._mismatch(step, APPEND, "$.audio", *sizes)
        if data != recorded:
            at = next(
                i for i, pair in enumerate(zip(data, recorded, strict=True)) if len({*pair}) > 1
            )
            shown = (f"{side[at : at + 8].hex(' ')} …" for side in (recorded, data))
            where = f"$.audio, byte {self._offset + at} of {step.event['audio']}"
            raise self._mismatch(step, APPEND, where, *shown)
        self._offset += len(data)

    def _mismatch(self, step: Step, kind: str, path: str, recorded: str, now: str) -> CassetteError:
        return CassetteError(
            f"{self._place}, line {step.line}: the harness sends another {kind} than was "
            f"recorded: {path} is {now}, recorded {recorded}"
        )

    async def recv(self) -> str:
        """Return the next event's text, once all has been sent that came before it."""
        if self._received == len(self._theirs):
            # A server that has nothing more to say keeps the connection.
            await asyncio.get_running_loop().create_future()
        step = self._theirs[self._received]
        while len(self._sent_at) <= step.after:
            self._moved.clear()
            await self._moved.wait()
        if self._pace == "recorded":
            due = self._sent_at[step.after] + (step.at_ms - self._recorded_at[step.after]) / 1000
            await asyncio.sleep(due - time.perf_counter())
        self._received += 1
        event = step.event
        if step.audio is not None:
            event = {**event, "delta": base64.b64encode(step.audio).decode()}
        return json.dumps(event, ensure_ascii=False)

    async def close(self) -> None:
        """Nothing is held."""
