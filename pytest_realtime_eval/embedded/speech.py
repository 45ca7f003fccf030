"""Voice and ear for an event loop: in a small thread pool, with what was said remembered."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.embedded.ear import MoonshineEar
from pytest_realtime_eval.embedded.voice import HibariVoice, pitch_of

if TYPE_CHECKING:
    from pytest_realtime_eval.embedded.ear import Ear
    from pytest_realtime_eval.embedded.voice import Voice

__all__ = ["Speech"]

#: About 300 KB each.
_REMEMBERED: Final = 128


class Speech:
    """Speaks and hears without standing on the event loop.

    Which thread does it, and beside what else, never changes the result.
    """

    def __init__(self, voice: Voice | None = None, ear: Ear | None = None) -> None:
        self._voice = voice or HibariVoice()
        self._ear = ear or MoonshineEar()
        # The models run on one thread each; more workers than cores would only take turns.
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="speech")
        self._spoken: OrderedDict[tuple[str, float], asyncio.Future[bytes]] = OrderedDict()

    async def speak(self, text: str, voice: str) -> bytes:
        """Return ``text`` in the voice of that name: mono PCM16 at 24 kHz."""
        key = (text, pitch_of(voice))
        future = self._spoken.get(key)
        if future is None or future.cancelled():
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._pool, self._voice.speak, *key)
            self._remember(key, future)
        self._spoken.move_to_end(key)
        # Several responses may wait for the same utterance: cancelling one leaves it alone.
        return await asyncio.shield(future)

    async def hear(self, pcm16: bytes, rate_hz: int) -> str:
        """Return what is said in the audio; see :meth:`Ear.hear`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._ear.hear, pcm16, rate_hz)

    def warm_up(self) -> None:
        """Start loading the models in the background."""
        self._pool.submit(self._voice.speak, "ready", 1.0)
        self._pool.submit(self._ear.hear, b"\x00\x20\x00\xe0" * 4_000, 16_000)

    def close(self) -> None:
        """Drop what has not started; what runs ends by itself, within a second or so."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _remember(self, key: tuple[str, float], future: asyncio.Future[bytes]) -> None:
        self._spoken[key] = future
        future.add_done_callback(lambda done: self._forget_failure(key, done))
        if len(self._spoken) > _REMEMBERED:
            self._spoken.popitem(last=False)

    def _forget_failure(self, key: tuple[str, float], future: asyncio.Future[bytes]) -> None:
        if (future.cancelled() or future.exception()) and self._spoken.get(key) is future:
            del self._spoken[key]
