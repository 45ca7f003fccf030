"""A Realtime server of the tests' own, which speaks the GA protocol and says what it is told to.

There is no speech: audio is a tone, words come from a scenario. It costs little, since the
frames of audio are encoded once, so that a benchmark measures its client. As a script it
runs in a process of its own:

    python tests/servers/canned.py '{"latency_ms": 200, "turns": 4}'

It prints one JSON line (``url`` of the Realtime API, ``base_url`` of chat completions,
``pid``), serves until its standard input ends, and prints its statistics as a second line.

The argument is a `Scenario` as JSON. Its key ``models`` holds other scenarios by the name of
the model that a session asks for, each as what differs from the first.

A fault is a subclass of `CannedSession` that overrides what it breaks; `CannedServer` takes
it as ``session_class``, and has ``refuse`` for handshakes and ``chat`` for completions.
"""

from __future__ import annotations

import array
import asyncio
import base64
import contextlib
import functools
import itertools
import json
import math
import os
import random
import sys
import threading
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

Event = dict[str, Any]

_APPEND: Final = b'{"type":"input_audio_buffer.append"'
#: Characters of an append around its base64.
_APPEND_AROUND: Final = len('{"type":"input_audio_buffer.append","audio":""}')
#: A server refuses to commit less, ms.
_SHORTEST_COMMIT_MS: Final = 100


@dataclass(frozen=True)
class Scenario:
    """What the two sides of a conversation say and do. Durations are in ms.

    Attributes:
        turns: Turns of the user; then it says END_CALL.
        user_lines, assistant_lines: What is said, by turn, over and over. The user's first
            line is the one that its instructions give.
        user_ms, assistant_ms: Length of the audio, by turn, over and over.
        tool_calls: ``{"turn", "name", "arguments"}``: what the assistant calls before it
            answers in that turn. ``arguments`` that are text are sent as they stand.
        delta_ms: Length of the audio in one delta.
        latency_ms: From ``response.create`` to the first event of the response.
        jitter_ms: Latencies differ by up to this much, evenly; the same in every run.
        real_time: Audio is sent at the pace of speech, not at once.
        chat_latency_ms: Of chat completions.
        chat_reply: What a completion says; without it, what the user said.
    """

    turns: int = 3
    user_lines: tuple[str, ...] = ("Yes, please.", "That is right.", "Thank you.")
    assistant_lines: tuple[str, ...] = ("Certainly.", "One moment, please.", "It is done.")
    user_ms: tuple[int, ...] = (1000,)
    assistant_ms: tuple[int, ...] = (1000,)
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    delta_ms: int = 100
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    real_time: bool = False
    chat_latency_ms: float = 0.0
    chat_reply: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any], base: Scenario | None = None) -> Scenario:
        """Return ``base`` with the values of a JSON object; lists become tuples."""
        known = {name.name for name in fields(cls)}
        if unknown := set(data) - known:
            raise ValueError(f"a scenario has no {', '.join(sorted(unknown))}")
        values: dict[str, Any]
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return replace(base or cls(), **values)


@dataclass
class Statistics:
    """What a server was asked for; clock readings (`time.monotonic`) are in s."""

    sessions: int = 0
    responses: int = 0
    appends: int = 0
    requests: int = 0
    first_request_at: float | None = None
    last_reply_at: float | None = None
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Wire:
    """Format of the audio of one direction."""

    mime: str = "audio/pcm"
    rate: int = 24000

    @classmethod
    def of(cls, session: Mapping[str, Any], direction: str, default: Wire) -> Wire:
        """Return what a ``session.update`` asks for."""
        said = session.get("audio", {}).get(direction, {}).get("format")
        return cls(said["type"], said.get("rate", 8000)) if said else default

    @property
    def bytes_per_ms(self) -> float:
        return self.rate * (2 if self.mime == "audio/pcm" else 1) / 1000


