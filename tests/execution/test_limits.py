"""Limits of the whole run: in one process against a clock, and between real processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import BudgetReached, InfraError
from pytest_realtime_eval.execution.ledger import Bid, Ledger
from pytest_realtime_eval.execution.limits import (
    REQUESTS,
    SESSIONS,
    Limits,
    LimitSettings,
    RequestGate,
)

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def starts(ledger: Ledger, clock: Clock, bid: Bid, count: int) -> list[float]:
    """Return when a patient bidder that waits as told gets to start."""
    times: list[float] = []
    while len(times) < count:
        answer = ledger.bid(bid)
        if answer.wait_s:
            clock.now += answer.wait_s
        else:
            times.append(clock.now)
    return times


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Ledger:
    return Ledger(tmp_path / "run" / "limits.sqlite", clock)


@pytest.mark.parametrize(("rate", "together"), [(1, 1), (2, 2), (3, 2), (7, 2), (60, 1), (90, 2)])
def test_no_minute_sees_more_starts_than_the_rate(
    ledger: Ledger, clock: Clock, rate: int, together: int
) -> None:
    bid = Bid(SESSIONS, LimitSettings(rate_per_minute=rate).interval_s(together))
    times = starts(ledger, clock, bid, 3 * rate)
    for begin in times:
        opened = sum(together for at in times if begin <= at < begin + 60 - 1e-6)
        assert opened <= rate
    even = 60 / (rate // together)
    assert times[-1] - times[0] == pytest.approx(even * (len(times) - 1)), "slower than allowed"


@given(rate=st.integers(1, 600), together=st.integers(1, 2))
def test_an_interval_keeps_alike_starts_within_the_rate(rate: int, together: int) -> None:
    interval = LimitSettings(rate_per_minute=rate).interval_s(together)
    assert interval > 0
    in_a_minute = int((60 - 1e-9) / interval) + 1
    # A rate of one session a minute cannot hold for a conversation, which opens two.
    assert in_a_minute * together <= max(rate, together)


def test_a_time_without_starts_is_not_made_up_for(ledger: Ledger, clock: Clock) -> None:
    bid = Bid(SESSIONS, 6.0)
    ledger.bid(bid)
    clock.now += 600
    first, second = starts(ledger, clock, bid, 2)
    assert (first, second) == (1600.0, 1606.0)


def test_kinds_have_rates_of_their_own(ledger: Ledger) -> None:
    assert ledger.bid(Bid(SESSIONS, 30.0)).wait_s == 0
    assert ledger.bid(Bid(REQUESTS, 30.0)).wait_s == 0
    assert ledger.bid(Bid(SESSIONS, 30.0)).wait_s == pytest.approx(30)


def test_a_gate_that_is_held_opens_later_and_never_earlier(ledger: Ledger, clock: Clock) -> None:
    ledger.hold(SESSIONS, 8.0)
    ledger.hold(SESSIONS, 3.0)
    assert ledger.bid(Bid(SESSIONS)).wait_s == pytest.approx(8)
    clock.now += 8
    assert ledger.bid(Bid(SESSIONS)).wait_s == 0


def test_sessions_are_held_until_they_are_given_back(ledger: Ledger) -> None:
    bid = Bid(SESSIONS, sessions=2, max_sessions=5)
    first, second = ledger.bid(bid), ledger.bid(bid)
    assert ledger.bid(bid).wait_s > 0
    assert ledger.bid(Bid(SESSIONS, sessions=1, max_sessions=5)).wait_s == 0
    assert first.lease is not None
    ledger.give_back(first.lease)
    assert ledger.bid(bid).wait_s == 0
    assert second.lease != first.lease


def test_who_waits_for_sessions_does_not_use_up_the_rate(ledger: Ledger) -> None:
    bid = Bid(SESSIONS, interval_s=30.0, sessions=2, max_sessions=2)
    ledger.hold(SESSIONS, 0.0)
    held = ledger.bid(Bid(SESSIONS, sessions=2, max_sessions=2))
    assert ledger.bid(bid).wait_s < 1
    assert held.lease is not None
    ledger.give_back(held.lease)
    assert ledger.bid(bid).wait_s == 0


def test_costs_add_up_without_rounding_away_the_limit(ledger: Ledger) -> None:
    assert ledger.cost() == 0
    for _ in range(10):
        ledger.add_cost(0.1)
    assert ledger.cost() == 1.0


def test_a_closed_ledger_has_given_its_sessions_back(tmp_path: Path) -> None:
    bid = Bid(SESSIONS, sessions=2, max_sessions=2)
    one, other = Ledger(tmp_path / "l"), Ledger(tmp_path / "l")
    one.bid(bid)
    assert other.bid(bid).wait_s > 0
    one.close()
    assert other.bid(bid).wait_s == 0
    other.close()


def test_a_place_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match="file/limits") as caught:
        Ledger(tmp_path / "file" / "limits").cost()
    assert caught.value.failure_stage == "storage"
    assert not caught.value.retryable


DIES_HOLDING = """
import sys, time
from pathlib import Path
from pytest_realtime_eval.execution.ledger import Bid, Ledger
ledger = Ledger(Path(sys.argv[1]))
print(ledger.bid(Bid("sessions", sessions=2, max_sessions=2)).wait_s, flush=True)
time.sleep(60)
"""


def test_the_sessions_of_a_killed_process_are_free(tmp_path: Path) -> None:
    path = tmp_path / "limits"
    bid = Bid(SESSIONS, sessions=2, max_sessions=2)
    ledger = Ledger(path)
    command = [sys.executable, "-c", DIES_HOLDING, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
        assert process.stdout is not None
        assert process.stdout.readline() == "0.0\n"
        assert ledger.bid(bid).wait_s > 0
        os.kill(process.pid, signal.SIGKILL)
        # Also while nobody has asked for its end: it is a zombie then.
        deadline = time.monotonic() + 10
        while ledger.bid(bid).wait_s:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    ledger.close()


STARTS = """
import sys, time
from pathlib import Path
from pytest_realtime_eval.execution.ledger import Bid, Ledger
ledger = Ledger(Path(sys.argv[1]))
for _ in range(10):
    while wait := ledger.bid(Bid("sessions", interval_s=0.05)).wait_s:
        time.sleep(wait)
    print(time.monotonic(), flush=True)
