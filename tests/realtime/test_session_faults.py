"""The fault matrix of a session: whatever breaks, it is named for what it is, in time."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from pytest_realtime_eval.exceptions import (
    ConnectionFailed,
    InfraError,
    ProtocolError,
    ResponseFailed,
    ResponseTimeout,
)
from pytest_realtime_eval.realtime.endpoint import Endpoint
from pytest_realtime_eval.realtime.session import SessionConfig, open_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from websockets.asyncio.server import ServerConnection

    from tests.realtime.conftest import Peer, RealtimeServer

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(20)]

#: The session's time-out in these tests, s, and what a fault may take at most.
LIMIT = 0.3
PATIENCE = 3.0

SPEECH = b"\1\0" * 24000 * 30


async def converse(endpoint: Endpoint, *, real_time: bool = False) -> None:
    """Play a turn: what every fault below happens to."""
    speech = SPEECH[:48000] if real_time else SPEECH
    async with open_session(endpoint, SessionConfig(), timeout=LIMIT) as session:
        await session.append(speech, chunk_ms=20, real_time=real_time)
        await session.commit()
        await session.respond()
        # Time for a fault between turns to arrive.
        await asyncio.sleep(0.1)
        await session.respond()


async def fails(endpoint: Endpoint, *, real_time: bool = False) -> InfraError:
    started = time.perf_counter()
    with pytest.raises(InfraError) as caught:
        await converse(endpoint, real_time=real_time)
    assert time.perf_counter() - started < PATIENCE
    return caught.value


@dataclass(frozen=True)
class Fault:
    """A row of the matrix: what the server does, and what must come of it."""

    name: str
    script: Callable[[Peer], Awaitable[None]]
    error: type[InfraError]
    stage: str
    message: str
    retryable: bool = True
    fatal: bool = False


def closes(code: int) -> Callable[[Peer], Awaitable[None]]:
    """Close with that code; 1006 is what a dropped connection counts as."""

    async def close(peer: Peer) -> None:
        if code == 1006:
            peer.websocket.transport.abort()
        else:
            await peer.websocket.close(code, "because")

    return close


def event(kind: str, **fields: object) -> Callable[[Peer], Awaitable[None]]:
    async def send(peer: Peer) -> None:
        await peer.send(kind, **fields)

    return send


def error(kind: str, code: str | None, message: str = "no") -> Callable[[Peer], Awaitable[None]]:
    return event("error", error={"type": kind, "code": code, "message": message})


def text(line: str) -> Callable[[Peer], Awaitable[None]]:
    async def send(peer: Peer) -> None:
        await peer.websocket.send(line)

    return send


def raw(data: bytes) -> Callable[[Peer], Awaitable[None]]:
    """Write bytes past the websocket library, which would refuse to."""

    async def write(peer: Peer) -> None:
        peer.websocket.transport.write(data)

    return write


async def binary(peer: Peer) -> None:
    await peer.websocket.send(b"\0\1\2")


async def nothing(_peer: Peer) -> None:
    """Stall."""


def at_once(act: Callable[[Peer], Awaitable[None]]) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await act(peer)
        await peer.stay()

    return script


def mid_audio(act: Callable[[Peer], Awaitable[None]]) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.greet()
        for _ in range(5):
            await peer.expect("input_audio_buffer.append")
        await act(peer)
        await peer.stay()

    return script


def before_response(act: Callable[[Peer], Awaitable[None]]) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.take_audio()
        await peer.expect("response.create")
        await act(peer)
        await peer.stay()

    return script


def in_response(act: Callable[[Peer], Awaitable[None]]) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.take_audio()
        await peer.begin()
        await peer.audio(b"\1\0\1\0")
        await act(peer)
        await peer.stay()

    return script


def between_turns(act: Callable[[Peer], Awaitable[None]]) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.take_audio()
        await peer.begin()
        await peer.done()
        await act(peer)
        await peer.stay()

    return script


def calls(*items: dict[str, object]) -> Callable[[Peer], Awaitable[None]]:
    output = [{"type": "function_call", "name": "f", "arguments": "{}"} | item for item in items]
    return event("response.done", response={"id": "resp_1", "output": output})


def delta(data: object, response_id: str = "resp_1") -> Callable[[Peer], Awaitable[None]]:
    return event("response.output_audio.delta", response_id=response_id, delta=data)


FAULTS = [
    *(
        Fault(f"close {code} {name}", place(closes(code)), ConnectionFailed, stage, f"code {code}")
        for code in (1000, 1001, 1006, 1008, 1011, 1013)
        for name, place, stage in (
            ("at once", at_once, "connection"),
            ("mid-audio", mid_audio, "connection"),
            ("before a response", before_response, "response_missing_done"),
            ("in a response", in_response, "response_missing_done"),
            ("between turns", between_turns, "connection"),
        )
    ),
    Fault("silent session", at_once(nothing), ConnectionFailed, "connection", "session.update"),
    Fault(
        "silent commit", mid_audio(nothing), ResponseTimeout, "response_timeout", "buffer.commit"
    ),
    Fault(
        "silent before response", before_response(nothing), ResponseTimeout, "response_timeout",
        r"silent for 0\.3 s after response\.create",
    ),
    Fault(
        "silent in response", in_response(nothing), ResponseTimeout, "response_timeout",
        r"silent for 0\.3 s after response\.create",
    ),
    Fault(
        "invalid request", in_response(error("invalid_request_error", "bad", "no such field")),
        ResponseFailed, "response_error", "bad.*no such field", retryable=False,
    ),
    Fault(
        "rate limit", before_response(error("invalid_request_error", "rate_limit_exceeded")),
        ResponseFailed, "response_error", "rate_limit_exceeded",
    ),
    Fault(
        "session expired", between_turns(error("invalid_request_error", "session_expired")),
        ResponseFailed, "response_error", "session_expired",
    ),
    Fault(
        "error mid-audio", mid_audio(error("server_error", None, "oops")),
        ResponseFailed, "response_error", "server_error.*oops",
    ),
    Fault(
        "no quota", before_response(error("insufficient_quota", "insufficient_quota")),
        ResponseFailed, "response_error", "insufficient_quota", retryable=False, fatal=True,
    ),
    Fault(
        "wrong key as event", at_once(error("invalid_request_error", "invalid_api_key")),
        ResponseFailed, "response_error", "invalid_api_key", retryable=False, fatal=True,
    ),
    Fault("error without shape", in_response(event("error", error="x")), ResponseFailed,
          "response_error", "no message"),
    *(
        Fault(name, in_response(act), ProtocolError, "protocol", message)
        for name, act, message in (
            ("no JSON", text("<html>busy</html>"), "no JSON"),
            ("cut JSON", text('{"type": "response.do'), "no JSON"),
            ("no JSON number", text('{"type": "x", "n": NaN}'), "no JSON"),
            ("endless digits", text('{"type": "x", "n": ' + "9" * 5000 + "}"), "no JSON"),
            ("bottomless JSON", text("[" * 100_000), "no JSON"),
            ("no object", text("[1, 2]"), "no event"),
            ("no type", text('{"event": "response.done"}'), "no event"),
            ("no text as type", text('{"type": ["response.done"]}'), "no event"),
            ("binary frame", binary, "binary message of 3 bytes"),
            ("64 MiB frame", raw(b"\x81\x7f" + struct.pack(">Q", 64 << 20)), "over 16 MiB"),
            ("no UTF-8", raw(b"\x81\x02\xff\xfe"), "no UTF-8"),
            ("no websocket frame", raw(b"\xff\xff\xff\xff"), "broke the websocket protocol"),
            ("no base64", delta("&&&"), "no base64"),
            ("no base64 text", delta(None), "no base64"),
            ("unpadded base64", delta("AAA"), "no base64"),
            ("response never seen", delta("AAA=", "resp_9"), "'resp_9', which was never"),
            ("done for one never seen",
             event("response.done", response={"id": "resp_9"}), "'resp_9', which was never"),
            ("response id is no text", event("response.done", response={"id": 7}), "is no text"),
            ("done without a response", event("response.done"), "no object 'response'"),
            ("one call id for two calls",
             calls({"call_id": "c", "arguments": "{}"}, {"call_id": "c", "arguments": '{"a":1}'}),
             "share the id 'c'"),
            ("call without id", calls({"arguments": "{}"}), "without a name or a call_id"),
        )
    ),
    Fault(
        "audio format never heard of",
        at_once(event("session.updated", session={"output_audio_format": "opus"})),
        ProtocolError, "protocol", "'opus' for output audio",
    ),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_fault(server: RealtimeServer, fault: Fault) -> None:
    server.script = fault.script
    failure = await fails(server.endpoint)
    assert type(failure) is fault.error
    assert failure.failure_stage == fault.stage
    assert (failure.retryable, failure.fatal) == (fault.retryable, fault.fatal)
    with pytest.raises(InfraError, match=fault.message):
        raise failure


async def test_half_a_sample_is_found_out_at_the_end(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.take_audio()
        await peer.begin()
        await peer.audio(b"\1\0\1")
        await peer.done()

    server.script = script
    failure = await fails(server.endpoint)
    assert isinstance(failure, ProtocolError)
    assert "3 bytes of PCM16: half a sample" in str(failure)


async def test_a_sample_torn_between_deltas_is_whole(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin()
        await peer.audio(b"\1\0\2")
        await peer.audio(b"\3")
        await peer.done()

    server.script = script
    async with open_session(server.endpoint, SessionConfig(), timeout=LIMIT) as session:
        assert (await session.respond()).audio == b"\1\0\2\3"


@pytest.mark.parametrize("status", ["failed", "incomplete", "cancelled"])
async def test_other_statuses_are_returned_with_their_details(
    server: RealtimeServer, status: str
) -> None:
    details = {"type": status, "reason": "content_filter"}

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin()
        await peer.audio(b"\1\0")
        await peer.done(status=status, status_details=details, usage=None)

    server.script = script
    async with open_session(server.endpoint, SessionConfig(), timeout=LIMIT) as session:
        response = await session.respond()
    assert (response.status, response.status_details) == (status, details)
    assert response.audio == b"\1\0"
    assert response.usage.output_tokens == 0


async def test_arguments_that_are_no_json_are_kept_as_they_came(server: RealtimeServer) -> None:
    raws = ["{not json", "[1]", '{"a": NaN}', "", '{"a": "\\ud800"}', "[" * 5000]

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin()
        items = [
            {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": text}
            for n, text in enumerate(raws)
        ]
        await peer.done(output=items)

    server.script = script
    async with open_session(server.endpoint, SessionConfig(), timeout=LIMIT) as session:
        found = (await session.respond()).function_calls
    assert [call.raw_arguments for call in found] == raws
    assert [call.arguments for call in found] == [None, None, None, {}, None, None]


async def test_events_out_of_order_are_put_together(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect("response.create")
        await peer.audio(b"\1\0")
        await peer.send("response.created", response={"id": "resp_1"})
        await peer.audio(b"\2\0")
        await peer.done()

    server.script = script
    async with open_session(server.endpoint, SessionConfig(), timeout=LIMIT) as session:
        assert (await session.respond()).audio == b"\1\0\2\0"


async def test_a_server_that_reads_nothing_blocks_nobody(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        peer.websocket.transport.pause_reading()
        await asyncio.sleep(PATIENCE)
        peer.websocket.transport.abort()

    server.script = script
    started = time.perf_counter()
    with pytest.raises(ResponseTimeout, match="read nothing"):
        async with open_session(server.endpoint, SessionConfig(), timeout=LIMIT) as session:
            # More than the buffers of both sockets hold.
            await session.append(bytes(48_000_000), chunk_ms=10_000, real_time=False)
    assert time.perf_counter() - started < PATIENCE


async def test_the_servers_word_before_it_hangs_up_is_what_counts(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.expect("input_audio_buffer.append")
        await peer.send("error", error={"type": "server_error", "message": "out of memory"})
        await peer.websocket.close(1011)

    server.script = script
    failure = await fails(server.endpoint, real_time=True)
    assert isinstance(failure, ResponseFailed)
    assert "out of memory" in str(failure)


async def test_every_later_step_gets_the_first_failure(server: RealtimeServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.begin()
        await peer.websocket.close(1011)

    server.script = script
    async with open_session(server.endpoint, SessionConfig(), timeout=LIMIT) as session:
        with pytest.raises(ConnectionFailed) as first:
            await session.respond()
        for step in (session.clear(), session.commit(), session.respond()):
            with pytest.raises(ConnectionFailed) as later:
                await step
            assert later.value is first.value


def refusal(
    status: int, body: str = "", **headers: str
) -> Callable[[ServerConnection, Request], Response]:
    def refuse(_connection: ServerConnection, _request: Request) -> Response:
        sent = Headers({"Content-Length": str(len(body.encode())), **headers})
        return Response(status, HTTPStatus(status).phrase, sent, body.encode())

    return refuse


@pytest.mark.parametrize(
    ("status", "retryable", "fatal"),
    [
        (400, False, False),
        (401, False, True),
        (403, False, True),
        (404, False, False),
        (408, True, False),
        (429, True, False),
        (500, True, False),
        (502, True, False),
        (503, True, False),
    ],
)
async def test_a_refused_handshake(
    server: RealtimeServer, status: int, retryable: bool, fatal: bool
) -> None:
    server.refuse = refusal(status)
    failure = await fails(server.endpoint)
    assert type(failure) is ConnectionFailed
    assert failure.failure_stage == "connection"
    assert f"HTTP {status}" in str(failure)
    assert (failure.retryable, failure.fatal) == (retryable, fatal)


async def test_retry_after_is_kept(server: RealtimeServer) -> None:
    server.refuse = refusal(429, **{"Retry-After": "7"})
    assert (await fails(server.endpoint)).retry_after == 7.0
    server.refuse = refusal(503)
    assert (await fails(server.endpoint)).retry_after is None


async def test_a_refusal_without_quota_stops_the_run(server: RealtimeServer) -> None:
    body = json.dumps({"error": {"code": "insufficient_quota", "message": "Pay first."}})
    server.refuse = refusal(429, body)
    failure = await fails(server.endpoint)
    assert (failure.retryable, failure.fatal) == (False, True)
    assert "Pay first." in str(failure)


async def test_no_server_at_all() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failure = await fails(Endpoint("x", f"ws://127.0.0.1:{taken.getsockname()[1]}"))
    assert type(failure) is ConnectionFailed
    assert "could not be reached" in str(failure)


async def test_a_server_that_accepts_and_says_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        failure = await fails(Endpoint("x", f"ws://127.0.0.1:{silent.getsockname()[1]}"))
    assert type(failure) is ConnectionFailed
    assert "did not open a session within 0.3 s" in str(failure)


@pytest.mark.parametrize("answer", [b"SMTP ready\r\n", b"HTTP/1.1 200 OK\r\n\r\nhi", b""])
async def test_a_server_of_another_protocol(answer: bytes) -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        failure = await fails(Endpoint("x", f"ws://127.0.0.1:{port}"))
    assert type(failure) is ConnectionFailed


async def test_credentials_are_in_no_message(server: RealtimeServer, key: str) -> None:
    echo = f"Incorrect API key provided: {key}."
    server.refuse = refusal(401, json.dumps({"error": {"message": echo}}))
    refused = await fails(replace(server.endpoint, url=f"{server.endpoint.url}?token=t0p-secret"))
    server.refuse = lambda *_: None
    server.script = at_once(error("x", "y", echo))
    reported = await fails(server.endpoint)

    async def hang_up(peer: Peer) -> None:
        await peer.websocket.close(1008, f"bad {key}")

    server.script = hang_up
    closed = await fails(server.endpoint)
    for failure in (refused, reported, closed):
        assert key not in str(failure)
        assert "t0p-secret" not in str(failure)
        assert "***" in str(failure)
