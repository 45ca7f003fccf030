"""From test reports to the run's folder. Lives where pytest was started, never on a worker.

Every record is appended to ``records.jsonl`` as its report arrives and flushed, so a run
that breaks keeps what it paid for. Tables, summary and plots are made from the records at
the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import pytest

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.execution.identity import check_writable
from pytest_realtime_eval.items import is_eval_id

if TYPE_CHECKING:
    from pytest_realtime_eval.execution.identity import RunIdentity
    from pytest_realtime_eval.options import Options
    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.schemas.results import AnyRecord


class Reporter:
    """Collects the records of a run and writes its folder."""

    def __init__(self, config: pytest.Config, options: Options, identity: RunIdentity) -> None:
        self._config = config
        self._options = options
        self._identity = identity
        self._folder = Path(identity.folder)
        self._records: dict[str, list[dict[str, Any]]] = {}
        self._file: IO[str] | None = None
        self._started = time.perf_counter()
        self._written: list[str] = []

    def pytest_report_header(self) -> list[str] | None:
        """Say what the run talks to, who judges, and where the results go."""
        if not any(folder.is_dir() for folder in self._options.paths):
            return None
        from pytest_realtime_eval.endpoints import describe

        return [*describe(self._options, os.environ), f"evals: results in {self._shown()}"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Refuse a results folder that cannot be written, before anything is paid for."""
        if any(folder.is_dir() for folder in self._options.paths):
            try:
                check_writable(self._folder)
            except ConfigurationError as error:
                raise pytest.UsageError(str(error)) from error

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the records that a report carries, or that a crashed worker left missing."""
        if records := getattr(report, "eval_records", None):
            self._keep(report.nodeid, records)
        elif _worker_crashed(report) and is_eval_id(report.nodeid):
            self._keep(report.nodeid, [_crashed(report)])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep a record of a file that could not be collected."""
        if records := getattr(report, "eval_records", None):
            self._keep(report.nodeid, records)

    def _keep(self, nodeid: str, records: list[dict[str, Any]]) -> None:
        self._records[nodeid] = records
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = (self._folder / "records.jsonl").open("a", encoding="utf-8")
        for record in records:
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._file.flush()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the tables, and shut the embedded endpoint down."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._shut_endpoint_down)
            if self._file is not None:
                self._file.close()
                self._write()

    def _write(self) -> None:
        from pytest_realtime_eval.reports.files import write_json
        from pytest_realtime_eval.reports.plots import write_plots
        from pytest_realtime_eval.reports.summary import summarise
        from pytest_realtime_eval.reports.table import results_frame, write_csv

        records = self._parsed()
        self._remember_durations(records)
        info = self._info()
        frame = results_frame(records)
        write_csv(frame, self._folder / "results.csv")
        write_json(self._folder / "summary.json", summarise(frame, records, info))
        if not self._options.get("skip_plots"):
            write_plots(frame, records, self._folder)

    def _remember_durations(self, records: list[AnyRecord]) -> None:
        """Keep how long simulations took, for the division of the next run."""
        taken = {r.nodeid: r.duration_ms / 1000 for r in records if r.kind == "simulation"}
        if taken and (cache := _cache(self._config)) is not None:
            cache.set(_DURATIONS, last_durations(self._config) | taken)

    def _parsed(self) -> list[AnyRecord]:
        from pytest_realtime_eval.schemas.results import parse_record

        return [parse_record(data) for records in self._records.values() for data in records]

    def _info(self) -> RunInfo:
        from pytest_realtime_eval.reports.run_info import RunInfo

        get = self._options.get
        return RunInfo(
            run_id=self._identity.run_id,
            folder=self._folder,
            run_name=get("run_name") or "",
            started_at=self._identity.started_at,
            elapsed_seconds=round(time.perf_counter() - self._started, 3),
            configuration={
                "run_name": self._identity.run_id,
                "assistant_model_default": self._options.assistant_model or "",
                "simulator_model_default": get("simulator_model") or "",
                "input_audio_format": get("input_audio_format"),
                "output_audio_format": get("output_audio_format"),
                "chunk_ms": get("chunk_ms"),
                "sample_rate_hz": get("sample_rate_hz"),
                "real_time": get("real_time"),
                "data_csv": get("data_csv") or "",
            },
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the results lie."""
        if self._records:
            terminalreporter.section("evals")
            terminalreporter.write_line(f"results: {self._shown()}")

    def _shown(self) -> str:
        with contextlib.suppress(ValueError):
            return str(self._folder.relative_to(self._config.invocation_params.dir))
        return str(self._folder)

    def _shut_endpoint_down(self) -> None:
        from pytest_realtime_eval.endpoints import close_endpoints

        close_endpoints(self._identity)


#: Where pytest's cache keeps how long items took.
_DURATIONS: Final = "realtime_eval/durations"


def last_durations(config: pytest.Config) -> dict[str, float]:
    """Return the seconds that simulations took when they were last played."""
    cache = _cache(config)
    return {} if cache is None else dict(cache.get(_DURATIONS, {}))


def _cache(config: pytest.Config) -> pytest.Cache | None:
    # Missing with -p no:cacheprovider, which the annotation does not know.
    return getattr(config, "cache", None)


def _worker_crashed(report: pytest.TestReport) -> bool:
    # xdist's own value, which pytest's annotation does not know.
    when: str | None = report.when
    return when == "???"


def _crashed(report: pytest.TestReport) -> dict[str, Any]:
    """Return the record of an item whose worker died while it ran."""
    path, _, name = report.nodeid.partition("::")
    reason = str(report.longrepr)
    return {
        "kind": "simulation",
        "nodeid": report.nodeid,
        "path": path,
        "simulation_id": name,
        "outcome": "infra_error",
        "reason": reason,
        "failure": {"stage": "worker_crash", "error_type": "WorkerCrash", "message": reason},
    }
