"""The shipped suite, spoken: the same however it is run, and failing for reasons."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow

#: A turn of the table without what depends on the clock.
Row = dict[str, str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shipped evals in a project of their own."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "evals", folder / "evals")
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


def run_evals(project: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a user would, offline."""
    command = [sys.executable, "-m", "pytest", "evals/simulations", "-p", "no:randomly"]
    command += ["--eval-endpoint", "embedded", "--eval-run-name", name, "--eval-skip-plots"]
    command += ["--eval-skip-report", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    return subprocess.run(  # noqa: S603 - pytest
        command,
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def timeless_rows(folder: Path) -> list[Row]:
    """Return the rows of a run's table without latencies and other readings of the clock."""
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    clock = re.compile(
        r"latency|_ms$|in_time_rationale|duration|started|call_id|run_id|event_log|elapsed"
    )
    return [
        {
            key: re.sub(r"call_\w+", "call", value)
            for key, value in row.items()
            if not clock.search(key)
        }
        for row in rows
    ]


def audio_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every turn's WAV."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("audio/*/turn_*.wav"))
    }


@pytest.fixture(scope="module")
def played(project: Path) -> list[Path]:
    """Folders of whole runs: in one process, by two workers, by eight."""
    ways = {"one": (), "two": ("-n", "2"), "eight": ("-n", "8")}
    for name, arguments in ways.items():
        done = run_evals(project, name, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    return [project / "results" / name for name in ways]


def test_one_process_and_workers_say_the_same(played: list[Path]) -> None:
    rows, audio = timeless_rows(played[0]), audio_hashes(played[0])
    assert len(rows) >= 30
    assert len(audio) >= 60
    for folder in played[1:]:
        others = timeless_rows(folder)
        assert len(others) == len(rows)
        for row, other in zip(rows, others, strict=True):
            differing = {key for key in row.keys() | other.keys() if row.get(key) != other.get(key)}
            assert not differing, [(row.get(key), other.get(key)) for key in sorted(differing)]
        assert audio_hashes(folder) == audio


def test_every_call_was_heard_and_graded(played: list[Path]) -> None:
    summary: dict[str, Any] = json.loads((played[1] / "summary.json").read_text())
    assert summary["pass_rate"] == 1.0
    assert summary["right_tool_grade_mean"] == 1.0
    assert summary["right_arguments_grade_mean"] == 1.0
    assert summary["ungraded_verdicts"] > 0, "without a judge its verdicts are counted as ungraded"


def test_a_changed_fact_fails_the_arguments(project: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(project / "evals", changed / "evals")
    (changed / "pytest.ini").write_text("[pytest]\n")
    path = changed / "evals" / "simulations" / "sim_booking.json"
    text = path.read_text()
    assert "for two people" in text
    path.write_text(text.replace("for two people", "for three people", 1))
    done = run_evals(changed, "changed", "-k", path.stem)
    assert done.returncode == 1, done.stdout
    assert "FAILED right_arguments" in done.stdout


LOSES_AUDIO = """
import pytest
from pytest_realtime_eval.conversation import turn

@pytest.fixture(scope="session", autouse=True)
def lossy_line():
    convert = turn.Wire.convert
    def with_a_gap(self, data, other):
        wire = convert(self, data, other)
        third = len(wire) // 3 // 2 * 2
        return wire[:third] + bytes([0]) * third + wire[2 * third:]
    turn.Wire.convert = with_a_gap
    yield
    turn.Wire.convert = convert
"""


def test_lost_audio_fails_calls(project: Path, tmp_path: Path) -> None:
    lossy = tmp_path / "lossy"
    shutil.copytree(project / "evals", lossy / "evals")
    (lossy / "pytest.ini").write_text("[pytest]\n")
    (lossy / "conftest.py").write_text(LOSES_AUDIO)
    done = run_evals(lossy, "lossy", "-k", "sim_booking or sim_order_status")
    assert done.returncode == 1, done.stdout
    outcomes = {
        row["simulation_id"]: row["outcome"] for row in timeless_rows(lossy / "results/lossy")
    }
    assert set(outcomes.values()) == {"failed"}, outcomes
