"""The hooks: read options, register objects, hand over.

Nothing heavy is imported here: the plugin is loaded into every pytest run of the
environment that it is installed in.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_realtime_eval import fixtures, hookspecs
from pytest_realtime_eval.collectors import COLLECTION_KEY, EvalCollection
from pytest_realtime_eval.exceptions import ConfigurationError, FileError
from pytest_realtime_eval.execution.identity import RunIdentity, new_run
from pytest_realtime_eval.execution.meeting_place import close_meeting_place
from pytest_realtime_eval.execution.watch import StepFile, Watch
from pytest_realtime_eval.items import RUNNER_KEY, WATCH_KEY, attach_records, teststatus
from pytest_realtime_eval.options import (
    add_options,
    check_cassette_options,
    check_files,
    check_thresholds,
    read_options,
)
from pytest_realtime_eval.progress import ProgressDisplay
from pytest_realtime_eval.reporter import Reporter, last_durations
from pytest_realtime_eval.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_realtime_eval.options import Options

#: Under which name of ``workerinput`` the controller hands the run to its workers.
WORKER_INPUT: Final = "realtime_eval"
_DIST_NAMED_KEY: Final = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that users implement."""
    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Note whether the user named a --dist mode, before xdist fills in its default."""
    named = getattr(early_config.known_args_namespace, "dist", "no")
    early_config.stash[_DIST_NAMED_KEY] = named not in (None, "no")


def pytest_configure(config: pytest.Config) -> None:
    """Register marks, fixtures, and the objects that run and report evals."""
    config.addinivalue_line("markers", "simulation: a voice simulation; names its file in Python")
    config.addinivalue_line("markers", "dataset: an entry of a translation dataset")
    config.pluginmanager.register(fixtures, "realtime-eval-fixtures")
    try:
        _start(config, read_options(config))
    except (ConfigurationError, FileError) as error:
        raise pytest.UsageError(str(error)) from error


def _start(config: pytest.Config, options: Options) -> None:
    check_files(options)
    check_thresholds(options)
    worker_input = getattr(config, "workerinput", None)
    if worker_input is None:
        identity = new_run(options)
        reporter = Reporter(config, options, identity)
        config.pluginmanager.register(reporter, "realtime-eval-reporter")
        display = _display(config, identity)
        config.stash[WATCH_KEY] = display.watch if display else Watch()
        if config.getoption("dist", "no") != "no":
            _distribute(config, identity, display)
    else:
        identity = RunIdentity(**worker_input[WORKER_INPUT]["identity"])
        config.stash[WATCH_KEY] = _watch_of_worker(worker_input)
    check_cassette_options(options)
    ahead = not (config.getoption("usepdb") or config.getoption("trace"))
    _add_index(config, options)
    config.stash[COLLECTION_KEY] = EvalCollection(options, _named_files(config))
    worker = worker_input["workerid"] if worker_input else ""
    config.stash[RUNNER_KEY] = Runner(options, identity, config.hook, ahead=ahead, worker=worker)


def _add_index(config: pytest.Config, options: Options) -> None:
    """Collect an index that ``--eval-data-csv`` names, wherever its simulations stand."""
    index = options.path("data_csv")
    if "data_csv" in options.command_line and str(index) not in config.args:
        config.args.append(str(index))


def _display(config: pytest.Config, identity: RunIdentity) -> ProgressDisplay | None:
    """Register what shows the run's progress, unless there is no terminal or it is quiet."""
    if not config.pluginmanager.has_plugin("terminal") or config.option.verbose < 0:
        return None
    display = ProgressDisplay(config, identity.meeting_place / "progress.jsonl")
    config.pluginmanager.register(display, "realtime-eval-progress")
    return display


def _watch_of_worker(worker_input: dict[str, Any]) -> Watch:
    path = worker_input[WORKER_INPUT]["progress"]
    return Watch(StepFile(Path(path)).append, worker_input["workerid"]) if path else Watch()


def _distribute(
    config: pytest.Config, identity: RunIdentity, display: ProgressDisplay | None
) -> None:
    from pytest_realtime_eval.distribution import Distribution, EvalDistribution

    told: dict[str, Any] = {"identity": identity.to_json(), "progress": None}
    if display is not None:
        told["progress"] = str(display.path)
    distribution: Distribution
    if config.stash.get(_DIST_NAMED_KEY, False):
        distribution = Distribution({WORKER_INPUT: told})
    else:
        durations = told["durations"] = last_durations(config)
        distribution = EvalDistribution({WORKER_INPUT: told}, durations)
    config.pluginmanager.register(distribution, "realtime-eval-distribution")


def _named_files(config: pytest.Config) -> frozenset[Path]:
    """Return the JSON and CSV files that stand on the command line."""
    names = (argument.partition("::")[0] for argument in config.args)
    folder = config.invocation_params.dir
    return frozenset(
        Path(os.path.normpath(folder / name)) for name in names if name.endswith((".json", ".csv"))
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what still runs."""
    if display := config.pluginmanager.get_plugin("realtime-eval-progress"):
        display.close()
    if runner := config.stash.get(RUNNER_KEY, None):
        try:
            runner.close()
        finally:
            # Gone by now, but for a second Ctrl-C that cut the session's end short.
            if not hasattr(config, "workerinput"):
                close_meeting_place(runner.identity)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect simulations, indexes and datasets."""
    if file_path.suffix not in (".json", ".csv"):
        return None
    return parent.config.stash[COLLECTION_KEY].collector(file_path, parent)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run no more than ``--eval-max-examples``, of what -k and -m chose."""
    collection = config.stash[COLLECTION_KEY]
    if left_out := collection.beyond_max_examples(items):
        config.hook.pytest_deselected(items=left_out)
        kept = set(items) - set(left_out)
        items[:] = [item for item in items if item in kept]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Go on with the other items when files of evals are broken."""
    session.config.stash[COLLECTION_KEY].go_on_without_broken_files(session)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Tell the runner what is coming, where the whole order is known."""
    session.config.stash[RUNNER_KEY].expect_share(_order_here(session))


def _order_here(session: pytest.Session) -> list[pytest.Item]:
    """Return the items that this process will run, as far as it knows."""
    worker_input = getattr(session.config, "workerinput", None)
    if worker_input is None:
        return session.items
    durations = worker_input[WORKER_INPUT].get("durations")
    if durations is None:
        return []
    from pytest_realtime_eval.distribution import share_of_worker

    ids = [item.nodeid for item in session.items]
    return [session.items[i] for i in share_of_worker(ids, worker_input, durations)]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Tell the runner the next item, where xdist hands them out bit by bit."""
    if nextitem is not None and hasattr(item.config, "workerinput"):
        item.config.stash[RUNNER_KEY].expect([nextitem])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put an item's record on its report, which travels to the controller."""
    report = yield
    attach_records(item, call, report)
    return report


def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[str, str, str] | None:
    """Name an item's outcome in the terminal's words."""
    return teststatus(report)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Cancel what was started ahead and never had its turn."""
    session.config.stash[RUNNER_KEY].close()
