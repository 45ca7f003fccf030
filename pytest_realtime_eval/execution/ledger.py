"""What the processes of a run have to agree on: a small database in the run's temporary folder.

Every step is one transaction that takes the write lock first (``BEGIN IMMEDIATE``), so that
looking and taking are one. A process that dies in the middle of one leaves a journal that
the next one rolls back, so the write-ahead log and waiting for the disk are left out: the
data need not outlive the run. Times are readings of `time.monotonic`, which the processes
of one machine share and which no change of the wall clock moves.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import InfraError
from pytest_realtime_eval.processes import is_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: How long a process waits for the others' transactions, which take well under 1 ms each.
_BUSY_SECONDS: Final = 30.0
#: How long to wait before asking again whether a session was closed elsewhere, s.
_ASK_AGAIN_S: Final = 0.05

_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS gates (kind TEXT PRIMARY KEY, opens_at REAL NOT NULL);
    CREATE TABLE IF NOT EXISTS leases (
        id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, sessions INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS costs (
        id INTEGER PRIMARY KEY CHECK (id = 1), nano_usd INTEGER NOT NULL
    );
"""


@dataclass(frozen=True, slots=True)
class Bid:
    """What wants to start.

    Attributes:
        kind: Starts of one kind share a rate.
        interval_s: How long the next start of the kind has to wait after this one.
        sessions: How many sessions it holds until its lease is returned.
        max_sessions: How many may be held in the whole run.
    """

    kind: str
    interval_s: float = 0.0
    sessions: int = 0
    max_sessions: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a bid.

    Attributes:
        wait_s: 0 when it may start now; else seconds after which to bid again.
        lease: Names the sessions that it holds, if they are counted.
    """

    wait_s: float = 0.0
    lease: int | None = None


class Ledger:
    """The run's shared numbers. Its methods block for a moment and may be called in any thread."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def bid(self, bid: Bid) -> Answer:
        """Start what may start now, or say when to ask again.

        Starts are spread evenly: the generic cell rate algorithm (ITU-T I.371) without a
        burst. Every start moves the time at which its kind's gate opens again.
        """
        with self._transaction() as database:
            now = self._clock()
            opens_at = self._opens_at(database, bid.kind)
            if opens_at > now:
                return Answer(opens_at - now)
            lease = None
            if bid.max_sessions is not None:
                if not self._has_room(database, bid.sessions, bid.max_sessions):
                    return Answer(_ASK_AGAIN_S)
                lease = self._lend(database, bid.sessions)
            if bid.interval_s:
                self._move(database, bid.kind, now + bid.interval_s)
            return Answer(lease=lease)

    def give_back(self, lease: int) -> None:
        """End a lease."""
        with self._transaction() as database:
            database.execute("DELETE FROM leases WHERE id = ?", (lease,))

    def hold(self, kind: str, seconds: float) -> None:
        """Keep a kind's gate closed for that long at least, for all processes."""
        with self._transaction() as database:
            until = max(self._clock() + seconds, self._opens_at(database, kind))
            self._move(database, kind, until)

    def add_cost(self, usd: float) -> None:
        """Add to what the run has cost."""
        with self._transaction() as database:
            # Whole numbers, so that ten times 10 cents are a dollar.
            database.execute(
                "INSERT INTO costs VALUES (1, ?) "
                "ON CONFLICT (id) DO UPDATE SET nano_usd = nano_usd + excluded.nano_usd",
                (round(usd * 1e9),),
            )

    def cost(self) -> float:
        """Return what the run has cost so far, in USD."""
        with self._transaction() as database:
            return int(_value(database, "SELECT COALESCE(SUM(nano_usd), 0) FROM costs")) / 1e9

    def close(self) -> None:
        """End this process's leases and close the database; the file stays."""
        if self._connection is None:
            return
        try:
            with self._transaction() as database:
                database.execute("DELETE FROM leases WHERE pid = ?", (os.getpid(),))
        finally:
            self._connection.close()
            self._connection = None

    def _opens_at(self, database: sqlite3.Connection, kind: str) -> float:
        found = database.execute("SELECT opens_at FROM gates WHERE kind = ?", (kind,)).fetchone()
        return float(found[0]) if found else float("-inf")

    def _move(self, database: sqlite3.Connection, kind: str, opens_at: float) -> None:
        database.execute("REPLACE INTO gates VALUES (?, ?)", (kind, opens_at))

    def _has_room(self, database: sqlite3.Connection, sessions: int, limit: int) -> bool:
        if self._held(database) + sessions <= limit:
            return True
        for (pid,) in database.execute("SELECT DISTINCT pid FROM leases").fetchall():
            if not is_running(pid):
                database.execute("DELETE FROM leases WHERE pid = ?", (pid,))
        return self._held(database) + sessions <= limit

    def _held(self, database: sqlite3.Connection) -> int:
        return int(_value(database, "SELECT COALESCE(SUM(sessions), 0) FROM leases"))

    def _lend(self, database: sqlite3.Connection, sessions: int) -> int | None:
        lent = database.execute(
            "INSERT INTO leases (pid, sessions) VALUES (?, ?)", (os.getpid(), sessions)
        )
        return lent.lastrowid

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                database = self._open()
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise InfraError(
                f"{self._path}: what the run's processes share cannot be kept: {error}",
                failure_stage="storage",
                retryable=False,
            ) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The lock above lets one thread in at a time.
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = PERSIST")
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            self._connection = connection
        return self._connection


def _value(database: sqlite3.Connection, query: str) -> Any:  # noqa: ANN401 - SQL's own types
    return database.execute(query).fetchone()[0]
