"""The run's embedded endpoint when its process goes: the next one is used, and only then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.embedded.process import EmbeddedProcess
from pytest_realtime_eval.exceptions import ConnectionFailed
from pytest_realtime_eval.execution import embedded as module
from pytest_realtime_eval.execution.embedded import EmbeddedEndpoint, EmbeddedSource
from pytest_realtime_eval.text.request import TextReply

if TYPE_CHECKING:
    from pytest_realtime_eval.realtime.endpoint import Endpoint

pytestmark = pytest.mark.asyncio


def process(number: int) -> EmbeddedProcess:
    return EmbeddedProcess(
        f"ws://127.0.0.1:{number}/v1/realtime", number, f"token-{number}", number
    )


class Machine:
    """Processes of which one runs; finding it starts the next one if none does."""

    def __init__(self) -> None:
        self.running = 1
        self.is_alive = True
        self.asked: list[EmbeddedProcess] = []

    def find(self) -> EmbeddedProcess:
        if not self.is_alive:
            self.running += 1
            self.is_alive = True
        return process(self.running)

    async def work(self, which: EmbeddedProcess) -> int:
        self.asked.append(which)
        await asyncio.sleep(0)
        if not self.is_alive or which != process(self.running):
            raise ConnectionFailed("nobody is there")
        return which.pid


async def test_work_is_done_once_more_by_the_next_process() -> None:
    machine = Machine()
    endpoint = EmbeddedEndpoint(machine.find)
    assert await endpoint.use(machine.work) == 1
    machine.is_alive = False
    assert await asyncio.gather(*(endpoint.use(machine.work) for _ in range(3))) == [2, 2, 2]
    assert endpoint.endpoint("agent").url == process(2).url
    machine.asked.clear()
    assert await endpoint.use(machine.work) == 2
    assert machine.asked == [process(2)]


async def test_what_fails_while_the_process_lives_is_not_repeated() -> None:
    machine = Machine()

    async def refuse(which: EmbeddedProcess) -> None:
        machine.asked.append(which)
        raise ConnectionFailed("refused")

    with pytest.raises(ConnectionFailed, match="refused"):
        await EmbeddedEndpoint(machine.find).use(refuse)
    assert machine.asked == [process(1)]


async def test_sessions_are_opened_at_the_next_process_with_its_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine, reached = Machine(), []

    async def connect(endpoint: Endpoint, _: float) -> None:
        if not machine.is_alive or endpoint.url != process(machine.running).url:
            raise ConnectionFailed("nobody is there")
        reached.append((endpoint.url, endpoint.model, endpoint.headers["Authorization"]))

    monkeypatch.setattr(module, "connect_websocket", connect)
    embedded = EmbeddedEndpoint(machine.find)
    endpoint = embedded.endpoint("agent")
    machine.is_alive = False
    await embedded.connect(endpoint, 1.0)
    assert reached == [(process(2).url, "agent", "Bearer token-2")]


class Source:
    slug = provider = "embedded"

    def __init__(self, machine: Machine, of: EmbeddedProcess) -> None:
        self.machine, self.of, self.closed = machine, of, False

    async def translate(self, text: str, system: str) -> TextReply:
        await self.machine.work(self.of)
        return TextReply(f"{system}:{text}")

    async def aclose(self) -> None:
        self.closed = True


async def test_translations_go_on_at_the_next_process() -> None:
    machine, opened = Machine(), []

    def open_(which: EmbeddedProcess) -> Source:
        opened.append(Source(machine, which))
        return opened[-1]

    source = EmbeddedSource(EmbeddedEndpoint(machine.find), open_)
    await source.translate("a", "s")
    machine.is_alive = False
    replies = await asyncio.gather(*(source.translate(text, "s") for text in "bc"))
    assert [reply.text for reply in replies] == ["s:b", "s:c"]
    assert [each.of for each in opened] == [process(1), process(2)]
    await source.aclose()
    assert all(each.closed for each in opened)
