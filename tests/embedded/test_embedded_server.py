"""Who may talk to the server, and what it answers over plain HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import openai
import pytest
import websockets

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from pytest_realtime_eval.embedded.server import EmbeddedServer

pytestmark = pytest.mark.asyncio

MESSAGES: list[Any] = [
    {"role": "system", "content": "Translate from English to Spanish."},
    {"role": "user", "content": "Good morning"},
]


def headers(server: EmbeddedServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"}


async def test_the_realtime_subprotocol_is_chosen_when_it_is_offered(
    server: EmbeddedServer,
) -> None:
    url = f"ws://127.0.0.1:{server.port}/v1/realtime?model=m"
    offers = ((None, None), ([websockets.Subprotocol("realtime")], "realtime"))
    for offered, chosen in offers:
        async with websockets.connect(
            url, additional_headers=headers(server), subprotocols=offered
        ) as socket:
            assert socket.subprotocol == chosen
            assert json.loads(await socket.recv())["type"] == "session.created"


@pytest.mark.parametrize("token", [None, "wrong", "é"])
async def test_without_the_runs_token_nothing_is_served(
    server: EmbeddedServer, token: str | None
) -> None:
    url = f"127.0.0.1:{server.port}/v1/realtime"
    given = {} if token is None else {"Authorization": f"Bearer {token}"}
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://{url}", additional_headers=given)
    assert refused.value.response.status_code == 401
    async with aiohttp.ClientSession(headers=given) as session:
        for method, path in (("POST", "v1/chat/completions"), ("POST", "shutdown")):
            async with session.request(method, f"http://127.0.0.1:{server.port}/{path}") as reply:
                assert reply.status == 401
                assert (await reply.json())["error"]["code"] == "invalid_api_key"
    assert not server.stopped.is_set()


async def test_the_server_is_not_reachable_from_outside(server: EmbeddedServer) -> None:
    assert {address[0] for address in server._runner.addresses} == {"127.0.0.1"}


async def test_chat_completions_translate(
    client: AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def translate(system: str, text: str) -> str:
        asked.append((system, text))
        return "Buenos días"

    monkeypatch.setattr("pytest_realtime_eval.embedded.translator.translate", translate)
    reply = await client.chat.completions.create(model="embedded", messages=MESSAGES)
    assert asked == [("Translate from English to Spanish.", "Good morning")]
    assert reply.choices[0].message.content == "Buenos días"
    assert (reply.model, reply.choices[0].finish_reason) == ("embedded", "stop")
    # 34 and 12 bytes asked, 12 bytes ("í" takes two) answered
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (12, 3)


async def test_chat_completions_refuse_to_judge(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="grades nothing"):
        await client.chat.completions.create(
            model="embedded", messages=MESSAGES, response_format={"type": "json_object"}
        )


@pytest.mark.parametrize("body", ["{", "[]", '{"model": "m"}', '{"messages": [{}], "model": "m"}'])
async def test_a_chat_completion_that_is_none_is_refused(server: EmbeddedServer, body: str) -> None:
    url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
    async with (
        aiohttp.ClientSession(headers=headers(server)) as session,
        session.post(url, data=body, headers={"Content-Type": "application/json"}) as reply,
    ):
        assert reply.status == 400
        assert (await reply.json())["error"]["type"] == "invalid_request_error"


async def test_open_sessions_are_told_when_the_server_stops(server: EmbeddedServer) -> None:
    url = f"ws://127.0.0.1:{server.port}/v1/realtime?model=m"
    async with websockets.connect(url, additional_headers=headers(server)) as socket:
        await socket.recv()
        await server.stop()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
