"""What the processes of a run leave in the folder for temporary files is gone after it."""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.processes import is_running

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.execution.identity import RunIdentity

#: Containers can share the folder for temporary files without seeing each other's
#: processes: what was used within a day is left alone.
_ABANDONED_S: Final = 24 * 3600.0
#: Names of `RunIdentity.meeting_place`: a UUID and the owner's process id.
_OF_ANY_RUN: Final = "realtime-eval-*-*-*-*-*-[0-9]*"


def close_meeting_place(identity: RunIdentity) -> None:
    """Remove the run's folder, and what runs left all of whose processes were killed."""
    folder = identity.meeting_place
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _remove_abandoned(folder)


def leave_meeting_place(identity: RunIdentity) -> None:
    """Remove the run's folder if the process that would do it was killed."""
    folder = identity.meeting_place
    if folder.exists() and not is_running(identity.controller_pid):
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(own: Path) -> None:
    for folder in own.parent.glob(_OF_ANY_RUN):
        # What cannot be read or removed is not ours.
        with contextlib.suppress(OSError, ValueError):
            owner = int(folder.name.rpartition("-")[2])
            if _unused_s(folder) > _ABANDONED_S and not is_running(owner):
                shutil.rmtree(folder, ignore_errors=True)


def _unused_s(folder: Path) -> float:
    used = (path.stat().st_mtime for path in (folder, *folder.iterdir()))
    return time.time() - max(used)
