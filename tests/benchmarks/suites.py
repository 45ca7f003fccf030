"""Projects to measure: simulations, datasets, plain tests, in a folder of their own."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = "Good evening. I would like to book a table for Friday, please."


@dataclass(frozen=True)
class Talk:
    """How the conversations of a suite go. Durations are in ms.

    Attributes:
        user_ms, assistant_ms: By turn, over and over.
    """

    turns: int
    user_ms: tuple[int, ...]
    assistant_ms: tuple[int, ...]
    latency_ms: float = 0.0
    jitter_ms: float = 0.0

    @property
    def audio_minutes(self) -> float:
        """The audio of one conversation, both sides, in minutes; turns are whole rounds."""
        return sum(self._lasts(self.user_ms) + self._lasts(self.assistant_ms)) / 60_000

    @property
    def speech_s(self) -> float:
        """What the user says, in s: the least that a conversation in real time takes."""
        return sum(self._lasts(self.user_ms)) / 1000

    def _lasts(self, lengths: tuple[int, ...]) -> list[int]:
        return [lengths[turn % len(lengths)] for turn in range(self.turns)]

    def scenario(self) -> dict[str, Any]:
        """Return the canned server's scenario.

        Its models differ in which of the lengths comes first, so that conversations that
        start together do not go on in step.
        """
        rotated = {f"voice-{n}": {"user_ms": r} for n, r in enumerate(self.rotations())}
        return {
            "turns": self.turns,
            "user_ms": self.user_ms,
            "assistant_ms": self.assistant_ms,
            "latency_ms": self.latency_ms,
            "jitter_ms": self.jitter_ms,
            "models": rotated,
        }

    def rotations(self) -> list[tuple[int, ...]]:
        """Return the user's lengths, each of them first once."""
        lengths = self.user_ms
        return [lengths[n:] + lengths[:n] for n in range(len(lengths))]


def fresh(folder: Path, ini: str = "") -> Path:
    """Return an empty project in ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "evals").mkdir(parents=True)
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}")
    return folder


def simulations(folder: Path, count: int, talk: Talk) -> Path:
    """Write a project of simulations, each graded by whether the caller hung up."""
    fresh(folder)
    for number in range(count):
        simulation = {
            "scenario": "A guest books a table.",
            "assistant": {"system_prompt": "You answer a restaurant's telephone."},
            "simulator": {
                "system_prompt": "You are Tom Becker and book a table.",
                "model": f"voice-{number % len(talk.user_ms)}",
            },
            "turns": {"fixed_first_user_turn": FIRST, "max_turns": talk.turns + 1},
            "graders": {"trace_level": [{"id": "hung_up", "type": "ends_call"}]},
        }
        (folder / "evals" / f"sim_{number:04}.json").write_text(json.dumps(simulation))
    return folder


def dataset(folder: Path, count: int) -> Path:
    """Write a project of one dataset, and a model that repeats what it is given."""
    fresh(folder)
    head = {
        "id": "bench",
        "version": "1.0.0",
        "language_pair": "en-es",
        "source_language": "English",
        "target_language": "Spanish",
        "provenance": ["made"],
    }
    data = {"dataset": head, "entries": list(_entries(count))}
    (folder / "evals" / "bench.json").write_text(json.dumps(data))
    (folder / "repeating.py").write_text("async def repeat(text):\n    return text\n")
    return folder


def _entries(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "id": f"entry-{number:05}",
            "source": f"The train to platform {number} leaves in five minutes.",
            "reference": f"El tren del andén {number} sale dentro de cinco minutos.",
            "difficulty": number % 5 + 1,
            "provenance": "made",
        }


def plain_tests(folder: Path, count: int) -> Path:
    """Write a project of one test function with ``count`` parameters."""
    fresh(folder)
    (folder / "test_plain.py").write_text(
        "import pytest\n\n\n"
        f"@pytest.mark.parametrize('number', range({count}))\n"
        "def test_plain(number):\n    assert number >= 0\n"
    )
    return folder
