"""The endpoint as a process: one for a run, found by all, gone with its owner."""

from __future__ import annotations

import http.client
import json
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.embedded import process as process_module
from pytest_realtime_eval.embedded.process import (
    EmbeddedProcess,
    ensure_running,
    missing_extra,
    shut_down,
)
from pytest_realtime_eval.exceptions import ConfigurationError, ConnectionFailed
from pytest_realtime_eval.processes import is_running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def rendezvous(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "embedded.json"
    yield path
    shut_down(path)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.01)


def status_of(running: EmbeddedProcess, token: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
    try:
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("GET", "/health", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_starts_once_for_everybody_who_asks(rendezvous: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: ensure_running(rendezvous, os.getpid()), range(8)))
    assert len(found) == 1
    running = found.pop()
    assert status_of(running, running.token) == 200
    assert status_of(running, "other") == 401


def test_only_the_user_reads_the_token(rendezvous: Path) -> None:
    running = ensure_running(rendezvous, os.getpid())
    assert stat.S_IMODE(rendezvous.stat().st_mode) == 0o600
    assert running.token not in repr(running)
    if sys.platform == "linux":
        assert running.token not in Path(f"/proc/{running.pid}/cmdline").read_text()


def test_shutting_down_ends_it_and_leaves_nothing(rendezvous: Path) -> None:
    running = ensure_running(rendezvous, os.getpid())
    shut_down(rendezvous)
    assert not is_running(running.pid)
    assert not rendezvous.exists()
    shut_down(rendezvous)


def test_it_is_started_again_after_it_was_killed(rendezvous: Path) -> None:
    first = ensure_running(rendezvous, os.getpid())
    os.kill(first.pid, signal.SIGKILL)
    wait_until_gone(first.pid)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: ensure_running(rendezvous, os.getpid()), range(8)))
    (second,) = found
    assert second.pid != first.pid
    assert second.token != first.token


def test_a_rendezvous_file_that_is_garbage_is_replaced(rendezvous: Path) -> None:
    rendezvous.parent.mkdir()
    rendezvous.write_text("{")
    assert ensure_running(rendezvous, os.getpid()).port


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_goes_when_its_owner_does(rendezvous: Path, how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as owner:
        running = ensure_running(rendezvous, owner.pid)
        assert is_running(running.pid)
        owner.send_signal(how)
        wait_until_gone(running.pid)
    assert not rendezvous.parent.exists()


def test_it_goes_without_the_kernels_help_too(rendezvous: Path) -> None:
    program = (
        "import os, sys; del os.pidfd_open; sys.argv = ['', '--owner-pid', sys.argv[1]]; "
        "from pytest_realtime_eval.embedded.__main__ import main; main()"
    )
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        command = [sys.executable, "-c", program, str(owner.pid)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as endpoint:  # noqa: S603 - ours
            assert endpoint.stdout is not None
            assert json.loads(endpoint.stdout.readline())["pid"] == endpoint.pid
            owner.communicate(b"\n")
            assert endpoint.wait(10) == 0
    assert not rendezvous.exists()


def test_an_interrupted_terminal_does_not_reach_it(rendezvous: Path) -> None:
    running = ensure_running(rendezvous, os.getpid())
    assert os.getsid(running.pid) != os.getsid(0)
    assert os.getpgid(running.pid) != os.getpgid(0)


def test_it_ends_cleanly_when_it_is_terminated(rendezvous: Path) -> None:
    running = ensure_running(rendezvous, os.getpid())
    os.kill(running.pid, signal.SIGTERM)
    wait_until_gone(running.pid)
    assert rendezvous.with_name("embedded.json.log").read_text() == ""


def test_a_missing_extra_says_what_to_install(
    rendezvous: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing_extra() is None
    monkeypatch.setattr(process_module, "_EXTRA", {"no_such_module": "no-such-package"})
    with pytest.raises(ConfigurationError) as raised:
        ensure_running(rendezvous, os.getpid())
    assert 'pip install "pytest-realtime-eval[embedded]"' in str(raised.value)
    assert "no-such-package" in str(raised.value)


def test_a_start_that_fails_says_why(rendezvous: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_MODULE", "pytest_realtime_eval.no_such_module")
    with pytest.raises(ConnectionFailed, match="no_such_module"):
        ensure_running(rendezvous, os.getpid())
    assert not rendezvous.exists()


def test_a_program_can_be_the_endpoints_voice(
    rendezvous: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "_EXTRA", {"hibari": "hibari-tts", "json": "json"})
    running = ensure_running(rendezvous, os.getpid(), "some-program --stdout 'an argument'")
    if sys.platform == "linux":
        assert b"some-program" in Path(f"/proc/{running.pid}/cmdline").read_bytes()
