"""How work tells what it is at: of conversations begun, turns ended, and results.

A step is told in the process that works, and read in the one that has the terminal: by a
callable where that is the same one, else through a file that all workers append to.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_realtime_eval.schemas.transcript import Turn


@dataclass(frozen=True)
class Step:
    """Something that happened to an item.

    Attributes:
        worker: The xdist worker that it happened on; empty without one.
        turn: Counts from 1: the one that ended, or that an item begins with; 0 without turns.
        last_turn: The turn that the conversation does not go beyond.
        calls: Names of the tools that were called, in their order.
        first_audio_ms: From the request to the assistant's first audio.
        problem: What broke the turn.
        cost_usd: Of a result; ``None`` when it is not known.
    """

    kind: Literal["began", "turn", "ended"]
    nodeid: str
    worker: str = ""
    turn: int = 0
    last_turn: int = 0
    user_text: str = ""
    calls: tuple[str, ...] = ()
    assistant_text: str = ""
    first_audio_ms: float | None = None
    problem: str = ""
    cost_usd: float | None = None


class Watch:
    """Tells steps; one that is given nobody to tell is silent."""

    def __init__(self, tell: Callable[[Step], None] | None = None, worker: str = "") -> None:
        self._tell = tell or (lambda step: None)  # noqa: ARG005 - nobody listens
        self._worker = worker

    def began(self, nodeid: str, turn: int = 0) -> None:
        """Tell that an item's work began, at its first turn if it has turns."""
        self._tell(Step("began", nodeid, self._worker, turn=turn))

    def turn_ended(self, nodeid: str, turn: Turn, last_turn: int) -> None:
        """Tell of a turn that was played, or broke."""
        step = Step(
            "turn",
            nodeid,
            self._worker,
            turn=turn.index,
            last_turn=last_turn,
            user_text=turn.user_text,
            calls=tuple(call.name for call in turn.tool_calls),
            assistant_text=turn.assistant_text,
            first_audio_ms=turn.latencies.first_audio,
            problem=turn.failure.message if turn.failure else "",
        )
        self._tell(step)

    def ended(self, nodeid: str, cost_usd: float | None) -> None:
        """Tell that an item's work came to its end."""
        self._tell(Step("ended", nodeid, self._worker, cost_usd=cost_usd))


class StepFile:
    """The file that steps of several processes go through.

    Lines are appended in one write each, so those of different processes do not mix. It is
    there for the display only: what cannot be written is not told.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, step: Step) -> None:
        """Add a step, if whoever reads has made the file."""
        line = json.dumps(asdict(step), ensure_ascii=False) + "\n"
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, line.encode("utf-8", "backslashreplace"))
            finally:
                os.close(descriptor)


class StepReader:
    """Makes the file, and reads what was added since it was read last."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600), "rb")
        self._rest = b""

    def read(self) -> list[Step]:
        """Return the steps that are new, in the order in which they were told."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [step for line in lines if (step := _parsed(line))]

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _parsed(line: bytes) -> Step | None:
    # A full disk may have cut a line short.
    try:
        data = json.loads(line)
        return Step(**data | {"calls": tuple(data.get("calls", ()))})
    except (ValueError, TypeError, AttributeError):
        return None
