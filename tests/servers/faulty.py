"""A server that breaks on purpose: the canned server, with one fault for each model.

Which fault a session meets is said by the name of its model, ``<act>@<place>`` or
``<act>``; a suffix ``~…`` tells runs apart that meet the same fault. Any other model is
served as it should be. Faults strike in the second turn, so that the first one is there
to be kept.

    python -m tests.servers.faulty

prints one JSON line (``url``, ``base_url``, ``pid``) and serves until its standard input
ends. ``GET /counts`` answers how many sessions are open, and when each model has made its
handshakes, by the clock that the machine's processes share.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import struct
import time
from collections import defaultdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.servers.canned import (
    CannedServer,
    CannedSession,
    Reply,
    Scenario,
    audio_deltas,
    encoded,
    serve_until_input_ends,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from websockets.asyncio.server import ServerConnection

Event = dict[str, Any]
SCENARIO: Final = Scenario(
    turns=2, user_ms=(300,), assistant_ms=(300,), assistant_lines=("Yes, certainly.",)
)
#: How long the judge takes that answers too late, s.
_TOO_LONG: Final = 3.0
#: Appends of the second turn after which a fault in the middle of it strikes.
_MID_AUDIO: Final = 5
_CALL: Final = {"type": "function_call", "name": "look_up", "status": "completed"}
TOOL_CALL: Final = {"turn": 2, "name": "look_up", "arguments": '{"id": 7}'}


class FaultySession(CannedSession):
    """A session whose model may name a fault.

    Attributes:
        act, place: What happens, and where.
        over: Whether it has happened; nothing is answered after it.
    """

    def __init__(self, server: CannedServer, websocket: ServerConnection, number: int) -> None:
        super().__init__(server, websocket, number)
        self.act, _, self.place = self.model.partition("~")[0].partition("@")
        self.over = False
        self._appends = 0
        self._user_turns = 0

    async def strike(self, place: str) -> None:
        """Do what breaks the session, if this is the place for it."""
        if place != self.place or self.over:
            return
        self.over = True
        await ACTS[self.act.partition("-")[0]](self, self.act.partition("-")[2])

    async def greet(self) -> None:
        await self.strike("early")
        if not self.over:
            await super().greet()

    async def receive(self, raw: bytes) -> None:
        if self.turn == 1 and b"input_audio_buffer.append" in raw[:60]:
            self._appends += 1
            if self._appends == _MID_AUDIO:
                await self.strike("audio")
        if not self.over:
            await super().receive(raw)

    async def on_commit(self, event: Event) -> None:
        if self.turn == 1:
            await self.strike("commit")
        if not self.over:
            await super().on_commit(event)

    async def on_response(self, event: Event) -> None:
        self._user_turns += event.get("response", {}).get("conversation") == "none"
        if 2 in (self.turn, self._user_turns):
            await self.strike("asked")
        if not self.over:
            await super().on_response(event)

    async def respond(self, reply: Reply) -> None:
        if 2 not in (self.turn, self._user_turns):
            await super().respond(reply)
            await self.strike("between")
        else:
            await RESPONSES.get(self.act, FaultySession.respond_to_the_end)(self, reply)

    async def respond_to_the_end(self, reply: Reply) -> None:
        """Respond as the canned server does, unless what comes first breaks it."""
        with contextlib.suppress(_Over):
            await super().respond(reply)

    async def send(self, frame: bytes) -> None:
        if self.over:
            raise _Over
        await super().send(frame)

    async def send_audio(self, reply: Reply) -> None:
        if self.place == "speaking" and 2 in (self.turn, self._user_turns):
            await self.send(next(self.audio_frames(reply)))
            await self.strike("speaking")
        await super().send_audio(reply)


class _Over(Exception):
    """The fault has struck: nothing more of a response is sent."""


# Acts: what can happen at any place. The text behind the name's dash is handed over.


async def close(session: FaultySession, code: str) -> None:
    """Close with that code; 1006 is what a dropped connection counts as."""
    if code == "1006":
        session.websocket.transport.abort()
    else:
        await session.websocket.close(int(code), "because")


async def stall(_session: FaultySession, _how: str) -> None:
    """Say nothing any more."""


async def error(session: FaultySession, code: str) -> None:
    """Send an ``error`` event, filed as OpenAI does."""
    told = {"type": "invalid_request_error", "code": code, "message": f"fault: {code}"}
    await session.websocket.send(encoded("error", error=told), text=True)


async def text(session: FaultySession, what: str) -> None:
    """Send text that is no event."""
    await session.websocket.send(TEXTS[what])


async def binary(session: FaultySession, _how: str) -> None:
    """Send a binary frame."""
    await session.websocket.send(b"\0\1\2")


async def huge(session: FaultySession, _how: str) -> None:
    """Send a frame of 64 MiB, past the library, which would take its time with it."""
    head = b"\x81\x7f" + struct.pack(">Q", 64 << 20)
    session.websocket.transport.write(head)
    piece = b'{"type":"response.output_audio.delta"' + b" " * (1 << 20)
    with contextlib.suppress(OSError, asyncio.CancelledError):
        for _ in range(64):
            if session.websocket.transport.is_closing():
                return
            session.websocket.transport.write(piece)
            await asyncio.sleep(0.001)


async def delta(session: FaultySession, what: str) -> None:
    """Send a delta whose audio or response id is wrong."""
    content = {"base64": "&&&", "unpadded": "AAA", "number": 7, "stranger": "AAAA"}[what]
    response = "resp_never_seen" if what == "stranger" else "resp_0002"
    await session.websocket.send(
        encoded("response.output_audio.delta", response_id=response, delta=content), text=True
    )


async def echo(session: FaultySession, how: str) -> None:
    """Repeat the client's credentials to it, as some servers do."""
    request = session.websocket.request
    sent = "" if request is None else request.headers.get("Authorization", "") + request.path
    if how == "error":
        told = {"type": "invalid_request_error", "code": "odd", "message": f"odd key {sent}"}
        await session.websocket.send(encoded("error", error=told), text=True)
    elif how == "close":
        await session.websocket.close(1008, f"odd key {sent}"[:120])
    else:
        await session.websocket.send(f"no JSON, {sent}")


