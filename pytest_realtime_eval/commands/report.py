"""``realtime-eval report``, ``regrade`` and ``merge``: run folders made from run folders."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.schemas.results import RESULT_OUTCOMES, SimulationRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.reports.assemble import Assembly, AssemblySettings
    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.reports.stored import Run
    from pytest_realtime_eval.schemas.results import AnyRecord
    from pytest_realtime_eval.schemas.simulation import Simulation

OK: Final = 0
FAILED: Final = 1
UNUSABLE: Final = 2
#: Outcomes that leave a run without a failure.
_HARMLESS: Final = frozenset({"passed", "ungraded", "skipped"})
#: What runs must share to be shards of one: their card could not be true of both otherwise.
_SHARED: Final = ("model_slug", "condition", "temperature", "system_prompt")


def add_report_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands; each sets ``function`` to what runs it."""
    report = commands.add_parser(
        "report",
        help="make a run's tables, plots and page again",
        description="Make tables, plots and page from a run's records, whether it was finished "
        "or interrupted. Run cards that are there stay as they are.",
    )
    report.add_argument("run", type=Path, help="the run's folder, results/<run_id>")
    _add_common(report)
    report.set_defaults(function=report_command)
    regrade = commands.add_parser(
        "regrade",
        help="grade a run's transcripts again",
        description="Grade stored transcripts with the simulation files as they are now, without "
        "talking to the assistant, into a new run that names its parent.",
    )
    regrade.add_argument("run", type=Path, help="the run's folder, results/<run_id>")
    regrade.add_argument(
        "--judge-model", metavar="NAME", help="judges, also where a grader names a model"
    )
    regrade.add_argument(
        "--judge-base-url", metavar="URL", help="OpenAI-compatible API that judges"
    )
    regrade.add_argument(
        "--judge-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="seconds that the judge has for an answer (default: 60)",
    )
    regrade.add_argument("--run-name", metavar="NAME", help="name of the new run's folder")
    regrade.add_argument(
        "--concurrency",
        type=_positive,
        default=8,
        metavar="N",
        help="conversations graded at once (default: 8)",
    )
    _add_common(regrade)
    regrade.set_defaults(function=regrade_command)
    merge = commands.add_parser(
        "merge",
        help="make one run of the runs of shards",
        description="Join runs that each played a part of the same suite.",
    )
    merge.add_argument("runs", nargs="+", type=Path, metavar="run", help="folders of the runs")
    merge.add_argument("--into", required=True, metavar="NAME", help="name of the new run's folder")
    _add_common(merge)
    merge.set_defaults(function=merge_command)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--skip-plots", action="store_true", help="write no plots")
    parser.add_argument(
        "--rootdir",
        type=Path,
        metavar="DIR",
        help="the project that the run was made in, when the run's folder was moved",
    )


def report_command(args: argparse.Namespace) -> int:
    """Make a run's tables, plots and page; 0, or 1 when something of it is missing.

    Raises:
        FileError: It is no run's folder, or cannot be read.
    """
    from pytest_realtime_eval.reports.assemble import assemble
    from pytest_realtime_eval.reports.stored import load_run

    run = load_run(args.run, args.rootdir)
    settings = replace(run.settings(), keep_cards=True, plots=not args.skip_plots)
    assembly = assemble(run.records, run.info(), settings)
    _close(run.records, assembly)
    return FAILED if assembly.problems else OK


def regrade_command(args: argparse.Namespace) -> int:
    """Grade a run again; 0, or 1 as pytest would say for the new verdicts.

    Raises:
        ConfigurationError: The new run's name cannot be used.
        FileError: The run or a simulation's file cannot be used.
    """
    from pytest_realtime_eval.execution.regrade import changed_files, simulations_of
    from pytest_realtime_eval.reports.stored import load_run

    started = time.perf_counter()
    parent = load_run(args.run, args.rootdir)
    simulations = simulations_of(parent.records, parent.rootdir)
    folder = _new_folder(args.run, args.run_name or f"{parent.stored.run_id}-regraded", args)
    judge = _judge(args)
    records = asyncio.run(_regraded(parent.records, simulations, judge, args.concurrency))
    for name in changed_files(parent.records, parent.rootdir):
        _say(f"note: {name} changed since the run; its graders are those of today")
    info = _derived(parent, folder, judge=judge.model if judge else "")
    info = replace(info, elapsed_seconds=round(time.perf_counter() - started, 3))
    settings = replace(parent.settings(), baseline=args.run, plots=not args.skip_plots)
    assembly = _write_run(folder, records, info, settings, [parent])
    return _status(records, assembly)


