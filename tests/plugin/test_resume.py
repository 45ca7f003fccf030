from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import CannedServer
    from tests.plugin.conftest import Suite

SERVERS: Final = Path(__file__).parents[1] / "servers"

PASSES = {"trace_level": [{"id": "says_yes", "type": "mentions", "values": ["yes"]}]}
FAILS = {"trace_level": [{"id": "says_no", "type": "mentions", "values": ["never said"]}]}
JUDGED = {"trace_level": [{"id": "polite", "criteria": "The assistant is polite."}]}


def sessions(suite: Suite, name: str) -> int:
    """Return how many sessions of a simulation's assistant were opened, in this test or before."""
    return len(suite.server.received(f"model-{name}"))


def rows(folder: Path) -> list[dict[str, str]]:
    """Return a run's rows without what differs from run to run."""
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    for row in found:
        for column in list(row):
            if "_ms" in column or column in ("resumed", "latency_seconds"):
                del row[column]
    return sorted(found, key=lambda row: list(row.values()))


@pytest.fixture
def outcomes(each_mode: Suite) -> Suite:
    """A suite with each outcome, whose conversations have no second attempt."""
    each_mode.ini["eval_retries"] = "0"
    each_mode.simulation("sim_passes")
    each_mode.simulation("sim_fails", graders=FAILS)
    each_mode.simulation("sim_judged", graders=JUDGED)
    each_mode.simulation("sim_breaks", [[{"fault": "close"}]])
    each_mode.simulation("sim_later")
    return each_mode


def test_results_are_kept_and_the_rest_is_run(outcomes: Suite) -> None:
    names = ("sim_passes", "sim_fails", "sim_judged", "sim_breaks", "sim_later")
    first = outcomes.run("-k", "not later").parseoutcomes()
    first.pop("deselected", None)  # xdist's workers leave items out, and do not tell
    assert first == {"passed": 1, "failed": 2, "skipped": 1, "errors": 1}
    before = {name: sessions(outcomes, name) for name in names}
    earlier = outcomes.records()

    outcomes.run("--eval-resume", "last")

    opened = {name: sessions(outcomes, name) - before[name] for name in names}
    assert opened == {**dict.fromkeys(names, 0), "sim_breaks": 1, "sim_later": 1}
    assert outcomes.outcomes() == {
        "sim_passes": "passed",
        "sim_fails": "failed",
        "sim_judged": "ungraded",
        "sim_breaks": "infra_error",
        "sim_later": "passed",
    }
    kept = {name for name, record in outcomes.records().items() if record["resumed"]}
    assert kept == {"sim_passes", "sim_fails", "sim_judged"}
    for name in kept:
        assert outcomes.records()[name] == {**earlier[name], "resumed": True}


def test_kept_verdicts_are_reported_like_new_ones_and_marked(suite: Suite) -> None:
    suite.simulation("sim_passes")
    suite.simulation("sim_fails", graders=FAILS)
    first = suite.run("-v")
    second = suite.run("-v", "--eval-resume", "last")
    assert first.parseoutcomes() == second.parseoutcomes()
    second.stdout.fnmatch_lines(["sim_fails * FAILED (resumed)", "sim_passes * passed (resumed)"])
    second.stdout.fnmatch_lines(["*sim_fails: failed*", "*never said*"])
    assert "Traceback" not in second.stdout.str()
    assert second.ret == first.ret == 1
    assert suite.summary()["resumed"] == 2


def test_a_failed_result_is_not_hidden_by_resuming(suite: Suite) -> None:
    suite.simulation("sim_fails", graders=FAILS)
    assert suite.run().ret == 1
    assert suite.run("--eval-resume", suite.folder.name).ret == 1


