"""How far a run is, on one line. Time is passed in; nothing here prints."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_realtime_eval.reports.text import clean, dollars, seconds, shorten


@dataclass
class Progress:
    """What runs, what is done, and what it cost.

    Attributes:
        total: Items in all; 0 while it is not known.
        started_at: Reading of the caller's clock (s) at the run's start.
        running: The turn that each running item is at; 0 before the first.
        cost_usd: Of the finished items whose cost is known.
    """

    total: int
    started_at: float
    done: int = 0
    cost_usd: float = 0.0
    running: dict[str, int] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Note that an item began."""
        self.running[name] = 0

    def turn(self, name: str, index: int) -> None:
        """Note that a running item is at a turn; an item that is done is left alone."""
        if name in self.running:
            self.running[name] = index

    def finish(self, name: str, cost_usd: float | None) -> None:
        """Note that an item is done, and what it cost if that is known."""
        self.running.pop(name, None)
        self.done += 1
        self.cost_usd += cost_usd or 0.0

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
        return f"{clean(name)} turn {turn}" if turn else clean(name)