@functools.lru_cache(maxsize=64)
def tone(wire: Wire, length_ms: int) -> bytes:
    """Return a quiet tone of 440 Hz; in G.711 a pattern of codes stands for it."""
    size = round(wire.bytes_per_ms * length_ms)
    if wire.mime != "audio/pcm":
        return (bytes(range(256)) * (size // 256 + 1))[:size]
    step = 2 * math.pi * 440 / wire.rate
    samples = array.array("h", (int(3000 * math.sin(step * n)) for n in range(size // 2)))
    return samples.tobytes()


@functools.lru_cache(maxsize=256)
def audio_deltas(
    wire: Wire, length_ms: int, delta_ms: int, response: str, item: str
) -> tuple[bytes, ...]:
    """Return a response's audio as encoded events."""
    data, size = tone(wire, length_ms), round(wire.bytes_per_ms * delta_ms)
    return tuple(
        encoded(
            "response.output_audio.delta",
            response_id=response,
            item_id=item,
            output_index=0,
            content_index=0,
            delta=base64.b64encode(data[start : start + size]).decode(),
        )
        for start in range(0, len(data), size)
    )


def encoded(kind: str, **content: object) -> bytes:
    """Return an event as it is sent; the type stands first."""
    event = {"type": kind, "event_id": "event_canned", **content}
    return json.dumps(event, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Reply:
    """A response before it is sent: a message with audio, or a function call."""

    number: int
    metadata: Mapping[str, Any] | None
    text: str = ""
    audio_ms: int = 0
    call: Mapping[str, Any] | None = None

    @property
    def response_id(self) -> str:
        return f"resp_{self.number:04}"

    @property
    def item_id(self) -> str:
        return f"item_r{self.number:04}"

    def item(self, status: str) -> Event:
        """Return the output item, complete or as it is announced."""
        done = status == "completed"
        head = {"id": self.item_id, "object": "realtime.item", "status": status}
        if self.call is not None:
            arguments = self.call.get("arguments", {})
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            return {
                **head,
                "type": "function_call",
                "name": self.call["name"],
                "call_id": self.call.get("call_id", f"call_{self.number:04}"),
                "arguments": text if done else "",
            }
        content = [{"type": "output_audio", "transcript": self.text}] if done else []
        return {**head, "type": "message", "role": "assistant", "content": content}

    def body(self, status: str) -> Event:
        """Return the ``response`` object."""
        done = status != "in_progress"
        audio_tokens, text_tokens = self.audio_ms // 50, len(self.text.split()) + 1
        usage = {
            "total_tokens": 50 + audio_tokens + text_tokens,
            "input_tokens": 50,
            "output_tokens": audio_tokens + text_tokens,
            "input_token_details": {"text_tokens": 30, "audio_tokens": 20, "cached_tokens": 0},
            "output_token_details": {"text_tokens": text_tokens, "audio_tokens": audio_tokens},
        }
        return {
            "id": self.response_id,
            "object": "realtime.response",
            "status": status,
            "status_details": None,
            "output": [self.item("completed")] if done else [],
            "metadata": self.metadata,
            "usage": usage if done else None,
        }


class CannedSession:
    """One connection. A fault overrides what it breaks: a step, or `send` itself.

    Attributes:
        websocket: The connection.
        scenario: What is said.
        model: The model that the client asked for.
        number: Counts the server's connections from 1.
        turn: Commits so far: the assistant's turn.
    """

    def __init__(self, server: CannedServer, websocket: ServerConnection, number: int) -> None:
        query = parse_qs(urlsplit(websocket.request.path).query) if websocket.request else {}
        self.websocket = websocket
        self.model = query.get("model", ["gpt-realtime"])[0]
        self.scenario = server.scenario_of(self.model)
        self.statistics = server.statistics
        self.number = number
        self.turn = 0
        self.input = self.output = Wire()
        self.session: Event = {
            "type": "realtime",
            "object": "realtime.session",
            "id": f"sess_{number:06}",
            "model": self.model,
            "output_modalities": ["audio"],
            "audio": {},
        }
        self._items = itertools.count(1)
        self._responses = itertools.count(1)
        self._buffered = 0
        self._outputs = 0
        # Text: hashes of it are the same in every process, and so are the latencies.
        self._random = random.Random(f"{number}")  # noqa: S311 - jitter is no secret

    async def run(self) -> None:
        """Serve the connection to its end."""
        await self.greet()
        while True:
            await self.receive(await self.websocket.recv(decode=False))

    async def greet(self) -> None:
        """Say ``session.created``."""
        await self.send(encoded("session.created", session=self.session))

    async def send(self, frame: bytes) -> None:
        """Send one encoded event."""
        await self.websocket.send(frame, text=True)

    async def receive(self, raw: bytes) -> None:
        """Take one message in; audio is counted and not looked at."""
        if raw.startswith(_APPEND):
            self.statistics.appends += 1
            self._buffered += len(raw) - _APPEND_AROUND
            return
        event = json.loads(raw)
        handlers = {
            "session.update": self.on_update,
            "input_audio_buffer.clear": self.on_clear,
            "input_audio_buffer.commit": self.on_commit,
            "conversation.item.create": self.on_item,
            "response.create": self.on_response,
        }
        await handlers.get(event["type"], self.on_other)(event)

    async def on_update(self, event: Event) -> None:
        """Take the settings over, and repeat them."""
        asked = event["session"]
        self.input = Wire.of(asked, "input", self.input)
        self.output = Wire.of(asked, "output", self.output)
        self.session |= asked
        await self.send(encoded("session.updated", session=self.session))

    async def on_clear(self, _event: Event) -> None:
        self._buffered = 0
        await self.send(encoded("input_audio_buffer.cleared"))

    async def on_commit(self, _event: Event) -> None:
        """Make the audio an item; an empty buffer is an error, as with the real thing."""
        length_ms = self._buffered * 3 / 4 / self.input.bytes_per_ms
        self._buffered = 0
        if length_ms < _SHORTEST_COMMIT_MS - 1:
            await self.refuse(
                "input_audio_buffer_commit_empty",
                f"Expected at least 100ms of audio, the buffer has {length_ms:.2f}ms.",
            )
            return
        self.turn += 1
        self._outputs = 0
        item_id = f"item_u{next(self._items):04}"
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "type": "message", "role": "user", "content": content}
        await self.send(
            encoded("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
        )
        await self._announce_item(item)

    async def on_item(self, event: Event) -> None:
        """Add an item; outputs of calls are counted."""
        item = event["item"]
        self._outputs += item["type"] == "function_call_output"
        await self._announce_item({"id": f"item_c{next(self._items):04}", **item})

    async def on_response(self, event: Event) -> None:
        """Respond: as the user when the response is out of band, else as the assistant."""
        asked = event.get("response", {})
        self.statistics.responses += 1
        await asyncio.sleep(self.latency_s())
        if asked.get("conversation") == "none":
            await self.respond(self.user_reply(asked))
        else:
            await self.respond(self.assistant_reply(asked))

    async def on_other(self, event: Event) -> None:
        await self.refuse("invalid_event", f"Invalid value: {event['type']!r}.")

    async def refuse(self, code: str, message: str) -> None:
        """Send an ``error`` event."""
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        await self.send(encoded("error", error=error))

    def latency_s(self) -> float:
        """Return how long the next response takes to begin."""
        jitter = self._random.uniform(-1, 1) * self.scenario.jitter_ms
        return max(0.0, self.scenario.latency_ms + jitter) / 1000

    def user_reply(self, asked: Mapping[str, Any]) -> Reply:
        """Return what the simulated user says: its first line as it was told, then END_CALL."""
        messages: Sequence[Event] = asked.get("input") or []
        turn = len(messages) // 2 + 1
        if turn == 1 and "\n" in asked.get("instructions", ""):
            text = asked["instructions"].partition("\n")[2]
        else:
            text = _of_turn(self.scenario.user_lines, turn)
        ended = turn > self.scenario.turns
        return Reply(
            next(self._responses),
            asked.get("metadata"),
            "END_CALL" if ended else text,
            self.scenario.delta_ms if ended else _of_turn(self.scenario.user_ms, turn),
        )

    def assistant_reply(self, asked: Mapping[str, Any]) -> Reply:
        """Return the next call of the turn, and when all are answered the turn's line."""
        number, metadata = next(self._responses), asked.get("metadata")
        calls = [call for call in self.scenario.tool_calls if call["turn"] == self.turn]
        if self._outputs < len(calls):
            return Reply(number, metadata, call=calls[self._outputs])
        text = _of_turn(self.scenario.assistant_lines, self.turn)
        return Reply(number, metadata, text, _of_turn(self.scenario.assistant_ms, self.turn))

    async def respond(self, reply: Reply) -> None:
        """Send a response from ``response.created`` to ``response.done``."""
        await self.send(encoded("response.created", response=reply.body("in_progress")))
        where = {"response_id": reply.response_id, "output_index": 0}
        item = reply.item("in_progress")
        await self.send(encoded("response.output_item.added", **where, item=item))
        await self.send(encoded("conversation.item.added", previous_item_id=None, item=item))
        if reply.call is None:
            await self.speak(reply, where | {"item_id": reply.item_id, "content_index": 0})
        else:
            await self.call(reply, where | {"item_id": reply.item_id})
        item = reply.item("completed")
        await self.send(encoded("response.output_item.done", **where, item=item))
        await self.send(encoded("conversation.item.done", previous_item_id=None, item=item))
        await self.send(encoded("response.done", response=reply.body("completed")))

    async def speak(self, reply: Reply, where: Event) -> None:
        """Send the content of a message: transcript and audio."""
        part = {"type": "audio", "transcript": ""}
        transcript = "response.output_audio_transcript"
        await self.send(encoded("response.content_part.added", **where, part=part))
        for word in reply.text.split(" "):
            await self.send(encoded(f"{transcript}.delta", **where, delta=f"{word} "))
        await self.send_audio(reply)
        await self.send(encoded("response.output_audio.done", **where))
        await self.send(encoded(f"{transcript}.done", **where, transcript=reply.text))
        part = part | {"transcript": reply.text}
        await self.send(encoded("response.content_part.done", **where, part=part))

    async def send_audio(self, reply: Reply) -> None:
        """Send the audio, at once or at the pace of speech."""
        delta_ms = self.scenario.delta_ms
        started = time.monotonic()
        for index, frame in enumerate(self.audio_frames(reply)):
            if self.scenario.real_time:
                due = started + index * delta_ms / 1000
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.send(frame)

    def audio_frames(self, reply: Reply) -> Iterator[bytes]:
        """Yield the audio as encoded events."""
        yield from audio_deltas(
            self.output, reply.audio_ms, self.scenario.delta_ms, reply.response_id, reply.item_id
        )

    async def call(self, reply: Reply, where: Event) -> None:
        """Send the arguments of a function call."""
        item = reply.item("completed")
        kind = "response.function_call_arguments"
        told = where | {"call_id": item["call_id"]}
        await self.send(encoded(f"{kind}.delta", **told, delta=item["arguments"]))
        await self.send(
            encoded(f"{kind}.done", **told, name=item["name"], arguments=item["arguments"])
        )

    async def _announce_item(self, item: Event) -> None:
        for kind in ("conversation.item.added", "conversation.item.done"):
            await self.send(encoded(kind, previous_item_id=None, item=item))


@dataclass
class CannedServer:
    """Serves sessions and chat completions on two ports of the system's choice.

    Attributes:
        scenario: Of every model that ``by_model`` does not name.
        session_class: What serves a connection.
    """

    scenario: Scenario = field(default_factory=Scenario)
    by_model: Mapping[str, Scenario] = field(default_factory=dict)
    session_class: type[CannedSession] = CannedSession
    statistics: Statistics = field(default_factory=Statistics)

    @classmethod
    def from_json(cls, data: Event) -> CannedServer:
        """Return the server of a scenario as JSON; see the module."""
        scenario = Scenario.from_json({k: v for k, v in data.items() if k != "models"})
        models = data.get("models", {})
        return cls(scenario, {m: Scenario.from_json(s, scenario) for m, s in models.items()})

    def scenario_of(self, model: str) -> Scenario:
        """Return what a model says."""
        return self.by_model.get(model, self.scenario)

    def refuse(self, connection: ServerConnection, request: Request) -> Response | None:  # noqa: ARG002 - a fault uses them
        """Return the answer to a handshake that is not to be accepted."""
        return None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Event]:
        """Serve; yields what a client has to know."""
        runner = web.ServerRunner(web.Server(self._completion))
        async with serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self.refuse,
            select_subprotocol=_choose_subprotocol,
            compression=None,
            ping_interval=None,
            max_size=None,
            max_queue=None,
            close_timeout=0.2,
        ) as server:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            try:
                await site.start()
                port = next(iter(server.sockets)).getsockname()[1]
                http_port = runner.addresses[0][1]
                yield {
                    "url": f"ws://127.0.0.1:{port}/v1/realtime",
                    "base_url": f"http://127.0.0.1:{http_port}/v1",
                    "pid": os.getpid(),
                }
            finally:
                await runner.cleanup()

    async def _handle(self, websocket: ServerConnection) -> None:
        self.statistics.sessions += 1
        with contextlib.suppress(ConnectionClosed):
            await self.session_class(self, websocket, self.statistics.sessions).run()

    async def _completion(self, request: web.BaseRequest) -> web.StreamResponse:
        statistics = self.statistics
        statistics.requests += 1
        if statistics.first_request_at is None:
            statistics.first_request_at = time.monotonic()
        response = await self.chat(await request.json())
        statistics.last_reply_at = time.monotonic()
        return response

    async def chat(self, asked: Event) -> web.StreamResponse:
        """Answer a chat completion after its latency."""
        model = str(asked.get("model", ""))
        scenario = self.scenario_of(model)
        await asyncio.sleep(scenario.chat_latency_ms / 1000)
        said = asked["messages"][-1]["content"]
        text = said if scenario.chat_reply is None else scenario.chat_reply
        message = {"role": "assistant", "content": text, "refusal": None}
        usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
        return web.json_response(
            {
                "id": f"chatcmpl-{self.statistics.requests}",
                "object": "chat.completion",
                "created": 1_790_000_000,
                "model": model,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        )


def _choose_subprotocol(
    _connection: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    return Subprotocol("realtime") if "realtime" in offered else None


def _of_turn(values: Sequence[Any], turn: int) -> Any:  # noqa: ANN401 - any element
    return values[(turn - 1) % len(values)]


async def serve_until_input_ends(server: CannedServer) -> None:
    """Serve as a process: say where, then serve until whoever started us lets go."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    async with server.running() as place:
        _say(place)
        await ended.wait()
        server.statistics.cpu_s = time.process_time()
        _say(asdict(server.statistics))


def _say(value: object) -> None:
    # Whoever started us may be gone.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(
        serve_until_input_ends(
            CannedServer.from_json(json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}"))
        )
    )
