from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.exceptions import ConnectionFailed, ResponseTimeout
from pytest_realtime_eval.realtime import events
from pytest_realtime_eval.realtime.audio import AudioFormat
from pytest_realtime_eval.realtime.event_log import EventLog
from pytest_realtime_eval.realtime.session import SessionConfig, open_session
from pytest_realtime_eval.schemas.transcript import ToolCall

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from pytest_realtime_eval.realtime.connection import Connection
    from pytest_realtime_eval.realtime.endpoint import Endpoint
    from pytest_realtime_eval.realtime.event_log import EventSource
    from pytest_realtime_eval.realtime.session import Session
    from tests.realtime.conftest import Peer, RealtimeServer

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(20)]


def open_(
    endpoint: Endpoint,
    config: SessionConfig | None = None,
    log: EventSource | None = None,
    limit: float = 2.0,
) -> AbstractAsyncContextManager[Session]:
    return open_session(endpoint, config or SessionConfig(), log=log, timeout=limit)


async def test_the_session_is_configured_in_the_ga_shape(server: RealtimeServer, key: str) -> None:
    tool = {"type": "function", "name": "find", "description": "", "parameters": {}}
    config = SessionConfig(
        instructions="Be brief.",
        voice="marin",
        tools=(tool,),
        input_format=AudioFormat.G711_ULAW,
    )

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.stay()

    server.script = script
    async with open_(server.endpoint, config) as session:
        assert (session.id, session.model) == ("sess_1", "gpt-realtime-2025-08-28")
    assert server.peers[0].received[0]["session"] == {
        "type": "realtime",
        "instructions": "Be brief.",
        "output_modalities": ["audio"],
        "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "turn_detection": None},
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
        },
        "tools": [tool],
        "tool_choice": "auto",
    }
    request = server.requests[0]
    assert request.path == "/v1/realtime?model=gpt-realtime"
    assert request.headers["Authorization"] == f"Bearer {key}"
    assert "permessage-deflate" not in request.headers.get("Sec-WebSocket-Extensions", "")