async def _regraded(
    records: Sequence[AnyRecord],
    simulations: dict[str, Simulation],
    judge: Judge | None,
    concurrency: int,
) -> list[AnyRecord]:
    from pytest_realtime_eval.execution.regrade import Grading, regrade
    from pytest_realtime_eval.pricing import load_prices

    try:
        return await regrade(records, simulations, Grading(judge, load_prices(), concurrency))
    finally:
        if judge is not None:
            await judge.aclose()


def _judge(args: argparse.Namespace) -> Judge | None:
    """Return the judge of arguments and environment; a model that is named judges all."""
    from pytest_realtime_eval.endpoints import configured_judge
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.options import Options

    named = {key: getattr(args, key) for key in ("judge_model", "judge_base_url", "judge_timeout")}
    judge = configured_judge(Options(Path.cwd(), command_line=named), os.environ)
    if judge is None or args.judge_model is None:
        return judge
    return Judge(judge.client, judge.model, overrides=True)


def merge_command(args: argparse.Namespace) -> int:
    """Join runs; 0, or 1 as pytest would say for all their items.

    Raises:
        ConfigurationError: The runs are no shards of one, or the name cannot be used.
        FileError: A run cannot be read.
    """
    from pytest_realtime_eval.reports.stored import load_run

    runs = [load_run(path, args.rootdir) for path in args.runs]
    _check_shards(runs)
    records = _joined(runs)
    folder = _new_folder(args.runs[0], args.into, args)
    info = _derived(runs[0], folder, judge=runs[0].stored.judge)
    info = replace(
        info,
        started_at=min(run.stored.started_at for run in runs),
        elapsed_seconds=max(run.stored.elapsed_seconds for run in runs),
        parent=", ".join(run.stored.run_id for run in runs),
    )
    thresholds = {str(t): t for run in runs for t in run.settings().thresholds}
    settings = replace(
        runs[0].settings(), thresholds=tuple(thresholds.values()), plots=not args.skip_plots
    )
    assembly = _write_run(folder, records, info, settings, runs)
    return _status(records, assembly)


def _check_shards(runs: Sequence[Run]) -> None:
    first, *others = runs
    for other in others:
        for name in _SHARED:
            mine, theirs = (getattr(run.stored.card, name) for run in (first, other))
            if mine != theirs:
                raise ConfigurationError(
                    f"{first.folder} and {other.folder} are no shards of one run: their {name} "
                    f"differs ({mine!r:.60} and {theirs!r:.60})"
                )


def _joined(runs: Sequence[Run]) -> list[AnyRecord]:
    """Return one record for each item; one that several runs have a result of is an error."""
    found: dict[tuple[str, str], tuple[Run, AnyRecord]] = {}
    for run in runs:
        for record in run.records:
            key = (record.nodeid, _name(record))
            if key not in found or _outweighs(record, found[key][1]):
                found[key] = (run, record)
            elif not _outweighs(found[key][1], record) and record.outcome in RESULT_OUTCOMES:
                raise ConfigurationError(
                    f"{record.nodeid} has a result in {found[key][0].folder} and in {run.folder}; "
                    "shards play different items"
                )
    return [record for _, record in found.values()]


def _outweighs(record: AnyRecord, other: AnyRecord) -> bool:
    """Whether a record tells more than another: a result, or that anything was tried at all."""
    return _weight(record) > _weight(other)


def _weight(record: AnyRecord) -> int:
    return 2 if record.outcome in RESULT_OUTCOMES else 0 if record.outcome == "skipped" else 1


def _name(record: AnyRecord) -> str:
    return record.simulation_id if isinstance(record, SimulationRecord) else record.entry_id


