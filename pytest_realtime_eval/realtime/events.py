"""Names and shapes of the Realtime API's events, GA and beta.

Client events are plain dicts in the GA shape. ``openai.types.realtime`` describes both
directions; the tests hold these builders against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_realtime_eval.realtime.audio import AudioFormat

__all__ = [
    "CANONICAL_NAMES",
    "CLEAR",
    "COMMIT",
    "Event",
    "append_line",
    "function_call_output",
    "item_create",
    "message_item",
    "response_create",
    "session_update",
]

Event = dict[str, Any]

#: What beta servers say, and what GA calls it.
CANONICAL_NAMES: Final[Mapping[str, str]] = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "conversation.item.created": "conversation.item.added",
}

CLEAR: Final[Event] = {"type": "input_audio_buffer.clear"}
COMMIT: Final[Event] = {"type": "input_audio_buffer.commit"}

_APPEND_HEAD: Final = b'{"type":"input_audio_buffer.append","audio":"'
_APPEND_TAIL: Final = b'"}'


def append_line(audio_base64: bytes) -> bytes:
    """Return ``input_audio_buffer.append`` as JSON text.

    Joined by hand, since it is sent fifty times a second: base64 needs no escaping.
    """
    return _APPEND_HEAD + audio_base64 + _APPEND_TAIL


def session_update(
    *,
    instructions: str,
    voice: str | None,
    tools: Sequence[Mapping[str, Any]],
    input_format: AudioFormat,
    output_format: AudioFormat,
    sample_rate_hz: int,
    output_modalities: Sequence[str],
) -> Event:
    """Return a GA ``session.update`` with turn detection off: the harness commits itself."""
    output: Event = {"format": output_format.wire(sample_rate_hz)}
    if voice:
        output["voice"] = voice
    session: Event = {
        "type": "realtime",
        "instructions": instructions,
        "output_modalities": list(output_modalities),
        "audio": {
            "input": {"format": input_format.wire(sample_rate_hz), "turn_detection": None},
            "output": output,
        },
    }
    if tools:
        session |= {"tools": [dict(tool) for tool in tools], "tool_choice": "auto"}
    return {"type": "session.update", "session": session}


def item_create(item: Mapping[str, Any]) -> Event:
    """Return ``conversation.item.create``."""
    return {"type": "conversation.item.create", "item": dict(item)}


def function_call_output(call_id: str, output: str) -> Event:
    """Return the item that answers a function call; ``output`` is text, usually JSON."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def message_item(role: str, text: str) -> Event:
    """Return a text message; what an assistant says is output, all else is input."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def response_create(fields: Mapping[str, Any]) -> Event:
    """Return ``response.create``; without fields the session's own settings hold."""
    return {"type": "response.create", **({"response": dict(fields)} if fields else {})}