ACTS: Final[Mapping[str, Callable[[FaultySession, str], Awaitable[None]]]] = {
    "close": close,
    "stall": stall,
    "error": error,
    "text": text,
    "binary": binary,
    "huge": huge,
    "delta": delta,
    "echo": echo,
}
TEXTS: Final = {
    "html": "<html>busy</html>",
    "cut": '{"type": "response.do',
    "list": "[1, 2]",
    "untyped": '{"event": "response.done"}',
    "nan": '{"type": "x", "n": NaN}',
    "deep": "[" * 100_000,
}


# Responses that are wrong by themselves; the session goes on after them.


def _ended_as(status: str) -> Callable[[FaultySession, Reply], Awaitable[None]]:
    async def respond(session: FaultySession, reply: Reply) -> None:
        await session.send(encoded("response.created", response=reply.body("in_progress")))
        await session.send(next(session.audio_frames(reply)))
        reason = {"type": status, "reason": "content_filter"}
        body = reply.body("completed") | {"status": status, "status_details": reason}
        await session.send(encoded("response.done", response=body | {"output": []}))

    return respond


def _audio(data: bytes) -> Callable[[FaultySession, Reply], Awaitable[None]]:
    async def respond(session: FaultySession, reply: Reply) -> None:
        await session.send(encoded("response.created", response=reply.body("in_progress")))
        where = {"response_id": reply.response_id, "item_id": reply.item_id, "content_index": 0}
        if data:
            sent = base64.b64encode(data).decode()
            await session.send(encoded("response.output_audio.delta", **where, delta=sent))
        await session.send(encoded("response.done", response=reply.body("completed")))

    return respond


async def nothing(session: FaultySession, reply: Reply) -> None:
    """End a response in which nothing is."""
    await session.send(encoded("response.created", response=reply.body("in_progress")))
    await session.send(encoded("response.done", response=reply.body("completed") | {"output": []}))


async def out_of_order(session: FaultySession, reply: Reply) -> None:
    """Announce a response in the middle of its audio."""
    frames = audio_deltas(session.output, reply.audio_ms, 100, reply.response_id, reply.item_id)
    await session.send(frames[0])
    await session.send(encoded("response.created", response=reply.body("in_progress")))
    for frame in frames[1:]:
        await session.send(frame)
    await session.send(encoded("response.done", response=reply.body("completed")))


async def same_call_id(session: FaultySession, reply: Reply) -> None:
    """Make two calls under one id."""
    calls = [{**_CALL, "call_id": "call_1", "arguments": f'{{"id": {n}}}'} for n in (1, 2)]
    await session.send(encoded("response.created", response=reply.body("in_progress")))
    body = reply.body("completed") | {"output": calls}
    await session.send(encoded("response.done", response=body))


