"""Who a run is: the same answer in every process of it."""

from __future__ import annotations

import os
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_realtime_eval.exceptions import ConfigurationError

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
    """

    run_id: str
    folder: str
    started_at: str
    uid: str
    controller_pid: int

    @property
    def path(self) -> Path:
        """The run's folder."""
        return Path(self.folder)

    def to_json(self) -> dict[str, Any]:
        """Return the identity as it travels to workers."""
        return asdict(self)


def new_run(options: Options) -> RunIdentity:
    """Name a new run.

    Raises:
        ConfigurationError: The named run exists, or its name cannot be a folder's.
    """
    now = datetime.now(UTC)
    results = options.path("results_dir") or options.rootdir / "results"
    named = options.get("run_name")
    run_id = _checked(named, results) if named else _from_time(now, results)
    return RunIdentity(
        run_id=run_id,
        folder=str(results / run_id),
        started_at=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        uid=str(uuid.uuid4()),
        controller_pid=os.getpid(),
    )


def _from_time(now: datetime, results: Path) -> str:
    stamp = now.strftime("%Y%m%dT%H%M%S") + f".{now.microsecond // 1000:03}Z"
    return stamp if not (results / stamp).exists() else f"{stamp}-{os.getpid()}"


def _checked(name: str, results: Path) -> str:
    from pytest_realtime_eval.schemas.simulation import safe_name

    try:
        safe_name(name)
    except ValueError as error:
        raise ConfigurationError(f"--eval-run-name: {name!r} {error}") from error
    if (results / name).exists():
        raise ConfigurationError(
            f"--eval-run-name: a run named {name!r} exists in {results}; "
            "finished runs are never overwritten, choose another name"
        )
    return name


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
