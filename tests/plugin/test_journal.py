"""What ended ahead of its turn is not lost when the run ends before the turn comes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugin.conftest import ChatServer, Suite

NAMES = ("sim_b", "sim_c", "sim_d")


def says(text: str, delay_ms: int = 0) -> list[Any]:
    return [[{"say": text, "delay_ms": delay_ms}]]


def sessions(suite: Suite, *names: str) -> list[int]:
    """Return how many sessions of each simulation's assistant were opened, in any test."""
    return [len(suite.server.received(f"model-{name}")) for name in names]


def journals(folder: Path) -> list[Path]:
    return list(folder.glob("journal*"))


def journalled(suite: Suite) -> list[str]:
    """Return the ids of the items whose whole lines are in journals."""
    texts = [path.read_text() for path in suite.root.glob("results/*/journal-*.jsonl")]
    lines = [line for text in texts for line in text.splitlines(keepends=True)]
    return [json.loads(line)["simulation_id"] for line in lines if line.endswith("\n")]


def resumed(suite: Suite) -> set[str]:
    return {name for name, record in suite.records().items() if record.get("resumed")}


@pytest.fixture
def stopped(suite: Suite) -> Suite:
    """A suite whose first item fails when the next two have ended and the last one has not."""
    suite.simulation("sim_a", says("No.", 700))
    for name in NAMES[:2]:
        suite.simulation(name)
    suite.simulation("sim_d", says("Yes.", 1500))
    return suite


def test_a_run_that_stops_keeps_what_ended_ahead(stopped: Suite) -> None:
    before = sessions(stopped, *NAMES)
    result = stopped.run("-x")
    assert stopped.outcomes() == {"sim_a": "failed"}
    with (stopped.folder / "results.csv").open(encoding="utf-8", newline="") as file:
        assert [row["simulation_id"] for row in csv.DictReader(file)] == ["sim_a"]
    told = f"kept: 2 more items had ended before the run did; --eval-resume {stopped.folder.name} *"
    result.stdout.fnmatch_lines([told])

    result = stopped.run("--eval-resume", "last")

    assert sessions(stopped, *NAMES) == [before[0] + 1, before[1] + 1, before[2] + 2]
    assert resumed(stopped) == {"sim_a", "sim_b", "sim_c"}
    assert stopped.outcomes() == {"sim_a": "failed", **dict.fromkeys(NAMES, "passed")}
    assert stopped.summary()["resumed"] == 3
    assert journals(stopped.folder) == []
    result.stdout.no_fnmatch_line("kept: *")


def test_entries_that_ended_ahead_are_not_asked_again(suite: Suite, chat: ChatServer) -> None:
    suite.dataset("early", ("first", "FIRST"))
    suite.simulation("sim_a", says("No.", 700))
    suite.dataset("small", *((f"word {n}", f"WORD {n}") for n in range(4)))
    suite.run("-x")
    asked = sorted(chat.asked())
    assert asked == ["first", *(f"word {n}" for n in range(4))]
    assert len(lines(suite.folder / "records.jsonl")) == 2
    suite.run("--eval-resume", "last")
    assert sorted(chat.asked()) == asked
    assert [line["resumed"] for line in lines(suite.folder / "records.jsonl")] == [True] * 6


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_only_what_was_never_finished_runs_again(stopped: Suite) -> None:
    stopped.run("-x")
    (journal,) = journals(stopped.folder)
    # The second line is that of the conversation which ended later.
    first, second, _ = sorted(stopped_lines(journal), key=lambda line: b"sim_a" in line)
    journal.write_bytes(first + second[:-50])
    names = [json.loads(line)["simulation_id"] for line in (first, second)]
    before = sessions(stopped, *names)
    stopped.run("--eval-resume", "last")
    assert sessions(stopped, *names) == [before[0], before[1] + 1]
    assert set(stopped.outcomes()) == {"sim_a", *NAMES}


