"""A realtime session: what a client's events do to it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.embedded import agent, caller
from pytest_realtime_eval.embedded.items import Clip, Conversation, Item, new_id
from pytest_realtime_eval.embedded.requests import (
    Append,
    Clear,
    ClientEvent,
    Commit,
    FunctionChoice,
    ItemCreate,
    ItemDelete,
    ItemReference,
    ItemRetrieve,
    ItemTruncate,
    NewItem,
    RequestError,
    ResponseCancel,
    ResponseCreate,
    ResponseParameters,
    SessionConfig,
    SessionUpdate,
    audio_format,
    check,
    merge,
    parse,
)
from pytest_realtime_eval.embedded.responses import Plan, ResponseStream
from pytest_realtime_eval.embedded.turns import FRAME_MS, TurnDetector
from pytest_realtime_eval.embedded.usage import (
    input_audio_tokens,
    schema_tokens,
    text_tokens,
)
from pytest_realtime_eval.exceptions import RealtimeEvalError
from pytest_realtime_eval.realtime.audio import decode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from pytest_realtime_eval.embedded.agent import AgentReply
    from pytest_realtime_eval.embedded.speech import Speech

__all__ = ["RealtimeSession"]

#: The voices when nobody chose: one each for the agent and the caller, so that they differ,
#: and the one that the ear understands best for the caller, whom the agent hears.
_AGENT_VOICE: Final = "cedar"
_CALLER_VOICE: Final = "marin"

_LEAST_AUDIO_MS: Final = 100
#: An hour of 24 kHz PCM16; nothing on loopback limits it otherwise.
_MOST_AUDIO_BYTES: Final = 3600 * 48_000


class RealtimeSession:
    """The state of one session, and its answers.

    Args:
        send: Takes a server event to the client; ids are already in it.
        speech: Voice and ear.
        model: The model that the client asked for; it is named, nothing more.
    """

    def __init__(
        self, send: Callable[[dict[str, Any]], Awaitable[None]], speech: Speech, model: str
    ) -> None:
        self.id = new_id("sess")
        self._send = send
        self._speech = speech
        self._config = SessionConfig(type="realtime", model=model)
        self._conversation = Conversation()
        self._buffer = bytearray()
        # Turn detection: how much of the buffer it has seen, how much audio it has seen in
        # the whole session, and the id of the item that is being spoken.
        self._detector: TurnDetector | None = None
        self._examined = 0
        self._heard_ms = 0
        self._spoken_id: str | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._responses: dict[str, asyncio.Task[None]] = {}
        # The response that is writing to the conversation; there is at most one.
        self._active: str | None = None
        self._spoke = False
        self._expires_at = int(time.time()) + 3600

    async def start(self) -> None:
        """Greet the client with ``session.created``."""
        await self._emit("session.created", session=self._session())

    async def receive(self, text: str) -> None:
        """Carry out a client event; a wrong one is answered with an ``error`` event."""
        event_id = None
        try:
            event = parse(text)
            event_id = event.event_id
            await self._handle(event)
        except RequestError as error:
            await self._error(error, error.event_id or event_id)

    async def close(self) -> None:
        """Stop what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @singledispatchmethod
    async def _handle(self, event: ClientEvent) -> None:
        raise NotImplementedError(event.type)

    @_handle.register
    async def _(self, event: SessionUpdate) -> None:
        merged = merge(self._config.model_dump(), event.session)
        if "type" not in event.session:
            del merged["type"]
        config = check(SessionConfig, merged, "session")
        if self._spoke and config.audio.output.voice != self._config.audio.output.voice:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise RequestError("cannot_update_voice", message, "session.audio.output.voice")
        self._set(config)
        await self._emit("session.updated", session=self._session())

    @_handle.register
    async def _(self, event: Append) -> None:
        if len(self._buffer) + len(event.audio) > _MOST_AUDIO_BYTES:
            message = "The input audio buffer is full: commit or clear it."
            raise RequestError("input_audio_buffer_full", message, "audio")
        self._buffer += event.audio
        if self._detector is not None:
            await self._detect(self._detector)

    @_handle.register
    async def _(self, _event: Clear) -> None:
        self._drop(len(self._buffer))
        await self._emit("input_audio_buffer.cleared")

    @_handle.register
    async def _(self, _event: Commit) -> None:
        await self._commit(len(self._buffer))

    async def _commit(self, size: int) -> None:
        """Make a user message of the buffer's first bytes."""
        clip = self._input_clip(bytes(self._buffer[:size]))
        if clip.milliseconds < _LEAST_AUDIO_MS:
            raise RequestError(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{_LEAST_AUDIO_MS}ms of audio, but buffer only has "
                f"{clip.milliseconds:.2f}ms of audio.",
            )
        item_id = self._spoken_id
        self._drop(size)
        content = [{"type": "input_audio", "transcript": None}]
        item = _item({"id": item_id, "type": "message", "role": "user", "content": content})
        item.clips[0] = clip
        event = {"previous_item_id": self._conversation.last_id, "item_id": item.id}
        await self._emit("input_audio_buffer.committed", **event)
        await self._add(item, None)

    @_handle.register
    async def _(self, event: ItemCreate) -> None:
        item = self._new_item(event.item)
        call_id = item.data.get("call_id")
        if item.data["type"] == "function_call_output" and not (
            self._conversation.has_call(str(call_id))
        ):
            message = f"Tool call ID '{call_id}' not found in conversation."
            raise RequestError("invalid_tool_call_id", message, "item.call_id")
        await self._add(item, event.previous_item_id)

    @_handle.register
    async def _(self, event: ItemRetrieve) -> None:
        item = self._conversation.get(event.item_id, "retrieve")
        await self._emit("conversation.item.retrieved", item=item.with_audio())

    @_handle.register
    async def _(self, event: ItemDelete) -> None:
        self._conversation.remove(event.item_id)
        await self._emit("conversation.item.deleted", item_id=event.item_id)

    @_handle.register
    async def _(self, event: ItemTruncate) -> None:
        item = self._conversation.get(event.item_id, "truncate")
        clip = item.clips.get(event.content_index)
        if clip is None or item.data.get("role") != "assistant":
            message = "Only audio of the assistant can be truncated."
            raise RequestError("invalid_value", message, "item_id")
        if event.audio_end_ms > clip.milliseconds:
            message = f"Audio content of {clip.milliseconds:.0f}ms is already shorter than that."
            raise RequestError("invalid_value", message, "audio_end_ms")
        size = int(event.audio_end_ms * clip.rate_hz / 1000) * clip.format.bytes_per_sample
        item.clips[event.content_index] = Clip(clip.data[:size], clip.format, clip.rate_hz)
        # What was not played was not said; where the text stood in the audio is not known.
        item.data["content"][event.content_index]["transcript"] = ""
        fields = event.model_dump(include={"item_id", "content_index", "audio_end_ms"})
        await self._emit("conversation.item.truncated", **fields)

    @_handle.register
    async def _(self, event: ResponseCreate) -> None:
        await self._respond(event.response or ResponseParameters())

    async def _respond(self, asked: ResponseParameters) -> None:
        in_conversation = asked.conversation == "auto"
        if in_conversation and self._active is not None:
            raise RequestError(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self._active}. "
                "Wait until the response is finished before creating a new one.",
            )
        context = self._context(asked)
        stream = ResponseStream(self._plan(asked, context), self._emit, self._speech)
        if in_conversation:
            self._active = stream.id
        await stream.begin()
        task = self._spawn(stream.run(lambda: self._reply(asked, context)))
        self._responses[stream.id] = task
        task.add_done_callback(lambda _: self._ended(stream.id))
        # A task that is cancelled before its first step never runs: let it begin.
        await asyncio.sleep(0)

    @_handle.register
    async def _(self, event: ResponseCancel) -> None:
        if not self._cancel(event.response_id or self._active):
            message = "Cancellation failed: no active response found"
            raise RequestError("response_cancel_not_active", message)

    def _cancel(self, response_id: str | None) -> bool:
        # Taken out: a second cancellation must not interrupt the first one's last events.
        task = self._responses.pop(response_id or "", None)
        return task is not None and task.cancel()

    def _set(self, config: SessionConfig) -> None:
        old, new = self._config.audio.input, config.audio.input
        if (old.turn_detection, old.format) != (new.turn_detection, new.format):
            vad = new.turn_detection
            self._detector = None if vad is None else TurnDetector(vad.silence_duration_ms)
            self._examined = len(self._buffer)
        self._config = config

    def _drop(self, size: int) -> None:
        """Take the first bytes out of the buffer."""
        del self._buffer[:size]
        self._examined = max(0, self._examined - size)
        self._spoken_id = None
        if self._detector is not None:
            self._detector.speaking = False

    async def _detect(self, detector: TurnDetector) -> None:
        """Look at the new frames of the buffer for turns that start and stop."""
        wire = self._config.audio.input.format
        fmt = audio_format(wire)
        size = wire.rate * FRAME_MS // 1000 * fmt.bytes_per_sample
        while len(self._buffer) - self._examined >= size:
            frame = bytes(self._buffer[self._examined : self._examined + size])
            self._examined += size
            self._heard_ms += FRAME_MS
            change = detector.frame(decode(frame, fmt))
            if change == "started":
                await self._speech_started(size)
            elif change == "stopped":
                await self._speech_stopped()

    async def _speech_started(self, frame_bytes: int) -> None:
        vad = self._config.audio.input.turn_detection
        if vad is None:
            return
        frames = min(self._examined // frame_bytes, vad.prefix_padding_ms // FRAME_MS)
        del self._buffer[: self._examined - frames * frame_bytes]
        self._examined = frames * frame_bytes
        self._spoken_id = new_id("item")
        start = {"audio_start_ms": self._heard_ms - frames * FRAME_MS, "item_id": self._spoken_id}
        await self._emit("input_audio_buffer.speech_started", **start)
        if vad.interrupt_response:
            self._cancel(self._active)

    async def _speech_stopped(self) -> None:
        vad = self._config.audio.input.turn_detection
        if vad is None:
            return
        end = {"audio_end_ms": self._heard_ms, "item_id": self._spoken_id}
        await self._emit("input_audio_buffer.speech_stopped", **end)
        await self._commit(self._examined)
        if vad.create_response and self._active is None:
            await self._respond(ResponseParameters())

    def _ended(self, response_id: str) -> None:
        self._responses.pop(response_id, None)
        if self._active == response_id:
            self._active = None

    async def _add(self, item: Item, after: str | None) -> None:
        previous = self._conversation.add(item, after)
        if item.data.get("role") == "user":
            self._listen(item)
        await self._emit("conversation.item.added", previous_item_id=previous, item=item.data)
        await self._emit("conversation.item.done", previous_item_id=previous, item=item.data)

    def _listen(self, item: Item) -> None:
        for index, clip in item.clips.items():
            item.hearing[index] = self._spawn(self._speech.hear(clip.pcm16, clip.rate_hz))
            if self._config.audio.input.transcription is not None:
                self._spawn(self._transcribe(item, index))

    async def _transcribe(self, item: Item, index: int) -> None:
        place = {"item_id": item.id, "content_index": index}
        kind = "conversation.item.input_audio_transcription"
        try:
            heard = await item.hearing[index]
        except RealtimeEvalError as error:
            details = {"type": "transcription_error", "message": str(error)}
            await self._emit(f"{kind}.failed", **place, error=details)
            return
        item.data["content"][index]["transcript"] = heard
        audio, text = input_audio_tokens(item.clips[index].milliseconds), text_tokens(heard)
        usage = {
            "type": "tokens",
            "total_tokens": audio + text,
            "input_tokens": audio,
            "input_token_details": {"text_tokens": 0, "audio_tokens": audio},
            "output_tokens": text,
        }
        await self._emit(f"{kind}.delta", **place, delta=heard)
        await self._emit(f"{kind}.completed", **place, transcript=heard, usage=usage)

    def _new_item(self, asked: NewItem) -> Item:
        """Return the item that a client describes, its audio taken out of it."""
        item = _item(asked.model_dump(exclude_unset=True, exclude={"object", "status"}))
        for index, part in enumerate(item.data.get("content", ())):
            if (audio := part.pop("audio", None)) is not None:
                item.clips[index] = self._input_clip(_audio(audio, index))
                part.setdefault("transcript", None)
        return item

    def _input_clip(self, data: bytes) -> Clip:
        wire = self._config.audio.input.format
        fmt = audio_format(wire)
        whole = len(data) - len(data) % fmt.bytes_per_sample
        return Clip(data[:whole], fmt, wire.rate)

    def _context(self, asked: ResponseParameters) -> list[Item]:
        """Return the items that a response builds on."""
        if asked.input is None:
            return list(self._conversation)
        return [
            self._conversation.get(item.id, "reference")
            if isinstance(item, ItemReference)
            else self._heard(self._new_item(item))
            for item in asked.input
        ]

    def _heard(self, item: Item) -> Item:
        for index, clip in item.clips.items():
            if item.data.get("role") == "user":
                item.hearing[index] = self._spawn(self._speech.hear(clip.pcm16, clip.rate_hz))
        return item

    def _tools(self, asked: ResponseParameters) -> list[dict[str, Any]]:
        tools = self._config.tools if asked.tools is None else asked.tools
        choice = asked.tool_choice or self._config.tool_choice
        if choice == "none":
            return []
        if isinstance(choice, FunctionChoice):
            tools = [tool for tool in tools if tool.name == choice.name]
        return [tool.model_dump(exclude_none=True) for tool in tools]

    def _is_caller(self, asked: ResponseParameters) -> bool:
        """Whether the simulated caller answers: out of band, and without tools to use."""
        return asked.conversation == "none" and not self._tools(asked)

    def _plan(self, asked: ResponseParameters, context: list[Item]) -> Plan:
        output = self._config.audio.output
        own = asked.audio.output
        wire = own.format or output.format
        default = _CALLER_VOICE if self._is_caller(asked) else _AGENT_VOICE
        voice = own.voice if isinstance(own.voice, str) or own.voice is None else own.voice.id
        modality = (asked.output_modalities or self._config.output_modalities)[0]
        self._spoke |= modality == "audio"
        return Plan(
            conversation=self._conversation if asked.conversation == "auto" else None,
            modality=modality,
            voice=voice or output.voice_name or default,
            audio_format=audio_format(wire),
            rate_hz=wire.rate,
            wire_format=wire.model_dump(),
            metadata=asked.metadata,
            max_output_tokens=asked.max_output_tokens or self._config.max_output_tokens,
            input_tokens=self._input_tokens(asked, context),
        )

    def _input_tokens(self, asked: ResponseParameters, context: list[Item]) -> tuple[int, int]:
        counts = [item.tokens() for item in context]
        instructions = text_tokens(self._instructions(asked))
        text = instructions + schema_tokens(self._tools(asked)) + sum(count[0] for count in counts)
        return text, sum(count[1] for count in counts)

    def _instructions(self, asked: ResponseParameters) -> str:
        own = self._config.instructions
        if self._is_caller(asked):
            return f"{own}{asked.instructions or ''}"
        return own if asked.instructions is None else asked.instructions

    async def _reply(self, asked: ResponseParameters, context: list[Item]) -> AgentReply:
        items = tuple([await item.understood() for item in context])
        if self._is_caller(asked):
            view = caller.CallerView(self._config.instructions, asked.instructions or "", items)
            return agent.AgentReply(caller.reply(view))
        tools = tuple(self._tools(asked))
        reply = agent.decide(agent.AgentView(self._instructions(asked), tools, items))
        one = asked.parallel_tool_calls is False or self._config.parallel_tool_calls is False
        return agent.AgentReply(reply.text, reply.calls[:1]) if one else reply

    def _session(self) -> dict[str, Any]:
        config = self._config.model_dump(exclude={"parallel_tool_calls"})
        output = config["audio"]["output"]
        output["voice"] = self._config.audio.output.voice_name or _AGENT_VOICE
        head = {"object": "realtime.session", "id": self.id, "expires_at": self._expires_at}
        return {**head, **config}

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _emit(self, kind: str, **fields: object) -> None:
        await self._send({"type": kind, "event_id": new_id("event"), **fields})

    async def _error(self, error: RequestError, event_id: str | None) -> None:
        details = {
            "type": "invalid_request_error",
            "code": error.code,
            "message": str(error),
            "param": error.param,
            "event_id": event_id,
        }
        await self._emit("error", error=details)


def _item(data: dict[str, Any]) -> Item:
    head: dict[str, Any] = {"id": new_id("item"), "object": "realtime.item", "status": "completed"}
    if data["type"] == "function_call":
        head["call_id"] = new_id("call")
    return Item({**head, **{key: value for key, value in data.items() if value is not None}})


def _audio(value: str, index: int) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        place = f"item.content[{index}].audio"
        message = f"Invalid value for '{place}': expected valid Base64."
        raise RequestError("invalid_value", message, place) from error
