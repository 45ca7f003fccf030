"""A server on loopback that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Answer = web.Response | float | str


@dataclass
class FakeServer:
    """Gives its answers one after another; the last one stays.

    An answer is a response's arguments (``{"status": 429}``, ``{"json": …}``), or the
    seconds for which it says nothing.
    """

    base_url: str = ""
    answers: list[dict[str, Any] | float] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    connections: set[Any] = field(default_factory=set)
    hold_s: float = 0.0

    async def handle(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.headers.append(dict(request.headers))
        self.connections.add(request.transport and request.transport.get_extra_info("peername"))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self.requests.append(json.loads(await request.read()))
            await asyncio.sleep(self.hold_s)
            return await self._answer()
        finally:
            self.in_flight -= 1

    async def _answer(self) -> web.Response:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return web.Response()
        if "json" in answer:
            answer = {**answer, "text": json.dumps(answer["json"])}
            del answer["json"]
        return web.Response(**answer)


@pytest.fixture
def serve() -> Callable[[], AsyncIterator[FakeServer]]:
    """``async with serve() as server``: a server on a port that the system chooses."""
    import contextlib

    @contextlib.asynccontextmanager
    async def run() -> AsyncIterator[FakeServer]:
        server = FakeServer()
        app = web.Application()
        app.router.add_post("/{path:.*}", server.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield server
        finally:
            await runner.cleanup()

    return run  # type: ignore[return-value] # the decorator's type is not worth spelling
