"""A run's folder read back: its records, and what it was."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from pytest_realtime_eval.exceptions import FileError
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
    run = Run(folder, tuple(read_records(folder / RECORDS)), stored)
    if rootdir is None:
        return run
    return replace(run, stored=stored.model_copy(update={"rootdir": _relative(rootdir, folder)}))


def read_records(path: Path) -> list[AnyRecord]:
    """Read the records of a run, one for each item in the order of their first lines.

    Of several records of an item the last counts. A last line that was never finished,
    as a killed run leaves it, is left out.

    Raises:
        FileError: The file cannot be read, or a line is no record; names the line.
    """
    found: dict[tuple[str, str], AnyRecord] = {}
    *lines, rest = read_bytes(path).split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            record = _record(line, path, number)
            found[_key(record)] = record
    if rest.strip():
        try:
            record = _record(rest, path, len(lines) + 1)
        except FileError:
            pass
        else:
            found[_key(record)] = record
    return list(found.values())


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