@pytest.mark.parametrize(
    "change",
    [
        {"graders": JUDGED},
        {"turns": {"fixed_first_user_turn": "Is it not?", "max_turns": 3}},
        {"turns": {"fixed_first_user_turn": "Is it?", "max_turns": 2}},
        {"simulator": {"system_prompt": json.dumps({"says": ["Really?"]})}},
        {"audio": {"chunk_ms": 40}},
        {"tool_mocks": [{"name": "look", "output": {"found": True}}]},
        {"expected_tool_call": {"name": "look", "arguments": {}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_content_is_run_again(suite: Suite, change: dict[str, Any]) -> None:
    suite.simulation("sim_changes")
    suite.simulation("sim_stays")
    suite.run()
    before = sessions(suite, "sim_changes"), sessions(suite, "sim_stays")
    path = suite.simulation("sim_changes")
    suite.write("evals/sim_changes.json", json.loads(path.read_text()) | change)
    suite.run("--eval-resume", "last")
    after = sessions(suite, "sim_changes"), sessions(suite, "sim_stays")
    assert after == (before[0] + 1, before[1])


def test_a_note_of_the_user_changes_no_content(suite: Suite) -> None:
    suite.simulation("sim_noted")
    suite.run()
    before = sessions(suite, "sim_noted")
    suite.simulation("sim_noted", metadata={"reviewed": "yes"}, tags=["new"])
    suite.run("--eval-resume", "last")
    assert sessions(suite, "sim_noted") == before


def test_an_option_that_shapes_the_result_is_content(suite: Suite) -> None:
    suite.simulation("sim_optioned")
    suite.run()
    before = sessions(suite, "sim_optioned")
    suite.run("--eval-resume", "last", "--eval-max-turns", "1")
    assert sessions(suite, "sim_optioned") == before + 1


def test_files_of_a_conversation_that_went_further_are_gone(suite: Suite) -> None:
    suite.simulation("sim_shorter", caller={"says": ["Really?", "Really really?"]})
    suite.run()
    assert len(list((suite.folder / "audio" / "sim_shorter").iterdir())) == 6
    suite.simulation("sim_shorter")
    suite.run("--eval-resume", "last")
    assert len(list((suite.folder / "audio" / "sim_shorter").iterdir())) == 2


def test_the_resumed_folder_is_that_of_a_run_without_interruption(each_mode: Suite) -> None:
    for name in ("sim_a", "sim_b", "sim_c"):
        each_mode.simulation(name)
    each_mode.run("--eval-run-name", "whole")
    each_mode.run("--eval-run-name", "resumed", "-k", "sim_b")
    each_mode.run("--eval-resume", "resumed")
    whole, resumed = (each_mode.root / "results" / name for name in ("whole", "resumed"))
    assert rows(resumed) == rows(whole)
    assert files(resumed) == files(whole)
    was = json.loads((resumed / "run.json").read_text())
    assert was["run_id"] == "resumed"


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_the_run_keeps_its_name_its_start_and_its_id(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.run()
    card = json.loads((suite.folder / "run_cards" / "simulations.json").read_text())
    suite.run("--eval-resume", "last")
    again = json.loads((suite.folder / "run_cards" / "simulations.json").read_text())
    assert (again["run_id"], again["timestamp"]) == (card["run_id"], card["timestamp"])


def test_last_is_the_run_that_was_written_to_last(suite: Suite) -> None:
    suite.simulation("sim_a")
    for name in ("zebra", "aardvark"):
        suite.run("--eval-run-name", name)
    os.utime(suite.root / "results" / "zebra" / "records.jsonl", (1, 1))
    result = suite.run("--eval-resume", "last")
    result.stdout.fnmatch_lines(["evals: results in results/aardvark"])


def test_a_record_that_was_never_finished_is_run_again(suite: Suite) -> None:
    for name in ("sim_a", "sim_b"):
        suite.simulation(name)
    suite.run()
    path = suite.folder / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-200])
    before = sessions(suite, "sim_a"), sessions(suite, "sim_b")
    suite.run("--eval-resume", "last").assert_outcomes(passed=2)
    assert (sessions(suite, "sim_a"), sessions(suite, "sim_b")) == (before[0], before[1] + 1)
    assert suite.outcomes() == {"sim_a": "passed", "sim_b": "passed"}


@pytest.mark.parametrize("mode", [(), ("-n2",)], ids=["plain", "n2"])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("last", "--eval-resume: there is no run in *results"),
        ("never_was", "--eval-resume: *never_was*is no run's folder*"),
        ("../elsewhere", "--eval-resume: *elsewhere*"),
    ],
)
def test_what_is_no_run_is_one_clear_usage_error(
    suite: Suite, mode: tuple[str, ...], name: str, told: str
) -> None:
    suite.mode = mode
    suite.simulation("sim_a")
    result = suite.run("--eval-resume", name)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {told}"])
    assert len(result.stderr.str().strip().splitlines()) == 1
    assert not (suite.root / "results").exists()


def test_a_broken_line_is_told_with_its_number(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.run()
    path = suite.folder / "records.jsonl"
    path.write_text("{}\n" + path.read_text())
    result = suite.run("--eval-resume", "last")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --eval-resume: *records.jsonl*line 1*"])


def test_a_name_is_free_while_its_run_was_killed_before_there_was_anything(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.write("results/mine/.run.json.x1y2.tmp", "{")
    suite.run("--eval-run-name", "mine").assert_outcomes(passed=1)
    assert not list(suite.folder.rglob("*.tmp"))


# --- killed at any moment ---------------------------------------------------------------


class Killed:
    """A project whose runs are killed, and what a run of it leaves that is not."""

    def __init__(self, root: Path, server: CannedServer, forking: subprocess.Popen[str]) -> None:
        self.root = root
        self.forking = forking
        # The first one lasts longest, so that others end ahead of their turn.
        for number, turns in enumerate((3, 1, 2, 2), start=1):
            self.simulation(f"sim_{number}", turns)
        entries = [
            {"id": f"e{n}", "source": f"sentence {n}", "reference": f"sentence {n}"}
            for n in range(1, 5)
        ]
        header = {"id": "small", "version": "1", "language_pair": "en-de"}
        data = {"dataset": header, "entries": entries}
        (root / "evals" / "small.json").write_text(json.dumps(data))
        settings = {
            "eval_endpoint": server.url,
            "eval_base_url": server.base_url,
            "eval_model": "canned",
            "eval_skip_plots": "true",
            "eval_skip_report": "true",
            "eval_real_time": "false",
            "asyncio_default_fixture_loop_scope": "function",
        }
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (root / "pytest.ini").write_text(f"[pytest]\n{lines}")

    def simulation(self, name: str, turns: int) -> None:
        data = {
            "turns": {"fixed_first_user_turn": "Hello.", "max_turns": turns},
            "graders": {"trace_level": [{"id": "done", "type": "mentions", "values": ["sure"]}]},
        }
        (self.root / "evals").mkdir(exist_ok=True)
        (self.root / "evals" / f"{name}.json").write_text(json.dumps(data))

    def run(
        self,
        mode: str,
        *arguments: str,
        kill_after_s: float | None = None,
        begun: bool = False,
    ) -> tuple[int, str]:
        """Run to the end, or to a moment when all of its processes are killed.

        The moment is counted from the start, or from when an item has ended if it has
        ``begun``.

        Returns:
            The exit status, and what was printed.
        """
        output = self.root / "output"
        wanted = {
            "folder": str(self.root),
            "arguments": ["-q", mode, *WITHOUT, *arguments],
            "output": str(output),
            "kill_after_s": kill_after_s,
            "wait_for": f"results/{arguments[-1]}/journal-*.jsonl" if begun else "",
        }
        assert self.forking.stdin is not None
        assert self.forking.stdout is not None
        self.forking.stdin.write(f"{json.dumps(wanted)}\n")
        self.forking.stdin.flush()
        return int(self.forking.stdout.readline()), output.read_text(errors="replace")

    def took(self, mode: str) -> float:
        """Run to the end; return how long it took, s."""
        began = time.monotonic()
        status, output = self.run(mode, "--eval-run-name", f"whole{mode}")
        assert status == 0, output
        return time.monotonic() - began

    def results(self, name: str, files: str = "*.jsonl") -> dict[str, str]:
        """Return when the items began whose results a run's folder has, journals included."""
        paths = self.folder(name).glob(files)
        lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
        records = [json.loads(line) for line in lines if line.endswith(b"\n")]
        assert {record["outcome"] for record in records} <= {"passed"}
        return {record["nodeid"]: record["started_at"] for record in records}

    def folder(self, name: str) -> Path:
        return self.root / "results" / name


#: Plugins that have nothing to do with it, and take their time to start.
WITHOUT: Final = [
    f"-pno:{name}"
    for name in (
        "randomly",
        "cacheprovider",
        "hypothesispytest",
        "html",
        "metadata",
        "rerunfailures",
        "timeout",
    )
]


@pytest.fixture
def forking() -> Iterator[subprocess.Popen[str]]:
    """Runs pytest in forks of one interpreter."""
    environ = {k: v for k, v in os.environ.items() if "API_KEY" not in k}
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, str(SERVERS / "forking.py")],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
        yield process  # leaving closes the pipes, which ends it


@pytest.fixture
def killed(
    tmp_path: Path,
    canned_server: Callable[..., CannedServer],
    forking: subprocess.Popen[str],
) -> Killed:
    server = canned_server(
        turns=9,
        user_ms=[200],
        assistant_ms=[200],
        latency_ms=15,
        chat_latency_ms=30,
        assistant_lines=["Sure.", "Sure thing."],
    )
    return Killed(tmp_path, server, forking)


def summary_of(folder: Path) -> dict[str, Any]:
    """Return a run's summary without what differs from run to run."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    varies = ("latency", "elapsed", "resumed", "run_name", "run_id", "started_at", "_ms", "seconds")
    return {k: v for k, v in summary.items() if not any(part in k for part in varies)}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_that_was_killed_a_hundred_times_is_complete_when_resumed(killed: Killed) -> None:
    took = {mode: killed.took(mode) for mode in ("-n0", "-n2")}
    whole = killed.folder("whole-n0")
    is_like(killed.folder("whole-n2"), whole)
    chance = random.Random(20_260_722)  # noqa: S311 - not for secrets
    only_in_journals = 0
    for number in range(100):
        name = f"killed_{number}"
        mode = "-n2" if number % 10 == 0 else "-n0"  # workers take their time to start

        def kill(*arguments: str, mode: str = mode) -> None:
            if chance.random() < 0.5:
                killed.run(mode, *arguments, kill_after_s=chance.uniform(0.1, 1.1) * took[mode])
            else:
                killed.run(mode, *arguments, kill_after_s=chance.uniform(0, 0.2), begun=True)

        kill("--eval-run-name", name)
        kept = killed.results(name)
        if chance.random() < 0.25:  # the resumed run may be killed, too
            kill("--eval-resume", name)
            assert kept.items() <= killed.results(name).items(), name
            kept = killed.results(name)
        only_in_journals += len(kept) > len(killed.results(name, "records.jsonl"))
        status, output = killed.run(mode, "--eval-resume", name)
        if status == pytest.ExitCode.USAGE_ERROR:
            # It was killed before there was anything to take up, and says so.
            assert "is no run's folder" in output, output
            assert not kept
            status, output = killed.run(mode, "--eval-run-name", name)
        assert status == 0, f"{name}: {output}"
        assert kept.items() <= killed.results(name).items(), f"{name}: played twice"
        is_like(killed.folder(name), whole)
    assert only_in_journals > 2, "the journals were never needed"


def is_like(folder: Path, whole: Path) -> None:
    """Assert that a run's folder is what a run that nobody killed left."""
    lines = (folder / "records.jsonl").read_text().splitlines()
    items = [(record["nodeid"], record["outcome"]) for record in map(json.loads, lines)]
    assert len(items) == len(set(items)) == 8, folder
    assert rows(folder) == rows(whole), folder
    assert files(folder) == files(whole), folder
    assert summary_of(folder) == summary_of(whole), folder
