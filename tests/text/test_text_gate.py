"""What requests wait for, as a text client uses it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.text.client import ChatCompletions, Retries, TextClient
from pytest_realtime_eval.text.request import RequestRefused, TextRequest

if TYPE_CHECKING:
    from collections.abc import Callable

ASK = TextRequest(model="m", system="", user="hello")
CHAT = {"choices": [{"message": {"content": "hola"}}]}


class Gate:
    """Notes what is asked of it, and takes a moment."""

    def __init__(self) -> None:
        self.calls: list[str | float] = []

    async def wait(self) -> None:
        self.calls.append("wait")
        await asyncio.sleep(0.2)

    async def hold(self, seconds: float) -> None:
        self.calls.append(seconds)


@pytest.fixture
def ask(serve: Callable[[], Any]) -> Callable[..., Any]:
    """``ask(gate, *answers)`` → the reply."""

    async def scenario(gate: Gate, answers: list[Any]) -> Any:  # noqa: ANN401 - reply or error
        async def sleep(_: float) -> None:
            pass

        async with serve() as server:
            server.answers = answers
            dialect = ChatCompletions(server.base_url, "key")
            client = TextClient(dialect, retries=Retries(first_wait_s=0.7), gate=gate, sleep=sleep)
            try:
                return await client.ask(ASK)
            finally:
                await client.aclose()

    return lambda gate, *answers: asyncio.run(scenario(gate, list(answers)))


def test_every_attempt_waits_and_the_wait_is_no_latency(ask: Callable[..., Any]) -> None:
    gate = Gate()
    reply = ask(gate, {"status": 503, "text": ""}, {"json": CHAT})
    assert reply.text == "hola"
    assert gate.calls == ["wait", "wait"]
    assert reply.latency_s < 0.2


def test_a_server_that_is_asked_too_often_closes_the_gate(ask: Callable[..., Any]) -> None:
    gate = Gate()
    told = {"status": 429, "text": "", "headers": {"Retry-After": "9"}}
    untold = {"status": 429, "text": ""}
    under_200 = {"json": {"error": {"code": 429, "message": "rate limited"}}}
    assert ask(gate, told, untold, under_200, {"json": CHAT}).text == "hola"
    assert gate.calls == ["wait", 9.0, "wait", 0.7, "wait", 0.7, "wait"]


@pytest.mark.parametrize("status", [400, 401])
def test_a_refusal_closes_no_gate(ask: Callable[..., Any], status: int) -> None:
    gate = Gate()
    with pytest.raises(RequestRefused):
        ask(gate, {"status": status, "text": "no"})
    assert gate.calls == ["wait"]
