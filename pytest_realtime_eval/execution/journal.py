"""What has ended and is not reported yet: kept by the process that ran it.

Items end ahead of pytest's turn, and a record is in ``records.jsonl`` only after it. So
that nothing is paid for twice when a run stops early or a process is killed, each process
appends the record of an item to a journal of its own as the work ends. How a folder's
journals are read, `reports.stored` says; a run that is whole leaves none.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.reports.files import LineFile
    from pytest_realtime_eval.schemas.results import AnyRecord

#: Journals of a run's folder, those of dead workers included.
JOURNALS: Final = "journal-*.jsonl"
_LEFT: Final = "journal-*.left.jsonl"
#: The failure's stage of an item whose worker died when the item had its turn.
WORKER_CRASH: Final = "worker_crash"


class Journal:
    """The journal of one process, written in its event loop.

    Args:
        folder: The run's folder.
        worker: Names the process within the run.
    """

    def __init__(self, folder: Path, worker: str) -> None:
        self._path = folder / f"journal-{worker}.jsonl"
        self._file: LineFile | None = None

    def append(self, record: AnyRecord) -> None:
        """Keep a record that something came of.

        One that cannot be written reaches pytest all the same, and the run is stopped when
        it cannot be written there either.
        """
        from pytest_realtime_eval.schemas.results import to_line

        if _is_worth_keeping(record):
            with contextlib.suppress(OSError):
                self._open().append(to_line(record) + "\n")

    def _open(self) -> LineFile:
        if self._file is None:
            from pytest_realtime_eval.reports.files import LineFile

            self._file = LineFile(self._path)
        return self._file

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_worth_keeping(record: AnyRecord) -> bool:
    """Whether there is a result, or a conversation that broke after it had begun."""
    from pytest_realtime_eval.schemas.results import RESULT_OUTCOMES

    if record.outcome in RESULT_OUTCOMES:
        return True
    transcript = record.transcript if record.kind == "simulation" else None
    return transcript is not None and bool(transcript.turns)


def remove_journals(folder: Path) -> None:
    """Remove the journals of a run whose records are all in ``records.jsonl``."""
    for journal in folder.glob(JOURNALS):
        journal.unlink(missing_ok=True)


def hand_over(folder: Path, worker: str) -> None:
    """Leave the journal of a worker that died to those that its items go to."""
    # It may have ended nothing, or the folder cannot be changed: then its items run again.
    with contextlib.suppress(OSError):
        (folder / f"journal-{worker}.jsonl").rename(folder / f"journal-{worker}.left.jsonl")


class Legacy:
    """What dead workers have ended and not reported, for the workers that take their place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journals: set[Path] = set()
        self._records: dict[str, AnyRecord] = {}

    def get(self, nodeid: str) -> AnyRecord | None:
        """Return the record of an item, if a worker left one."""
        journals = set(self._folder.glob(_LEFT))
        if journals != self._journals:
            from pytest_realtime_eval.reports.stored import untaken_records

            self._journals = journals
            self._records = untaken_records(self._folder)
        return self._records.get(nodeid)

    def drop(self, nodeid: str) -> None:
        """Forget the record of an item: it is taken, and a rerun is a new conversation."""
        self._records.pop(nodeid, None)