async def endless_calls(session: FaultySession, reply: Reply) -> None:
    """Call a tool, whatever was said."""
    call = {**_CALL, "call_id": f"call_{reply.number}", "arguments": '{"id": 7}'}
    await session.send(encoded("response.created", response=reply.body("in_progress")))
    body = reply.body("completed") | {"output": [call]}
    await session.send(encoded("response.done", response=body))


RESPONSES: Final[Mapping[str, Callable[[FaultySession, Reply], Awaitable[None]]]] = {
    "failed": _ended_as("failed"),
    "incomplete": _ended_as("incomplete"),
    "cancelled": _ended_as("cancelled"),
    "half_sample": _audio(b"\1\0\1"),
    "silent": _audio(b""),
    "nothing": nothing,
    "out_of_order": out_of_order,
    "same_call_id": same_call_id,
    "endless_calls": endless_calls,
}
_OF_MODEL: Final = {
    "bad_arguments": Scenario.from_json(
        {"tool_calls": [TOOL_CALL | {"arguments": "{not json"}]}, SCENARIO
    ),
    "calls": Scenario.from_json({"tool_calls": [TOOL_CALL]}, SCENARIO),
    "long": Scenario.from_json({"assistant_ms": [300, 20000]}, SCENARIO),
    # Speaks at the pace of speech, so that there is time for what a test does to it.
    "slow": Scenario.from_json({"real_time": True, "assistant_ms": [3000]}, SCENARIO),
}


class FaultyServer(CannedServer):
    """The server of faulty sessions, handshakes and chat completions."""

    def __init__(self) -> None:
        super().__init__(SCENARIO, session_class=FaultySession)
        self.handshakes: defaultdict[str, list[float]] = defaultdict(list)
        self._sent = ""
        self.open = 0

    def scenario_of(self, model: str) -> Scenario:
        return _OF_MODEL.get(model.partition("~")[0].partition("@")[0], SCENARIO)

    def refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        if url.path == "/counts":
            counts = {"open": self.open, "handshakes": self.handshakes}
            return connection.respond(HTTPStatus.OK, json.dumps(counts))
        model = parse_qs(url.query).get("model", [""])[0]
        self.handshakes[model].append(time.monotonic())
        act, _, how = model.partition("~")[0].partition("-")
        if act == "refuse":
            connection.transport.abort()
        if (act, how) == ("handshake", "echo"):
            return _refusal(401, "", f"odd key {dict(request.headers)} {request.path}")
        if act == "first429":
            return _refusal(429, "1") if len(self.handshakes[model]) == 1 else None
        return _refusal(int(how), "1" if how == "429" else "") if act == "handshake" else None

    async def _handle(self, websocket: ServerConnection) -> None:
        self.open += 1
        try:
            await super()._handle(websocket)
        finally:
            self.open -= 1

    async def _completion(self, request: web.BaseRequest) -> web.StreamResponse:
        self._sent = request.headers.get("Authorization", "")
        if request.path.endswith("/submit"):
            return self._echoed(422)
        return await super()._completion(request)

    def _echoed(self, status: int) -> web.StreamResponse:
        return web.json_response({"error": {"message": f"odd key {self._sent}"}}, status=status)

    async def chat(self, asked: Event) -> web.StreamResponse:
        act, _, how = str(asked.get("model", "")).partition("-")
        if act != "judge":
            return await super().chat(asked)
        if how.startswith("echo"):
            return self._echoed(int(how.removeprefix("echo")))
        if how.isdigit():
            return web.json_response({"error": {"message": f"fault {how}"}}, status=int(how))
        if how == "timeout":
            await asyncio.sleep(_TOO_LONG)
        message = {"role": "assistant", "content": JUDGEMENTS.get(how), "refusal": None}
        if how == "refusal":
            message["refusal"] = "I would rather not."
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"id": "chatcmpl-1", "model": "judge", "choices": [choice]})


JUDGEMENTS: Final = {
    "good": '{"rationale": "It is.", "applicable": true, "grade": 1}',
    "prose": "Well, I would say that it did rather nicely.",
    "wrong_schema": '{"score": 11, "because": "why not"}',
    "empty": "",
}


def _refusal(status: int, retry_after: str, message: str = "fault") -> Response:
    body = json.dumps({"error": {"message": f"{message} {status}"}}).encode()
    headers = Headers({"Content-Length": str(len(body)), "Content-Type": "application/json"})
    if retry_after:
        headers["Retry-After"] = retry_after
    return Response(status, HTTPStatus(status).phrase, headers, body)


if __name__ == "__main__":
    asyncio.run(serve_until_input_ends(FaultyServer()))
