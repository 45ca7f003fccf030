"""A call as the harness plays it: caller and agent, real speech, a real process, twice."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING, Any

import pytest
from openai import AsyncOpenAI

from pytest_realtime_eval.embedded.process import EmbeddedProcess, ensure_running, shut_down

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai.resources.realtime.realtime import AsyncRealtimeConnection

SAY = "Say exactly the following, word for word, and nothing else:\n"
LINES = (
    "I would like a refund, please.",
    "My order number is ORD-1001.",
    "It arrived damaged.",
)
REFUND = {
    "type": "function",
    "name": "refund_order",
    "description": "Refunds an order.",
    "parameters": {
        "type": "object",
        "properties": {"order_id": {"type": "string", "description": "The order number."}},
        "required": ["order_id"],
    },
}


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[EmbeddedProcess]:
    rendezvous = tmp_path / "embedded.json"
    yield ensure_running(rendezvous, os.getpid())
    shut_down(rendezvous)


async def respond(connection: AsyncRealtimeConnection, **response: Any) -> tuple[str, bytes]:  # noqa: ANN401 - the SDK's parameters
    """Return the transcript, or the calls, and the audio of a response."""
    await connection.response.create(response=response)  # type: ignore[arg-type] # a plain dict
    said, audio = "", b""
    async for event in connection:
        if event.type == "response.output_audio.delta":
            audio += base64.b64decode(event.delta)
        elif event.type == "response.output_audio_transcript.done":
            said += event.transcript
        elif event.type == "response.function_call_arguments.done":
            said += f"{event.name}({event.arguments})"
        elif event.type == "response.done":
            break
    return said, audio


async def call(endpoint: EmbeddedProcess) -> list[tuple[str, bytes]]:
    """Play the lines to the agent; return all that was said."""
    base = endpoint.url.removesuffix("/realtime")
    said = []
    async with (
        AsyncOpenAI(
            api_key=endpoint.token, base_url=endpoint.base_url, websocket_base_url=base
        ) as client,
        client.realtime.connect(model="agent") as agent,
        client.realtime.connect(model="caller") as caller,
    ):
        settings: Any = {"type": "realtime", "instructions": "Help.", "tools": [REFUND]}
        await agent.session.update(session=settings)
        for line in LINES:
            request = {"conversation": "none", "input": [], "instructions": f"{SAY}{line}"}
            said.append(await respond(caller, **request))
            audio = said[-1][1]
            for place in range(0, len(audio), 960):
                chunk = base64.b64encode(audio[place : place + 960]).decode()
                await agent.input_audio_buffer.append(audio=chunk)
            await agent.input_audio_buffer.commit()
            said.append(await respond(agent))
    return said


def test_a_call_is_the_same_alone_and_beside_others(endpoint: EmbeddedProcess) -> None:
    async def calls() -> list[list[tuple[str, bytes]]]:
        beside = await asyncio.gather(*(call(endpoint) for _ in range(3)))
        return [await call(endpoint), *beside]

    alone, *beside = asyncio.run(calls())
    assert [text for text, _ in alone[::2]] == list(LINES)
    assert all(audio for _, audio in alone[::2])
    assert any("ORD" in text and "1001" in text for text, _ in alone[1::2])
    assert beside == [alone] * 3
