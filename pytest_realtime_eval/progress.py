"""Live progress: a row at the terminal's bottom, and with ``-v`` a line for each turn.

Lives where pytest was started. All that pytest writes while items run, it writes inside a
few hooks; those and the thread of this module take turns by a lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

import pytest

from pytest_realtime_eval.execution.watch import StepReader, Watch
from pytest_realtime_eval.items import EvalItem, is_eval_id

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from pytest_realtime_eval.execution.watch import Step
    from pytest_realtime_eval.reports.progress import Progress

#: The row is drawn no more often than this, s.
_REDRAW: Final = 0.5
#: Where there is no row: a line of progress, so that a log shows life, s.
_PLAIN_LINE: Final = 60.0
#: A line of ``-v`` where no terminal says how wide it is.
_PLAIN_WIDTH: Final = 160


class ProgressDisplay:
    """Shows how far a run is, from the first eval that is known of to the session's end.

    Attributes:
        watch: What the work of this process tells its steps to.
        path: The file through which workers tell theirs.
    """

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._reader: StepReader | None = None
        self._screen: _Screen | None = None
        self._progress: Progress | None = None
        self._on_worker: dict[str, str] = {}
        self._plain_line_at = 0.0
        self.path = path
        self.watch = Watch(self._steps.put)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Begin, where items run in this process."""
        if evals := sum(isinstance(item, EvalItem) for item in session.items):
            self._begin(evals)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Begin, where workers run the items: all of them report the same ones."""
        if (evals := sum(map(is_eval_id, ids))) and self._reader is None:
            with contextlib.suppress(OSError):  # a full disk stops no run
                self._reader = StepReader(self.path)
            self._begin(evals)

    def _begin(self, total: int) -> None:
        if self._config.getoption("collectonly") or self._config.option.verbose < 0:
            return
        from pytest_realtime_eval.reports.progress import Progress

        self._progress = Progress(total, time.monotonic())
        self._plain_line_at = time.monotonic() + _PLAIN_LINE
        self._screen = _Screen(self._reporter)
        self._thread = threading.Thread(target=self._run, name="realtime-eval-progress")
        self._thread.daemon = True  # a session that breaks before its end still ends
        self._thread.start()

    @property
    def _reporter(self) -> pytest.TerminalReporter:
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        return cast("pytest.TerminalReporter", reporter)

    def _run(self) -> None:
        while not self._ended.wait(_REDRAW):
            with self._lock:
                self._catch_up()
                self._draw()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, Any, Any]:
        """Take turns with pytest's own lines."""
        with self._pytest_writes():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, Any, Any]:
        """Write an item's turns before its outcome, and count it."""
        with self._pytest_writes():
            if self._progress is not None:
                self._count(self._progress, report)
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self) -> Generator[None, Any, Any]:
        """Take turns with pytest's own lines."""
        with self._pytest_writes():
            return (yield)

    @contextlib.contextmanager
    def _pytest_writes(self) -> Iterator[None]:
        with self._lock:
            self._catch_up()
            yield
            if self._screen is not None:
                # What waits in pytest's own buffer must not come after what we write.
                self._reporter.flush()

    def _count(self, progress: Progress, report: pytest.TestReport) -> None:
        """Count an item that did no work: skipped, kept from an earlier run, or crashed."""
        when: str | None = report.when
        if is_eval_id(report.nodeid) and when in ("teardown", "???"):
            if report.nodeid not in progress.finished:
                progress.finish(report.nodeid, None)
        elif when == "call" and report.nodeid not in progress.finished:
            lines: list[str] = getattr(report, "eval_records", [])
            for line in lines:
                progress.finish(report.nodeid, json.loads(line)["cost_usd"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 - xdist publishes no types
        """Forget what a worker was at: others do it again."""
        with self._lock:
            self._catch_up()
            for nodeid, worker in self._on_worker.items():
                if worker == node.gateway.id and self._progress is not None:
                    self._progress.drop(nodeid)

    def pytest_enter_pdb(self) -> None:
        """Leave the terminal to the debugger."""
        self._rest()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Put everything back."""
        self.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self) -> None:
        """Put everything back before pytest tells what broke."""
        self.close()

    def close(self) -> None:
        """End the thread, write what is left to say, and give the last row back."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._lock:
            self._catch_up()
            if self._screen is not None:
                self._screen.close()
                self._screen = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _rest(self) -> None:
        with self._lock:
            if self._screen is not None:
                self._screen.take_down()

    def _catch_up(self) -> None:
        """Take note of what was told since the last time."""
        if self._progress is None or self._screen is None:
            return
        steps = list(self._new_steps())
        for step in steps:
            self._note(self._progress, step)
        if self._config.option.verbose > 0:
            self._screen.write_lines(self._turn_lines(steps, self._screen))

    def _new_steps(self) -> Iterator[Step]:
        while not self._steps.empty():
            yield self._steps.get()
        if self._reader is not None:
            yield from self._reader.read()

    def _note(self, progress: Progress, step: Step) -> None:
        if step.kind == "began":
            progress.start(step.nodeid, step.turn)
            self._on_worker[step.nodeid] = step.worker
        elif step.kind == "turn":
            progress.turn(step.nodeid, min(step.turn + 1, step.last_turn))
        elif is_eval_id(step.nodeid):
            progress.finish(step.nodeid, step.cost_usd)
        else:
            # A Python test may play several conversations, and none of them ends the item.
            progress.drop(step.nodeid)

    def _turn_lines(self, steps: Iterable[Step], screen: _Screen) -> list[str]:
        from pytest_realtime_eval.reports.progress import turn_line

        width = None if self._config.option.verbose > 1 else screen.width
        return [turn_line(step, width) for step in steps if step.kind == "turn"]

    def _draw(self) -> None:
        if self._progress is None or self._screen is None:
            return
        now = time.monotonic()
        if self._screen.has_row:
            self._screen.draw(f"evals: {self._progress.line(now, 1000)}")
        elif now >= self._plain_line_at:
            self._plain_line_at = now + _PLAIN_LINE
            self._screen.write_lines([f"evals: {self._progress.line(now, _PLAIN_WIDTH)}"])


class _Screen:
    """What is written beside pytest's own output, whatever captures it at the time."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter
        self._stream, self._owned = _beside_capture(sys.stdout)
        self._size: os.terminal_size | None = None
        self._shown = ""
        self.has_row = _is_screen(self._stream)

    @property
    def width(self) -> int:
        """Columns that a line may take."""
        size = self._terminal_size()
        return size.columns - 1 if size else _PLAIN_WIDTH

    def write_lines(self, lines: list[str]) -> None:
        """Write lines where pytest is, which may be in the middle of one of its own."""
        if not lines:
            return
        verbose = self._reporter.verbosity > 0
        hangs = bool(self._reporter.currentfspath)
        text = "\n".join(lines)
        # As pytest does with -v, a line is ended by who writes the next one; -2 is what
        # xdist tells it by.
        self._write(("\n" if hangs else "") + text + ("" if verbose else "\n"))
        self._reporter.currentfspath = -2 if verbose else None

    def draw(self, text: str) -> None:
        """Show a status in the last row."""
        size = self._terminal_size()
        if size != self._size:
            self._resize(size)
        if self._size is None or text == self._shown:
            return
        from pytest_realtime_eval.reports.status_row import draw

        colour = self._reporter.hasmarkup
        self._write(draw(text, self._size.lines, self._size.columns, colour=colour))
        self._shown = text

    def _resize(self, size: os.terminal_size | None) -> None:
        from pytest_realtime_eval.reports.status_row import LEAST_ROWS, set_up

        self.take_down()
        if size is not None and size.lines >= LEAST_ROWS:
            self._write(set_up(size.lines))
            self._size = size

    def take_down(self) -> None:
        """Give the last row back until the next status."""
        if self._size is None:
            return
        from pytest_realtime_eval.reports.status_row import take_down

        self._write(take_down())
        self._size, self._shown = None, ""

    def close(self) -> None:
        """Put everything back."""
        self.take_down()
        if self._owned:
            self._stream.close()

    def _terminal_size(self) -> os.terminal_size | None:
        try:
            return os.get_terminal_size(self._stream.fileno()) if self.has_row else None
        except OSError:
            return None

    def _write(self, text: str) -> None:
        # A terminal that is gone stops no run.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def _beside_capture(stream: TextIO) -> tuple[TextIO, bool]:
    """Return a stream to where ``stream`` goes now, and whether it is ours to close.

    Capture redirects the descriptor below while items run.
    """
    try:
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError):
        return stream, False
    encoding = stream.encoding or "utf-8"
    return os.fdopen(descriptor, "w", encoding=encoding, errors="backslashreplace"), True


def _is_screen(stream: TextIO) -> bool:
    """Whether control sequences make sense: a terminal that a person may look at."""
    automatic = any(os.environ.get(name) for name in ("CI", "BUILD_NUMBER"))
    return stream.isatty() and not automatic and os.environ.get("TERM", "") not in ("", "dumb")
