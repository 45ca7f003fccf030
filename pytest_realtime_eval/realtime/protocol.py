"""The Realtime protocol without I/O: events and clock readings in, what they mean out.

There is no socket, clock or task here. `SessionProtocol.receive` takes one decoded
server event and the time at which it came, and returns what the caller has to know.
Whatever contradicts the protocol raises `ProtocolError`; what is merely unknown is
ignored, since servers add events.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

from pytest_realtime_eval.exceptions import ProtocolError
from pytest_realtime_eval.realtime.audio import G711_RATE_HZ, AudioFormat
from pytest_realtime_eval.realtime.events import CANONICAL_NAMES, Event
from pytest_realtime_eval.schemas.transcript import ToolCall, Usage

__all__ = [
    "AudioDelta",
    "BufferCommitted",
    "ItemAdded",
    "Progress",
    "ProtocolEvent",
    "Response",
    "ResponseDone",
    "ResponseStarted",
    "ServerError",
    "SessionProtocol",
    "SessionReady",
    "TextDelta",
]

#: Base64 and text that one response may bring: 25 minutes of PCM16 at 24 kHz. Beyond it
#: a server is broken, and would fill the memory.
RESPONSE_LIMIT: Final = 96 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """A response from ``response.create`` to ``response.done``.

    Attributes:
        status: ``completed``, ``cancelled``, ``failed`` or ``incomplete``.
        status_details: The server's, with ``reason`` or ``error``; ``None`` without.
        audio: As it came on the wire; the session says in which format and rate.
        transcript: What the audio says. ``text``: what was written instead of spoken.
        function_calls: In the order of the output items.
        metadata: As the server echoed it.
        requested_at: Clock reading in s when ``response.create`` was sent; the others when
            their event came, ``None`` where it never did. ``first_text_at`` counts
            transcripts as text.
    """

    id: str
    status: str
    status_details: Event | None
    audio: bytes
    transcript: str
    text: str
    function_calls: tuple[ToolCall, ...]
    usage: Usage
    metadata: Event | None
    requested_at: float
    first_audio_at: float | None
    last_audio_at: float | None
    first_text_at: float | None
    done_at: float


class SessionReady(NamedTuple):
    """``session.updated``: what the server will really do.

    Rates in Hz. They can differ from what was asked for; the server's word holds.
    """

    input_format: AudioFormat
    input_rate_hz: int
    output_format: AudioFormat
    output_rate_hz: int


class BufferCommitted(NamedTuple):
    """The input audio became the user item ``item_id``."""

    item_id: str


class ItemAdded(NamedTuple):
    """An item joined the conversation, under whichever of the two spellings."""

    item: Event


class ResponseStarted(NamedTuple):
    """The awaited response has its id."""

    response_id: str


class AudioDelta(NamedTuple):
    """Audio of the awaited response: bytes on the wire."""

    size: int


class TextDelta(NamedTuple):
    """Text or transcript of the awaited response."""

    text: str


class Progress(NamedTuple):
    """Something of the awaited response came, whose content a later event repeats."""


class ResponseDone(NamedTuple):
    """The awaited response is complete, one way or another."""

    response: Response


class ServerError(NamedTuple):
    """An ``error`` event."""

    message: str
    type: str
    code: str


ProtocolEvent = (
    SessionReady
    | BufferCommitted
    | ItemAdded
    | ResponseStarted
    | AudioDelta
    | TextDelta
    | Progress
    | ResponseDone
    | ServerError
)

_PROGRESS: Final = (Progress(),)

#: Item id and content index.
_Part = tuple[str, str]


@dataclass(slots=True)
class _Collector:
    """What has come so far of the awaited response."""

    requested_at: float
    metadata: Event | None
    id: str | None = None
    announced: bool = False
    size: int = 0
    audio: bytearray = field(default_factory=bytearray)
    transcripts: dict[_Part, str] = field(default_factory=dict)
    texts: dict[_Part, str] = field(default_factory=dict)
    items: dict[str, Event] = field(default_factory=dict)
    first_audio_at: float | None = None
    last_audio_at: float | None = None
    first_text_at: float | None = None


class SessionProtocol:
    """State of one session, as far as the server's events tell.

    Attributes:
        session_id, model: As the server says; empty until it does.
    """

    def __init__(
        self,
        *,
        input_format: AudioFormat,
        output_format: AudioFormat,
        sample_rate_hz: int,
    ) -> None:
        self.session_id = ""
        self.model = ""
        self._asked = SessionReady(
            input_format,
            _rate(input_format, sample_rate_hz),
            output_format,
            _rate(output_format, sample_rate_hz),
        )
        self._output_format = output_format
        self._current: _Collector | None = None
        # Announced responses that nobody awaits (any more): their events are not ours.
        self._others: set[str] = set()

    def start_response(self, at: float, metadata: Event | None = None) -> None:
        """Say that ``response.create`` is being sent at ``at``.

        Raises:
            RuntimeError: Another response is being awaited.
        """
        if self._current is not None:
            raise RuntimeError("one response at a time: the last one is still being awaited")
        self._current = _Collector(requested_at=at, metadata=metadata)

    def abandon_response(self) -> None:
        """Say that nobody awaits the response any more; its events will be ignored."""
        self._finish()

    def receive(self, event: Event, at: float) -> Sequence[ProtocolEvent]:
        """Take in a server event that came at ``at`` (clock reading, s).

        Raises:
            ProtocolError: The event contradicts the protocol.
        """
        handler = _HANDLERS.get(event["type"])
        return () if handler is None else handler(self, event, at)

    # Session

    def _session_created(self, event: Event, _at: float) -> Sequence[ProtocolEvent]:
        session = _object(event, "session")
        self.session_id = str(session.get("id") or self.session_id)
        self.model = str(session.get("model") or self.model)
        return ()

    def _session_updated(self, event: Event, at: float) -> Sequence[ProtocolEvent]:
        self._session_created(event, at)
        session = event["session"]
        asked = self._asked
        ready = SessionReady(
            *_negotiated(session, "input", asked.input_format, asked.input_rate_hz),
            *_negotiated(session, "output", asked.output_format, asked.output_rate_hz),
        )
        self._output_format = ready.output_format
        return (ready,)

    def _committed(self, event: Event, _at: float) -> Sequence[ProtocolEvent]:
        return (BufferCommitted(_string(event, "item_id")),)

    def _item_added(self, event: Event, _at: float) -> Sequence[ProtocolEvent]:
        return (ItemAdded(_object(event, "item")),)

    def _error(self, event: Event, _at: float) -> Sequence[ProtocolEvent]:
        error = event.get("error")
        error = error if isinstance(error, dict) else event
        message = error.get("message") or "the server gave no message"
        return (ServerError(str(message), str(error.get("type") or ""), _code(error)),)

    # Response

    def _response_created(self, event: Event, _at: float) -> Sequence[ProtocolEvent]:
        response = _object(event, "response")
        response_id = _string(response, "id", "response.created")
        current = self._current
        if current is None or not _is_ours(current, response_id, response.get("metadata")):
            self._others.add(response_id)
            return ()
        current.id, current.announced = response_id, True
        return (ResponseStarted(response_id),)

    def _audio_delta(self, event: Event, at: float) -> Sequence[ProtocolEvent]:
        current = self._collector(event)
        if current is None:
            return ()
        data = _audio(event)
        self._count(current, event["delta"])
        current.audio += data
        current.last_audio_at = at
        if current.first_audio_at is None:
            current.first_audio_at = at
        return (AudioDelta(len(data)),)

    def _transcript_delta(self, event: Event, at: float) -> Sequence[ProtocolEvent]:
        current = self._collector(event)
        return () if current is None else self._add_text(current, current.transcripts, event, at)

    def _text_delta(self, event: Event, at: float) -> Sequence[ProtocolEvent]:
        current = self._collector(event)
        return () if current is None else self._add_text(current, current.texts, event, at)

    def _add_text(
        self, current: _Collector, parts: dict[_Part, str], event: Event, at: float
    ) -> Sequence[ProtocolEvent]:
        delta = _string(event, "delta")
        self._count(current, delta)
        part = _part(event)
        parts[part] = parts.get(part, "") + delta
        if current.first_text_at is None:
            current.first_text_at = at
        return (TextDelta(delta),)

    def _transcript_done(self, event: Event, at: float) -> Sequence[ProtocolEvent]:
        current = self._collector(event)
        if current is None:
            return ()
        return self._set_text(current, current.transcripts, event, "transcript", at)

    def _text_done(self, event: Event, at: float) -> Sequence[ProtocolEvent]:
        current = self._collector(event)
        return () if current is None else self._set_text(current, current.texts, event, "text", at)

    def _set_text(
        self, current: _Collector, parts: dict[_Part, str], event: Event, key: str, at: float
    ) -> Sequence[ProtocolEvent]:
        text = event.get(key)
        if isinstance(text, str) and text:
            self._count(current, text)
            parts[_part(event)] = text
            if current.first_text_at is None:
                current.first_text_at = at
        return _PROGRESS

    def _output_item(self, event: Event, _at: float) -> Sequence[ProtocolEvent]:
        current = self._collector(event)
        if current is None:
            return ()
        item = _object(event, "item")
        self._count(current, item.get("arguments") or "")
        key = _item_key(item.get("id"), event)
        current.items[key] = {**current.items.get(key, {}), **item}
        return _PROGRESS

    def _arguments_done(self, event: Event, _at: float) -> Sequence[ProtocolEvent]:
        current = self._collector(event)
        if current is None:
            return ()
        key = _item_key(event.get("item_id"), event)
        known = {k: event[k] for k in ("call_id", "name", "arguments") if event.get(k)}
        self._count(current, known.get("arguments") or "")
        item = current.items.get(key, {})
        current.items[key] = {**item, "type": "function_call", **known}
        return _PROGRESS

    def _progress(self, event: Event, _at: float) -> Sequence[ProtocolEvent]:
        """Check the id of an event whose content comes again in a later one."""
        current = self._collector(event)
        if current is None:
            return ()
        self._count(current, event.get("delta") or "")
        return _PROGRESS

    def _response_done(self, event: Event, at: float) -> Sequence[ProtocolEvent]:
        body = _object(event, "response")
        current = self._collector({"type": event["type"], "response_id": body.get("id")})
        if current is None:
            return ()
        self._finish()
        if self._output_format is AudioFormat.PCM16 and len(current.audio) % 2:
            _refuse(event, f"ends with {len(current.audio)} bytes of PCM16: half a sample")
        return (ResponseDone(_response(current, body, at)),)

    def _collector(self, event: Event) -> _Collector | None:
        """Return where the event's content belongs, ``None`` when nobody awaits it.

        Raises:
            ProtocolError: Its response was never announced, and another one is awaited.
        """
        current = self._current
        if current is None:
            return None
        response_id = event.get("response_id")
        if response_id == current.id or response_id is None:
            return current
        if not isinstance(response_id, str):
            _refuse(event, "has a response id that is no text")
        if response_id in self._others:
            return None
        if current.id is not None:
            _refuse(event, f"is about response {response_id!r}, which was never announced")
        # Events out of order, or a server that announces nothing.
        current.id = response_id
        return current

    def _count(self, current: _Collector, content: object) -> None:
        current.size += len(content) if isinstance(content, str) else 0
        if current.size > RESPONSE_LIMIT:
            raise ProtocolError(f"a response brought more than {RESPONSE_LIMIT >> 20} MiB")

    def _finish(self) -> None:
        if self._current is not None and self._current.id is not None:
            self._others.add(self._current.id)
        self._current = None


_Handler = Callable[[SessionProtocol, Event, float], Sequence[ProtocolEvent]]

# The table dispatches to its own class.
_GA_HANDLERS: Final[dict[str, _Handler]] = {
    "session.created": SessionProtocol._session_created,
    "session.updated": SessionProtocol._session_updated,
    "input_audio_buffer.committed": SessionProtocol._committed,
    "conversation.item.added": SessionProtocol._item_added,
    "error": SessionProtocol._error,
    "response.created": SessionProtocol._response_created,
    "response.output_item.added": SessionProtocol._output_item,
    "response.output_item.done": SessionProtocol._output_item,
    "response.content_part.added": SessionProtocol._progress,
    "response.content_part.done": SessionProtocol._progress,
    "response.output_audio.delta": SessionProtocol._audio_delta,
    "response.output_audio.done": SessionProtocol._progress,
    "response.output_audio_transcript.delta": SessionProtocol._transcript_delta,
    "response.output_audio_transcript.done": SessionProtocol._transcript_done,
    "response.output_text.delta": SessionProtocol._text_delta,
    "response.output_text.done": SessionProtocol._text_done,
    "response.function_call_arguments.delta": SessionProtocol._progress,
    "response.function_call_arguments.done": SessionProtocol._arguments_done,
    "response.done": SessionProtocol._response_done,
}
_HANDLERS: Final[dict[str, _Handler]] = _GA_HANDLERS | {
    beta: _GA_HANDLERS[ga] for beta, ga in CANONICAL_NAMES.items() if ga in _GA_HANDLERS
}


def _is_ours(current: _Collector, response_id: str, metadata: object) -> bool:
    """Tell whether an announced response is the awaited one.

    Servers that echo metadata tell several responses apart; others have one at a time.
    """
    if current.id is not None:
        return current.id == response_id
    if not isinstance(metadata, dict) or not current.metadata:
        return True
    return all(metadata.get(key, value) == value for key, value in current.metadata.items())


def _response(current: _Collector, body: Event, at: float) -> Response:
    output = _objects(body.get("output"))
    transcript = _spoken(output, "transcript") or _joined(current.transcripts)
    text = _spoken(output, "text") or _joined(current.texts)
    details, metadata = body.get("status_details"), body.get("metadata")
    return Response(
        id=str(body.get("id") or current.id or ""),
        status=str(body.get("status") or "completed"),
        status_details=details if isinstance(details, dict) else None,
        audio=bytes(current.audio),
        transcript=transcript,
        text=text,
        function_calls=_calls(output) or _calls(current.items.values()),
        usage=_usage(body.get("usage")),
        metadata=metadata if isinstance(metadata, dict) else None,
        requested_at=current.requested_at,
        first_audio_at=current.first_audio_at,
        last_audio_at=current.last_audio_at,
        first_text_at=current.first_text_at if transcript or text else None,
        done_at=at,
    )


def _spoken(output: Sequence[Event], key: str) -> str:
    """Return what the final output items say under ``transcript`` or ``text``."""
    parts = [
        part.get(key)
        for item in output
        if item.get("type") == "message"
        for part in _objects(item.get("content"))
    ]
    return _clean(" ".join(part for part in parts if isinstance(part, str) and part))


def _joined(parts: dict[_Part, str]) -> str:
    return _clean(" ".join(part for part in parts.values() if part))


def _clean(text: str) -> str:
    """Join surrogate pairs that deltas tore apart, and replace lone halves.

    A lone surrogate is valid in JSON text but in no file encoding.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _calls(items: Iterable[Event]) -> tuple[ToolCall, ...]:
    """Return the function calls, each once, though a server may repeat an item.

    Raises:
        ProtocolError: Two different calls share a call id, so neither can be answered.
    """
    calls: dict[str, ToolCall] = {}
    for item in items:
        if item.get("type") == "function_call":
            call = _call(item)
            if calls.setdefault(call.call_id, call) != call:
                raise ProtocolError(f"two different function calls share the id {call.call_id!r}")
    return tuple(calls.values())


