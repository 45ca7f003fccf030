from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from pytest_realtime_eval.exceptions import ProtocolError
from pytest_realtime_eval.realtime import events, protocol
from pytest_realtime_eval.realtime.audio import AudioFormat
from pytest_realtime_eval.realtime.protocol import (
    AudioDelta,
    ItemAdded,
    Progress,
    Response,
    ResponseDone,
    ResponseStarted,
    ServerError,
    SessionProtocol,
    TextDelta,
)

IDS = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}


@pytest.fixture
def session() -> SessionProtocol:
    return make()


def make(fmt: AudioFormat = AudioFormat.PCM16) -> SessionProtocol:
    return SessionProtocol(input_format=fmt, output_format=fmt, sample_rate_hz=24000)


def feed(session: SessionProtocol, *received: dict[str, Any]) -> list[Any]:
    """Feed events a second apart, after ``response.create`` at 0 s."""
    session.start_response(0.0)
    return [out for at, event in enumerate(received, 1) for out in session.receive(event, at)]


def created(response_id: str = "r") -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response_id}}


def delta(kind: str, data: str, **ids: Any) -> dict[str, Any]:  # noqa: ANN401 - event fields
    return {"type": f"response.{kind}.delta", "delta": data, **IDS, **ids}


def done(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - event fields
    return {"type": "response.done", "response": {"id": "r", "status": "completed", **fields}}


def response(session: SessionProtocol, *received: dict[str, Any]) -> Response:
    last = feed(session, *received)[-1]
    assert isinstance(last, ResponseDone)
    return last.response


def test_each_event_says_what_it_brought(session: SessionProtocol) -> None:
    audio = base64.b64encode(bytes(4)).decode()
    out = feed(
        session,
        created(),
        delta("output_audio", audio),
        delta("output_audio_transcript", "hi"),
        delta("function_call_arguments", "{"),
        {"type": "conversation.item.added", "item": {"id": "i"}},
        {"type": "conversation.item.created", "item": {"id": "j"}},
        {"type": "conversation.item.done", "item": {"id": "i"}},
        {"type": "rate_limits.updated"},
        {"type": "error", "error": {"message": "m", "type": "t", "code": "c"}},
    )
    assert out == [
        ResponseStarted("r"),
        AudioDelta(4),
        TextDelta("hi"),
        Progress(),
        ItemAdded({"id": "i"}),
        ItemAdded({"id": "j"}),
        ServerError("m", "t", "c"),
    ]


def test_times_are_those_of_the_first_delta_of_each_kind(session: SessionProtocol) -> None:
    found = response(
        session,
        created(),
        delta("output_audio_transcript", "a"),
        delta("output_audio", "AAA="),
        delta("output_audio_transcript", "b"),
        delta("output_audio", "AAA="),
        done(),
    )
    assert (found.requested_at, found.first_text_at, found.first_audio_at) == (0, 2, 3)
    assert (found.last_audio_at, found.done_at) == (5, 6)


def test_a_transcript_that_only_comes_whole_has_a_time(session: SessionProtocol) -> None:
    whole = {"type": "response.output_audio_transcript.done", "transcript": "hi", **IDS}
    found = response(session, created(), whole, done())
    assert (found.transcript, found.first_text_at, found.first_audio_at) == ("hi", 2, None)


def test_the_final_output_is_what_counts(session: SessionProtocol) -> None:
    final = {
        "type": "message",
        "content": [
            {"type": "output_audio", "transcript": "Corrected."},
            {"type": "output_text", "text": "Written."},
        ],
    }
    found = response(
        session, created(), delta("output_audio_transcript", "Correct"), done(output=[final])
    )
    assert (found.transcript, found.text) == ("Corrected.", "Written.")


def test_parts_are_kept_apart_and_joined_in_order(session: SessionProtocol) -> None:
    found = response(
        session,
        created(),
        delta("output_text", "On", content_index=0),
        delta("output_text", "two", content_index=1),
        delta("output_text", "e", content_index=0),
        done(),
    )
    assert (found.text, found.transcript) == ("One two", "")


def test_a_call_is_put_together_from_its_events(session: SessionProtocol) -> None:
    item = {"id": "i", "type": "function_call", "name": "find", "call_id": "c", "arguments": ""}
    arguments = {"type": "response.function_call_arguments.done", "arguments": '{"a":1}', **IDS}
    found = response(
        session,
        created(),
        {"type": "response.output_item.added", "item": item, "response_id": "r"},
        arguments,
        done(output=[]),
    )
    (call,) = found.function_calls
    assert (call.name, call.call_id, call.arguments) == ("find", "c", {"a": 1})


def test_a_call_that_is_repeated_is_one_call(session: SessionProtocol) -> None:
    item = {"type": "function_call", "name": "find", "call_id": "c", "arguments": "{}"}
    found = response(session, created(), done(output=[item, dict(item)]))
    assert len(found.function_calls) == 1


def test_arguments_that_came_as_an_object_are_taken(session: SessionProtocol) -> None:
    item = {"type": "function_call", "name": "f", "call_id": "c", "arguments": {"a": 1}}
    (call,) = response(session, created(), done(output=[item])).function_calls
    assert (call.arguments, call.raw_arguments) == ({"a": 1}, '{"a": 1}')


def test_torn_surrogates_are_joined_and_lone_ones_replaced(session: SessionProtocol) -> None:
    found = response(
        session,
        created(),
        delta("output_text", "\ud83d"),
        delta("output_text", "\ude00 \ud83d!"),
        done(),
    )
    assert found.text == "😀 �!"


def test_usage_survives_any_shape(session: SessionProtocol) -> None:
    usage = {"input_tokens": None, "output_tokens": "7", "input_token_details": [1]}
    assert response(session, done(usage=usage)).usage.input_tokens == 0


def test_g711_has_no_half_samples() -> None:
    found = response(make(AudioFormat.G711_ULAW), created(), delta("output_audio", "/w=="), done())
    assert found.audio == b"\xff"


def test_events_after_the_end_are_ignored(session: SessionProtocol) -> None:
    response(session, created(), done())
    assert session.receive(delta("output_audio", "AAA="), 9.0) == ()
    assert session.receive(delta("output_audio", "&", response_id="x"), 9.0) == ()


def test_a_second_response_of_the_server_is_left_alone(session: SessionProtocol) -> None:
    found = response(
        session,
        created(),
        created("other"),
        delta("output_audio", "BwcHBw==", response_id="other"),
        {"type": "response.done", "response": {"id": "other"}},
        delta("output_audio", "AAA="),
        done(),
    )
    assert found.audio == b"\0\0"


def test_a_response_without_end_does_not_fill_the_memory(
    session: SessionProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "RESPONSE_LIMIT", 1000)
    with pytest.raises(ProtocolError, match="a response brought more than"):
        feed(session, created(), *[delta("output_audio", "AAAA" * 100)] * 3)


def test_every_event_handled_is_one_that_openai_knows_or_a_beta_name() -> None:
    schema = TypeAdapter[Any](RealtimeServerEvent).json_schema()
    models = schema["$defs"].values()
    known = {model.get("properties", {}).get("type", {}).get("const") for model in models}
    handled = set(protocol._HANDLERS) - set(events.CANONICAL_NAMES)
    assert handled <= known
    assert set(events.CANONICAL_NAMES.values()) <= known


KINDS = st.sampled_from(sorted(protocol._HANDLERS))
KEYS = st.sampled_from(
    ["response", "response_id", "id", "item", "item_id", "delta", "session", "error", "output",
     "type", "name", "call_id", "arguments", "content", "audio", "format", "rate", "usage",
     "metadata", "status", "transcript", "text", "input_token_details", "input_tokens"]
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["r", "function_call", "message", "AAA=", "{}", "pcm16", ""])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(st.lists(st.tuples(KINDS, st.dictionaries(KEYS, VALUES, max_size=6)), max_size=6))
def test_whatever_comes_is_taken_or_refused_as_protocol(
    received: list[tuple[str, dict[str, Any]]],
) -> None:
    session = make()
    session.start_response(0.0, {"turn": "1"})
    with contextlib.suppress(ProtocolError):
        for kind, fields in received:
            session.receive({**fields, "type": kind}, 1.0)
