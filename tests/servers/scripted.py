"""A realtime server whose part is written into the prompts that it is given.

Run as a program: prints its port, serves until it is ended, or its standard input is closed.

* The assistant's instructions, where they are JSON, are ``{"turns": [[response, …], …]}``:
  for each user turn the responses that it gives one after another. A response is
  ``{"say", "calls", "audio_ms", "delay_ms", "status", "fault"}``.
* The caller's instructions, where their first line is JSON, are
  ``{"first", "says": [utterance, …], "audio_ms"}``; it hangs up when it has said all.
* A path ``/fault/<kind>`` misbehaves from the start.
* The first handshake of a model whose name ends in ``_busy`` is refused with status 429 and
  ``Retry-After: 3``.
* ``GET /received?model=…`` returns what the sessions of a model have sent, a list for each,
  ``GET /opened?model=…`` when they were opened, by the clock that the machine's processes share,
  and ``GET /open`` how many sessions are open.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import sys
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

Event = dict[str, Any]

BYTES_A_MS = {"audio/pcm": 48, "audio/pcmu": 8, "audio/pcma": 8}
SAY_EXACTLY = "nothing else:\n"


class HungUp(Exception):
    """The script closes the connection."""


class Scripted:
    """One session."""

    def __init__(self, websocket: ServerConnection, received: list[Event], model: str) -> None:
        self.websocket = websocket
        self.received = received
        self.model = model
        self.session: Event = {}
        self.numbers = itertools.count(1)
        self.turn = 0
        self.step = 0

    async def run(self, fault: str) -> None:
        if fault == "early":
            return
        if fault == "stall":
            await self.websocket.wait_closed()
            return
        if fault == "garbage":
            await self.websocket.send("this is no JSON")
        if fault == "binary":
            await self.websocket.send(b"\0\1\2")
        if fault == "error":
            await self.error("this server is out of order")
        await self.send("session.created", session={"id": "sess_1", "model": self.model})
        async for event in self.events():
            self.received.append(event)
            await self.answer(event)

    async def events(self) -> AsyncIterator[Event]:
        async for line in self.websocket:
            yield json.loads(line)

    async def send(self, kind: str, **fields: object) -> None:
        event = {"type": kind, "event_id": f"event_{next(self.numbers)}", **fields}
        await self.websocket.send(json.dumps(event))

    async def error(self, message: str) -> None:
        error = {"type": "invalid_request_error", "code": "scripted", "message": message}
        await self.send("error", error=error)

    async def answer(self, event: Event) -> None:
        kind = event["type"]
        if kind == "session.update":
            self.session = event["session"]
            await self.send(
                "session.updated", session={"id": "sess_1", "model": self.model, **self.session}
            )
        elif kind == "input_audio_buffer.commit":
            self.turn, self.step = self.turn + 1, 0
            await self.send("input_audio_buffer.committed", item_id=f"item_{self.turn}")
        elif kind == "response.create":
            await self.respond(event.get("response", {}))

    async def respond(self, asked: Event) -> None:
        part = self.caller(asked) if asked.get("conversation") == "none" else self.assistant()
        self.step += 1
        await asyncio.sleep(part.get("delay_ms", 0) / 1000)
        fault = part.get("fault")
        if fault == "close":
            await self.websocket.close(1011, "scripted")
            raise HungUp
        if fault == "error":
            await self.error("scripted trouble")
            return
        response_id = f"resp_{next(self.numbers)}"
        response = {"id": response_id, "metadata": asked.get("metadata")}
        await self.send("response.created", response={**response, "status": "in_progress"})
        if fault == "stall":
            return
        await self.speak(response_id, part)
        await self.call(response_id, part.get("calls", []))
        usage = {
            "input_tokens": 10,
            "input_token_details": {"text_tokens": 4, "audio_tokens": 6, "cached_tokens": 0},
            "output_tokens": 7,
            "output_token_details": {"text_tokens": 2, "audio_tokens": 5},
        }
        done = {**response, "status": part.get("status", "completed"), "usage": usage}
        await self.send("response.done", response={**done, "output": []})

    def assistant(self) -> Event:
        try:
            turns = json.loads(self.session["instructions"])["turns"]
        except (ValueError, KeyError, TypeError):
            return {"say": "All right."}
        steps = turns[min(self.turn, len(turns)) - 1]
        part: Event = steps[min(self.step, len(steps) - 1)]
        return part

    def caller(self, asked: Event) -> Event:
        try:
            script = json.loads(self.session["instructions"].partition("\n")[0])
        except ValueError:
            script = {}
        turn = int(asked["metadata"]["turn"])
        if turn == 1:
            exactly = asked["instructions"].partition(SAY_EXACTLY)[2]
            return {**script, "say": script.get("first", exactly)}
        says = script.get("says", [])
        return {**script, "say": says[turn - 2] if turn - 2 < len(says) else "END_CALL"}

    async def speak(self, response_id: str, part: Event) -> None:
        where = {"response_id": response_id, "item_id": "item_out", "output_index": 0}
        where |= {"content_index": 0}
        wire = self.session["audio"]["output"]["format"]
        size = int(part.get("audio_ms", 120) * BYTES_A_MS[wire["type"]])
        size = size * wire.get("rate", 24_000) // 24_000
        if part.get("say") and size:
            data = base64.b64encode(b"\x11\x01" * (size // 2)).decode()
            await self.send("response.output_audio.delta", delta=data, **where)
        if part.get("say"):
            await self.send("response.output_audio_transcript.delta", delta=part["say"], **where)

    async def call(self, response_id: str, calls: list[Event]) -> None:
        for index, call in enumerate(calls, start=1):
            arguments = call.get("arguments", {})
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            item = {
                "id": f"item_call_{next(self.numbers)}",
                "type": "function_call",
                "name": call["name"],
                "call_id": call.get("call_id", f"call_{next(self.numbers)}"),
                "arguments": text,
            }
            where = {"response_id": response_id, "output_index": index}
            await self.send("response.output_item.done", item=item, **where)


class ScriptedServer:
    """Serves sessions, and what they were sent."""

    def __init__(self) -> None:
        self.received: dict[str, list[list[Event]]] = {}
        self.opened: dict[str, list[float]] = {}
        self.refused: dict[str, float] = {}
        self.open = 0
        self.most_open = 0

    async def handle(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        url = urlsplit(websocket.request.path)
        model = parse_qs(url.query).get("model", [""])[0]
        mine: list[Event] = []
        self.received.setdefault(model, []).append(mine)
        self.opened.setdefault(model, []).append(time.monotonic())
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        watcher = asyncio.create_task(self.count_out(websocket))
        fault = url.path.rpartition("/")[2] if url.path.startswith("/fault/") else ""
        with contextlib.suppress(ConnectionClosed, HungUp):
            await Scripted(websocket, mine, model).run(fault)
        await websocket.close()
        await watcher

    async def count_out(self, websocket: ServerConnection) -> None:
        """Note that a client is gone, also while the script is busy."""
        await websocket.wait_closed()
        self.open -= 1

    def http(self, websocket: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        if url.path == "/fault/refuse":
            return websocket.respond(HTTPStatus.FORBIDDEN, "no\n")
        model = parse_qs(url.query).get("model", [""])[0]
        if url.path == "/received":
            return websocket.respond(HTTPStatus.OK, json.dumps(self.received.get(model, [])))
        if url.path == "/opened":
            times = {"opened": self.opened.get(model, []), "refused": self.refused.get(model)}
            return websocket.respond(HTTPStatus.OK, json.dumps(times))
        if model.endswith("_busy") and model not in self.refused:
            self.refused[model] = time.monotonic()
            response = websocket.respond(HTTPStatus.TOO_MANY_REQUESTS, "slow down\n")
            response.headers["Retry-After"] = "3"
            return response
        if url.path == "/open":
            counts = {"open": self.open, "most": self.most_open}
            self.most_open = self.open
            return websocket.respond(HTTPStatus.OK, json.dumps(counts))
        return None


async def main() -> None:
    scripted = ScriptedServer()
    async with serve(
        scripted.handle, "127.0.0.1", 0, process_request=scripted.http, compression=None
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)  # noqa: T201 - the interface
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
