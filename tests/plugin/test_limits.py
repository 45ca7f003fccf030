"""Limits of the whole run: the same in one process and in several."""

from __future__ import annotations

import csv
import itertools
import json
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import Suite

NAMES = tuple(f"sim_{letter}" for letter in "abcdef")


@pytest.fixture(params=[("-p", "no:xdist"), ("-n2",)], ids=" ".join)
def limited(request: pytest.FixtureRequest, suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """The suite in one process and in two, with a folder of its own for temporary files."""
    suite.mode = request.param
    folder = suite.root / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))  # workers ask the environment,
    monkeypatch.setattr(tempfile, "tempdir", str(folder))  # this process has done so
    return suite


def left_behind(suite: Suite) -> list[str]:
    return [path.name for path in (suite.root / "temporary").glob("realtime-eval*")]


def slow(ms: int) -> list[Any]:
    return [[{"say": "Yes.", "delay_ms": ms}]]


def opened(suite: Suite, names: tuple[str, ...]) -> list[float]:
    return sorted(at for name in names for at in suite.server.opened(f"model-{name}"))


def prices(suite: Suite, *names: str, usd: float = 0.2) -> Path:
    """Write a price table: what an assistant says in a turn costs so much."""
    free = {"input": 0, "output": 0}
    # The server says that a response has 5 tokens of audio.
    models = {f"model-{n}": {"text": free, "audio": {"input": 0, "output": usd / 5}} for n in names}
    models |= {"gpt-realtime": {"text": free, "audio": free}}
    return suite.write("prices.json", {"unit_tokens": 1, "as_of": "2026-01-01", "models": models})


def test_the_rate_holds_for_all_processes_together(limited: Suite) -> None:
    names = tuple(f"{name}_rate{len(limited.mode)}" for name in NAMES)
    for name in names:
        limited.simulation(name)
    limited.run("--eval-rate-limit=240").assert_outcomes(passed=6)
    times = opened(limited, names)
    # Two sessions a conversation: 120 of them a minute, one each half second.
    assert len(times) == 6
    assert times[-1] - times[0] >= 5 * 0.5 - 0.3
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.2
    assert left_behind(limited) == []


def test_no_more_sessions_than_allowed_are_open_at_once(limited: Suite) -> None:
    for name in NAMES:
        limited.simulation(name, slow(200))
    limited.server.most_open()
    limited.run("--eval-max-sessions=4").assert_outcomes(passed=6)
    assert limited.server.most_open() == 4
    assert left_behind(limited) == []


def test_a_busy_server_is_left_alone_by_everybody(limited: Suite) -> None:
    mode = len(limited.mode)
    names = tuple(f"sim_{n:02}_patience{mode}" for n in range(6))
    busy = f"sim_00{mode}_busy"
    for name in names:
        limited.simulation(name, slow(300))
    limited.simulation(busy)
    limited.run("--eval-concurrency=1").assert_outcomes(passed=7)
    refused = limited.server.refused(f"model-{busy}")
    times = opened(limited, (busy, *names))
    assert len(times) == 7
    # What was about to start when the server refused may still start.
    assert [at - refused for at in times if 0.7 < at - refused < 2.9] == []
    assert max(times) > refused + 2.9
    record = limited.records()[busy]
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["infra_error", "passed"]
    assert left_behind(limited) == []


def test_nothing_starts_once_the_budget_is_spent(limited: Suite) -> None:
    for name in NAMES:
        limited.simulation(name)
    prices(limited, *NAMES)
    options = ("--eval-price-file=prices.json", "--eval-concurrency=1", "-rs")
    result = limited.run("--eval-max-cost-usd=0.5", *options)
    assert result.ret == 1
    outcomes = list(limited.outcomes().values())
    # Three cost 0.6; in two processes another one may have begun.
    played = outcomes.count("passed")
    assert played in ((3, 4) if "-n2" in limited.mode else (3,))
    assert outcomes.count("skipped") == 6 - played
    result.stdout.fnmatch_lines([f"*max-cost-usd was reached: {6 - played} of the run's items*"])
    result.stdout.fnmatch_lines(["*SKIPPED*the run has cost the $0.5*"])
    skipped = [r for r in limited.records().values() if r["outcome"] == "skipped"]
    assert {r["failure"]["stage"] for r in skipped} == {"budget"}
    assert limited.summary()["total_cost_usd"] == pytest.approx(0.2 * played)
    assert left_behind(limited) == []


def test_a_run_that_ran_out_of_money_is_taken_up_with_more(suite: Suite) -> None:
    for name in NAMES:
        suite.simulation(name)
    prices(suite, *NAMES)
    options = ("--eval-price-file=prices.json", "--eval-concurrency=1")
    assert suite.run("--eval-max-cost-usd=0.5", *options).ret == 1
    # What was paid counts: the same money buys nothing.
    assert suite.run("--eval-max-cost-usd=0.5", "--eval-resume=last", *options).ret == 1
    assert suite.summary()["skipped"] == 3
    assert suite.run("--eval-max-cost-usd=5", "--eval-resume=last", *options).ret == 0
    assert suite.summary()["passed"] == 6
    assert suite.summary()["total_cost_usd"] == pytest.approx(1.2)