ledger.add_cost(0.25)
ledger.close()
"""


def test_processes_share_the_rate_and_the_cost(tmp_path: Path) -> None:
    path = tmp_path / "run" / "limits"
    command = [sys.executable, "-c", STARTS, str(path)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
        for _ in range(2)
    ]
    times = sorted(float(line) for p in processes for line in p.communicate(timeout=60)[0].split())
    assert len(times) == 20
    # Printed a moment after they began, so two may seem closer than they are.
    assert times[-1] - times[0] >= 19 * 0.05 - 0.03
    ledger = Ledger(path)
    assert ledger.cost() == 0.5
    ledger.close()


def limits_in(folder: Path, **settings: float) -> Limits:
    return Limits(LimitSettings(**settings), folder / "run" / "limits")  # type: ignore[arg-type]  # by name


@pytest.mark.asyncio
async def test_without_limits_nothing_is_written_or_waited_for(tmp_path: Path) -> None:
    limits = limits_in(tmp_path)
    began = time.perf_counter()
    for _ in range(100):
        async with limits.conversation():
            await limits.start_request()
            await limits.check_cost()
            await limits.add_cost(1.0)
    assert time.perf_counter() - began < 0.5
    await limits.aclose()
    assert not limits._was_held
    assert limits._ledger is None


@pytest.mark.asyncio
async def test_no_more_conversations_than_sessions_allow(tmp_path: Path) -> None:
    limits = limits_in(tmp_path, max_sessions=5)
    running = most = 0

    async def play() -> None:
        nonlocal running, most
        async with limits.conversation():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.02)
            running -= 1

    await asyncio.gather(*(play() for _ in range(8)))
    assert most == 2
    await limits.aclose()


@pytest.mark.asyncio
async def test_a_conversation_that_breaks_or_is_cancelled_frees_its_sessions(
    tmp_path: Path,
) -> None:
    limits = limits_in(tmp_path, max_sessions=2)
    with pytest.raises(ZeroDivisionError):
        async with limits.conversation():
            raise ZeroDivisionError

    async def hold() -> None:
        async with limits.conversation():
            await asyncio.sleep(60)

    holding, waiting = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0.1)
    for task in (waiting, holding):
        task.cancel()
    await asyncio.gather(holding, waiting, return_exceptions=True)
    async with asyncio.timeout(5), limits.conversation():
        pass
    await limits.aclose()


@pytest.mark.asyncio
async def test_who_came_first_starts_first(tmp_path: Path) -> None:
    limits = limits_in(tmp_path, rate_per_minute=6000)
    order: list[int] = []

    async def play(number: int) -> None:
        async with limits.conversation():
            order.append(number)

    tasks = [asyncio.create_task(play(number)) for number in range(6)]
    await asyncio.gather(*tasks)
    assert order == list(range(6))
    await limits.aclose()


@pytest.mark.asyncio
async def test_a_hold_stops_the_others_also_without_limits(tmp_path: Path) -> None:
    refused, other = limits_in(tmp_path), limits_in(tmp_path)
    async with other.conversation():
        pass
    began = time.monotonic()
    await RequestGate(refused).hold(0.3)
    await other.start_request()
    assert 0.29 <= time.monotonic() - began < 5
    began = time.monotonic()
    async with other.conversation():
        assert time.monotonic() - began < 0.25, "requests were held, not sessions"
    for limits in (refused, other):
        await limits.aclose()


@pytest.mark.asyncio
async def test_longer_than_an_attempt_would_wait_holds_nobody(tmp_path: Path) -> None:
    limits = limits_in(tmp_path)
    await limits.hold(SESSIONS, 3600.0)
    async with asyncio.timeout(1), limits.conversation():
        pass


@pytest.mark.asyncio
async def test_nothing_starts_when_the_budget_is_spent(tmp_path: Path) -> None:
    limits, other = (limits_in(tmp_path, max_cost_usd=0.3) for _ in range(2))
    async with limits.conversation():
        await limits.add_cost(0.2)
        await limits.add_cost(None)
        await other.check_cost()
        await other.add_cost(0.1)
        # What runs goes on; what comes does not start.
        with pytest.raises(BudgetReached, match=r"\$0\.3 .*--eval-max-cost-usd"):
            await limits.start_sessions(2)
    with pytest.raises(BudgetReached):
        await other.check_cost()
    for limit in (limits, other):
        await limit.aclose()


@pytest.mark.asyncio
async def test_a_budget_that_is_spent_while_one_waits_frees_the_sessions(tmp_path: Path) -> None:
    limits = limits_in(tmp_path, max_cost_usd=1.0, max_sessions=2)
    lease = await limits.start_sessions(2)
    waiting = asyncio.create_task(limits.start_sessions(2))
    await asyncio.sleep(0.1)
    await limits.add_cost(1.0)
    await limits.end_sessions(lease)
    with pytest.raises(BudgetReached):
        await waiting
    assert limits._shared().bid(Bid(SESSIONS, sessions=2, max_sessions=2)).wait_s == 0
    await limits.aclose()


@pytest.mark.asyncio
async def test_waiting_does_not_stand_on_the_loop(tmp_path: Path) -> None:
    limits = limits_in(tmp_path, max_sessions=2)
    lease = await limits.start_sessions(2)
    blocked = Ledger(limits._path)
    with blocked._transaction():
        # Another process is in a transaction: this one waits for it in a thread.
        waiting = asyncio.create_task(limits.end_sessions(lease))
        pauses = [time.perf_counter()]
        for _ in range(20):
            await asyncio.sleep(0.01)
            pauses.append(time.perf_counter())
        assert not waiting.done()
    assert max(b - a for a, b in itertools.pairwise(pauses)) < 0.15
    await waiting
    blocked.close()
    await limits.aclose()