def _new_folder(run: Path, name: str, args: argparse.Namespace) -> Path:
    """Return the folder of a new run beside ``run``; one that the user named must be free.

    Raises:
        ConfigurationError: It is not, or the name cannot be a folder's.
    """
    from pytest_realtime_eval.schemas.simulation import safe_name

    try:
        safe_name(name)
    except ValueError as error:
        raise ConfigurationError(f"the run's name {name!r} {error}") from error
    folder = run.resolve().parent / name
    if not folder.exists():
        return folder
    if getattr(args, "run_name", None) or getattr(args, "into", None):
        raise ConfigurationError(f"{folder} exists; finished runs are never overwritten")
    free = (folder.with_name(f"{name}-{number}") for number in range(2, 10_000))
    return next(path for path in free if not path.exists())


def _derived(run: Run, folder: Path, judge: str) -> RunInfo:
    """Return what reports say of a run that is made from another."""
    from pytest_realtime_eval.run_card.build import environment

    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return replace(
        run.info(folder),
        run_id=folder.name,
        run_name=folder.name,
        started_at=now,
        judge=judge,
        parent=run.stored.run_id,
        environment={name: str(value) for name, value in environment().items()},
        configuration={**run.stored.configuration, "run_name": folder.name},
    )


def _write_run(
    folder: Path,
    records: Sequence[AnyRecord],
    info: RunInfo,
    settings: AssemblySettings,
    sources: Sequence[Run],
) -> Assembly:
    """Write a new run's folder: records, what they name, and all that is made from them."""
    from pytest_realtime_eval.reports.assemble import assemble
    from pytest_realtime_eval.reports.files import write_text
    from pytest_realtime_eval.reports.stored import described, store

    facts = replace(
        settings.facts,
        run_id=str(uuid.uuid4()),
        started_at=info.started_at,
        elapsed_seconds=info.elapsed_seconds,
    )
    settings = replace(settings, facts=facts)
    lines = (json.dumps(r.model_dump(mode="json"), ensure_ascii=False) + "\n" for r in records)
    write_text(folder / "records.jsonl", "".join(lines))
    stored = described(
        info,
        facts,
        rootdir=settings.rootdir,
        system_prompt=settings.system_prompt,
        thresholds=settings.thresholds,
    )
    store(stored, folder)
    for source in sources:
        _bring_files(records, source.folder, folder)
    assembly = assemble(records, info, settings)
    _close(records, assembly)
    return assembly


def _bring_files(records: Iterable[AnyRecord], source: Path, folder: Path) -> None:
    """Link what the records name into a new run's folder; copy where links cannot be made.

    A run's files are written once and never changed, so that runs may share them.
    """
    for name in {name for record in records for name in _files_of(record)}:
        old, new = source / name, folder / name
        if not old.is_file() or not old.resolve().is_relative_to(source.resolve()):
            continue
        new.parent.mkdir(parents=True, exist_ok=True)
        if not new.exists():
            try:
                os.link(old, new)
            except OSError:
                shutil.copyfile(old, new)


def _files_of(record: AnyRecord) -> Iterator[str]:
    yield from (attempt.event_log_path for attempt in record.attempts if attempt.event_log_path)
    if not isinstance(record, SimulationRecord) or record.transcript is None:
        return
    transcript = record.transcript
    if transcript.event_log_path:
        yield transcript.event_log_path
    for turn in transcript.turns:
        yield from filter(None, (turn.user_audio_path, turn.assistant_audio_path))
    yield f"conversations/{record.simulation_id}.txt"


def _status(records: Iterable[AnyRecord], assembly: Assembly) -> int:
    """Return the exit status that pytest gives a run: ``pass_rate`` says what is tolerated."""
    if assembly.problems:
        return UNUSABLE
    checks = assembly.info.thresholds
    if not all(check.met for check in checks):
        return FAILED
    tolerated = any(check.expression.startswith("pass_rate") for check in checks)
    failed = any(record.outcome not in _HARMLESS for record in records)
    return FAILED if failed and not tolerated else OK


def _close(records: Sequence[AnyRecord], assembly: Assembly) -> None:
    from pytest_realtime_eval.compare.show import short_lines
    from pytest_realtime_eval.reports.terminal import closing_lines

    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    if assembly.comparison:
        _say(*short_lines(assembly.comparison, width), "")
    _say(
        *closing_lines(
            records, assembly.summary, assembly.info, width=width, report=assembly.report
        )
    )
    for problem in assembly.problems:
        sys.stderr.write(f"realtime-eval: {problem}\n")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
