"""Who a run is: the same answer in every process of it."""

from __future__ import annotations

import os
import tempfile
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_realtime_eval.exceptions import ConfigurationError, FileError

if TYPE_CHECKING:
    from pytest_realtime_eval.options import Options


@dataclass(frozen=True)
class RunIdentity:
    """A run's name and place, made by the controller and handed to its workers.

    Attributes:
        run_id: Names the run's folder.
        folder: Absolute; made when the first thing is written.
        started_at: ISO 8601, UTC.
        uid: UUID v4.
        controller_pid: The process that owns the run.
        resumes: Whether the run was begun by an earlier process.
    """

    run_id: str
    folder: str
    started_at: str
    uid: str
    controller_pid: int
    resumes: bool = False

    @property
    def path(self) -> Path:
        """The run's folder."""
        return Path(self.folder)

    @property
    def meeting_place(self) -> Path:
        """Where the processes of a run leave each other word, in the folder for such things.

        A run that is taken up has another than the processes that began it, whose endpoint
        may not have ended yet.
        """
        return Path(tempfile.gettempdir()) / f"realtime-eval-{self.uid}-{self.controller_pid}"

    def to_json(self) -> dict[str, Any]:
        """Return the identity as it travels to workers."""
        return asdict(self)


def new_run(options: Options) -> RunIdentity:
    """Name a new run, or the one that is taken up again.

    Raises:
        ConfigurationError: The named run exists, or its name cannot be a folder's; or
            there is no run to take up.
    """
    now = datetime.now(UTC)
    results = options.path("results_dir") or options.rootdir / "results"
    if resumed := options.get("resume"):
        return _resumed(resumed, results)
    named = options.get("run_name")
    run_id = _checked(named, results) if named else _from_time(now, results)
    return RunIdentity(
        run_id=run_id,
        folder=str(results / run_id),
        started_at=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        uid=str(uuid.uuid4()),
        controller_pid=os.getpid(),
    )


def _resumed(name: str, results: Path) -> RunIdentity:
    """Return the identity of a run that is on disk."""
    from pytest_realtime_eval.reports.stored import load_run

    folder = _latest(results) if name == "last" else results / name
    try:
        run = load_run(folder).stored
    except FileError as error:
        raise ConfigurationError(f"--eval-resume: {error}") from error
    return RunIdentity(
        run_id=folder.name,
        folder=str(folder),
        started_at=run.started_at,
        uid=run.card.run_id,
        controller_pid=os.getpid(),
        resumes=True,
    )


def _latest(results: Path) -> Path:
    """Return the run that was written to last."""
    records = sorted(results.glob("*/records.jsonl"), key=lambda path: path.stat().st_mtime)
    if not records:
        raise ConfigurationError(f"--eval-resume: there is no run in {results}")
    return records[-1].parent


def _from_time(now: datetime, results: Path) -> str:
    stamp = now.strftime("%Y%m%dT%H%M%S") + f".{now.microsecond // 1000:03}Z"
    return stamp if not (results / stamp).exists() else f"{stamp}-{os.getpid()}"


def _checked(name: str, results: Path) -> str:
    from pytest_realtime_eval.schemas.simulation import safe_name

    try:
        safe_name(name)
    except ValueError as error:
        raise ConfigurationError(f"--eval-run-name: {name!r} {error}") from error
    if _holds_a_run(results / name):
        raise ConfigurationError(
            f"--eval-run-name: a run named {name!r} exists in {results}; "
            "finished runs are never overwritten, choose another name"
        )
    return name


def _holds_a_run(folder: Path) -> bool:
    """Whether anything is there but what a run leaves that was killed before its first item."""
    if not folder.is_dir():
        return folder.exists()
    return any(path.name != "run.json" and path.suffix != ".tmp" for path in folder.iterdir())


def check_writable(folder: Path) -> None:
    """Check that ``folder`` could be made and written to, without making it.

    Raises:
        ConfigurationError: It could not.
    """
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir():
        raise ConfigurationError(f"--eval-results-dir: {nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigurationError(f"--eval-results-dir: {nearest} cannot be written to")
