"""Several processes: every way to divide items, and what is left when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.processes import is_running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugin.conftest import Suite

NAMES = tuple(f"sim_{letter}" for letter in "abcdef")


def slow(ms: int) -> list[Any]:
    return [[{"say": "Yes.", "delay_ms": ms}]]


def played(suite: Suite, names: tuple[str, ...]) -> dict[str, int]:
    """Return how often each was played, as the server saw it."""
    return {name: len(suite.server.received(f"model-{name}")) for name in names}


@pytest.mark.parametrize(
    "dist",
    [
        "load",
        "worksteal",
        pytest.param("loadscope", marks=pytest.mark.slow),
        pytest.param("loadgroup", marks=pytest.mark.slow),
    ],
)
def test_a_dist_mode_that_is_named_plays_everything_once(suite: Suite, dist: str) -> None:
    names = tuple(f"{name}_{dist}" for name in NAMES)
    for name in names:
        suite.simulation(name)
    suite.write("evals/test_plain.py", "def test_plain(): pass\n")
    result = suite.run("-n2", "--dist", dist, "--eval-max-sessions=8")
    result.assert_outcomes(passed=7)
    # A worker starts the next item ahead; one that is stolen from it is played twice.
    counts = played(suite, names)
    assert set(counts.values()) == {1}, counts
    assert set(suite.outcomes().values()) == {"passed"}


def test_workers_stop_at_the_first_failure_though_they_have_their_shares(suite: Suite) -> None:
    names = tuple(f"sim_{number:02}_stops" for number in range(20))
    suite.simulation(names[0], [[{"say": "No."}]])
    for name in names[1:]:
        suite.simulation(name, slow(300))
    result = suite.run("-n2", "-x", "--eval-concurrency=1")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    # Each worker is at one, has taken the next, and may have been told a moment late.
    assert len(suite.outcomes()) <= 6
    assert sum(played(suite, names).values()) <= 8


def test_each_plays_everything_in_each_process_and_records_it_once(suite: Suite) -> None:
    names = tuple(f"{name}_each" for name in NAMES[:2])
    for name in names:
        suite.simulation(name)
    suite.run("-n2", "--dist=each").assert_outcomes(passed=4)
    assert played(suite, names) == dict.fromkeys(names, 2)


def test_a_worker_that_dies_has_nothing_reported_twice(suite: Suite) -> None:
    names = tuple(f"{name}_dies" for name in NAMES)
    for name in names:
        suite.simulation(name, slow(200))
    suite.write("evals/a_first/test_crash.py", "import os\ndef test_crash(): os._exit(3)\n")
    result = suite.run("-n2", "-v")
    reported = Counter(
        line.split("::")[1].split()[0]
        for line in result.outlines
        if "PASSED" in line and "evals/sim_" in line and "SUBPASSED" not in line
    )
    assert reported == dict.fromkeys(names, 1)
    assert suite.outcomes() == dict.fromkeys(names, "passed")


@contextmanager
def started(suite: Suite, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run pytest in a process group of its own, with its own folder for temporary files."""
    folder = suite.root / "temporary"
    folder.mkdir()
    command = [sys.executable, "-m", "pytest", *suite.arguments(*arguments)]
    with subprocess.Popen(  # noqa: S603 - pytest
        command,
        cwd=suite.root,
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process


def recorded(suite: Suite) -> bool:
    return any(path.read_text() for path in suite.root.glob("results/*/records.jsonl"))


def wait_for(condition: Any, seconds: float = 30.0) -> None:  # noqa: ANN401 - any callable
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def descendants(pid: int) -> set[int]:
    found = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found |= {child, *descendants(child)}
    return found


def left_behind(suite: Suite) -> list[str]:
    folders = (suite.root / "temporary").glob("realtime-eval*")
    return [path.name for folder in folders for path in (folder, *folder.iterdir())]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks /proc for processes")
@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_control_c_under_xdist_leaves_nothing(suite: Suite, times: int) -> None:
    name = f"sim_b_interrupted{times}"
    suite.simulation("sim_a")
    suite.simulation(name, slow(30_000))
    with started(suite, "-n2", "--eval-max-sessions=8") as process:
        wait_for(lambda: suite.server.opened(f"model-{name}") and recorded(suite))
        workers = descendants(process.pid)
        for _ in range(times):
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
            time.sleep(0.3)
        output, _ = process.communicate(timeout=30)
    # pytest itself dies of a second one that comes while it tells of the first.
    interrupted = {1: (pytest.ExitCode.INTERRUPTED,), 2: (pytest.ExitCode.INTERRUPTED, -2)}
    assert process.returncode in interrupted[times], output
    assert workers
    wait_for(lambda: not any(map(is_running, workers)), 10)
    assert suite.outcomes()["sim_a"] == "passed"
    assert left_behind(suite) == []


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks /proc for processes")
def test_a_controller_that_is_killed_leaves_no_process_and_no_file(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_b_orphan", slow(30_000))
    with started(suite, "-n2", "--eval-max-sessions=8") as process:
        wait_for(lambda: suite.server.opened("model-sim_b_orphan") and recorded(suite))
        workers = descendants(process.pid)
        assert left_behind(suite)
        process.kill()
        # Its pipe stays open as long as a worker has it.
        process.communicate(timeout=30)
    assert workers
    wait_for(lambda: not any(map(is_running, workers)), 20)
    assert left_behind(suite) == []
    assert suite.outcomes() == {"sim_a": "passed"}
