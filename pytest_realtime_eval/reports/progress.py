"""How far a run is, on one line, and what a turn came to. Time is passed in; nothing prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_realtime_eval.reports.text import cells, clean, dollars, milliseconds, seconds, shorten

if TYPE_CHECKING:
    from pytest_realtime_eval.execution.watch import Step


@dataclass
class Progress:
    """What runs, what is done, and what it cost.

    Items are known by their node ids, and shown by what stands behind the last ``::``.

    Attributes:
        total: Items in all; 0 while it is not known.
        started_at: Reading of the caller's clock (s) at the run's start.
        finished: The items that are done.
        running: The turn that each running item is at; 0 before the first.
        cost_usd: Of the finished items whose cost is known.
    """

    total: int
    started_at: float
    cost_usd: float = 0.0
    finished: set[str] = field(default_factory=set)
    running: dict[str, int] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many items are done."""
        return len(self.finished)

    def start(self, name: str, turn: int = 0) -> None:
        """Note that an item began, at a turn if it has turns."""
        self.running[name] = turn

    def turn(self, name: str, index: int) -> None:
        """Note that a running item is at a turn; an item that is done is left alone."""
        if name in self.running:
            self.running[name] = index

    def finish(self, name: str, cost_usd: float | None) -> None:
        """Note that an item is done, and what it cost if that is known.

        An item that is run again counts once; its costs add up.
        """
        self.running.pop(name, None)
        self.finished.add(name)
        self.cost_usd += cost_usd or 0.0

    def drop(self, name: str) -> None:
        """Note that an item stopped without an end, as those of a dead worker do."""
        self.running.pop(name, None)

    def remaining(self, now: float) -> float | None:
        """Estimate the seconds left by the pace so far; ``None`` before the first is done."""
        if not self.done or self.total <= self.done:
            return None
        return (now - self.started_at) / self.done * (self.total - self.done)

    def line(self, now: float, width: int = 80) -> str:
        """Return the state on one line of at most ``width`` columns."""
        parts = [f"{self.done}/{self.total} done" if self.total else f"{self.done} done"]
        if self.cost_usd:
            parts.append(dollars(self.cost_usd))
        left = self.remaining(now)
        if left is not None:
            parts.append(f"about {seconds(left)} left")
        if self.running:
            parts.append("now: " + ", ".join(map(self._item, self.running)))
        return shorten(" | ".join(parts), width)

    def _item(self, name: str) -> str:
        turn = self.running[name]
        return f"{_shown(name)} turn {turn}" if turn else _shown(name)


def turn_line(step: Step, width: int | None = None) -> str:
    """Return what was said and done in a turn, on one line.

    Args:
        step: A turn that ended.
        width: Columns that the line may take; both speakers get their share of them.
    """
    heard = "" if step.first_audio_ms is None else f" ({milliseconds(step.first_audio_ms)})"
    called = f" -> {clean(', '.join(step.calls))}" if step.calls else ""
    broke = f" BROKE: {clean(step.problem)}" if step.problem else ""
    start = f"{_shown(step.nodeid)} turn {step.turn}: "
    user, assistant = clean(step.user_text), clean(step.assistant_text)
    if width is not None:
        room = width - cells(f"{start}{called}{heard}{broke}") - len('"" -> ""')
        user, assistant = _fitted(user, assistant, room)
    answer = f' -> "{assistant}"' if step.assistant_text else ""
    line = f'{start}"{user}"{called}{answer}{heard}{broke}'
    return line if width is None else shorten(line, width)


def _fitted(first: str, second: str, room: int) -> tuple[str, str]:
    """Shorten two texts to ``room`` columns together; the shorter one leaves what it can."""
    half = max(room // 2, 8)
    first_room = max(half, room - cells(second))
    second_room = max(half, room - cells(first))
    return shorten(first, first_room), shorten(second, second_room)


def _shown(nodeid: str) -> str:
    return clean(nodeid.rpartition("::")[2])
