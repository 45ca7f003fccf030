from __future__ import annotations

import pytest

from pytest_realtime_eval.reports.progress import Progress
from pytest_realtime_eval.reports.text import cells


@pytest.fixture
def progress() -> Progress:
    progress = Progress(total=40, started_at=100.0)
    for name in ("sim_a", "sim_b", "sim_c"):
        progress.start(name)
    progress.turn("sim_b", 2)
    progress.finish("sim_a", 0.05)
    return progress


def test_the_line_says_what_runs_what_is_done_and_what_is_left(progress: Progress) -> None:
    assert progress.line(now=103.0) == (
        "1/40 done | $0.0500 | about 1 min 57 s left | now: sim_b turn 2, sim_c"
    )


def test_nothing_is_estimated_before_the_first_item_is_done() -> None:
    fresh = Progress(total=40, started_at=100.0)
    fresh.start("sim_a")
    assert fresh.line(now=130.0) == "0/40 done | now: sim_a"


def test_an_unknown_cost_adds_nothing_and_an_unknown_total_is_left_out() -> None:
    progress = Progress(total=0, started_at=0.0)
    progress.finish("sim_a", None)
    assert progress.line(now=9.0) == "1 done"


def test_a_late_turn_does_not_bring_an_item_back(progress: Progress) -> None:
    progress.turn("sim_a", 4)
    assert "sim_a" not in progress.line(now=103.0)


def test_at_the_end_nothing_is_left() -> None:
    progress = Progress(total=1, started_at=0.0)
    progress.start("sim_a")
    progress.finish("sim_a", 1.5)
    assert progress.line(now=9.0) == "1/1 done | $1.50"


def test_many_running_items_do_not_break_the_line(progress: Progress) -> None:
    for number in range(100):
        progress.start(f"sim_预订_{number}\x1b[2J")
    line = progress.line(now=103.0)
    assert cells(line) <= 80
    assert line.endswith("…")
    assert "\x1b" not in line
