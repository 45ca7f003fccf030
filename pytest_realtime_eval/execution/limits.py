"""Limits that hold for the whole run, whatever its processes: rate, sessions, cost.

A run without limits has no database; each start then looks whether another process has
made one because a server asked for patience.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from pytest_realtime_eval.exceptions import BudgetReached
from pytest_realtime_eval.execution.retries import LONGEST_RETRY_AFTER_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pytest_realtime_eval.execution.ledger import Bid, Ledger

SESSIONS: Final = "sessions"
REQUESTS: Final = "requests"
#: A conversation opens them together and holds them until it ends.
SESSIONS_OF_A_CONVERSATION: Final = 2


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What the user allows; ``None`` is no limit.

    Attributes:
        rate_per_minute: Sessions opened, and text requests sent, in any minute.
        max_sessions: Sessions open at once; 2 at least, since a conversation has two.
        max_cost_usd: Nothing starts when the run has cost that much.
        spent_usd: What it had cost when it was taken up again.
    """

    rate_per_minute: int | None = None
    max_sessions: int | None = None
    max_cost_usd: float | None = None
    spent_usd: float = 0.0

    def interval_s(self, starts: int = 1) -> float:
        """Return the seconds after a start that opens so many sessions at once.

        They are such that no minute sees more than the rate when all starts are alike.
        """
        if self.rate_per_minute is None:
            return 0.0
        return 60.0 / (self.rate_per_minute // starts or self.rate_per_minute / starts)


class Limits:
    """Lets things start when they may; one in each process of a run.

    Whoever waits in a process does so in the order of coming; between processes chance
    decides.

    Args:
        settings: What the user allows.
        path: The database that the run's processes share; made when it is needed.
    """

    def __init__(self, settings: LimitSettings, path: Path) -> None:
        self.settings: Final = settings
        self._path = path
        self._ledger: Ledger | None = None
        self._cost_reached = False
        # Tests have event loops of their own beside the one of the conversations.
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = (
            WeakKeyDictionary()
        )

    @asynccontextmanager
    async def conversation(self, *, begun: bool = False) -> AsyncIterator[None]:
        """Wait until a conversation may start, and hold its sessions until it ends.

        One that had begun may begin again, whatever the run has cost.

        Raises:
            BudgetReached: The run has cost what it may.
        """
        lease = await self.start_sessions(SESSIONS_OF_A_CONVERSATION, begun=begun)
        try:
            yield
        finally:
            await self.end_sessions(lease)

    async def start_sessions(self, sessions: int, *, begun: bool = False) -> int | None:
        """Wait until sessions may be opened; return the lease on them, if they are counted.

        Raises:
            BudgetReached: The run has cost what it may.
        """
        from pytest_realtime_eval.execution.ledger import Bid

        if not begun:
            await self.check_cost()
        if not (self.settings.rate_per_minute or self.settings.max_sessions or self._was_held):
            return None
        interval_s = self.settings.interval_s(sessions)
        lease = await self._start(Bid(SESSIONS, interval_s, sessions, self.settings.max_sessions))
        try:
            # What ran while this waited has cost something too.
            if not begun:
                await self.check_cost()
        except BudgetReached:
            await self.end_sessions(lease)
            raise
        return lease

    async def end_sessions(self, lease: int | None) -> None:
        """Let others have the sessions of a lease."""
        if lease is not None:
            await asyncio.to_thread(self._shared().give_back, lease)

    async def start_request(self) -> None:
        """Wait until a text request may be sent."""
        from pytest_realtime_eval.execution.ledger import Bid

        if self.settings.rate_per_minute or self._was_held:
            await self._start(Bid(REQUESTS, self.settings.interval_s()))

    async def hold(self, kind: str, seconds: float) -> None:
        """Start nothing of a kind for so long, in all processes: a server asked for patience.

        Longer than an attempt would wait itself is not waited for; what starts then breaks
        and says why.
        """
        if 0 < seconds <= LONGEST_RETRY_AFTER_S:
            await asyncio.to_thread(self._shared().hold, kind, seconds)

    async def check_cost(self) -> None:
        """Look whether something may still start.

        Raises:
            BudgetReached: The run has cost what it may.
        """
        limit = self.settings.max_cost_usd
        if limit is None:
            return
        if not self._cost_reached:
            cost = await asyncio.to_thread(self._shared().cost)
            self._cost_reached = self.settings.spent_usd + cost >= limit
        if self._cost_reached:
            raise BudgetReached(limit)

    async def add_cost(self, usd: float | None) -> None:
        """Count what something has cost; an unknown cost cannot be counted."""
        if usd and self.settings.max_cost_usd is not None:
            await asyncio.to_thread(self._shared().add_cost, usd)

    async def aclose(self) -> None:
        """Let go of the database."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            await asyncio.to_thread(ledger.close)

    @property
    def _was_held(self) -> bool:
        return self._path.exists()

    async def _start(self, bid: Bid) -> int | None:
        ledger = self._shared()
        async with self._queue(bid.kind):
            # What is waited for happens in other processes too, so nobody could wake this.
            while (answer := await asyncio.to_thread(ledger.bid, bid)).wait_s > 0:  # noqa: ASYNC110
                await asyncio.sleep(answer.wait_s)
        return answer.lease

    def _queue(self, kind: str) -> asyncio.Lock:
        queues = self._queues.setdefault(asyncio.get_running_loop(), {})
        return queues.setdefault(kind, asyncio.Lock())

    def _shared(self) -> Ledger:
        if self._ledger is None:
            from pytest_realtime_eval.execution.ledger import Ledger

            self._ledger = Ledger(self._path)
        return self._ledger


class RequestGate:
    """The limits as a text client sees them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def wait(self) -> None:
        """Wait until a request may be sent."""
        await self._limits.start_request()

    async def hold(self, seconds: float) -> None:
        """Let nobody send a request for so long."""
        await self._limits.hold(REQUESTS, seconds)
