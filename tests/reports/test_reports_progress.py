from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_realtime_eval.execution.watch import Step
from pytest_realtime_eval.reports.progress import Progress, turn_line
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


def test_items_are_shown_by_their_names_and_begin_with_a_turn() -> None:
    progress = Progress(total=2, started_at=0.0)
    progress.start("evals/sim_a.json::sim_a", 1)
    progress.start("evals/small.json::small[3]")
    assert progress.line(now=1.0) == "0/2 done | now: sim_a turn 1, small[3]"


def test_an_item_that_is_run_again_counts_once_and_costs_twice() -> None:
    progress = Progress(total=2, started_at=0.0)
    for _ in range(2):
        progress.start("sim_a", 1)
        progress.finish("sim_a", 2.0)
    assert progress.done == 1
    assert progress.cost_usd == 4.0


def test_what_a_dead_worker_was_at_does_not_run() -> None:
    progress = Progress(total=2, started_at=0.0)
    progress.start("sim_a")
    progress.drop("sim_a")
    progress.drop("sim_b")
    assert progress.line(now=1.0) == "0/2 done"


TURN = Step(
    "turn",
    "evals/sim_a.json::sim_a",
    turn=2,
    user_text="A table for two, please.",
    calls=("find_table", "book_table"),
    assistant_text="Done.",
    first_audio_ms=812.4,
)


def test_a_turn_is_a_line() -> None:
    assert turn_line(TURN) == (
        'sim_a turn 2: "A table for two, please." -> find_table, book_table -> "Done." (812 ms)'
    )


def test_a_turn_that_broke_says_so() -> None:
    broken = replace(TURN, calls=(), assistant_text="", first_audio_ms=None, problem="it hung\nup")
    assert turn_line(broken) == 'sim_a turn 2: "A table for two, please." BROKE: it hung up'


@pytest.mark.parametrize("width", [40, 60, 72, 80, 120])
@pytest.mark.parametrize("said", ["word " * 40, "预订" * 80, "ok"])
@pytest.mark.parametrize("answered", ["answer " * 40, "fine"])
def test_a_turn_fits_its_line(width: int, said: str, answered: str) -> None:
    line = turn_line(replace(TURN, user_text=said, assistant_text=answered), width)
    assert cells(line) <= width


def test_the_shorter_speaker_leaves_room_for_the_longer_one() -> None:
    line = turn_line(replace(TURN, calls=(), assistant_text="word " * 40), 80)
    assert '"A table for two, please." -> "word word word w' in line
    assert line.endswith('…" (812 ms)')


def test_what_models_say_does_not_steer_the_terminal() -> None:
    assert "\x1b" not in turn_line(replace(TURN, user_text="\x1b[2J", assistant_text="\x1b]0;x\a"))
