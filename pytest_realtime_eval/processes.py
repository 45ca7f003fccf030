"""Which processes there still are."""

from __future__ import annotations

import os
import select


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not asked for yet does not."""
    try:
        # Unlike a signal, this does not take a process for alive whose end nobody has
        # asked for yet: in a container the first process may never ask.
        descriptor = os.pidfd_open(pid)
    except AttributeError:
        return _takes_signals(pid)
    except OSError:
        return False
    try:
        return not select.select([descriptor], [], [], 0)[0]
    finally:
        os.close(descriptor)


def _takes_signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True
