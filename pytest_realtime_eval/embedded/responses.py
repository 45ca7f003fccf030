"""One response: what is said and called, as the API's stream of events."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.embedded.items import Clip, Conversation, Item, new_id
from pytest_realtime_eval.embedded.usage import (
    output_audio_tokens,
    response_usage,
    text_tokens,
)
from pytest_realtime_eval.embedded.voice import SAMPLE_RATE_HZ
from pytest_realtime_eval.realtime.audio import AudioFormat, chunks, encode, resample

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from pytest_realtime_eval.embedded.agent import AgentReply
    from pytest_realtime_eval.embedded.speech import Speech

__all__ = ["Plan", "ResponseStream"]

_DELTA_MS: Final = 200


@dataclass(frozen=True)
class Plan:
    """How a response is to be made.

    Attributes:
        conversation: Where its items go; ``None`` for an out-of-band response.
        modality: ``audio`` or ``text``.
        voice: The voice's name.
        audio_format: The codec of its audio.
        rate_hz: The rate of its audio.
        wire_format: The format object that says both.
        metadata: The client's own, echoed.
        max_output_tokens: The limit, or ``"inf"``.
        input_tokens: Text and audio tokens of what it builds on.
    """

    conversation: Conversation | None
    modality: str
    voice: str
    audio_format: AudioFormat
    rate_hz: int
    wire_format: Mapping[str, Any]
    metadata: dict[str, str] | None
    max_output_tokens: int | str
    input_tokens: tuple[int, int]


@dataclass
class ResponseStream:
    """Emits a response's events in the API's order; always ends with ``response.done``."""

    plan: Plan
    emit: Callable[..., Awaitable[None]]
    speech: Speech
    id: str = field(default_factory=lambda: new_id("resp"))
    _output: list[dict[str, Any]] = field(default_factory=list)
    _output_text: int = 0
    _output_audio: int = 0
    _truncated: bool = False

    async def begin(self) -> None:
        """Emit ``response.created``."""
        await self.emit("response.created", response=self._response("in_progress"))

    async def run(self, decide: Callable[[], Awaitable[AgentReply]]) -> None:
        """Emit everything after ``response.created``, up to ``response.done``.

        Cancelling the task ends the response as ``cancelled``.
        """
        try:
            await self._play(await decide())
        except asyncio.CancelledError:
            await self._done("cancelled", {"type": "cancelled", "reason": "client_cancelled"})
        except Exception as error:  # noqa: BLE001 - any failure is the response's status
            await self._done("failed", _failure(error))
        else:
            await self._finish()

    async def _finish(self) -> None:
        if self._truncated:
            details = {"type": "incomplete", "reason": "max_output_tokens"}
            await self._done("incomplete", details)
        else:
            await self._done("completed", None)

    async def _play(self, reply: AgentReply) -> None:
        if reply.text:
            await self._message(reply.text)
        for name, arguments in reply.calls:
            await self._call(name, json.dumps(arguments, ensure_ascii=False))

    async def _message(self, text: str) -> None:
        if self.plan.modality == "text":
            await self._text_message(text)
        else:
            await self._audio_message(text, await self._spoken(text))

    async def _text_message(self, text: str) -> None:
        allowed = text.encode()[: max(0, self._left()) * 4].decode(errors="ignore")
        self._truncated |= allowed != text
        part: dict[str, Any] = {"type": "output_text", "text": ""}
        item = await self._begin({"type": "message", "role": "assistant", "content": []})
        place = await self._begin_part(item, part)
        try:
            for delta in _words(allowed):
                await self.emit("response.output_text.delta", **place, delta=delta)
                part["text"] += delta
                await asyncio.sleep(0)
        finally:
            self._output_text += text_tokens(part["text"])
            await self.emit("response.output_text.done", **place, text=part["text"])
            await self._end_part(place, part)
            await self._end(item, complete=part["text"] == text)

    async def _audio_message(self, text: str, audio: bytes) -> None:
        part: dict[str, Any] = {"type": "output_audio", "transcript": ""}
        item = await self._begin({"type": "message", "role": "assistant", "content": []})
        place = await self._begin_part(item, part)
        sent = bytearray()
        try:
            for words, chunk in _interleaved(text, self._cut(audio)):
                if words and not self._truncated:
                    await self.emit("response.output_audio_transcript.delta", **place, delta=words)
                    part["transcript"] += words
                if chunk:
                    delta = base64.b64encode(chunk).decode()
                    await self.emit("response.output_audio.delta", **place, delta=delta)
                    sent += chunk
                # Other sessions, and this one's response.cancel, get their turn.
                await asyncio.sleep(0)
        finally:
            item.clips[0] = self._clip(bytes(sent))
            self._output_text += text_tokens(part["transcript"])
            self._output_audio += output_audio_tokens(item.clips[0].milliseconds)
            await self.emit("response.output_audio.done", **place)
            transcript = part["transcript"]
            await self.emit("response.output_audio_transcript.done", **place, transcript=transcript)
            await self._end_part(place, part)
            await self._end(item, complete=len(sent) == len(audio))

    async def _call(self, name: str, arguments: str) -> None:
        call_id = new_id("call")
        call = {"type": "function_call", "name": name, "call_id": call_id, "arguments": ""}
        item = await self._begin(call)
        place = self._place(item, call_id=call_id)
        await self.emit("response.function_call_arguments.delta", **place, delta=arguments)
        item.data["arguments"] = arguments
        self._output_text += text_tokens(name + arguments)
        done = "response.function_call_arguments.done"
        await self.emit(done, **place, name=name, arguments=arguments)
        await self._end(item)

    async def _begin(self, data: dict[str, Any]) -> Item:
        head = {"id": new_id("item"), "object": "realtime.item", "status": "in_progress"}
        item = Item({**head, **data})
        self._output.append(item.data)
        event = {"output_index": len(self._output) - 1, "item": _copy(item.data)}
        await self.emit("response.output_item.added", response_id=self.id, **event)
        if self.plan.conversation is not None:
            previous = self.plan.conversation.add(item)
            added = "conversation.item.added"
            await self.emit(added, previous_item_id=previous, item=_copy(item.data))
        return item

    async def _end(self, item: Item, *, complete: bool = True) -> None:
        item.data["status"] = "completed" if complete else "incomplete"
        event = {"output_index": self._output.index(item.data), "item": _copy(item.data)}
        await self.emit("response.output_item.done", response_id=self.id, **event)
        conversation = self.plan.conversation
        # A client may have deleted it meanwhile.
        if conversation is not None and conversation.has(item.id):
            previous = conversation.before(item.id)
            done = "conversation.item.done"
            await self.emit(done, previous_item_id=previous, item=_copy(item.data))

    async def _begin_part(self, item: Item, part: dict[str, Any]) -> dict[str, Any]:
        item.data["content"].append(part)
        place = self._place(item, content_index=0)
        await self.emit("response.content_part.added", **place, part=_as_part(part))
        return place

    async def _end_part(self, place: dict[str, Any], part: dict[str, Any]) -> None:
        await self.emit("response.content_part.done", **place, part=_as_part(part))

    def _place(self, item: Item, **more: object) -> dict[str, Any]:
        index = self._output.index(item.data)
        return {"response_id": self.id, "item_id": item.id, "output_index": index, **more}

    async def _spoken(self, text: str) -> bytes:
        """Return the text as wire audio."""
        pcm16 = await self.speech.speak(text, self.plan.voice)
        resampled = resample(pcm16, SAMPLE_RATE_HZ, self.plan.rate_hz)
        return encode(resampled, self.plan.audio_format)

    def _left(self) -> int:
        """Return how many tokens may still be put out."""
        limit = self.plan.max_output_tokens
        return 1 << 40 if isinstance(limit, str) else limit - self._output_text

    def _cut(self, audio: bytes) -> Iterator[bytes]:
        """Yield the audio in deltas, as far as the token limit reaches."""
        plan, left = self.plan, self._left()
        for chunk in chunks(audio, plan.audio_format, plan.rate_hz, _DELTA_MS):
            left -= output_audio_tokens(self._clip(chunk).milliseconds)
            if left < 0:
                self._truncated = True
                return
            yield chunk

    def _clip(self, data: bytes) -> Clip:
        return Clip(data, self.plan.audio_format, self.plan.rate_hz)

    async def _done(self, status: str, details: dict[str, Any] | None) -> None:
        response = self._response(status, details)
        response["usage"] = response_usage(
            *self.plan.input_tokens, self._output_text, self._output_audio
        )
        await self.emit("response.done", response=response)

    def _response(self, status: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
        plan = self.plan
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [_copy(item) for item in self._output],
            "conversation_id": plan.conversation.id if plan.conversation is not None else None,
            "output_modalities": [plan.modality],
            "max_output_tokens": plan.max_output_tokens,
            "audio": {"output": {"format": dict(plan.wire_format), "voice": plan.voice}},
            "usage": None,
            "metadata": plan.metadata,
        }


def _failure(error: Exception) -> dict[str, Any]:
    message = str(error) or type(error).__name__
    details = {"type": "server_error", "code": type(error).__name__, "message": message}
    return {"type": "failed", "error": details}


def _copy(item: dict[str, Any]) -> dict[str, Any]:
    """Return the item as it is now: it goes on changing."""
    content = {"content": [dict(part) for part in item["content"]]} if "content" in item else {}
    return {**item, **content}


def _as_part(part: dict[str, Any]) -> dict[str, Any]:
    """Return a content part under the names that ``response.content_part`` events use."""
    return {**part, "type": part["type"].removeprefix("output_")}


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*$|\s*\S+", text)


def _interleaved(text: str, audio: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield a few words of the transcript beside each piece of audio, then what is left."""
    words = iter(_words(text))
    for chunk in audio:
        yield next(words, ""), chunk
    if rest := "".join(words):
        yield rest, b""
