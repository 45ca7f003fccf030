"""One event loop in a background thread, in which all of a process's sessions live."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal


class LoopThread:
    """Starts the portal when it is first asked for, and stops it once."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    @property
    def started(self) -> bool:
        """Whether the thread runs."""
        return self._portal is not None

    @property
    def portal(self) -> BlockingPortal:
        """The way into the loop from other threads."""
        if self._portal is None:
            from anyio.from_thread import start_blocking_portal

            self._portal = self._stack.enter_context(start_blocking_portal(name="realtime-eval"))
        return self._portal

    def stop(self) -> None:
        """End the loop and its thread; what still runs in it is cancelled."""
        self._portal = None
        self._stack.close()
