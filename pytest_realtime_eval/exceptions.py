"""Every error of the project, in one tree.

* :exc:`RealtimeEvalError`
    * :exc:`BudgetReached`: the run has cost what it may
    * :exc:`CardError`: a run card does not hold, or a leaderboard refused it
    * :exc:`ConfigurationError`: an option, a setting or a missing extra
    * :exc:`FileError`: a file that users brought cannot be used
    * :exc:`InfraError`: the endpoint, the network or the quota failed, not the model
        * :exc:`CassetteError`: there is no recording of this, or it is of something else
        * :exc:`ConnectionFailed`: no session could be opened, or it broke
        * :exc:`ProtocolError`: what arrived is not the protocol
        * :exc:`ResponseFailed`: the server ended a response with an error
        * :exc:`ResponseTimeout`: the server went silent
        * :exc:`StorageFailed`: what was heard could not be written
    * :exc:`InvalidSimulation`: the simulated user broke its role
    * :exc:`JudgeError`: no verdict could be had
    * :exc:`VerdictFailed` (also an :exc:`AssertionError`): a verdict says fail

A message says what happened, where, and what to do about it. Credentials never
reach a message.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

__all__ = [
    "BudgetReached",
    "CardError",
    "CassetteError",
    "ConfigurationError",
    "ConnectionFailed",
    "FileError",
    "InfraError",
    "InvalidSimulation",
    "JudgeError",
    "ProtocolError",
    "RealtimeEvalError",
    "ResponseFailed",
    "ResponseTimeout",
    "StorageFailed",
    "VerdictFailed",
]


class RealtimeEvalError(Exception):
    """Base of all errors that this project raises on purpose."""


class ConfigurationError(RealtimeEvalError):
    """An option, an environment variable or an installation is not usable as it is."""


class BudgetReached(RealtimeEvalError):
    """The run has cost what it may, so nothing more is started."""

    failure_stage = "budget"

    def __init__(self, limit_usd: float) -> None:
        super().__init__(
            f"not started: the run has cost the ${limit_usd:g} that --eval-max-cost-usd allows"
        )


class CardError(RealtimeEvalError):
    """A run card does not hold, or a leaderboard refused it; the message has its words."""


class FileError(RealtimeEvalError):
    """A file that users brought cannot be used.

    Attributes:
        path: The file.
        place: Where in the file: a JSON path, a row, an entry; empty for the whole file.
    """

    def __init__(self, path: Path | str, problem: str, place: str = "") -> None:
        self.path = Path(path)
        self.place = place
        self.problem = problem
        super().__init__(f"{path}{f', {place}' if place else ''}: {problem}")


class InfraError(RealtimeEvalError):
    """The endpoint, the network or the quota failed: nothing was learnt about the model.

    Attributes:
        failure_stage: The value of the results column of that name.
        retryable: Whether another attempt could succeed.
        retry_after: Seconds the server asked to wait, if it did.
        fatal: Whether every other item would fail the same way (wrong credentials).
        throttled: Whether the server said that it is asked too often, which concerns all.
    """

    failure_stage = "connection"

    def __init__(
        self,
        message: str,
        *,
        failure_stage: str | None = None,
        retryable: bool = True,
        retry_after: float | None = None,
        fatal: bool = False,
        throttled: bool = False,
    ) -> None:
        super().__init__(message)
        if failure_stage is not None:
            self.failure_stage = failure_stage
        self.retryable = retryable
        self.retry_after = retry_after
        self.fatal = fatal
        self.throttled = throttled


class CassetteError(InfraError):
    """There is no recording to replay, or what is replayed is not what was recorded."""

    failure_stage = "cassette"

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class ConnectionFailed(InfraError):
    """No session could be opened, or an open one broke."""


class ProtocolError(InfraError):
    """What the server sent is not the protocol."""

    failure_stage = "protocol"


class ResponseFailed(InfraError):
    """The server reported an error, or ended a response without completing it."""

    failure_stage = "response_error"


class ResponseTimeout(InfraError):
    """The server went silent for longer than the limit."""

    failure_stage = "response_timeout"


class StorageFailed(InfraError):
    """An artefact could not be written; fatal where nothing else could be either."""

    failure_stage = "storage"

    def __init__(self, error: OSError) -> None:
        fatal = error.errno in _FATAL_FOR_STORAGE
        super().__init__(f"cannot write: {error}", retryable=False, fatal=fatal)


#: The disk is full, the quota is used up, the file system is read-only.
_FATAL_FOR_STORAGE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class InvalidSimulation(RealtimeEvalError):
    """The simulated user broke its role, so the conversation says nothing about the assistant."""

    failure_stage = "simulation_execution"


class JudgeError(RealtimeEvalError):
    """The judge gave no verdict that could be read."""

    failure_stage = "judge"


class VerdictFailed(RealtimeEvalError, AssertionError):
    """A grader's verdict is fail."""
