from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.execution.lane import Lane
from pytest_realtime_eval.execution.portal import LoopThread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


class Work:
    """Jobs that note when they run, and wait until they are told to go on."""

    def __init__(self, loop_thread: LoopThread) -> None:
        self.loop_thread = loop_thread
        self.started: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0

    def job(self, name: str, seconds: float = 0.0) -> Callable[[], Awaitable[str]]:
        async def run() -> str:
            self.started.append(name)
            self.in_flight += 1
            self.most_in_flight = max(self.in_flight, self.most_in_flight)
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            finally:
                self.in_flight -= 1
            self.ended.append(name)
            return name.upper()

        return run

    def lane(self, concurrency: int) -> Lane[str]:
        return Lane(self.loop_thread.portal, concurrency)


@pytest.fixture
def work() -> Iterator[Work]:
    loop_thread = LoopThread()
    yield Work(loop_thread)
    loop_thread.stop()


def test_results_come_in_whatever_order_they_are_taken(work: Work) -> None:
    lane = work.lane(2)
    lane.announce({name: work.job(name, 0.01) for name in "abcd"})
    assert [lane.take(name, work.job("never")) for name in "dbca"] == ["D", "B", "C", "A"]
    assert work.started == ["a", "b", "c", "d"]


def test_no_more_than_concurrency_are_in_flight_and_all_of_them(work: Work) -> None:
    lane = work.lane(3)
    lane.announce({n: work.job(str(n), 0.02) for n in range(9)})
    for n in range(9):
        lane.take(n, work.job("never"))
    assert work.most_in_flight == 3


def test_what_was_not_announced_starts_when_it_is_taken(work: Work) -> None:
    lane = work.lane(1)
    assert lane.take("a", work.job("a")) == "A"
    assert work.started == ["a"]


def test_what_is_taken_unannounced_does_not_wait_for_a_free_place(work: Work) -> None:
    lane = work.lane(1)
    lane.announce({"slow": work.job("slow", 30)})
    assert lane.take("a", work.job("a")) == "A"
    lane.cancel()


def test_announcing_again_runs_nothing_twice(work: Work) -> None:
    lane = work.lane(2)
    lane.announce({"a": work.job("a")})
    lane.announce({"a": work.job("again"), "b": work.job("b")})
    assert [lane.take(name, work.job("never")) for name in "ab"] == ["A", "B"]
    assert work.started == ["a", "b"]


def test_taking_a_second_time_runs_anew(work: Work) -> None:
    lane = work.lane(2)
    lane.announce({"a": work.job("a")})
    assert lane.take("a", work.job("again")) == "A"
    assert lane.take("a", work.job("again")) == "AGAIN"


def test_an_exception_reaches_whoever_takes_and_frees_the_place(work: Work) -> None:
    async def breaks() -> str:
        raise ValueError("broken")

    lane = work.lane(1)
    lane.announce({"a": breaks, "b": work.job("b")})
    with pytest.raises(ValueError, match="broken"):
        lane.take("a", work.job("never"))
    assert lane.take("b", work.job("never")) == "B"


def test_cancelling_ends_what_runs_and_drops_what_waits(work: Work) -> None:
    lane = work.lane(2)
    lane.announce({name: work.job(name, 30) for name in "abcd"})
    lane.take("x", work.job("x"))
    lane.cancel()
    assert (work.started, sorted(work.cancelled)) == (["a", "b", "x"], ["a", "b"])
    assert work.in_flight == 0


def test_after_cancelling_a_lane_still_works(work: Work) -> None:
    lane = work.lane(1)
    lane.announce({"a": work.job("a", 30)})
    lane.cancel()
    assert lane.take("a", work.job("again")) == "AGAIN"


def test_whoever_waits_is_told_that_it_was_cancelled(work: Work) -> None:
    lane = work.lane(1)
    lane.announce({"a": work.job("a", 30)})
    threading.Timer(0.1, lane.cancel).start()
    with pytest.raises(CancelledError):
        lane.take("a", work.job("never"))


def test_an_interrupted_wait_keeps_what_has_not_begun_from_beginning(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import Future

    lane = work.lane(1)
    lane.announce({"a": work.job("a", 0.05), "b": work.job("b"), "c": work.job("c")})
    with monkeypatch.context() as patched:

        def interrupted(_future: object) -> str:
            raise KeyboardInterrupt

        patched.setattr(Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lane.take("b", work.job("never"))
    assert lane.take("c", work.job("never")) == "C"
    assert work.started == ["a", "c"]
