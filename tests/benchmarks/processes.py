"""Child processes, and what they took: wall time, CPU time, peak memory.

Nothing heavy is imported here: a child's peak memory as the kernel reports it is at least
that of the process that started it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parents[2]
_CANNED: Final = ROOT / "tests" / "servers" / "canned.py"
#: No measured command may take longer, s.
_LONGEST: Final = 600
#: Of the environment, what would change a measured run. Without cached bytecode pytest
#: rewrites the assertions of every plugin in every run.
_REMOVED: Final = (
    "AZURE_OPENAI_API_KEY",
    "CI",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "PYTHONDONTWRITEBYTECODE",
)
#: What is loaded: the plugin, and those that it brings into an environment. Other plugins
#: of the environment would cost every run the same.
PLUGIN: Final = "pytest_realtime_eval.plugin"
COMPANIONS: Final = (
    "anyio.pytest_plugin",
    "pytest_asyncio.plugin",
    "xdist.plugin",
    "xdist.looponfail",
)


class CommandFailed(Exception):
    """A measured command did not do what is measured."""


@dataclass(frozen=True)
class Taken:
    """What a command and all of its own children took.

    Attributes:
        wall_s: From start to end, s.
        cpu_s: User and system time, s.
        peak_mb: Resident memory of the largest process, MB.
        output: Standard output and error.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


def run(command: Sequence[str], folder: Path, *, may_fail: bool = False) -> Taken:
    """Run a command to its end and measure it.

    Raises:
        CommandFailed: Its exit status is not 0.
    """
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        status, usage = _wait(_start(command, folder, output), started + _LONGEST)
        wall_s = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if status and not may_fail:
        raise CommandFailed(f"{' '.join(command)} ended with {status}:\n{text[-4000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Taken(wall_s, cpu_s, usage.ru_maxrss / 1024, text)


def _start(command: Sequence[str], folder: Path, output: IO[str]) -> int:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    for name in _REMOVED:
        environ.pop(name, None)
    environ |= {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(  # noqa: S603 - our own commands
        command, cwd=folder, env=environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL
    )
    # `wait4` reaps the process, and tells what only it took.
    process.returncode = 0
    return process.pid


def _wait(pid: int, deadline: float) -> tuple[int, Any]:
    while time.perf_counter() < deadline:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), usage


@dataclass
class Server:
    """A canned server.

    Attributes:
        url, base_url: Of the Realtime API, and of chat completions.
        statistics: What it was asked for; there once it has ended.
    """

    url: str
    base_url: str
    statistics: dict[str, Any]


@contextmanager
def canned_server(**scenario: object) -> Iterator[Server]:
    """Start a canned server, and end it."""
    command = [sys.executable, str(_CANNED), json.dumps(scenario)]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        place = json.loads(process.stdout.readline())
        server = Server(place["url"], place["base_url"], {})
        try:
            yield server
        finally:
            process.stdin.close()
            server.statistics |= json.loads(process.stdout.readline() or "{}")


def pytest_command(*arguments: str, plugins: Sequence[str] = (*COMPANIONS, PLUGIN)) -> list[str]:
    """Return a pytest run that loads these of the installed plugins.

    pytest finds them as it does for users: to name them would have it read the metadata of
    every distribution once more for each.
    """
    others = [p.name for p in entry_points(group="pytest11") if p.module not in plugins]
    blocked = [f"-pno:{name}" for name in sorted({*others})]
    return [sys.executable, "-m", "pytest", "-q", *blocked, *arguments]


def records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of the only run under a project's ``results``."""
    (path,) = folder.glob("results/*/records.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
