"""How late the event loop is: latencies that it measures are not earlier than that."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds between looks at the clock.
_INTERVAL_S: Final = 0.05


@dataclass
class LagGauge:
    """The longest lag, in ms, while the gauge was held."""

    max_ms: float = 0.0


class LagMonitor:
    """Measures by how much a sleeping task of this loop is woken too late.

    One task serves all gauges, so watching costs the same for one conversation and for
    a hundred. It runs while a gauge is held.
    """

    def __init__(self) -> None:
        self._held: dict[int, LagGauge] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def gauge(self) -> Iterator[LagGauge]:
        """Hold a gauge; must be entered in the loop that is watched."""
        gauge = LagGauge()
        self._held[id(gauge)] = gauge
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())
        try:
            yield gauge
        finally:
            del self._held[id(gauge)]
            if not self._held and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _watch(self) -> None:
        while True:
            asleep = time.perf_counter()
            await asyncio.sleep(_INTERVAL_S)
            lag_ms = (time.perf_counter() - asleep - _INTERVAL_S) * 1000
            for gauge in self._held.values():
                gauge.max_ms = max(gauge.max_ms, lag_ms)
