from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.realtime.pacing import Pacer, schedule_error


@pytest.mark.asyncio
async def test_work_between_deadlines_does_not_add_up() -> None:
    pacer = Pacer()
    for index in range(20):
        await pacer.until(index * 0.01)
        time.sleep(0.006)  # noqa: ASYNC251 - work that blocks is what is tested
    assert 0.19 <= time.perf_counter() - pacer.started_at < 0.26


@pytest.mark.asyncio
async def test_a_missed_deadline_is_recorded_and_made_up_for() -> None:
    pacer = Pacer()
    await pacer.until(0.0)
    time.sleep(0.05)  # noqa: ASYNC251 - work that blocks is what is tested
    await pacer.until(0.01)
    await pacer.until(0.1)
    assert pacer.errors_ms[1] >= 40
    assert pacer.errors_ms[2] < 20
    assert time.perf_counter() - pacer.started_at < 0.13


def test_nothing_to_meet_is_no_error() -> None:
    assert schedule_error([]) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles_are_of_the_values_and_ordered(errors: list[float]) -> None:
    found = schedule_error(errors, 3.0)
    assert found is not None
    assert {found.p50_ms, found.p99_ms, found.max_ms} <= set(errors)
    assert found.p50_ms <= found.p99_ms <= found.max_ms == max(errors)
    assert sum(error <= found.p50_ms for error in errors) >= len(errors) / 2
    assert sum(error <= found.p99_ms for error in errors) >= 0.99 * len(errors)
    assert found.loop_lag_max_ms == 3.0


def test_known_percentiles() -> None:
    found = schedule_error([float(n) for n in range(1, 101)])
    assert found is not None
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (50.0, 99.0, 100.0)
