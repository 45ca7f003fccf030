from __future__ import annotations

import asyncio
import threading

from pytest_realtime_eval.execution.portal import LoopThread


def test_the_thread_starts_when_it_is_asked_for_and_not_before() -> None:
    before = threading.active_count()
    loop_thread = LoopThread()
    assert not loop_thread.started
    assert threading.active_count() == before
    assert loop_thread.portal is loop_thread.portal
    assert threading.active_count() == before + 1
    loop_thread.stop()
    assert threading.active_count() == before


def test_stopping_ends_what_runs_in_it() -> None:
    loop_thread = LoopThread()
    cancelled = threading.Event()

    async def runs_on() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def start() -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(runs_on())
        await asyncio.sleep(0)
        return task

    loop_thread.portal.call(start)
    loop_thread.stop()
    assert cancelled.is_set()


def test_stopping_twice_or_unstarted_is_nothing() -> None:
    loop_thread = LoopThread()
    loop_thread.stop()
    assert loop_thread.portal is not None
    loop_thread.stop()
    loop_thread.stop()
    assert not loop_thread.started


def test_work_runs_in_another_thread() -> None:
    loop_thread = LoopThread()
    assert loop_thread.portal.call(threading.get_ident) != threading.get_ident()
    loop_thread.stop()
