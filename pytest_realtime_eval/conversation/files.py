"""Where the files of one conversation stand inside the run's folder."""

from __future__ import annotations

import glob
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ConversationFiles:
    """Paths of a conversation's artefacts.

    Attributes:
        folder: The run's folder.
        name: The conversation's name, safe for a file.
        attempt: Counts from 1; an attempt that is repeated keeps its own event log.
    """

    folder: Path
    name: str
    attempt: int = 1

    @property
    def event_log(self) -> Path:
        """Every event in both directions, as JSON lines."""
        suffix = "" if self.attempt == 1 else f".attempt-{self.attempt}"
        return self.folder / "events" / f"{self.name}{suffix}.jsonl"

    @property
    def text(self) -> Path:
        """The conversation as text."""
        return self.folder / "conversations" / f"{self.name}.txt"

    def audio(self, turn: int, speaker: str) -> Path:
        """The WAV of what ``user`` or ``assistant`` said in a turn."""
        return self.folder / "audio" / self.name / f"turn_{turn:02}_{speaker}.wav"

    @property
    def call(self) -> Path:
        """The whole call as one WAV, both sides."""
        return self.folder / "audio" / self.name / "call.wav"

    def discard(self) -> None:
        """Remove what an earlier process, or a run of the item before, left of the conversation.

        It may have come further than the one that is played now.
        """
        shutil.rmtree(self.audio(1, "user").parent, ignore_errors=True)
        self.text.unlink(missing_ok=True)
        for log in self.event_log.parent.glob(f"{glob.escape(self.name)}.attempt-*.jsonl"):
            log.unlink(missing_ok=True)

    def relative(self, path: Path) -> str:
        """Return a path as tables have it: relative to the run's folder, with slashes."""
        return path.relative_to(self.folder).as_posix()
