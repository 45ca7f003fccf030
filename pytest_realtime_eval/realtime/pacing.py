"""Pacing against absolute deadlines, and how far off they were met.

Sleeping for one interval after each chunk adds the work's own time to every interval:
a minute of audio then takes more than a minute. A deadline counted from the start does
not drift; a chunk that is late makes no later chunk late.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pytest_realtime_eval.schemas.transcript import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Pacer", "schedule_error"]


class Pacer:
    """Wakes its caller at offsets from the moment it was made.

    Attributes:
        started_at: Clock reading (`time.perf_counter`, s).
        errors_ms: By how much each deadline was missed; never negative.
    """

    def __init__(self) -> None:
        self.started_at = time.perf_counter()
        self.errors_ms: list[float] = []

    async def until(self, offset_s: float) -> None:
        """Wait until ``offset_s`` after the start; yields to the loop even when late."""
        deadline = self.started_at + offset_s
        await asyncio.sleep(max(0.0, deadline - time.perf_counter()))
        self.errors_ms.append(max(0.0, time.perf_counter() - deadline) * 1000)


def schedule_error(
    errors_ms: Sequence[float], loop_lag_max_ms: float = 0.0
) -> ScheduleError | None:
    """Summarise missed deadlines (nearest rank); ``None`` when there were none to meet."""
    if not errors_ms:
        return None
    ordered = sorted(errors_ms)
    return ScheduleError(
        p50_ms=_nearest_rank(ordered, 50),
        p99_ms=_nearest_rank(ordered, 99),
        max_ms=ordered[-1],
        loop_lag_max_ms=loop_lag_max_ms,
    )


def _nearest_rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[-(-len(ordered) * percent // 100) - 1]
