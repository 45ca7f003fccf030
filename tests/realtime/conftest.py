"""A realtime server of the tests' own, which does what a script tells it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from pytest_realtime_eval.realtime.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

    Script = Callable[["Peer"], Awaitable[None]]

KEY = "sk-test-0123456789"
SESSION = {"type": "realtime", "id": "sess_1", "model": "gpt-realtime-2025-08-28"}


class Peer:
    """The server's end of one connection.

    Attributes:
        received: All events of the client, in order.
    """

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.received: list[dict[str, Any]] = []

    async def expect(self, kind: str) -> dict[str, Any]:
        """Read events until one of this type comes."""
        while True:
            event: dict[str, Any] = json.loads(await self.websocket.recv())
            self.received.append(event)
            if event["type"] == kind:
                return event

    async def send(self, kind: str, **fields: object) -> None:
        await self.websocket.send(json.dumps({"type": kind, "event_id": "event_1", **fields}))

    async def greet(self, **session: object) -> None:
        """Open the session: ``session.created``, ``session.update``, ``session.updated``."""
        await self.send("session.created", session=SESSION)
        await self.expect("session.update")
        await self.send("session.updated", session=SESSION | session)

    async def take_audio(self) -> None:
        """Take a turn of audio in, up to and with the commit."""
        await self.expect("input_audio_buffer.commit")
        await self.send("input_audio_buffer.committed", item_id="item_user", previous_item_id=None)

    async def begin(self, response_id: str = "resp_1") -> None:
        """Take ``response.create`` and announce a response."""
        asked = await self.expect("response.create")
        metadata = asked.get("response", {}).get("metadata")
        await self.send(
            "response.created",
            response={"id": response_id, "status": "in_progress", "metadata": metadata},
        )

    async def delta(self, kind: str, delta: str, response_id: str = "resp_1") -> None:
        await self.send(
            f"response.{kind}.delta",
            response_id=response_id,
            item_id="item_1",
            output_index=0,
            content_index=0,
            delta=delta,
        )

    async def audio(self, data: bytes, response_id: str = "resp_1") -> None:
        await self.delta("output_audio", base64.b64encode(data).decode(), response_id)

    async def done(self, response_id: str = "resp_1", **fields: object) -> None:
        body = {"id": response_id, "status": "completed", "output": [], **fields}
        await self.send("response.done", response=body)

    async def stay(self) -> None:
        """Keep the connection until the client closes it."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.received.append(json.loads(await self.websocket.recv()))


class RealtimeServer:
    """Serves a script on a port of the system's choice.

    Attributes:
        refuse: Answers the handshake instead of accepting it, where it returns a response.
        peers: One for each connection there was.
        errors: What went wrong inside scripts; a closed connection is not among it.
    """

    def __init__(self) -> None:
        self.script: Script = Peer.greet
        self.refuse: Callable[[ServerConnection, Request], Response | None] = lambda *_: None
        self.peers: list[Peer] = []
        self.requests: list[Request] = []
        self.errors: list[Exception] = []
        self.server: Server | None = None

    async def handle(self, websocket: ServerConnection) -> None:
        peer = Peer(websocket)
        self.peers.append(peer)
        try:
            await self.script(peer)
        except ConnectionClosed:
            pass
        except Exception as error:  # noqa: BLE001 - told to the test at its end
            self.errors.append(error)

    def process_request(self, websocket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return self.refuse(websocket, request)

    @property
    def endpoint(self) -> Endpoint:
        assert self.server is not None
        port = next(iter(self.server.sockets)).getsockname()[1]
        return Endpoint(
            name="test",
            url=f"ws://127.0.0.1:{port}/v1/realtime",
            model="gpt-realtime",
            headers={"Authorization": f"Bearer {KEY}"},
        )


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RealtimeServer]:
    realtime = RealtimeServer()
    async with serve(
        realtime.handle,
        "127.0.0.1",
        0,
        process_request=realtime.process_request,
        close_timeout=0.1,
        max_size=None,
    ) as realtime.server:
        yield realtime
    assert realtime.errors == []


@pytest.fixture
def key() -> str:
    """The credential that the endpoint carries, which must show up nowhere."""
    return KEY


@pytest_asyncio.fixture(autouse=True)
async def _nothing_stays_behind() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if "realtime" in task.get_name()]
    assert left == []
