from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.execution.identity import RunIdentity
from pytest_realtime_eval.execution.meeting_place import close_meeting_place, leave_meeting_place
from pytest_realtime_eval.processes import is_running

if TYPE_CHECKING:
    from pathlib import Path

UID = "8d5f9a3e-0c58-4b7e-9f0a-2f4f6c1d2e3b"


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(scope="module")
def gone() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def run_of(pid: int, uid: str = UID) -> RunIdentity:
    return RunIdentity("run", "/nowhere", "", uid, pid)


def used(identity: RunIdentity, hours_ago: float = 0.0) -> Path:
    folder = identity.meeting_place
    folder.mkdir()
    (folder / "limits.sqlite").write_text("")
    at = time.time() - hours_ago * 3600
    for path in (folder / "limits.sqlite", folder):
        os.utime(path, (at, at))
    return folder


def test_processes_that_run_and_that_do_not(gone: int) -> None:
    assert is_running(os.getpid())
    assert not is_running(gone)


def test_a_process_that_nobody_waited_for_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        deadline = time.monotonic() + 10
        while is_running(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_owner_removes_its_folder(tmp_path: Path) -> None:
    used(run_of(os.getpid()))
    close_meeting_place(run_of(os.getpid()))
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_met_nowhere_looks_nowhere(gone: int) -> None:
    other = used(run_of(gone), hours_ago=48)
    close_meeting_place(run_of(os.getpid()))
    assert other.exists()


def test_folders_of_runs_that_were_killed_go_after_a_day(tmp_path: Path, gone: int) -> None:
    other = "11111111" + UID[8:]
    used(run_of(gone), hours_ago=25)
    lately = used(run_of(gone, other), hours_ago=23)
    running = used(run_of(os.getpid(), other), hours_ago=25)
    stranger = tmp_path / "realtime-eval-bench-1"
    stranger.mkdir()
    own = run_of(os.getpid(), "22222222" + UID[8:])
    used(own)
    close_meeting_place(own)
    assert set(tmp_path.iterdir()) == {lately, running, stranger}


def test_a_worker_removes_what_a_killed_owner_left_and_nothing_else(gone: int) -> None:
    orphaned, alive = run_of(gone), run_of(os.getpid())
    used(orphaned)
    used(alive)
    leave_meeting_place(orphaned)
    leave_meeting_place(alive)
    assert not orphaned.meeting_place.exists()
    assert alive.meeting_place.exists()
