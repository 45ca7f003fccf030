"""Runs pytest over and over, each time in a fork of one interpreter that has all imported.

Most of a short run is the start of its interpreter. Each line of JSON, ``{"folder",
"arguments", "output", "kill_after_s", "wait_for"}``, is a run in a process group of its own,
which is killed after that time if it is not ``null``; the time begins when there is a file
that matches ``wait_for``, if that is not empty. Answered is its exit status. The first line
printed is empty: all is imported.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
from pathlib import Path

import pytest

import pytest_realtime_eval

PACKAGE = "pytest_realtime_eval."


def import_all() -> None:
    """Import what runs import sooner or later, also what the package puts off."""
    for module in pkgutil.walk_packages(pytest_realtime_eval.__path__, PACKAGE):
        if not module.name.startswith(f"{PACKAGE}embedded") and "__main__" not in module.name:
            importlib.import_module(module.name)
    for name in ("pandas", "sacrebleu", "pytest_asyncio.plugin", "xdist.plugin"):
        importlib.import_module(name)
    gc.freeze()  # so that no run collects what all of them have


def run(folder: str, arguments: list[str], output: str) -> int:
    """Be the run."""
    os.setpgid(0, 0)
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor, file in enumerate((os.open(os.devnull, os.O_RDONLY), written, written)):
        os.dup2(file, descriptor)
    os.chdir(folder)
    return pytest.main(arguments)


def fork(folder: str, kill_after_s: float | None, wait_for: str, **wanted: object) -> int:
    """Fork, wait, and return the exit status: negative for a signal's."""
    if not (pid := os.fork()):
        status = pytest.ExitCode.INTERNAL_ERROR
        try:
            status = run(folder, **wanted)  # type: ignore[arg-type,assignment]  # by name
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.setpgid(pid, pid)  # whichever is first, so that there is a group to be killed
    if kill_after_s is not None:
        while wait_for and not has_ended(pid) and not any(Path(folder).glob(wait_for)):
            time.sleep(0.005)
        time.sleep(kill_after_s)
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def has_ended(pid: int) -> bool:
    """Whether a child is there only to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def main() -> None:
    """Fork for each line."""
    import_all()
    print(flush=True)  # noqa: T201 - ready
    for line in sys.stdin:
        print(fork(**json.loads(line)), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