@pytest.mark.parametrize(
    ("said", "fmt", "rate"),
    [
        ({"audio": {"output": {"format": {"type": "audio/pcm", "rate": 16000}}}}, "pcm16", 16000),
        ({"audio": {"output": {"format": {"type": "audio/pcm"}}}}, "pcm16", 24000),
        ({"audio": {"output": {"format": {"type": "audio/pcmu"}}}}, "g711_ulaw", 8000),
        ({"output_audio_format": "g711_alaw"}, "g711_alaw", 8000),
        ({}, "pcm16", 24000),
        ({"audio": {"output": {"format": None}}}, "pcm16", 24000),
    ],
)
async def test_the_servers_word_on_its_output_holds(
    server: RealtimeServer, said: dict[str, Any], fmt: str, rate: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(**said)
        await peer.stay()

    server.script = script
    async with open_(server.endpoint) as session:
        assert (session.output_format, session.output_rate_hz) == (fmt, rate)
        assert (session.input_format, session.input_rate_hz) == ("pcm16", 24000)


async def test_a_turn_with_two_calls_and_its_follow_up(server: RealtimeServer) -> None:
    calls = [
        {"type": "function_call", "id": f"item_{n}", "call_id": f"call_{n}", "name": "find",
         "arguments": json.dumps({"n": n})}
        for n in (1, 2)
    ]  # fmt: skip
    usage = {
        "input_tokens": 30,
        "output_tokens": 12,
        "input_token_details": {"text_tokens": 20, "audio_tokens": 10, "cached_tokens": 5},
        "output_token_details": {"text_tokens": 4, "audio_tokens": 8},
    }

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.take_audio()
        await peer.begin()
        await peer.done(output=calls, usage=usage)
        await peer.begin("resp_2")
        await peer.audio(b"\1\0\2\0", "resp_2")
        await peer.delta("output_audio_transcript", "All ", "resp_2")
        await peer.audio(b"\3\0", "resp_2")
        await peer.delta("output_audio_transcript", "done.", "resp_2")
        await peer.done("resp_2", usage=usage)
        await peer.stay()

    server.script = script
    async with open_(server.endpoint) as session:
        await session.clear()
        await session.append(b"\1" * 2400, chunk_ms=20, real_time=False)
        assert await session.commit() == "item_user"
        asked = await session.respond()
        assert [call.arguments for call in asked.function_calls] == [{"n": 1}, {"n": 2}]
        for call in asked.function_calls:
            await session.create_item(events.function_call_output(call.call_id, '{"ok":true}'))
        answer = await session.respond()
    assert answer.audio == b"\1\0\2\0\3\0"
    assert answer.transcript == "All done."
    assert answer.function_calls == ()
    total = asked.usage + answer.usage
    assert (total.input_tokens, total.cached_tokens, total.output_audio_tokens) == (60, 10, 16)
    kinds = [event["type"] for event in server.peers[0].received]
    assert kinds == [
        "session.update",
        "input_audio_buffer.clear",
        *["input_audio_buffer.append"] * 3,
        "input_audio_buffer.commit",
        "response.create",
        *["conversation.item.create"] * 2,
        "response.create",
    ]


async def test_a_beta_server_is_understood(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin()
        await peer.send("conversation.item.created", item={"id": "item_1", "type": "message"})
        await peer.delta("audio_transcript", "hi")
        await peer.delta("audio", "AQACAA==")
        await peer.send("response.audio_transcript.done", response_id="resp_1",
                        item_id="item_1", content_index=0, transcript="hi!")  # fmt: skip
        await peer.send(
            "response.function_call_arguments.done",
            response_id="resp_1",
            item_id="item_2",
            call_id="call_1",
            name="find",
            arguments="{}",
        )
        await peer.done()
        await peer.stay()

    server.script = script
    async with open_(server.endpoint) as session:
        response = await session.respond()
    assert (response.transcript, response.audio) == ("hi!", b"\1\0\2\0")
    assert response.function_calls == (
        ToolCall(name="find", arguments={}, raw_arguments="{}", call_id="call_1"),
    )


async def test_out_of_band_fields_are_sent_and_metadata_comes_back(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        # A response of the server's own comes first; it is not the one asked for.
        asked = await peer.expect("response.create")
        await peer.send("response.created", response={"id": "own", "metadata": {"turn": "9"}})
        await peer.audio(b"\7\7", "own")
        await peer.done("own")
        await peer.send("response.created", response={"id": "r", **asked["response"]})
        await peer.audio(b"\1\1", "r")
        await peer.done("r", metadata=asked["response"]["metadata"])
        await peer.stay()

    server.script = script
    fields: dict[str, Any] = {"conversation": "none", "input": [], "metadata": {"turn": "2"}}
    async with open_(server.endpoint) as session:
        response = await session.respond(**fields)
    assert (response.id, response.metadata, response.audio) == ("r", {"turn": "2"}, b"\1\1")
    assert server.peers[0].received[-1] == {"type": "response.create", "response": fields}


async def test_chunks_have_the_set_length_and_keep_their_deadlines(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.stay()

    server.script = script
    async with open_(server.endpoint) as session:
        before = time.perf_counter()
        timing = await session.append(b"\1\0" * 5000, chunk_ms=20, real_time=True)
        took = time.perf_counter() - before
    sent = [e["audio"] for e in server.peers[0].received if "audio" in e]
    assert [len(chunk) for chunk in sent] == [1280] * 10 + [536]
    assert timing.ended_at - timing.started_at == pytest.approx(5000 / 24000)
    assert 0.2 <= took < 0.5
    assert len(timing.schedule_errors_ms) == 11


async def test_audio_without_real_time_is_sent_at_once(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.stay()

    server.script = script
    async with open_(server.endpoint) as session:
        timing = await session.append(b"\1\0" * 24000 * 5, chunk_ms=20, real_time=False)
    assert timing.ended_at - timing.started_at < 1
    assert timing.schedule_errors_ms == ()


async def test_events_go_to_the_log_in_both_directions(
    server: RealtimeServer, tmp_path: Path, key: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.take_audio()
        await peer.begin()
        await peer.send("vendor.unknown", note="kept")
        await peer.audio(b"\1\0" * 600)
        await peer.done()
        await peer.stay()

    server.script = script
    path = tmp_path / "events" / "sim.jsonl"
    async with (
        EventLog(path) as log,
        open_(server.endpoint, log=log.source("assistant")) as session,
    ):
        log.turn_index = 1
        await session.append(b"\1\0" * 480, chunk_ms=20, real_time=False)
        await session.commit()
        await session.respond()
    text = path.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["type"] for line in lines] == [
        "session.update",
        "session.created",
        "session.updated",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.committed",
        "response.create",
        "response.created",
        "vendor.unknown",
        "response.output_audio.delta",
        "response.done",
    ]
    assert lines[8]["event"]["note"] == "kept"
    assert lines[9]["event"]["delta"].endswith("… [1200 more characters]")
    assert [line["turn_index"] for line in lines] == [0] * 3 + [1] * 8
    assert key not in text


async def test_one_response_at_a_time(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.stay()

    server.script = script
    async with open_(server.endpoint) as session:
        first = asyncio.create_task(session.respond())
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="one response at a time"):
            await session.respond()
        first.cancel()
        await asyncio.wait({first})


async def test_a_response_given_up_does_not_disturb_the_next(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin("late")
        await peer.expect("response.create")
        await peer.audio(b"\7\7", "late")
        await peer.done("late")
        await peer.send("response.created", response={"id": "next"})
        await peer.audio(b"\1\1", "next")
        await peer.done("next")
        await peer.stay()

    server.script = script
    async with open_(server.endpoint, limit=0.2) as session:
        with pytest.raises(ResponseTimeout, match=r"silent for 0\.2 s after response\.create"):
            await session.respond()
        response = await session.respond()
    assert (response.id, response.audio) == ("next", b"\1\1")


async def test_progress_extends_the_time_out(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin()
        for _ in range(6):
            await asyncio.sleep(0.1)
            await peer.delta("function_call_arguments", "{")
        await peer.done()
        await peer.stay()

    server.script = script
    async with open_(server.endpoint, limit=0.3) as session:
        response = await session.respond()
    assert response.done_at - response.requested_at >= 0.6


async def test_a_stream_without_end_is_ended(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin()
        while True:
            await asyncio.sleep(0.01)
            await peer.audio(b"\0\0")

    server.script = script
    async with open_(server.endpoint, limit=0.05) as session:
        with pytest.raises(ResponseTimeout, match=r"did not finish response\.create within 0\.5"):
            await session.respond()


async def test_events_of_other_kinds_are_no_progress(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin()
        while True:
            await asyncio.sleep(0.01)
            await peer.send("rate_limits.updated", rate_limits=[])

    server.script = script
    async with open_(server.endpoint, limit=0.1) as session:
        with pytest.raises(ResponseTimeout, match=r"silent for 0\.1 s"):
            await session.respond()


async def test_the_connection_can_be_replaced(server: RealtimeServer) -> None:
    """What a cassette will do: the same session code, and no network."""

    class Canned:
        def __init__(self) -> None:
            self.sent: list[dict[str, Any]] = []
            self.lines: asyncio.Queue[str] = asyncio.Queue()
            self.closed = False

        async def send(self, line: bytes) -> None:
            event = json.loads(line)
            self.sent.append(event)
            if event["type"] == "session.update":
                self.lines.put_nowait('{"type":"session.updated","session":{}}')
            if event["type"] == "response.create":
                self.lines.put_nowait('{"type":"response.done","response":{"id":"r"}}')

        async def recv(self) -> str:
            return await self.lines.get()

        async def close(self) -> None:
            self.closed = True

    canned = Canned()

    async def connect(_endpoint: Endpoint, _limit: float) -> Canned:
        return canned

    async with open_session(server.endpoint, SessionConfig(), connect=connect) as session:
        assert (await session.respond()).status == "completed"
        assert session.model == "gpt-realtime"
    assert canned.closed
    assert server.peers == []


async def test_a_connect_that_hangs_is_bounded(server: RealtimeServer) -> None:
    async def connect(_endpoint: Endpoint, _limit: float) -> Connection:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(ConnectionFailed, match=r"did not open a session within 0\.1 s"):
        async with open_session(server.endpoint, SessionConfig(), connect=connect, timeout=0.1):
            pass


async def test_closing_is_bounded_though_the_server_streams_on(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin()
        while True:
            await peer.audio(bytes(48000))

    server.script = script
    async with open_(server.endpoint, limit=0.05) as session:
        with pytest.raises(ResponseTimeout):
            await session.respond()
        before = time.perf_counter()
    assert time.perf_counter() - before < 3


async def test_a_burst_of_events_leaves_the_loop_to_others(server: RealtimeServer) -> None:
    class Full:
        """Has events ready, so that receiving them waits for nothing."""

        left = 500

        async def send(self, line: bytes) -> None:
            pass

        async def recv(self) -> str:
            if not self.left:
                await asyncio.Event().wait()
            self.left -= 1
            return '{"type":"session.updated","session":{}}'

        async def close(self) -> None:
            pass

    full = Full()

    async def connect(_endpoint: Endpoint, _limit: float) -> Full:
        return full

    turns_of_others = 0
    async with open_session(server.endpoint, SessionConfig(), connect=connect):
        while full.left:
            turns_of_others += 1
            await asyncio.sleep(0)
    assert turns_of_others > 400