def test_a_budget_that_was_not_spent_changes_nothing(suite: Suite) -> None:
    suite.simulation("sim_a")
    prices(suite, "sim_a")
    result = suite.run("--eval-max-cost-usd=0.5", "--eval-price-file=prices.json")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*max-cost-usd*")


def test_a_cost_that_is_not_known_is_said_once(suite: Suite) -> None:
    for name in NAMES:
        suite.simulation(name)
    result = suite.run("--eval-max-cost-usd=0.1")
    assert result.ret == 0
    said = [line for line in result.outlines if "cost is not known" in line]
    assert len(said) == 1
    assert "--eval-max-cost-usd" in said[0]


def test_a_python_test_is_skipped_when_there_is_no_money_for_it(suite: Suite) -> None:
    suite.simulation("sim_a")
    prices(suite, "sim_a")
    suite.write(
        "evals/test_zz.py",
        """
import pytest

@pytest.mark.asyncio
async def test_play(run_simulation):
    await run_simulation("sim_a.json")

@pytest.mark.asyncio
@pytest.mark.simulation("sim_a.json")
async def test_session(assistant_session, simulator_session):
    assert assistant_session.id
""",
    )
    result = suite.run("--eval-max-cost-usd=0.1", "--eval-price-file=prices.json", "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    assert result.ret == 1


def test_sessions_of_fixtures_count(suite: Suite) -> None:
    for name in ("sim_a", "sim_b", "sim_c"):
        suite.simulation(name, slow(300))
    suite.write(
        "evals/test_aa.py",
        """
import asyncio, pytest

@pytest.mark.parametrize("n", range(3))
@pytest.mark.asyncio
@pytest.mark.simulation("sim_a.json")
async def test_session(assistant_session, simulator_session, n):
    await asyncio.sleep(0.1)
""",
    )
    suite.server.most_open()
    suite.run("--eval-max-sessions=2", "evals/test_aa.py", "evals").assert_outcomes(passed=6)
    assert suite.server.most_open() == 2


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--eval-max-sessions=1", "a conversation has two sessions"),
        ("--eval-rate-limit=0", "must be 1 or more"),
        ("--eval-max-cost-usd=0", "must be above 0"),
        ("--eval-max-lag-ms=soon", "must be a number"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(suite: Suite, option: str, problem: str) -> None:
    result = suite.run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{option.partition('=')[0]}*{problem}*"])


def lateness(suite: Suite) -> list[str]:
    with (suite.folder / "results.csv").open(encoding="utf-8", newline="") as file:
        return [row["late"] for row in csv.DictReader(file)]


def test_a_conversation_whose_audio_was_late_is_marked(suite: Suite) -> None:
    for name in ("sim_a", "sim_b"):
        suite.simulation(name, caller={"audio_ms": 300})
    result = suite.run("--eval-real-time", "--eval-max-lag-ms=0.000001")
    assert suite.summary()["late_conversations"] == 2
    assert {r["late"] for r in suite.records().values()} == {True}
    assert lateness(suite) == ["True", "True"]
    result.stdout.fnmatch_lines(["late: 2 conversations sent audio later*"])
    assert result.ret == 0


def test_a_conversation_in_time_or_without_pace_is_not_late(suite: Suite) -> None:
    suite.simulation("sim_a", caller={"audio_ms": 300})
    suite.run("--eval-real-time", "--eval-max-lag-ms=60000", "--eval-run-name=paced")
    result = suite.run("--eval-max-lag-ms=0.000001", "--eval-run-name=unpaced")
    for name in ("paced", "unpaced"):
        summary = json.loads((suite.root / "results" / name / "summary.json").read_text())
        assert summary["late_conversations"] == 0
    result.stdout.no_fnmatch_line("late:*")


def test_limits_that_cannot_be_shared_break_items_with_the_reason(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.simulation("sim_a")
    suite.write("no-folder", "")
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())  # put back what this changes:
    suite.write("conftest.py", "import tempfile\ntempfile.tempdir = 'no-folder'\n")
    result = suite.run("--eval-max-sessions=2")
    assert result.ret == 1
    assert suite.outcomes() == {"sim_a": "infra_error"}
    assert suite.records()["sim_a"]["failure"]["stage"] == "storage"
    assert "no-folder" in suite.records()["sim_a"]["reason"]


CUT_SHORT = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    raise KeyboardInterrupt
"""


def test_nothing_is_left_when_the_sessions_end_is_cut_short(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    suite.simulation("sim_a")
    suite.write("conftest.py", CUT_SHORT)
    suite.in_process = False
    suite.run("--eval-max-sessions=8")
    assert suite.outcomes() == {"sim_a": "passed"}
    assert list(temporary.iterdir()) == []
