"""Fixtures of the whole suite."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVERS = Path(__file__).parent / "servers"


@dataclass(frozen=True)
class ScriptedServer:
    """The server of ``servers/scripted.py``, in a process of its own."""

    port: int

    @property
    def url(self) -> str:
        """Where sessions are opened; ``fault`` misbehaves."""
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    def fault(self, kind: str) -> str:
        """Return a URL that refuses, closes ``early``, stalls, sends garbage or an error."""
        return f"ws://127.0.0.1:{self.port}/fault/{kind}"

    def received(self, model: str) -> list[list[dict[str, Any]]]:
        """Return what each session of a model has sent."""
        sessions: list[list[dict[str, Any]]] = self._get(f"received?model={quote(model)}")
        return sessions

    def opened(self, model: str) -> list[float]:
        """Return when each session of a model was opened: readings of `time.monotonic`."""
        times: list[float] = self._get(f"opened?model={quote(model)}")["opened"]
        return times

    def refused(self, model: str) -> float:
        """Return when a model was said to be busy."""
        return float(self._get(f"opened?model={quote(model)}")["refused"])

    def most_open(self) -> int:
        """Return how many sessions were open at once since this was asked last."""
        return int(self._get("open")["most"])

    def open(self) -> int:
        """Return how many sessions are open."""
        return int(self._get("open")["open"])

    def _get(self, path: str) -> Any:  # noqa: ANN401 - raw JSON
        with urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as response:
            return json.load(response)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Let children hear Ctrl-C: a shell's background job, as CI may be one, ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def scripted_server() -> Iterator[ScriptedServer]:
    """A realtime server that plays what prompts tell it, shared by the session."""
    command = [sys.executable, str(SERVERS / "scripted.py")]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield ScriptedServer(int(process.stdout.readline()))
        process.terminate()


@dataclass(frozen=True)
class CannedServer:
    """The server of ``servers/canned.py``, in a process of its own."""

    url: str
    base_url: str
    pid: int


@pytest.fixture
def canned_server() -> Iterator[Callable[..., CannedServer]]:
    """Starts protocol-level servers; takes the fields of ``canned.Scenario``, and ``models``."""
    with ExitStack() as stack:

        def start(**scenario: object) -> CannedServer:
            command = [sys.executable, str(SERVERS / "canned.py"), json.dumps(scenario)]
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own program
            )
            # Leaving closes the pipes, which ends the server, and waits for it.
            assert process.stdout is not None
            return CannedServer(**json.loads(process.stdout.readline()))

        yield start


#: Runs that start interpreters and servers of their own, many seconds each.
_SLOW_FILES = ("test_plugin_processes.py", "test_matrix_processes.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the runs with workers to the slow part, so that the fast one stays fast.

    Each ``-n2`` starts two interpreters more; what only xdist can break has tests of its
    own beside these, which run always.
    """
    for item in items:
        in_modes = item.path.parent.name == "plugin" and item.name.endswith("[-n2]")
        if in_modes or item.path.name in _SLOW_FILES:
            item.add_marker(pytest.mark.slow)
