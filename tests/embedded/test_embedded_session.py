"""The Realtime protocol, as a client that we did not write sees it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import websockets

from pytest_realtime_eval.embedded.agent import AgentReply, AgentView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from openai import AsyncOpenAI
    from openai.resources.realtime.realtime import AsyncRealtimeConnection

    from pytest_realtime_eval.embedded.server import EmbeddedServer

pytestmark = pytest.mark.asyncio

TOOL = {
    "type": "function",
    "name": "find_order",
    "description": "Looks up an order.",
    "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}},
}
DECIDE = "pytest_realtime_eval.embedded.agent.decide"
SAY = "Say exactly the following, word for word, and nothing else:\n"


class Peer:
    """The SDK's connection, with every event that arrives validated and kept."""

    def __init__(self, connection: AsyncRealtimeConnection, check: Callable[..., Any]) -> None:
        self.connection = connection
        self._check = check
        self.events: list[Any] = []

    async def send(self, **event: object) -> None:
        await self.connection.send(event)  # type: ignore[arg-type] # also wrong events

    async def receive(self) -> Any:  # noqa: ANN401 - one of 40 models
        async with asyncio.timeout(5):
            raw = await self.connection.recv_bytes()
        self.events.append(self._check(json.loads(raw)))
        return self.events[-1]

    async def until(self, kind: str) -> Any:  # noqa: ANN401 - one of 40 models
        while (event := await self.receive()).type != kind:
            pass
        return event

    async def speak(self, text: str, lost_chunk: int | None = None) -> None:
        chunks = [base64.b64encode(ord(c).to_bytes(2, "little") * 480).decode() for c in text]
        for number, chunk in enumerate(chunks):
            if number != lost_chunk:
                await self.send(type="input_audio_buffer.append", audio=chunk)
        await self.send(type="input_audio_buffer.commit")

    def kinds(self) -> list[str]:
        return [event.type for event in self.events]


@pytest_asyncio.fixture
async def peer(client: AsyncOpenAI, check_event: Callable[..., Any]) -> AsyncIterator[Peer]:
    async with client.realtime.connect(model="any") as connection:
        peer = Peer(connection, check_event)
        await peer.receive()
        yield peer


def agent_says(monkeypatch: pytest.MonkeyPatch, *replies: AgentReply) -> list[AgentView]:
    """Let the agent give these replies, one after another; return what it was shown."""
    views: list[AgentView] = []
    answers = iter(replies)

    def decide(view: AgentView) -> AgentReply:
        views.append(view)
        return next(answers)

    monkeypatch.setattr(DECIDE, decide)
    return views


async def error_of(peer: Peer, **event: object) -> Any:  # noqa: ANN401 - the SDK's model
    await peer.send(**event)
    return (await peer.until("error")).error


async def test_a_session_starts_with_its_settings(peer: Peer) -> None:
    created = peer.events[0]
    assert created.type == "session.created"
    assert created.session.model == "any"
    assert created.session.audio.input.turn_detection is None
    assert created.session.audio.output.format.rate == 24_000