def _call(item: Event) -> ToolCall:
    name, call_id, raw = item.get("name"), item.get("call_id"), item.get("arguments")
    if not isinstance(name, str) or not isinstance(call_id, str) or not name or not call_id:
        raise ProtocolError("a function call came without a name or a call_id")
    raw = raw if isinstance(raw, str) else json.dumps(raw if raw is not None else {})
    return ToolCall(
        name=_clean(name),
        arguments=_arguments(raw),
        raw_arguments=_clean(raw),
        call_id=_clean(call_id),
    )


def _arguments(raw: str) -> dict[str, Any] | None:
    """Parse a call's arguments; ``None`` when they are no JSON object.

    No text at all is what some servers send for a function without parameters.
    """
    if not raw.strip():
        return {}
    try:
        value = json.loads(_clean(raw), parse_constant=_refuse_constant)
        # A lone surrogate may also stand there as an escape.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    into, out = usage.get("input_token_details"), usage.get("output_token_details")
    return Usage(
        input_tokens=_tokens(usage, "input_tokens"),
        input_text_tokens=_tokens(into, "text_tokens"),
        input_audio_tokens=_tokens(into, "audio_tokens"),
        cached_tokens=_tokens(into, "cached_tokens"),
        output_tokens=_tokens(usage, "output_tokens"),
        output_text_tokens=_tokens(out, "text_tokens"),
        output_audio_tokens=_tokens(out, "audio_tokens"),
    )


