"""Fixtures of the embedded endpoint's tests: a server with a voice and ear of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent, RealtimeSessionCreateResponse
from pydantic import BaseModel, TypeAdapter

from pytest_realtime_eval.embedded.ear import MoonshineEar
from pytest_realtime_eval.embedded.server import EmbeddedServer
from pytest_realtime_eval.embedded.speech import Speech
from pytest_realtime_eval.embedded.voice import HibariVoice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

#: Samples for each character: "Hello" lasts 100 ms.
SAMPLES = 480


class ByteVoice:
    """Speaks in code points: each character is a stretch of samples of its value."""

    def speak(self, text: str, pitch: float = 1.0) -> bytes:
        """Return the code; a pitch other than 1 shifts it."""
        shift = 0 if pitch == 1.0 else 1000
        return b"".join((ord(c) + shift).to_bytes(2, "little") * SAMPLES for c in text)


class ByteEar:
    """Understands :class:`ByteVoice` in PCM16 at 24 kHz."""

    def hear(self, pcm16: bytes, rate_hz: int) -> str:
        """Return the characters, whatever their pitch."""
        codes = (
            int.from_bytes(pcm16[place : place + 2], "little")
            for place in range(0, len(pcm16), 2 * SAMPLES * rate_hz // 24_000)
        )
        return "".join(chr(code % 1000) for code in codes).strip("\0")


@pytest_asyncio.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    """A server that speaks and hears in bytes."""
    server = EmbeddedServer(Speech(ByteVoice(), ByteEar()))
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[AsyncOpenAI]:
    """The openai SDK's client for that server."""
    base = f"127.0.0.1:{server.port}/v1"
    async with AsyncOpenAI(
        api_key=server.token, base_url=f"http://{base}", websocket_base_url=f"ws://{base}"
    ) as client:
        yield client


@pytest.fixture(scope="session")
def voice() -> HibariVoice:
    """The real voice."""
    return HibariVoice()


@pytest.fixture(scope="session")
def ear() -> MoonshineEar:
    """The real ear."""
    return MoonshineEar()


def _unknown_fields(value: object, path: str) -> list[str]:
    if isinstance(value, list):
        return [
            name for i, part in enumerate(value) for name in _unknown_fields(part, f"{path}[{i}]")
        ]
    if not isinstance(value, BaseModel):
        return []
    unknown = [f"{path}.{name}" for name in value.model_extra or {}]
    for name in type(value).model_fields:
        unknown += _unknown_fields(getattr(value, name), f"{path}.{name}")
    return unknown


@pytest.fixture(scope="session")
def check_event() -> Callable[[dict[str, Any]], Any]:
    """Return a function that validates a server event by the openai SDK's own models."""
    adapter: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)

    def check(event: dict[str, Any]) -> Any:  # noqa: ANN401 - one of 40 models
        parsed = adapter.validate_python(event)
        assert parsed.type == event["type"]
        assert event["event_id"]
        # The SDK takes the first of its session models that fits; this is the answer's.
        shown = (
            RealtimeSessionCreateResponse.model_validate(event["session"])
            if event["type"].startswith("session.")
            else parsed
        )
        assert not _unknown_fields(shown, event["type"])
        return parsed

    return check
