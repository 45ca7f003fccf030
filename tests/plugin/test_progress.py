from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyte
import pytest

from pytest_realtime_eval.execution.watch import Step, StepFile, StepReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugin.conftest import Suite

FAILS = {"trace_level": [{"id": "says_no", "type": "mentions", "values": ["never said"]}]}
ROWS, COLUMNS = 20, 100


class Terminal:
    """A terminal that a program runs in, with what its screen shows and all that it was sent."""

    def __init__(self, command: list[str], folder: Path, environ: dict[str, str]) -> None:
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        self.sent = b""
        self._lock = threading.Lock()
        self._master, slave = pty.openpty()
        self._set_size(ROWS, COLUMNS)
        self.process = subprocess.Popen(  # noqa: S603 - pytest
            command,
            cwd=folder,
            env=environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _set_size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the program has ended
                return
            with self._lock:
                self.sent += data
                self._stream.feed(data)

    def lines(self) -> list[str]:
        """Return what the screen shows."""
        with self._lock:
            return [line.rstrip() for line in self.screen.display]

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size."""
        with self._lock:
            self.screen.resize(rows, columns)
        self._set_size(rows, columns)

    def interrupt(self) -> None:
        """Do what a terminal does for Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_for(self, seen: Callable[[list[str]], bool], seconds: float = 60) -> list[str]:
        """Return the screen as soon as it shows what is waited for."""
        deadline = time.monotonic() + seconds
        while not seen(shown := self.lines()):
            assert time.monotonic() < deadline, "\n".join(shown)
            assert self.process.poll() is None, self.sent.decode(errors="replace")
            time.sleep(0.02)
        return shown

    def end(self) -> list[str]:
        """Wait for the program's end, and return the last screen."""
        self.process.wait(timeout=90)
        self._reader.join(timeout=10)
        return self.lines()

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        self._reader.join(timeout=10)
        os.close(self._master)


@pytest.fixture
def terminal(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Terminal]]:
    """Runs the suite in a terminal."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("BUILD_NUMBER", raising=False)
    with ExitStack() as stack:

        def start(*arguments: str) -> Terminal:
            command = [sys.executable, "-m", "pytest", *suite.arguments("--no-header", *arguments)]
            started = Terminal(command, suite.root, dict(os.environ))
            stack.callback(started.close)
            return started

        yield start


def slow_turns(*, delay_ms: int = 900, count: int = 3) -> list[Any]:
    return [[{"say": f"Yes, {number}.", "delay_ms": delay_ms}] for number in range(1, count + 1)]


def status(lines: list[str]) -> str:
    return lines[-1] if lines[-1].startswith("evals: ") else ""


def put_back(terminal: Terminal) -> bool:
    """Whether the terminal is whole: its last regions are given back."""
    sent = terminal.sent
    return b"\x1b[1;" not in sent or sent.rindex(b"\x1b[r") > sent.rindex(b"\x1b[1;")


@pytest.mark.parametrize("mode", [("-n0",), ("-n2",), ("-p", "no:xdist")], ids=" ".join)
def test_the_last_row_shows_what_runs_and_how_far_the_run_is(
    suite: Suite, terminal: Callable[..., Terminal], mode: tuple[str, ...]
) -> None:
    suite.mode = mode
    suite.simulation("sim_quick")
    suite.simulation("sim_slow", slow_turns(), caller={"says": ["Really?", "Sure?"]})
    screen = terminal()
    screen.wait_for(lambda lines: "now: " in status(lines) and "sim_slow turn 1" in status(lines))
    shown = screen.wait_for(lambda lines: "sim_slow turn 2" in status(lines))
    assert status(shown).startswith("evals: 1/2 done | about ")
    assert " left | now: sim_slow turn 2" in status(shown)
    shown = screen.end()
    assert screen.process.returncode == 0
    assert not any("now:" in line or "done |" in line for line in shown)
    assert "2 passed" in "\n".join(shown)
    assert put_back(screen)


def test_what_pytest_writes_scrolls_above_the_row(
    suite: Suite, terminal: Callable[..., Terminal]
) -> None:
    for number in range(12):
        suite.simulation(f"sim_{number:02}")
    suite.simulation("sim_slow", slow_turns())
    screen = terminal("-v", "-n0")
    shown = screen.wait_for(lambda lines: "12/13 done" in status(lines) and "sim_slow" in lines[-2])
    assert sum(" PASSED " in line for line in shown) >= 4
    assert all("evals: " not in line for line in shown[:-1])
    screen.end()


def test_v_shows_each_turn_before_its_items_outcome(
    suite: Suite, terminal: Callable[..., Terminal]
) -> None:
    suite.simulation("sim_a", slow_turns(delay_ms=700), caller={"says": ["Really?", "Sure?"]})
    screen = terminal("-v", "-n0")
    shown = screen.wait_for(lambda lines: any("sim_a turn 2: " in line for line in lines))
    assert not any("PASSED" in line for line in shown)
    shown = screen.end()
    text = screen.sent.decode()
    places = [text.index(part) for part in ("turn 1: ", "turn 2: ", "turn 3: ", "PASSED")]
    assert places == sorted(places)


@pytest.mark.parametrize("mode", [("-n0",), ("-n2",)], ids=" ".join)
def test_an_interrupted_run_gives_the_row_back(
    suite: Suite, terminal: Callable[..., Terminal], mode: tuple[str, ...]
) -> None:
    suite.mode = mode
    suite.simulation("sim_slow", slow_turns(delay_ms=20_000))
    screen = terminal("--eval-response-timeout", "30")
    screen.wait_for(lambda lines: "sim_slow turn 1" in status(lines))
    screen.interrupt()
    shown = screen.end()
    assert screen.process.returncode == pytest.ExitCode.INTERRUPTED
    assert not any("now:" in line for line in shown)
    assert put_back(screen)


def test_an_internal_error_gives_the_row_back(
    suite: Suite, terminal: Callable[..., Terminal]
) -> None:
    suite.simulation("sim_slow", slow_turns())
    suite.write(
        "conftest.py",
        "def pytest_runtest_logfinish(nodeid):\n    raise ValueError('broken conftest')\n",
    )
    screen = terminal("-n0")
    screen.wait_for(lambda lines: "sim_slow turn 1" in status(lines))
    shown = screen.end()
    assert screen.process.returncode == pytest.ExitCode.INTERNAL_ERROR
    assert any("broken conftest" in line for line in shown)
    assert put_back(screen)
    assert not any("now:" in line for line in shown)


def test_the_row_follows_a_terminal_that_is_resized(
    suite: Suite, terminal: Callable[..., Terminal]
) -> None:
    suite.simulation("sim_slow", slow_turns(delay_ms=3000))
    screen = terminal("-n0")
    screen.wait_for(lambda lines: "sim_slow turn 1" in status(lines))
    for rows, columns in ((12, 60), (30, 120)):
        screen.resize(rows, columns)
        shown = screen.wait_for(lambda lines: "sim_slow" in status(lines))
        assert len(shown) == rows
        assert sum("evals: 0/1" in line for line in shown) == 1
    screen.interrupt()
    screen.end()
    assert put_back(screen)


def test_a_terminal_of_few_rows_keeps_them(suite: Suite, terminal: Callable[..., Terminal]) -> None:
    suite.simulation("sim_slow", slow_turns(delay_ms=2500))
    screen = terminal("-n0")
    screen.resize(4, 60)
    time.sleep(0.1)
    screen.end()
    assert b"\x1b[1;3r" not in screen.sent
    assert put_back(screen)


@pytest.mark.parametrize(
    ("name", "value"), [("CI", "true"), ("BUILD_NUMBER", "7"), ("TERM", "dumb")]
)
def test_where_nobody_looks_there_is_no_row(
    suite: Suite,
    terminal: Callable[..., Terminal],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv(name, value)
    suite.simulation("sim_slow", slow_turns(delay_ms=400))
    screen = terminal("-n0", "-v")
    screen.end()
    assert screen.process.returncode == 0
    assert b"\x1b7" not in screen.sent
    assert b"\x1b[1;" not in screen.sent
    assert b'sim_slow turn 1: "Is it?" -> "Yes, 1."' in screen.sent


@pytest.mark.parametrize("mode", [("-n0",), ("-n2",)], ids=" ".join)
def test_a_run_without_evals_is_as_if_nobody_was_there(
    suite: Suite, terminal: Callable[..., Terminal], mode: tuple[str, ...]
) -> None:
    suite.mode = mode
    suite.write("test_plain.py", "import time\ndef test_it():\n    time.sleep(1.2)\n")
    screen = terminal()
    shown = screen.end()
    assert "1 passed" in "\n".join(shown)
    assert b"\x1b7" not in screen.sent
    assert b"\x1b[1;" not in screen.sent
    assert b"evals" not in screen.sent


@pytest.mark.parametrize("mode", [("-n0",), ("-n2",), ("-s", "-n0")], ids=" ".join)
def test_without_a_terminal_v_writes_plain_lines(suite: Suite, mode: tuple[str, ...]) -> None:
    suite.mode, suite.in_process = mode, False
    suite.simulation("sim_a", slow_turns(delay_ms=10), caller={"says": ["Really?", "Sure?"]})
    suite.simulation("sim_b", graders=FAILS)
    result = suite.run("-v")
    result.stdout.fnmatch_lines(
        [
            'sim_a turn 1: "Is it?" -> "Yes, 1." (* ms)',
            'sim_a turn 2: "Really?" -> "Yes, 2." (* ms)',
            'sim_a turn 3: "Sure?" -> "Yes, 3." (* ms)',
        ]
    )
    result.stdout.fnmatch_lines(['sim_b turn 1: "Is it?" -> "Yes, it is." (* ms)'])
    text = result.stdout.str()
    assert "\x1b" not in text
    # Nothing shares a line with what pytest writes.
    assert all(line.startswith("sim_") for line in text.splitlines() if " turn 1: " in line)
    assert all(line.endswith("ms)") for line in text.splitlines() if " turn 1: " in line)
    assert text.index("sim_b turn 1: ") < text.index("FAILED")


def test_without_v_and_terminal_pytests_output_is_as_it_was(suite: Suite) -> None:
    suite.in_process = False
    suite.simulation("sim_a")
    result = suite.run()
    result.stdout.fnmatch_lines(["evals/sim_a.json .  *[[]100%]"])
    assert " turn 1: " not in result.stdout.str()


def test_vv_shows_turns_whole(suite: Suite) -> None:
    long = "so it is " * 60
    suite.simulation("sim_a", [[{"say": f"Yes, {long}."}]])
    assert long.strip() not in suite.run("-v").stdout.str()
    assert f'-> "Yes, {long}."' in suite.run("-vv").stdout.str()


def test_a_crashed_worker_does_not_run_for_ever(
    suite: Suite, terminal: Callable[..., Terminal]
) -> None:
    suite.mode = ("-n1", "--max-worker-restart=1")
    suite.simulation("sim_crash", slow_turns(delay_ms=1500))
    suite.simulation("sim_next", slow_turns(delay_ms=1500))
    suite.write(
        "conftest.py",
        "import os, pytest\n"
        "@pytest.fixture(autouse=True)\n"
        "def crash(request):\n"
        "    if request.node.name == 'sim_crash':\n"
        "        os._exit(1)\n",
    )
    screen = terminal()
    shown = screen.wait_for(lambda lines: "1/2 done" in status(lines) and "now" in status(lines))
    assert "sim_crash" not in status(shown)
    assert "sim_next turn" in status(shown)
    screen.end()


def test_steps_of_several_processes_arrive_whole_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "place" / "steps.jsonl"
    reader = StepReader(path)
    told = StepFile(path)
    steps = [Step("began", f"x.json::{n}", "gw0", user_text="ü" * n) for n in range(50)]
    threads = [threading.Thread(target=told.append, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = reader.read()
    assert sorted(found, key=lambda step: len(step.user_text)) == steps
    assert reader.read() == []
    told.append(steps[3])
    assert reader.read() == [steps[3]]
    reader.close()
    assert not path.exists()
    told.append(steps[4])  # to nobody
    assert not path.exists()


def test_half_a_step_waits_for_its_other_half(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    reader = StepReader(path)
    step = Step("turn", "x.json::x", calls=("a", "b"), first_audio_ms=1.5)
    StepFile(path).append(step)
    line = path.read_bytes()
    path.write_bytes(b"no step\n" + line[:20])
    assert reader.read() == []
    with path.open("ab") as file:
        file.write(line[20:])
    assert reader.read() == [step]
    reader.close()