async def test_an_update_changes_what_it_names_and_keeps_the_rest(peer: Peer) -> None:
    audio = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"voice": "ash"}}
    await peer.send(
        type="session.update", session={"type": "realtime", "audio": audio, "tools": [TOOL]}
    )
    await peer.until("session.updated")
    await peer.send(type="session.update", session={"type": "realtime", "instructions": "Hi"})
    session = (await peer.until("session.updated")).session
    assert session.instructions == "Hi"
    assert session.audio.input.format.type == "audio/pcmu"
    assert session.audio.output.voice == "ash"
    assert [tool.name for tool in session.tools] == ["find_order"]


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({}, "missing_required_parameter", "session.type"),
        ({"type": "realtime", "temperature": 1}, "unknown_parameter", "session.temperature"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"type": "realtime", "instructions": 3}, "invalid_type", "session.instructions"),
        (
            {"type": "realtime", "output_modalities": ["audio", "text"]},
            "invalid_value",
            "session.output_modalities",
        ),
        (
            {"type": "realtime", "tools": [TOOL, {"type": "function"}]},
            "missing_required_parameter",
            "session.tools[1].name",
        ),
        (
            {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 1}}}},
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        (
            {"type": "realtime", "audio": {"input": {"format": {"type": "pcm16"}}}},
            "invalid_value",
            "session.audio.input.format",
        ),
        (
            {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "vad"}}}},
            "invalid_value",
            "session.audio.input.turn_detection",
        ),
    ],
)
async def test_a_wrong_update_is_an_error_and_changes_nothing(
    peer: Peer, session: dict[str, Any], code: str, param: str
) -> None:
    error = await error_of(peer, type="session.update", event_id="mine", session=session)
    assert (error.type, error.code, error.param) == ("invalid_request_error", code, param)
    assert error.event_id == "mine"
    await peer.send(type="session.update", session={"type": "realtime"})
    updated = (await peer.until("session.updated")).session.to_dict()
    assert updated == peer.events[0].session.to_dict()


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "nonsense"}, "invalid_value"),
        ({}, "missing_required_parameter"),
        ({"type": "input_audio_buffer.append", "audio": "%%"}, "invalid_value"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter"),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
        ({"type": "response.cancel"}, "response_cancel_not_active"),
        ({"type": "conversation.item.delete", "item_id": "x"}, "item_delete_invalid_item_id"),
        ({"type": "conversation.item.retrieve", "item_id": "x"}, "item_retrieve_invalid_item_id"),
        ({"type": "conversation.item.create", "item": {"type": "x"}}, "invalid_value"),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": "x", "output": ""},
            },
            "invalid_tool_call_id",
        ),
        (
            {
                "type": "conversation.item.create",
                "previous_item_id": "x",
                "item": {"type": "message", "role": "user", "content": []},
            },
            "item_create_invalid_previous_item_id",
        ),
        ({"type": "response.create", "response": {"metadata": {"turn": 1}}}, "invalid_type"),
        ({"type": "response.create", "response": {"modalities": []}}, "unknown_parameter"),
    ],
)
async def test_a_wrong_event_is_an_error_with_the_clients_own_id(
    peer: Peer, event: dict[str, Any], code: str
) -> None:
    error = await error_of(peer, event_id="event_7", **event)
    assert (error.code, error.event_id) == (code, "event_7")


async def test_text_that_is_no_json_and_binary_frames_are_errors(server: EmbeddedServer) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    url = f"ws://127.0.0.1:{server.port}/v1/realtime?model=m"
    async with websockets.connect(url, additional_headers=headers) as socket:
        await socket.recv()
        for message in ("{", b"\x00"):
            await socket.send(message)
            assert json.loads(await socket.recv())["error"]["code"] == "invalid_json"


async def test_spoken_audio_becomes_an_item_and_a_transcript(peer: Peer) -> None:
    transcription = {"input": {"transcription": {"model": "any"}}}
    await peer.send(type="session.update", session={"type": "realtime", "audio": transcription})
    await peer.speak("Good morning")
    heard = await peer.until("conversation.item.input_audio_transcription.completed")
    assert peer.kinds()[2:] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ]
    committed, added = peer.events[2:4]
    assert committed.previous_item_id is None
    assert committed.item_id == added.item.id == heard.item_id
    assert heard.transcript == "Good morning"
    # 12 characters of 20 ms, and 12 bytes
    assert (heard.usage.input_tokens, heard.usage.output_tokens) == (3, 3)


async def test_a_lost_chunk_changes_what_is_heard(peer: Peer) -> None:
    transcription = {"input": {"transcription": {"model": "any"}}}
    await peer.send(type="session.update", session={"type": "realtime", "audio": transcription})
    await peer.speak("Good morning", lost_chunk=8)
    heard = await peer.until("conversation.item.input_audio_transcription.completed")
    assert heard.transcript == "Good moring"


async def test_cleared_audio_is_never_heard(peer: Peer) -> None:
    chunk = base64.b64encode(b"x\x00" * 4_800).decode()
    await peer.send(type="input_audio_buffer.append", audio=chunk)
    await peer.send(type="input_audio_buffer.clear")
    await peer.until("input_audio_buffer.cleared")
    error = await error_of(peer, type="input_audio_buffer.commit")
    assert "0.00ms" in error.message


