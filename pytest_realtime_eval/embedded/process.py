"""Starting and stopping the endpoint: one process for a whole run, whatever its workers."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock

from pytest_realtime_eval.exceptions import ConfigurationError, ConnectionFailed
from pytest_realtime_eval.processes import is_running

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EmbeddedProcess", "ensure_running", "missing_extra", "shut_down"]

_MODULE: Final = "pytest_realtime_eval.embedded"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0
_EXTRA: Final = {
    "hibari": "hibari-tts",
    "moonshine_voice": "moonshine-voice",
    "onnxruntime": "onnxruntime",
}


@dataclass(frozen=True)
class EmbeddedProcess:
    """A running endpoint.

    Attributes:
        url: Where realtime sessions are opened.
        port: Its loopback port.
        token: The run's bearer token.
        pid: Its process id.
    """

    url: str
    port: int
    token: str = field(repr=False)
    pid: int

    @property
    def base_url(self) -> str:
        """The base URL of chat completions."""
        return f"http://127.0.0.1:{self.port}/v1"


def missing_extra(*, own_voice: bool = False) -> str | None:
    """Return what to install, or ``None`` if everything is there.

    Args:
        own_voice: A program speaks, so that the extra's voice is not needed.
    """
    missing = [
        name
        for module, name in _EXTRA.items()
        if not (own_voice and module == "hibari") and not importlib.util.find_spec(module)
    ]
    if not missing:
        return None
    return (
        f"the embedded endpoint needs {', '.join(missing)}: "
        'pip install "pytest-realtime-eval[embedded]"'
    )


def ensure_running(
    rendezvous: Path, owner_pid: int, voice_command: str | None = None
) -> EmbeddedProcess:
    """Return the run's endpoint; start it if it is not there (any more).

    Args:
        rendezvous: File in which the processes of a run find it; readable by the user only.
        owner_pid: The endpoint ends when this process does, and the file's folder with it.
        voice_command: A program that reads text and writes WAV, instead of the voice of the
            extra; the process that starts the endpoint decides.

    Raises:
        ConfigurationError: The extra ``embedded`` is not installed.
        ConnectionFailed: It did not start.
    """
    if problem := missing_extra(own_voice=bool(voice_command)):
        raise ConfigurationError(problem)
    rendezvous.parent.mkdir(parents=True, exist_ok=True)
    with _lock(rendezvous):
        running = _read(rendezvous)
        if running is None or not _answers(running):
            running = _start(rendezvous, owner_pid, voice_command)
            _write(rendezvous, running)
    return running


def shut_down(rendezvous: Path) -> None:
    """End the run's endpoint, if there is one, and wait until it is gone."""
    if not rendezvous.exists():
        return
    with _lock(rendezvous):
        running = _read(rendezvous)
        if running is not None and _request(running, "POST", "/shutdown"):
            _wait_until_gone(running)
        rendezvous.unlink(missing_ok=True)
        _log_path(rendezvous).unlink(missing_ok=True)


def _lock(rendezvous: Path) -> FileLock:
    # Held while it starts: long enough for that, and no hang when a holder is stuck.
    return FileLock(f"{rendezvous}.lock", timeout=2 * _START_SECONDS, mode=0o600)


def _log_path(rendezvous: Path) -> Path:
    return rendezvous.with_name(f"{rendezvous.name}.log")


def _read(rendezvous: Path) -> EmbeddedProcess | None:
    try:
        return EmbeddedProcess(**json.loads(rendezvous.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write(rendezvous: Path, process: EmbeddedProcess) -> None:
    fields = {"url": process.url, "port": process.port, "token": process.token, "pid": process.pid}
    temporary = rendezvous.with_name(f"{rendezvous.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(fields, file)
    temporary.replace(rendezvous)


def _start(rendezvous: Path, owner_pid: int, voice_command: str | None) -> EmbeddedProcess:
    command = [sys.executable, "-m", _MODULE, "--detach", "--owner-pid", str(owner_pid)]
    command += ["--owner-folder", str(rendezvous.parent)]
    command += ["--voice-command", voice_command] if voice_command else []
    log = _log_path(rendezvous)
    with (
        log.open("w") as errors,
        # In a session of its own from the first moment: Ctrl-C is not for it.
        subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as starter,
    ):
        line = _first_line(starter)
    return _started(line, log)


def _first_line(starter: subprocess.Popen[bytes]) -> bytes:
    """Return what the server says of itself, within the time it has for it."""
    import selectors

    if starter.stdout is None:
        raise AssertionError("the starter's output is a pipe")
    with selectors.DefaultSelector() as selector:
        selector.register(starter.stdout, selectors.EVENT_READ)
        if not selector.select(_START_SECONDS):
            starter.kill()
            return b""
    return starter.stdout.readline()


def _started(line: bytes, log: Path) -> EmbeddedProcess:
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        problem = log.read_text(errors="replace").strip() or "it said nothing"
        raise ConnectionFailed(f"the embedded endpoint did not start: {problem}") from None
    if "error" in said:
        raise ConfigurationError(said["error"])
    return EmbeddedProcess(**said)


def _answers(process: EmbeddedProcess) -> bool:
    return _request(process, "GET", "/health")


def _request(process: EmbeddedProcess, method: str, path: str) -> bool:
    """Send a request; return whether the endpoint took it."""
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=_STOP_SECONDS)
    try:
        headers = {"Authorization": f"Bearer {process.token}", "Connection": "close"}
        connection.request(method, path, headers=headers)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _wait_until_gone(process: EmbeddedProcess) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline and is_running(process.pid):
        time.sleep(0.01)
