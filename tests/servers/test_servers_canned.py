from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.asyncio.client import connect

from pytest_realtime_eval.conversation.files import ConversationFiles
from pytest_realtime_eval.conversation.loop import Endpoints, play
from pytest_realtime_eval.conversation.setup import resolve
from pytest_realtime_eval.conversation.tools import ToolMocks
from pytest_realtime_eval.options import Options
from pytest_realtime_eval.realtime.endpoint import Endpoint
from pytest_realtime_eval.schemas.simulation import load_simulation

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_realtime_eval.schemas.transcript import Transcript

FIRST = "Hello, I would like a table."


def played(folder: Path, url: str, **simulation: object) -> Transcript:
    """Play a simulation against a server."""
    path = folder / "sim_canned.json"
    told = {"turns": {"fixed_first_user_turn": FIRST, "max_turns": 9}, **simulation}
    path.write_text(json.dumps(told))
    loaded = load_simulation(path)
    setup = resolve(loaded, path, Options(folder))
    endpoint = Endpoint(name="canned", url=url)
    files = ConversationFiles(folder, "sim_canned")
    mocks = ToolMocks(loaded.tool_mocks)
    result = asyncio.run(play(setup, Endpoints(endpoint, endpoint), mocks, files))
    assert result.error is None
    return result.transcript


def test_it_plays_the_scenario(tmp_path: Path, canned_server: Callable[..., Any]) -> None:
    server = canned_server(
        turns=2,
        assistant_lines=["For when?", "Booked."],
        user_lines=["never said", "For Friday."],
        user_ms=[500, 900],
        assistant_ms=[300],
        tool_calls=[{"turn": 2, "name": "book", "arguments": {"day": "Friday"}}],
    )
    transcript = played(
        tmp_path, server.url, tool_mocks=[{"name": "book", "output": {"status": "ok"}}]
    )
    assert [(turn.user_text, turn.assistant_text) for turn in transcript.turns] == [
        (FIRST, "For when?"),
        ("For Friday.", "Booked."),
    ]
    assert [turn.user_audio_ms for turn in transcript.turns] == [500, 900]
    assert [call.arguments for call in transcript.tool_calls] == [{"day": "Friday"}]
    assert transcript.ended_by == "end_call"


@pytest.mark.parametrize("wire", ["pcm16", "g711_ulaw", "g711_alaw"])
def test_audio_has_the_length_and_format_asked_for(
    tmp_path: Path, canned_server: Callable[..., Any], wire: str
) -> None:
    server = canned_server(turns=1, user_ms=[500], assistant_ms=[700])
    audio = {"input_format": wire, "output_format": wire}
    (turn,) = played(tmp_path, server.url, audio=audio).turns
    assert (turn.user_audio_ms, turn.assistant_audio_ms) == (500, 700)


def test_a_model_can_have_a_scenario_of_its_own(
    tmp_path: Path, canned_server: Callable[..., Any]
) -> None:
    server = canned_server(turns=1, models={"other": {"assistant_lines": ["I differ."]}})
    transcript = played(tmp_path, server.url, assistant={"model": "other"})
    assert transcript.turns[0].assistant_text == "I differ."
    assert transcript.assistant_model == "other"


def test_latency_is_as_set(tmp_path: Path, canned_server: Callable[..., Any]) -> None:
    server = canned_server(turns=1, latency_ms=150)
    (turn,) = played(tmp_path, server.url).turns
    assert turn.latencies.first_audio is not None
    assert turn.latencies.first_audio >= 150


def test_real_time_output_takes_as_long_as_the_audio(
    tmp_path: Path, canned_server: Callable[..., Any]
) -> None:
    server = canned_server(turns=1, assistant_ms=[500], real_time=True)
    (turn,) = played(tmp_path, server.url).turns
    assert turn.latencies.response_done is not None
    # The last of five deltas of 100 ms leaves after 400.
    assert turn.latencies.response_done >= 400


def test_its_events_are_of_the_protocol(canned_server: Callable[..., Any]) -> None:
    server = canned_server(tool_calls=[{"turn": 1, "name": "book"}])
    events = asyncio.run(_all_events(server.url))
    adapter: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
    for event in events:
        assert adapter.validate_python(event).type == event["type"]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "session.created"
    assert kinds.count("response.done") == 2
    assert "response.function_call_arguments.done" in kinds


async def _all_events(url: str) -> list[dict[str, Any]]:
    """Commit audio, take a call, answer it, take a message; return all that was sent."""
    audio = "A" * 6400  # 100 ms
    output = {"type": "function_call_output", "call_id": "call_0001", "output": "{}"}
    told: list[dict[str, Any]] = [
        {"type": "session.update", "session": {"type": "realtime"}},
        {"type": "input_audio_buffer.clear"},
        {"type": "input_audio_buffer.append", "audio": audio},
        {"type": "input_audio_buffer.commit"},
        {"type": "response.create"},
        {"type": "conversation.item.create", "item": output},
        {"type": "response.create", "response": {"metadata": {"turn": "1"}}},
    ]
    async with asyncio.timeout(10), connect(url) as websocket:
        for event in told:
            await websocket.send(json.dumps(event, separators=(",", ":")))
        events: list[dict[str, Any]] = []
        while sum(event["type"] == "response.done" for event in events) < 2:
            events.append(json.loads(await websocket.recv()))
    assert events[-1]["response"]["metadata"] == {"turn": "1"}
    return events


def test_an_empty_buffer_cannot_be_committed(canned_server: Callable[..., Any]) -> None:
    async def answer(url: str) -> Any:  # noqa: ANN401 - raw JSON
        async with asyncio.timeout(10), connect(url) as websocket:
            await websocket.send('{"type":"input_audio_buffer.commit"}')
            await websocket.recv()
            return json.loads(await websocket.recv())

    event = asyncio.run(answer(canned_server().url))
    assert event["error"]["code"] == "input_audio_buffer_commit_empty"


def test_chat_completions_echo_after_their_latency(canned_server: Callable[..., Any]) -> None:
    async def reply(base_url: str) -> Any:  # noqa: ANN401 - raw JSON
        body = {"model": "m", "messages": [{"role": "user", "content": "Guten Tag"}]}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base_url}/chat/completions", json=body) as response,
        ):
            return await response.json()

    server = canned_server(chat_latency_ms=120)
    started = time.perf_counter()
    data = asyncio.run(reply(server.base_url))
    assert data["choices"][0]["message"]["content"] == "Guten Tag"
    assert time.perf_counter() - started >= 0.12


def test_it_ends_with_its_input_and_tells_what_it_did() -> None:
    script = str(Path(__file__).parent / "canned.py")
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, script], input=b"", stdout=subprocess.PIPE, timeout=10, check=True
    )
    place, statistics = map(json.loads, ended.stdout.splitlines())
    assert place["url"].startswith("ws://127.0.0.1:")
    assert statistics["sessions"] == 0