async def test_a_spoken_response_has_the_apis_events_in_its_order(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = agent_says(monkeypatch, AgentReply("It is ready."))
    await peer.speak("Is it ready?")
    await peer.send(type="response.create", response={"metadata": {"turn": "2"}})
    done = await peer.until("response.done")
    kinds = peer.kinds()[peer.kinds().index("response.created") :]
    deltas = {"response.output_audio.delta", "response.output_audio_transcript.delta"}
    assert [kind for kind in kinds if kind not in deltas] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    said = "".join(event.delta for event in peer.events if event.type.endswith("transcript.delta"))
    audio = b"".join(
        base64.b64decode(event.delta)
        for event in peer.events
        if event.type == "response.output_audio.delta"
    )
    assert said == "It is ready."
    assert len(audio) == 12 * 480 * 2
    assert views[0].items[-1]["content"][0]["transcript"] == "Is it ready?"
    response = done.response
    assert (response.status, response.metadata) == ("completed", {"turn": "2"})
    assert response.output[0].content[0].transcript == "It is ready."
    # 12 characters of 20 ms each way; 12 bytes of text
    usage = response.usage
    assert usage.input_token_details.audio_tokens == 3
    assert usage.output_token_details.audio_tokens == 5
    assert usage.output_token_details.text_tokens == 3
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens == 11


async def test_items_know_the_one_before_them(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    agent_says(monkeypatch, AgentReply("Yes?"), AgentReply("Fine."))
    for words in ("Hello there", "I have a question"):
        await peer.speak(words)
        await peer.send(type="response.create")
        await peer.until("response.done")
    added = [event for event in peer.events if event.type == "conversation.item.added"]
    ids = [event.item.id for event in added]
    assert len(set(ids)) == 4
    assert [event.previous_item_id for event in added] == [None, *ids[:3]]


async def test_calls_are_streamed_and_their_outputs_reach_the_agent(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = (("find_order", {"order_id": "ORD-1001"}), ("find_order", {"order_id": "é"}))
    views = agent_says(monkeypatch, AgentReply("", calls), AgentReply("It was sent."))
    tools = {"type": "realtime", "tools": [TOOL], "instructions": "Be kind."}
    await peer.send(type="session.update", session=tools)
    await peer.speak("Where is my order?")
    await peer.send(type="response.create")
    done = await peer.until("response.done")
    first, second = done.response.output
    assert json.loads(first.arguments) == {"order_id": "ORD-1001"}
    assert json.loads(second.arguments) == {"order_id": "é"}
    assert first.call_id != second.call_id
    finished = [e for e in peer.events if e.type == "response.function_call_arguments.done"]
    assert [event.output_index for event in finished] == [0, 1]
    for call in (first, second):
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "{}"}
        await peer.send(type="conversation.item.create", item=output)
    await peer.send(type="response.create")
    await peer.until("response.done")
    assert (views[0].instructions, views[0].tools[0]["name"]) == ("Be kind.", "find_order")
    assert [item["type"] for item in views[1].items] == [
        "message",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
    ]


@pytest.mark.parametrize("choice", ["none", {"type": "function", "name": "other"}])
async def test_tool_choice_hides_tools(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, choice: object
) -> None:
    views = agent_says(monkeypatch, AgentReply("Hm."))
    await peer.send(
        type="response.create", response={"tools": [TOOL], "tool_choice": choice, "input": []}
    )
    await peer.until("response.done")
    assert views[0].tools == ()


async def test_a_text_response_is_text_only(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    agent_says(monkeypatch, AgentReply("Just text."))
    await peer.send(type="response.create", response={"output_modalities": ["text"]})
    done = await peer.until("response.done")
    assert done.response.output[0].content[0].text == "Just text."
    assert not any("audio" in kind for kind in peer.kinds())


async def test_the_caller_answers_out_of_band_and_leaves_no_trace(peer: Peer) -> None:
    await peer.send(
        type="response.create",
        response={
            "conversation": "none",
            "input": [],
            "instructions": f"{SAY}Hello, it's me.",
            "metadata": {"turn": "1"},
        },
    )
    done = await peer.until("response.done")
    assert done.response.output[0].content[0].transcript == "Hello, it's me."
    assert done.response.conversation_id is None
    assert done.response.metadata == {"turn": "1"}
    assert not any(kind.startswith("conversation.item") for kind in peer.kinds())
    await peer.speak("Who was that?")
    assert (await peer.until("input_audio_buffer.committed")).previous_item_id is None


async def test_caller_and_agent_have_different_voices(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_says(monkeypatch, AgentReply("Hello."))
    sounds = []
    for response in ({"conversation": "none", "instructions": f"{SAY}Hello.", "input": []}, {}):
        await peer.send(type="response.create", response=response)
        await peer.until("response.done")
        deltas = [e.delta for e in peer.events if e.type == "response.output_audio.delta"]
        sounds.append(deltas[-1])
    assert sounds[0] != sounds[1]


async def test_only_one_response_writes_to_the_conversation(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_says(monkeypatch, AgentReply("word " * 2_000), AgentReply("Again."))
    await peer.send(type="response.create")
    error = await error_of(peer, type="response.create")
    assert error.code == "conversation_already_has_active_response"
    await peer.until("response.done")
    await peer.send(type="response.create")
    assert (await peer.until("response.done")).response.status == "completed"


async def test_a_cancelled_response_ends_as_cancelled(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_says(monkeypatch, AgentReply("word " * 2_000), AgentReply("Again."))
    await peer.send(type="response.create")
    await peer.until("response.output_audio.delta")
    await peer.send(type="response.cancel")
    response = (await peer.until("response.done")).response
    assert response.status == "cancelled"
    assert response.status_details.reason == "client_cancelled"
    assert response.output[0].status == "incomplete"
    kinds = peer.kinds()
    assert kinds.index("response.content_part.done") < kinds.index("response.output_item.done")
    await peer.send(type="response.create")
    assert (await peer.until("response.done")).response.status == "completed"


async def test_a_response_cancelled_at_once_still_ends(peer: Peer) -> None:
    await peer.send(type="response.create")
    await peer.send(type="response.cancel")
    assert (await peer.until("response.done")).response.status in ("cancelled", "completed")


async def test_a_token_limit_makes_a_response_incomplete(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_says(monkeypatch, AgentReply("word " * 100))
    await peer.send(type="response.create", response={"max_output_tokens": 20})
    response = (await peer.until("response.done")).response
    assert response.status == "incomplete"
    assert response.status_details.reason == "max_output_tokens"
    assert response.usage.output_token_details.audio_tokens <= 20


async def test_a_failing_agent_is_a_failed_response(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: AgentView) -> AgentReply:
        raise RuntimeError("no idea")

    monkeypatch.setattr(DECIDE, fail)
    await peer.send(type="response.create")
    response = (await peer.until("response.done")).response
    assert response.status == "failed"
    assert response.status_details.error.message == "no idea"


async def test_items_are_created_in_place_retrieved_and_deleted(peer: Peer) -> None:
    def message(item_id: str) -> dict[str, Any]:
        content = [{"type": "input_text", "text": item_id}]
        return {"id": item_id, "type": "message", "role": "user", "content": content}

    for item_id, after in (("b", None), ("a", "root"), ("c", "b")):
        await peer.send(
            type="conversation.item.create", item=message(item_id), previous_item_id=after
        )
        await peer.until("conversation.item.done")
    added = [event for event in peer.events if event.type == "conversation.item.added"]
    assert [event.previous_item_id for event in added] == [None, None, "b"]
    error = await error_of(peer, type="conversation.item.create", item=message("a"))
    assert error.code == "item_create_duplicate_item_id"
    await peer.send(type="conversation.item.retrieve", item_id="a")
    assert (await peer.until("conversation.item.retrieved")).item.content[0].text == "a"
    await peer.send(type="conversation.item.delete", item_id="a")
    assert (await peer.until("conversation.item.deleted")).item_id == "a"
    error = await error_of(peer, type="conversation.item.retrieve", item_id="a")
    assert error.code == "item_retrieve_invalid_item_id"


async def test_audio_is_retrieved_as_it_was_sent(peer: Peer) -> None:
    await peer.speak("Hello there")
    item_id = (await peer.until("input_audio_buffer.committed")).item_id
    await peer.send(type="conversation.item.retrieve", item_id=item_id)
    retrieved = await peer.until("conversation.item.retrieved")
    assert len(base64.b64decode(retrieved.item.content[0].audio)) == 11 * 480 * 2


async def test_audio_inside_an_item_is_heard(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    views = agent_says(monkeypatch, AgentReply("Yes."))
    audio = base64.b64encode(b"".join(bytes([c, 0]) * 480 for c in b"Hello")).decode()
    content = [{"type": "input_audio", "audio": audio}]
    item = {"type": "message", "role": "user", "content": content}
    await peer.send(type="conversation.item.create", item=item)
    await peer.send(type="response.create")
    await peer.until("response.done")
    assert views[0].items[0]["content"][0]["transcript"] == "Hello"


async def test_a_response_can_be_given_its_context(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = agent_says(monkeypatch, AgentReply("Yes."))
    await peer.speak("Hello there")
    item_id = (await peer.until("input_audio_buffer.committed")).item_id
    text = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hm"}]}
    context = [text, {"type": "item_reference", "id": item_id}]
    await peer.send(
        type="response.create", response={"input": context, "instructions": "Be brief."}
    )
    await peer.until("response.done")
    assert views[0].instructions == "Be brief."
    first, second = views[0].items
    assert first["content"][0]["text"] == "Hm"
    assert second["content"][0]["transcript"] == "Hello there"


async def test_what_was_not_played_is_cut_off(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    agent_says(monkeypatch, AgentReply("A long story."))
    await peer.send(type="response.create")
    item_id = (await peer.until("response.done")).response.output[0].id
    cut = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0}
    error = await error_of(peer, **cut, audio_end_ms=60_000)
    assert error.param == "audio_end_ms"
    await peer.send(**cut, audio_end_ms=100)
    await peer.until("conversation.item.truncated")
    await peer.send(type="conversation.item.retrieve", item_id=item_id)
    part = (await peer.until("conversation.item.retrieved")).item.content[0]
    assert len(base64.b64decode(part.audio)) == 4_800
    assert part.transcript == ""


@pytest.mark.parametrize(
    ("law", "bytes_per_second"), [("audio/pcmu", 8_000), ("audio/pcma", 8_000)]
)
async def test_g711_is_spoken_at_8_khz(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, law: str, bytes_per_second: int
) -> None:
    agent_says(monkeypatch, AgentReply("x" * 50))
    output = {"output": {"format": {"type": law}}}
    await peer.send(type="session.update", session={"type": "realtime", "audio": output})
    await peer.send(type="response.create")
    done = await peer.until("response.done")
    deltas = [e.delta for e in peer.events if e.type == "response.output_audio.delta"]
    assert sum(len(base64.b64decode(delta)) for delta in deltas) == bytes_per_second
    assert done.response.usage.output_token_details.audio_tokens == 20


async def test_the_voice_stays_once_it_was_heard(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_says(monkeypatch, AgentReply("Hello."))
    await peer.send(type="response.create")
    await peer.until("response.done")
    session = {"type": "realtime", "audio": {"output": {"voice": "verse"}}}
    error = await error_of(peer, type="session.update", session=session)
    assert error.code == "cannot_update_voice"


LOUD, QUIET = b"\x00\x20" * 24, b"\0\0" * 24  # a millisecond of each


async def listens(peer: Peer, **settings: object) -> None:
    vad = {"type": "server_vad", "prefix_padding_ms": 100, **settings}
    audio = {"input": {"turn_detection": vad}}
    await peer.send(type="session.update", session={"type": "realtime", "audio": audio})
    await peer.until("session.updated")


async def play(peer: Peer, audio: bytes) -> None:
    for place in range(0, len(audio), 1_001):  # chunks that split frames and samples
        chunk = base64.b64encode(audio[place : place + 1_001]).decode()
        await peer.send(type="input_audio_buffer.append", audio=chunk)


async def test_a_client_may_leave_the_turns_to_the_server(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_says(monkeypatch, AgentReply("Yes?"))
    await listens(peer, silence_duration_ms=300)
    await play(peer, QUIET * 400 + LOUD * 500 + QUIET * 700)
    started = await peer.until("input_audio_buffer.speech_started")
    stopped = await peer.until("input_audio_buffer.speech_stopped")
    committed = await peer.until("input_audio_buffer.committed")
    assert started.item_id == stopped.item_id == committed.item_id
    # Noticed after three loud frames; the padding reaches back from there.
    assert (started.audio_start_ms, stopped.audio_end_ms) == (360, 1_200)
    assert (await peer.until("response.done")).response.status == "completed"
    await peer.send(type="conversation.item.retrieve", item_id=committed.item_id)
    audio = (await peer.until("conversation.item.retrieved")).item.content[0].audio
    assert len(base64.b64decode(audio)) == 48 * (1_200 - 360)


async def test_speech_interrupts_a_response(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    agent_says(monkeypatch, AgentReply("word " * 2_000))
    await listens(peer, create_response=False)
    await peer.send(type="response.create")
    await peer.until("response.output_audio.delta")
    await play(peer, LOUD * 200)
    assert (await peer.until("response.done")).response.status == "cancelled"


async def test_turns_can_be_detected_without_answering(peer: Peer) -> None:
    await listens(peer, create_response=False, silence_duration_ms=200)
    for _ in range(2):
        await play(peer, LOUD * 200 + QUIET * 200)
        await peer.until("conversation.item.done")
    await peer.send(type="input_audio_buffer.clear")
    await peer.until("input_audio_buffer.cleared")
    assert "response.created" not in peer.kinds()
