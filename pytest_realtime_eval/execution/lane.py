"""Work that overlaps: a lane keeps a number of jobs in flight ahead of whoever takes results."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from anyio.from_thread import BlockingPortal

ResultT = TypeVar("ResultT")


@dataclass
class _Job(Generic[ResultT]):
    work: Callable[[], Awaitable[ResultT]]
    future: Future[ResultT] = field(default_factory=Future)


class Lane(Generic[ResultT]):
    """Runs jobs on a portal's event loop, in the order in which they were announced.

    The caller announces the jobs that it will want and takes each when its turn comes.
    At most ``concurrency`` announced jobs are in flight; a job that was not announced
    starts when it is taken.

    All methods but the private ones are for the caller's thread; the loop's thread alone
    touches ``_waiting`` and ``_running``.
    """

    def __init__(self, portal: BlockingPortal, concurrency: int) -> None:
        self._portal = portal
        self._concurrency = concurrency
        self._announced: dict[Hashable, _Job[ResultT]] = {}
        self._waiting: deque[_Job[ResultT]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    def announce(self, jobs: dict[Hashable, Callable[[], Awaitable[ResultT]]]) -> None:
        """Queue jobs, by key; those already announced are left as they are."""
        new = {key: _Job(work) for key, work in jobs.items() if key not in self._announced}
        self._announced |= new
        if new:
            self._portal.call(self._enqueue, list(new.values()))

    def take(self, key: Hashable, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Return the job's result, waiting for it; its exception is raised.

        A job is taken once: a second call with the same key runs ``work`` anew.
        """
        job = self._announced.pop(key, None)
        if job is None:
            job = _Job(work)
            self._portal.call(self._start, job)
        try:
            return job.future.result()
        except BaseException:
            job.future.cancel()
            raise

    def cancel(self) -> None:
        """Cancel what is in flight, drop what is waiting, and wait until all has ended."""
        self._announced.clear()
        self._portal.call(self._cancel_all)

    def _enqueue(self, jobs: list[_Job[ResultT]]) -> None:
        self._waiting.extend(jobs)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._concurrency:
            self._start(self._waiting.popleft())

    def _start(self, job: _Job[ResultT]) -> None:
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._fill()

    async def _run(self, job: _Job[ResultT]) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            result = await job.work()
        except asyncio.CancelledError:
            job.future.set_exception(CancelledError())
            raise
        except BaseException as error:  # noqa: BLE001 - carried to the thread that takes it
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

    async def _cancel_all(self) -> None:
        self._waiting.clear()
        tasks: list[asyncio.Task[Any]] = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
