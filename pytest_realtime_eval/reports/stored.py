"""A run's folder read back: its records, and what it was."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.execution.journal import JOURNALS, WORKER_CRASH
from pytest_realtime_eval.reports.assemble import AssemblySettings
from pytest_realtime_eval.reports.files import write_json
from pytest_realtime_eval.reports.run_info import RunInfo
from pytest_realtime_eval.run_card.build import CardFacts
from pytest_realtime_eval.schemas.document import parse_json, read_bytes, read_json, validate
from pytest_realtime_eval.schemas.results import AnyRecord, EntryRecord, parse_record
from pytest_realtime_eval.schemas.simulation import safe_name
from pytest_realtime_eval.schemas.stored_run import StoredCard, StoredRun, StoredThreshold
from pytest_realtime_eval.thresholds import parse_threshold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_realtime_eval.thresholds import Threshold

RUN: Final = "run.json"
RECORDS: Final = "records.jsonl"


@dataclass(frozen=True)
class Run:
    """A run as its folder holds it.

    Attributes:
        records: One for each item: of several that an item left, the last.
        stored: What run.json says.
    """

    folder: Path
    records: tuple[AnyRecord, ...]
    stored: StoredRun

    @property
    def rootdir(self) -> Path:
        """Where the paths in records start."""
        return Path(os.path.normpath(self.folder / self.stored.rootdir))

    def info(self, folder: Path | None = None) -> RunInfo:
        """Return what reports say of the run; ``folder`` puts it elsewhere."""
        run = self.stored
        return RunInfo(
            run_id=run.run_id,
            folder=folder or self.folder,
            run_name=run.run_name,
            started_at=run.started_at,
            elapsed_seconds=run.elapsed_seconds or self._elapsed_at_least(),
            configuration=run.configuration,
            endpoint=run.endpoint,
            judge=run.judge,
            environment={name: str(value) for name, value in run.environment.items()},
            parent=run.parent,
        )

    def _elapsed_at_least(self) -> float:
        """Return the seconds until the last item ended, for a run that was interrupted."""
        started = _seconds(self.stored.started_at)
        ends = [
            at + record.duration_ms / 1000
            for record in self.records
            if (at := _seconds(record.started_at))
        ]
        return round(max(ends) - started, 3) if ends and started else 0.0

    def settings(self) -> AssemblySettings:
        """Return what shaped the run's folder; metrics are the project's own."""
        from pytest_realtime_eval.metrics.registry import MetricRegistry

        card = self.stored.card
        facts = CardFacts(
            model_slug=card.model_slug,
            condition=card.condition,
            started_at=self.stored.started_at,
            elapsed_seconds=self.stored.elapsed_seconds,
            temperature=card.temperature,
            config=card.config,
            run_id=card.run_id,
        )
        thresholds = (parse_threshold(t.expression, t.place) for t in self.stored.thresholds)
        return AssemblySettings(
            rootdir=self.rootdir,
            facts=facts,
            metrics=MetricRegistry(),
            system_prompt=card.system_prompt,
            thresholds=tuple(thresholds),
        )


def _seconds(timestamp: str) -> float:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0


def described(
    info: RunInfo,
    facts: CardFacts,
    *,
    rootdir: Path,
    system_prompt: str = "",
    thresholds: Sequence[Threshold] = (),
) -> StoredRun:
    """Return what run.json says of a run."""
    card = StoredCard(
        run_id=facts.run_id,
        model_slug=facts.model_slug,
        condition=facts.condition,
        temperature=facts.temperature,
        system_prompt=system_prompt,
        config=dict(facts.config),
    )
    return StoredRun(
        run_id=info.run_id,
        run_name=info.run_name,
        started_at=info.started_at,
        elapsed_seconds=info.elapsed_seconds,
        parent=info.parent,
        endpoint=info.endpoint,
        judge=info.judge,
        rootdir=_relative(rootdir, info.folder),
        configuration=dict(info.configuration),
        environment=dict(info.environment),
        card=card,
        thresholds=tuple(StoredThreshold(expression=str(t), place=t.place) for t in thresholds),
    )


def store(run: StoredRun, folder: Path) -> None:
    """Write ``run.json``."""
    write_json(folder / RUN, run.model_dump(mode="json"))


def _relative(rootdir: Path, folder: Path) -> str:
    """Return the way from a run's folder to the rootdir, which names no place of a machine."""
    try:
        return Path(os.path.relpath(rootdir.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return rootdir.resolve().as_posix()


def load_run(folder: Path, rootdir: Path | None = None) -> Run:
    """Read a run's folder, finished or interrupted.

    Args:
        folder: ``results/<run_id>``.
        rootdir: Where the paths in records start, when the folder was moved.

    Raises:
        FileError: It is no run's folder, or something in it cannot be read.
    """
    if not (folder / RECORDS).is_file():
        raise FileError(folder, f"is no run's folder: it holds no {RECORDS}")
    if not (folder / RUN).is_file():
        raise FileError(folder, f"holds no {RUN}, which tells what the run was")
    stored = validate(StoredRun, read_json(folder / RUN), folder / RUN)
    run = Run(folder, tuple(kept_records(folder)), stored)
    if rootdir is None:
        return run
    return replace(run, stored=stored.model_copy(update={"rootdir": _relative(rootdir, folder)}))


def kept_records(folder: Path) -> list[AnyRecord]:
    """Read all that a run's folder has of its items, one record for each.

    Of a run that was interrupted that is more than ``records.jsonl`` holds: items that had
    ended, and whose turn never came, are in the journals of the processes that ran them.

    Raises:
        FileError: ``records.jsonl`` cannot be read, or a line is no record.
    """
    reported = _read_lines(folder / RECORDS)
    untaken = _untaken(folder, reported)
    found = [untaken.pop(record.nodeid, record) for record in _last_of_each(reported)]
    return [*found, *untaken.values()]


def untaken_records(folder: Path) -> dict[str, AnyRecord]:
    """Read the records, by node id, that pytest has not taken, or only after a worker died.

    Raises:
        FileError: As `kept_records`.
    """
    return _untaken(folder, _read_lines(folder / RECORDS))


def _untaken(folder: Path, reported: Sequence[AnyRecord]) -> dict[str, AnyRecord]:
    taken = {_work(record) for record in reported}
    last = {record.nodeid: record for record in reported}
    journalled = sorted(_journalled(folder), key=lambda record: record.started_at)
    return {
        record.nodeid: record
        for record in journalled
        if _work(record) not in taken and _outlasts(record, last.get(record.nodeid))
    }


def _work(record: AnyRecord) -> tuple[str, str]:
    """Return what tells a piece of work from others: an item may be run several times."""
    return record.nodeid, record.started_at


def _outlasts(journalled: AnyRecord, reported: AnyRecord | None) -> bool:
    """Whether an item's journalled record counts, and not the one that was reported last.

    It does if it is of a later attempt. What has no beginning (a skip, a broken fixture) is
    what pytest made of the item at its turn, but for a worker's death, which nobody chose.
    """
    if reported is None or (reported.failure and reported.failure.stage == WORKER_CRASH):
        return True
    return "" < reported.started_at < journalled.started_at


def _journalled(folder: Path) -> Iterator[AnyRecord]:
    """Yield the records of a folder's journals; what is not whole there runs again."""
    for path in sorted(folder.glob(JOURNALS)):
        with suppress(FileError):  # removed meanwhile
            for line in read_bytes(path).split(b"\n"):
                with suppress(FileError):
                    if line.strip():
                        yield _record(line, path, 0)


def read_records(path: Path) -> list[AnyRecord]:
    """Read a file of records, one for each item in the order of their first lines.

    Of several records of an item the last counts. A last line that was never finished,
    as a killed run leaves it, is left out.

    Raises:
        FileError: The file cannot be read, or a line is no record; names the line.
    """
    return _last_of_each(_read_lines(path))


def _last_of_each(records: Sequence[AnyRecord]) -> list[AnyRecord]:
    return list({_key(record): record for record in records}.values())


def _read_lines(path: Path) -> list[AnyRecord]:
    """Read all the records of a file; errors as in `read_records`."""
    *lines, rest = read_bytes(path).split(b"\n")
    found = [
        _record(line, path, number) for number, line in enumerate(lines, start=1) if line.strip()
    ]
    with suppress(FileError):
        if rest.strip():
            found.append(_record(rest, path, len(lines) + 1))
    return found


def _record(line: bytes, path: Path, number: int) -> AnyRecord:
    try:
        return _check_names(parse_record(parse_json(line, path)))
    except FileError as error:
        raise FileError(path, error.problem, f"line {number}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FileError(path, f"is no record: {where}: {first['msg']}", f"line {number}") from error


def _check_names(record: AnyRecord) -> AnyRecord:
    """Pass a record whose names and paths stay inside the run's folder.

    Raises:
        FileError: One does not; a run's folder may come from anywhere.
    """
    name = record.simulation_id if record.kind == "simulation" else record.dataset_id
    try:
        safe_name(name)
    except ValueError as error:
        raise FileError(RECORDS, f"{name!r} {error}") from error
    for path in _paths(record):
        if Path(path).is_absolute() or ".." in Path(path).parts or "\0" in path:
            raise FileError(RECORDS, f"{path!r} lies outside the run's folder")
    return record


def _paths(record: AnyRecord) -> Iterator[str]:
    transcript = record.transcript if record.kind == "simulation" else None
    found = [attempt.event_log_path for attempt in record.attempts]
    if transcript is not None:
        found.append(transcript.event_log_path)
        for turn in transcript.turns:
            found += [turn.user_audio_path, turn.assistant_audio_path]
    yield from filter(None, found)


def _key(record: AnyRecord) -> tuple[str, str]:
    """Return what tells an item's records from others'; a Python test may play several."""
    name = record.entry_id if isinstance(record, EntryRecord) else record.simulation_id
    return record.nodeid, name