def stopped_lines(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines(keepends=True)


def test_a_budget_counts_what_only_the_journal_knows(stopped: Suite) -> None:
    free = {"input": 0, "output": 0}
    # The server says that a response has 5 tokens of audio: 0.2 USD a conversation.
    paid = {"text": free, "audio": {"input": 0, "output": 0.04}}
    models = {f"model-{name}": paid for name in ("sim_a", *NAMES)}
    models |= {"gpt-realtime": {"text": free, "audio": free}}
    prices = {"unit_tokens": 1, "as_of": "2026-01-01", "models": models}
    stopped.write("prices.json", prices)
    stopped.run("-x", "--eval-price-file=prices.json")
    (before,) = sessions(stopped, "sim_d")
    budget = ("--eval-price-file=prices.json", "--eval-max-cost-usd=0.5")
    stopped.run("--eval-resume=last", *budget)
    assert sessions(stopped, "sim_d") == [before]
    assert stopped.outcomes()["sim_d"] == "skipped"
    assert stopped.summary()["total_cost_usd"] == pytest.approx(0.6)


def test_changed_content_is_run_again(stopped: Suite) -> None:
    stopped.run("-x")
    before = sessions(stopped, "sim_b", "sim_c")
    stopped.simulation("sim_b", says("Yes, yes."))
    stopped.run("--eval-resume", "last")
    assert sessions(stopped, "sim_b", "sim_c") == [before[0] + 1, before[1]]


def test_a_whole_run_leaves_no_journal(each_mode: Suite) -> None:
    each_mode.simulation("sim_a", says("No."))
    each_mode.simulation("sim_b")
    result = each_mode.run()
    assert journals(each_mode.folder) == []
    result.stdout.no_fnmatch_line("kept: *")


def test_of_reruns_the_last_one_counts(suite: Suite) -> None:
    suite.reruns = True
    suite.simulation("sim_a", says("No."))
    suite.simulation("sim_b", says("No.", 500))
    suite.simulation("sim_c", says("Yes.", 20_000))
    suite.run("--reruns=1", "-x", "--eval-concurrency=3")
    was = [r for r in lines(suite.folder / "records.jsonl") if r["simulation_id"] == "sim_a"][-1]
    suite.simulation("sim_c")
    suite.run("--eval-resume", "last")
    assert suite.records()["sim_a"] == {**was, "resumed": True}


def test_what_came_to_nothing_is_not_kept(suite: Suite) -> None:
    suite.ini["eval_retries"] = "0"
    suite.simulation("sim_a", says("No.", 500))
    suite.simulation("sim_b", [[{"fault": "close"}]])
    suite.simulation("sim_c")
    suite.ini["eval_max_cost_usd"] = "0.5"
    result = suite.run("-x")
    result.stdout.fnmatch_lines(["kept: 1 more item had ended before the run did; *"])
    suite.run("--eval-resume", "last")
    assert resumed(suite) == {"sim_a", "sim_c"}


# --- processes of their own ---------------------------------------------------------------


@contextmanager
def started(suite: Suite, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run in a process group of its own; it is killed if a test leaves it running."""
    command = [sys.executable, "-m", "pytest", *suite.arguments(*arguments)]
    with subprocess.Popen(  # noqa: S603 - pytest
        command,
        cwd=suite.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def wait_for(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "mode",
    [("-p", "no:xdist"), pytest.param(("-n2",), marks=pytest.mark.slow)],
    ids=["plain", "n2"],
)
@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGKILL], ids=lambda sent: sent.name)
def test_whatever_ends_the_run_nothing_is_played_twice(
    suite: Suite, mode: tuple[str, ...], ends: signal.Signals
) -> None:
    for name in ("sim_a", "sim_b"):  # of both workers the first
        suite.simulation(name, says("Yes.", 30_000))
    ahead = [f"sim_{letter}" for letter in "cdef"]
    for name in ahead:
        suite.simulation(name)
    before = sessions(suite, *ahead)
    with started(suite, *mode) as process:
        wait_for(lambda: sorted(journalled(suite)) == ahead)
        if ends is signal.SIGINT:
            os.killpg(process.pid, ends)  # as a terminal does: to all of them
        else:
            process.kill()  # workers end by themselves
        output, _ = process.communicate(timeout=30)
    if ends is signal.SIGINT:
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        assert "kept: 4 more items had ended before the run did; --eval-resume " in output
    for name in ("sim_a", "sim_b"):
        suite.simulation(name)
    suite.run(*mode, "--eval-resume", "last")
    assert sessions(suite, *ahead) == [count + 1 for count in before]
    assert resumed(suite) == set(ahead)
    assert set(suite.outcomes().values()) == {"passed"}
    assert len(suite.records()) == 6
    assert journals(suite.folder) == []


#: The first item of a worker lets the others begin; at the turn of the second they have ended.
KILLED_AT_ITS_TURN = """
import os, signal, time

turns = []

def pytest_runtest_call(item):
    turns.append(item)
    if len(turns) < 2 or getattr(item.config, "workerinput", {}).get("workerid") != "gw0":
        return
    (run,) = (item.config.rootpath / "results").iterdir()
    while len((run / "journal-gw0.jsonl").read_text().splitlines()) < 3:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_a_killed_worker_had_ended_is_reported_by_the_others(suite: Suite) -> None:
    names = [f"sim_{letter}_left" for letter in "abcdef"]
    for name in names:
        suite.simulation(name)
    suite.write("conftest.py", KILLED_AT_ITS_TURN)
    result = suite.run("-n2")
    assert sessions(suite, *names) == [1] * 6
    outcomes = list(suite.outcomes().values())
    assert sorted(outcomes) == ["infra_error", *["passed"] * 5]
    assert resumed(suite) == set()
    # It had ended too, but xdist reports what a worker died with as failed.
    result.stdout.fnmatch_lines(["kept: 1 more item had ended before the run did; *"])
    (suite.root / "conftest.py").unlink()
    suite.run("-n2", "--eval-resume", "last").assert_outcomes(passed=6)
    assert sessions(suite, *names) == [1] * 6
    assert set(suite.outcomes().values()) == {"passed"}
    assert journals(suite.folder) == []
