"""From test reports to the run's folder. Lives where pytest was started, never on a worker.

Every record is appended to ``records.jsonl`` as its report arrives and flushed, so a run
that breaks keeps what it paid for. Tables, summary, cards and plots are made from the
records at the end, and thresholds decide the exit status.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_realtime_eval.environment import environment
from pytest_realtime_eval.exceptions import (
    BudgetReached,
    ConfigurationError,
    FileError,
    RealtimeEvalError,
)
from pytest_realtime_eval.execution.identity import check_writable
from pytest_realtime_eval.execution.journal import WORKER_CRASH, hand_over, remove_journals
from pytest_realtime_eval.execution.meeting_place import close_meeting_place
from pytest_realtime_eval.items import RUNNER_KEY, EvalItem, is_eval_id

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from pytest_realtime_eval.execution.identity import RunIdentity
    from pytest_realtime_eval.execution.translate import EntryJob
    from pytest_realtime_eval.options import Options
    from pytest_realtime_eval.reports.assemble import Assembly
    from pytest_realtime_eval.reports.files import LineFile
    from pytest_realtime_eval.schemas.results import AnyRecord

#: Where pytest's cache keeps how long items took.
_DURATIONS: Final = "realtime_eval/durations"


class Reporter:
    """Collects the records of a run and writes its folder."""

    def __init__(self, config: pytest.Config, options: Options, identity: RunIdentity) -> None:
        self._config = config
        self._options = options
        self._identity = identity
        self._folder = Path(identity.folder)
        # Lines of ``records.jsonl``: parsed, they take five times the memory.
        self._lines: dict[str, list[str]] = {}
        self._file: LineFile | None = None
        # Why records of this run are not on disk, if some are not.
        self._unsaved: OSError | None = None
        self._session: pytest.Session | None = None
        self._started = time.perf_counter()
        # Evals that have not been reported, or only as what their worker's death made of them.
        self._outstanding: set[str] = set()
        # Failures that no threshold tolerates: of other tests, of fixtures, of collection.
        self._other_failures: set[str] = set()
        self._assembly: Assembly | None = None
        self._notes: list[str] = []
        self._told_unknown_cost = False

    def pytest_report_header(self) -> list[str] | None:
        """Say what the run talks to, who judges, and where the results go."""
        if not self._has_eval_folder():
            return None
        from pytest_realtime_eval.endpoints import describe

        return [*describe(self._options, environment()), f"evals: results in {self._shown()}"]

    def _has_eval_folder(self) -> bool:
        return any(folder.is_dir() for folder in self._options.paths)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Refuse a results folder that cannot be written, before anything is paid for."""
        self._session = session
        if self._has_eval_folder():
            try:
                check_writable(self._folder)
                self._check_baseline()
            except (ConfigurationError, FileError) as error:
                raise pytest.UsageError(str(error)) from error

    def _check_baseline(self) -> None:
        """Read the baseline once, so that a run is not played for want of it."""
        if self._options.get("baseline"):
            from pytest_realtime_eval.compare.side import load_side
            from pytest_realtime_eval.settings import baseline_path

            if path := baseline_path(self._options):
                load_side(path)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the records that a report carries, or that a crashed worker left missing."""
        if lines := getattr(report, "eval_records", None):
            self._keep(report.nodeid, lines)
            self._outstanding.discard(report.nodeid)
        elif _worker_crashed(report) and is_eval_id(report.nodeid):
            self._keep(report.nodeid, [_crashed(report, self._options.rootdir)])
        if report.failed and (report.when == "teardown" or not is_eval_id(report.nodeid)):
            self._other_failures.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what could not be collected: no threshold tolerates it."""
        if report.failed:
            self._other_failures.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Leave what the run is before its first eval starts, where items run in this process."""
        if not self._only_collects:
            evals = [item.nodeid for item in session.items if isinstance(item, EvalItem)]
            self._begin_or_refuse(evals)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Leave what the run is before its first eval starts, where workers run the items."""
        if self._file is None:
            self._begin_or_refuse([nodeid for nodeid in ids if is_eval_id(nodeid)])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object | None) -> None:
        """Leave what a dead worker has ended to those that xdist will give its items to."""
        if error:
            hand_over(self._folder, node.gateway.id)

    def _begin_or_refuse(self, evals: list[str]) -> None:
        if not evals:
            return
        self._outstanding.update(evals)
        try:
            self._check_threshold_names()
            self._begin()
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error
        except OSError as error:
            raise pytest.UsageError(f"the run's folder cannot be written: {error}") from error

    def _check_threshold_names(self) -> None:
        """Refuse names that no summary has, before anything is paid for."""
        from pytest_realtime_eval.settings import run_info, run_thresholds

        if thresholds := run_thresholds(self._options):
            from pytest_realtime_eval.reports.threshold_names import check_names

            info = run_info(self._options, self._identity, 0.0, environment())
            check_names(thresholds, info, self._config.stash[RUNNER_KEY].metrics)

    @property
    def _only_collects(self) -> bool:
        return bool(self._config.getoption("collectonly"))

    def _begin(self) -> LineFile:
        """Make the run's folder, so that a run that is killed at any moment can be resumed."""
        from pytest_realtime_eval.reports.files import LineFile, remove_unfinished
        from pytest_realtime_eval.reports.stored import RECORDS

        if self._file is None:
            # Also of a run of that name which was killed before there was anything to resume.
            remove_unfinished(self._folder)
            if self._identity.resumes:
                self._take_up()
            # What is wrong with the settings is told at the end.
            with contextlib.suppress(RealtimeEvalError):
                self._store(0.0)
            self._file = LineFile(self._folder / RECORDS)
        return self._file

    def _keep(self, nodeid: str, lines: list[str]) -> None:
        file = self._begin()
        self._lines[nodeid] = lines
        self._tell_unknown_cost(lines)
        try:
            file.append("".join(f"{line}\n" for line in lines if not self._is_resumed(line)))
        except OSError as error:
            self._stop_unsaved(error)

    def _is_resumed(self, line: str) -> bool:
        """Whether a record is that of the run that is resumed: the file has it."""
        from pytest_realtime_eval.schemas.results import parse_line

        return self._identity.resumes and parse_line(line).resumed

    def _stop_unsaved(self, error: OSError) -> None:
        """Stop the run: what it pays for from here on would be lost."""
        self._unsaved = error
        message = f"the run's records cannot be written: {error}"
        # xdist's session on the controller has a say of its own, and no public way to it.
        session: Any = self._config.pluginmanager.get_plugin("dsession") or self._session
        session.shouldstop = session.shouldstop or message

    def _take_up(self) -> None:
        """Begin with all that is kept of the run that is resumed, now in one whole file."""
        from pytest_realtime_eval.reports.stored import kept_records
        from pytest_realtime_eval.schemas.results import to_line

        for record in kept_records(self._folder):
            self._lines.setdefault(record.nodeid, []).append(to_line(record))
        self._write_records()
        remove_journals(self._folder)

    def _write_records(self) -> None:
        from pytest_realtime_eval.reports.files import write_text
        from pytest_realtime_eval.reports.stored import RECORDS

        lines = chain.from_iterable(self._lines.values())
        write_text(self._folder / RECORDS, "".join(f"{line}\n" for line in lines))

    def _write_all(self) -> None:
        """Write all records in one go; for those that could not be, there may be room by now."""
        try:
            self._write_records()
            self._unsaved = None
        except OSError as error:
            self._unsaved = error
            self._notes.append(f"ERROR: the run's last records are lost, no room: {error}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what the run leaves, hold its thresholds, and decide the exit status."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._shut_endpoint_down)
            if self._file is not None:
                self._file.close()
            if self._lines and (self._unsaved or self._identity.resumes):
                self._write_all()
            if self._file is not None and not self._unsaved:
                # A folder that cannot be changed or read is told with its tables.
                with contextlib.suppress(FileError, OSError):
                    self._put_journals_away()
            if self._lines:
                self._assembly = self._assemble_or_note(session)
                session.exitstatus = self._exit_status(session)
                if self._options.get("submit") and not self._submit():
                    session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def _put_journals_away(self) -> None:
        """Remove the journals, or say what they hold beyond the records that were reported."""
        from pytest_realtime_eval.reports.stored import untaken_records
        from pytest_realtime_eval.schemas.results import RESULT_OUTCOMES

        # Nothing is read where all was reported, which would cost a whole run as much again.
        untaken = untaken_records(self._folder) if self._outstanding else {}
        if not untaken:
            remove_journals(self._folder)
        if results := sum(record.outcome in RESULT_OUTCOMES for record in untaken.values()):
            items = "1 more item" if results == 1 else f"{results} more items"
            self._notes.append(
                f"kept: {items} had ended before the run did; "
                f"--eval-resume {self._identity.run_id} takes them up"
            )

    def _store(self, elapsed: float) -> None:
        """Write what the run is, so that its folder can be made from its records alone."""
        from pytest_realtime_eval.reports.stored import store
        from pytest_realtime_eval.settings import stored_run

        store(stored_run(self._options, self._identity, elapsed, environment()), self._folder)

    def _assemble_or_note(self, session: pytest.Session) -> Assembly | None:
        """Assemble the run's folder; whatever goes wrong, the records are on disk before."""
        try:
            return self._assemble()
        except KeyboardInterrupt:
            session.exitstatus = pytest.ExitCode.INTERRUPTED
            problem = "interrupted"
        except Exception as error:  # noqa: BLE001 - the terminal must still get its summary
            problem = f"{type(error).__name__}: {error}"
        self._notes.append(f"ERROR: the run's tables could not be written: {problem}")
        kept = "What was kept of it is safe" if self._unsaved else "Its records are safe"
        self._notes.append(f"{kept}: `realtime-eval report {self._shown()}` makes the rest.")
        return None

    def _assemble(self) -> Assembly:
        from pytest_realtime_eval.reports.assemble import assemble
        from pytest_realtime_eval.settings import assembly_settings, run_info

        records = self._records
        self._remember_durations(records)
        elapsed = time.perf_counter() - self._started
        self._store(elapsed)
        info = run_info(self._options, self._identity, elapsed, environment())
        metrics = self._config.stash[RUNNER_KEY].metrics
        settings = assembly_settings(metrics, self._options, self._identity, elapsed, os.environ)
        return assemble(records, info, settings)

    @cached_property
    def _records(self) -> list[AnyRecord]:
        """The run's records in one order, whichever worker was first."""
        from pytest_realtime_eval.schemas.results import parse_line

        nodeids = sorted(self._lines, key=_natural)
        return [parse_line(line) for nodeid in nodeids for line in self._lines[nodeid]]

    def _remember_durations(self, records: list[AnyRecord]) -> None:
        """Keep how long simulations took, for the division of the next run."""
        taken = {r.nodeid: r.duration_ms / 1000 for r in records if r.kind == "simulation"}
        if taken and (cache := _cache(self._config)) is not None:
            cache.set(_DURATIONS, last_durations(self._config) | taken)

    def _submit(self) -> bool:
        """Post the datasets' cards; whether all were taken."""
        if self._assembly is None:
            return False
        from pytest_realtime_eval.run_card.submit import DEFAULT_URL, submit_all, token_from

        cards = [path for path in self._assembly.cards if path.stem != "simulations"]
        if not cards:
            # Nothing was refused: the setting may stand in the ini of a suite of both kinds.
            self._notes.append(
                "nothing submitted: leaderboards take the cards of datasets, and no dataset's "
                "entry was run"
            )
        url = self._options.get("leaderboard_url") or DEFAULT_URL
        submitted = submit_all(cards, url, token_from(environment()))
        self._notes += submitted.lines
        return submitted.all_taken

    def _exit_status(self, session: pytest.Session) -> int:
        """Return what the thresholds make of pytest's own exit status."""
        if any(map(_is_misconfigured, self._records)):
            return pytest.ExitCode.USAGE_ERROR
        if session.exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return session.exitstatus
        if self._assembly is None:
            return pytest.ExitCode.INTERNAL_ERROR
        if self._assembly.problems:
            return pytest.ExitCode.USAGE_ERROR
        checks = self._assembly.info.thresholds
        if self._ran_out_of_money() or not all(check.met for check in checks):
            return pytest.ExitCode.TESTS_FAILED
        if session.exitstatus == pytest.ExitCode.TESTS_FAILED and self._tolerates(session):
            return pytest.ExitCode.OK
        return session.exitstatus

    def _ran_out_of_money(self) -> bool:
        """Whether items were left out because the run had cost what it may."""
        unstarted = [record for record in self._records if _unstarted(record)]
        if unstarted:
            self._notes.append(
                f"ERROR: --eval-max-cost-usd was reached: {len(unstarted)} of the run's items "
                f"were not started; --eval-resume {self._identity.run_id} goes on with them"
            )
        return bool(unstarted)

    def _tell_unknown_cost(self, lines: list[str]) -> None:
        """Say once that a budget cannot hold, since nobody knows what something costs."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._options.get("max_cost_usd") is None or self._told_unknown_cost or not terminal:
            return
        from pytest_realtime_eval.schemas.results import parse_line

        if unknown := [r.nodeid for r in map(parse_line, lines) if _has_unknown_cost(r)]:
            self._told_unknown_cost = True
            terminal.ensure_newline()
            terminal.write_line(
                f"evals: what {unknown[0]} cost is not known, so --eval-max-cost-usd does "
                "not count it; a price table (--eval-price-file) would",
                yellow=True,
            )

    def _tolerates(self, session: pytest.Session) -> bool:
        """Whether the failed items are what ``pass_rate`` allows, and nothing else failed."""
        if self._other_failures or session.shouldstop or session.shouldfail:
            return False
        checks = self._assembly.info.thresholds if self._assembly else ()
        if not any(check.expression.startswith("pass_rate") for check in checks):
            return False
        failed = {record.nodeid for record in self._records if record.outcome not in _HARMLESS}
        self._notes.append(f"tolerated, since pass_rate is met: {', '.join(sorted(failed))}")
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Close the run: tables, thresholds, what was not graded, where the results lie."""
        if not self._lines and not self._notes:
            return
        width = min(terminalreporter._tw.fullwidth, 120)  # pytest tells its width nowhere else
        terminalreporter.section("evals")
        for line in [*self._closing_lines(width), *self._notes]:
            terminalreporter.write_line(line, **_markup(line))
        self._tell_github(terminalreporter)

    def _closing_lines(self, width: int) -> list[str]:
        if self._assembly is None:
            return []
        from pytest_realtime_eval.reports.terminal import closing_lines

        found = self._assembly
        lines = closing_lines(
            self._records, found.summary, found.info, width=width, report=found.report
        )
        if found.comparison:
            from pytest_realtime_eval.compare.show import short_lines

            lines = [*short_lines(found.comparison, width), "", *lines]
        return [*lines, *(f"ERROR: {problem}" for problem in found.problems)]

    def _tell_github(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Annotate files and write the job summary, inside GitHub Actions."""
        if os.environ.get("GITHUB_ACTIONS") != "true" or self._assembly is None:
            return
        from pytest_realtime_eval.reports.github import job_summary, workflow_commands

        records = self._records
        for line in workflow_commands(records, self._options.rootdir):
            terminalreporter.write_line(line)
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(job_summary(records, self._assembly.summary, self._assembly.info))
                if self._assembly.comparison:
                    from pytest_realtime_eval.compare.show import markdown

                    file.write("\n" + markdown(self._assembly.comparison))

    def _shown(self) -> str:
        with contextlib.suppress(ValueError):
            return str(self._folder.relative_to(self._config.invocation_params.dir))
        return str(self._folder)

    def _shut_endpoint_down(self) -> None:
        from pytest_realtime_eval.endpoints import close_endpoints

        with contextlib.suppress(RealtimeEvalError):
            close_endpoints(self._identity)
        close_meeting_place(self._identity)


def _markup(line: str) -> dict[str, bool]:
    from pytest_realtime_eval.reports.terminal import colour

    name = colour(line)
    return {name: True} if name else {}


#: Outcomes that leave an item's report without a failure.
_HARMLESS: Final = ("passed", "ungraded", "skipped")


def last_durations(config: pytest.Config) -> dict[str, float]:
    """Return the seconds that simulations took when they were last played."""
    cache = _cache(config)
    return {} if cache is None else dict(cache.get(_DURATIONS, {}))


def _cache(config: pytest.Config) -> pytest.Cache | None:
    # Missing with -p no:cacheprovider, which the annotation does not know.
    return getattr(config, "cache", None)


def _natural(nodeid: str) -> list[tuple[int, str]]:
    """Return a key that sorts ``entry-2`` before ``entry-10``."""
    parts = re.split(r"(\d+)", nodeid)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _unstarted(record: AnyRecord) -> bool:
    """Whether an item was left out because the run had cost what it may."""
    return record.failure is not None and record.failure.stage == BudgetReached.failure_stage


def _has_unknown_cost(record: AnyRecord) -> bool:
    """Whether an item used a model and nobody knows what that cost."""
    if record.kind == "entry":
        answered = bool(record.predicted)
    else:
        answered = record.transcript is not None and bool(record.transcript.turns)
    return answered and record.cost_usd is None


def _is_misconfigured(record: AnyRecord) -> bool:
    """Whether a setting was found wrong only when the item needed it."""
    return record.failure is not None and record.failure.error_type == "ConfigurationError"


def _worker_crashed(report: pytest.TestReport) -> bool:
    # xdist's own value, which pytest's annotation does not know.
    when: str | None = report.when
    return when == "???"


def _crashed(report: pytest.TestReport, rootdir: Path) -> str:
    """Return the line of an item whose worker died while it ran."""
    from pytest_realtime_eval.schemas.results import parse_record, to_line

    path, _, name = report.nodeid.partition("::")
    reason = str(report.longrepr)
    broken = {
        "outcome": "infra_error",
        "reason": reason,
        "failure": {"stage": WORKER_CRASH, "error_type": "WorkerCrash", "message": reason},
    }
    if job := _entry_job(report.nodeid, rootdir):
        return to_line(job.record(**broken))
    item = {"kind": "simulation", "nodeid": report.nodeid, "path": path, "simulation_id": name}
    return to_line(parse_record(item | broken))


def _entry_job(nodeid: str, rootdir: Path) -> EntryJob | None:
    """Return an entry by its id; where items run is not where their files were collected."""
    from pytest_realtime_eval.execution.translate import EntryJob
    from pytest_realtime_eval.schemas.dataset import load_dataset

    path, _, name = nodeid.partition("::")
    with contextlib.suppress(FileError, KeyError):
        dataset = load_dataset(rootdir / path)
        return EntryJob(nodeid, path, dataset.id, dataset.entry(name))
    return None