def _tokens(details: object, key: str) -> int:
    value = details.get(key) if isinstance(details, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def _negotiated(
    session: Event, direction: str, fmt: AudioFormat, rate: int
) -> tuple[AudioFormat, int]:
    """Return the format and rate that ``session.updated`` names, else those asked for."""
    said = _said_format(session, direction)
    name = said.get("type")
    if isinstance(name, str):
        found = AudioFormat.from_wire(name)
        if found is None:
            raise ProtocolError(
                f"the server uses {name!r} for {direction} audio; "
                f"known are {', '.join(f.mime for f in AudioFormat)}"
            )
        fmt = found
    said_rate = said.get("rate") or said.get("sample_rate")
    if isinstance(said_rate, int) and said_rate > 0:
        rate = said_rate
    return fmt, _rate(fmt, rate)


def _said_format(session: Event, direction: str) -> Event:
    """Return the format object of GA; beta has a name instead."""
    audio = session.get("audio")
    side = audio.get(direction) if isinstance(audio, dict) else None
    said = side.get("format") if isinstance(side, dict) else None
    said = said if said is not None else session.get(f"{direction}_audio_format")
    if isinstance(said, str):
        return {"type": said}
    return said if isinstance(said, dict) else {}


def _rate(fmt: AudioFormat, rate: int) -> int:
    return rate if fmt is AudioFormat.PCM16 else G711_RATE_HZ


def _audio(event: Event) -> bytes:
    try:
        return binascii.a2b_base64(event["delta"], strict_mode=True)
    except (KeyError, TypeError, ValueError):
        _refuse(event, "has a delta that is no base64")


def _part(event: Event) -> _Part:
    return (str(event.get("item_id")), str(event.get("content_index")))


def _item_key(item_id: object, event: Event) -> str:
    return str(item_id or event.get("output_index"))


def _objects(value: object) -> list[Event]:
    """Return the objects of what should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _code(error: Event) -> str:
    return str(error.get("code") or "")


def _object(event: Event, key: str) -> Event:
    value = event.get(key)
    if not isinstance(value, dict):
        _refuse(event, f"has no object {key!r}")
    return value


def _string(event: Event, key: str, name: str | None = None) -> str:
    value = event.get(key)
    if not isinstance(value, str):
        _refuse(event if name is None else {"type": name}, f"has no text {key!r}")
    return value


def _refuse(event: Event, problem: str) -> NoReturn:
    raise ProtocolError(f"the server's {event['type']} event {problem}")
