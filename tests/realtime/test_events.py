from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from pytest_realtime_eval.realtime import events
from pytest_realtime_eval.realtime.audio import AudioFormat

if TYPE_CHECKING:
    from pytest_realtime_eval.realtime.events import Event

TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}


def session_update(fmt: AudioFormat, tools: list[dict[str, Any]]) -> Event:
    return events.session_update(
        instructions="i",
        voice="marin",
        tools=tools,
        input_format=fmt,
        output_format=fmt,
        sample_rate_hz=24000,
        output_modalities=("audio",),
    )


CLIENT_EVENTS = [
    session_update(AudioFormat.PCM16, [TOOL]),
    session_update(AudioFormat.G711_ULAW, []),
    session_update(AudioFormat.G711_ALAW, []),
    events.CLEAR,
    events.COMMIT,
    json.loads(events.append_line(b"AAA=")),
    events.item_create(events.function_call_output("c", "{}")),
    events.item_create(events.message_item("user", "hi")),
    events.item_create(events.message_item("assistant", "hi")),
    events.response_create({}),
    events.response_create(
        {
            "conversation": "none",
            "output_modalities": ["audio"],
            "instructions": "i",
            "input": [events.message_item("user", "hi")],
            "metadata": {"turn": "2"},
        }
    ),
]


@pytest.mark.parametrize("event", CLIENT_EVENTS, ids=lambda event: event["type"])
def test_client_events_have_the_shape_that_openai_describes(event: Event) -> None:
    parsed = TypeAdapter[Any](RealtimeClientEvent).validate_python(event)
    # Unknown fields would be kept as extras of the models.
    assert extras(parsed) == {}
    # exclude_unset leaves what was sent.
    assert parsed.model_dump(exclude_unset=True, mode="json") == event


def extras(model: Any) -> dict[str, Any]:  # noqa: ANN401 - any model
    found: dict[str, Any] = dict(getattr(model, "model_extra", None) or {})
    for value in getattr(model, "__dict__", {}).values():
        for nested in value if isinstance(value, list) else [value]:
            found |= extras(nested)
    return found


def test_turn_detection_is_switched_off_and_not_left_out() -> None:
    event = session_update(AudioFormat.PCM16, [])
    assert event["session"]["audio"]["input"]["turn_detection"] is None
    assert "tools" not in event["session"]


@given(st.binary(max_size=200))
def test_the_line_joined_by_hand_is_the_event(data: bytes) -> None:
    encoded = base64.b64encode(data)
    assert json.loads(events.append_line(encoded)) == {
        "type": "input_audio_buffer.append",
        "audio": encoded.decode(),
    }
