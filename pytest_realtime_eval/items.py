"""The items: a simulation and a dataset entry, each a `pytest.Function`.

Their function asks for fixtures as any test does, so marks, ``-k``, conftest overrides
and plugins work on them without knowing them.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest

from pytest_realtime_eval.exceptions import (
    ConfigurationError,
    FileError,
    RealtimeEvalError,
    VerdictFailed,
)
from pytest_realtime_eval.execution.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest._code.code import ExceptionInfo, TerminalRepr

    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.execution.evaluate import SimulationJob
    from pytest_realtime_eval.execution.translate import EntryJob
    from pytest_realtime_eval.runner import Runner
    from pytest_realtime_eval.schemas.dataset import Dataset, Entry
    from pytest_realtime_eval.schemas.results import (
        AnyRecord,
        EntryRecord,
        SimulationRecord,
        Verdict,
    )
    from pytest_realtime_eval.schemas.transcript import Turn
    from pytest_realtime_eval.thresholds import Threshold

RUNNER_KEY: Final = pytest.StashKey["Runner"]()
#: Records that an item leaves.
RECORDS_KEY: Final = pytest.StashKey[list["AnyRecord"]]()
#: Records of the conversations that a Python test played.
PLAYED_KEY: Final = pytest.StashKey[list["AnyRecord"]]()
FAILED_KEY: Final = pytest.StashKey[bool]()
#: Where work tells what it is at.
WATCH_KEY: Final = pytest.StashKey[Watch]()

_FIXTURES_MODULE: Final = "pytest_realtime_eval.fixtures"


class EvalFailed(VerdictFailed):
    """An item's verdicts say fail; the message is the story that the terminal shows."""


class EvalBroken(RealtimeEvalError):
    """An item came to no result; the message is the story that the terminal shows."""


class EvalItem(pytest.Function):
    """An item whose work can start before pytest's turn comes.

    Attributes:
        lane: Items of a lane share its concurrency.
        concurrency_option: The setting that says how many are in flight.
        needs: The fixtures whose values the work is given.
        first_turn: What its work begins with; 0 where there are no turns.
    """

    lane: ClassVar[str]
    concurrency_option: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    first_turn: ClassVar[int] = 0

    @property
    def runner(self) -> Runner:
        """What runs items in this process."""
        return self.config.stash[RUNNER_KEY]

    async def evaluate(self, values: dict[str, Any]) -> AnyRecord:
        """Do the work, in the runner's event loop, keep what came of it, and tell of it."""
        self.watch.began(self.nodeid, self.first_turn)
        cost_usd = None
        try:
            record = await self.work(values)
            self.runner.journal.append(record)
            cost_usd = record.cost_usd
        finally:
            self.watch.ended(self.nodeid, cost_usd)
        return record

    @property
    def watch(self) -> Watch:
        """Who is told of the work."""
        return self.config.stash[WATCH_KEY]

    async def work(self, values: dict[str, Any]) -> AnyRecord:
        """Do what the item is there for."""
        raise NotImplementedError

    def own_value(self, fixture: str) -> Any:  # noqa: ANN401 - any fixture's
        """Return the value of one of the project's own function-scoped fixtures."""
        raise NotImplementedError

    def empty_record(self, **fields: Any) -> AnyRecord:  # noqa: ANN401 - fields of the record
        """Return a record for an item that ended before its work began."""
        raise NotImplementedError

    @property
    def content_key(self) -> str:
        """The hash of all that shapes the item's result."""
        raise NotImplementedError

    @property
    def could_start_ahead(self) -> bool:
        """Whether no fixture of the item has to be made for it alone."""
        return all(
            definition.scope == "session" or _is_own(definition)
            for definition in self._decisive_fixtures()
        )

    def values_ahead(self) -> dict[str, Any] | None:
        """Return the fixtures' values if they can be had before the item's turn."""
        if not self.could_start_ahead:
            return None
        values = {}
        for name in self.needs:
            definition = self._definitions[name][-1]
            if definition.scope != "session":
                values[name] = self.own_value(name)
            elif definition.cached_result is not None and definition.cached_result[2] is None:
                values[name] = definition.cached_result[0]
            else:
                return None
        return values

    @property
    def _definitions(self) -> Any:  # noqa: ANN401 - sequences of FixtureDef by name
        # pytest has no public way to ask which definition of a fixture an item will get.
        return self._fixtureinfo.name2fixturedefs

    def _decisive_fixtures(self) -> Iterator[pytest.FixtureDef[Any]]:
        """Yield the definitions that the work depends on: ours, and those of conftests."""
        for definitions in self._definitions.values():
            definition = definitions[-1]
            if _is_own(definition) or _is_from_conftest(definition):
                yield definition

    # pytest narrows the signature of Node's method in the same way.
    def repr_failure(  # type: ignore[override]
        self, excinfo: ExceptionInfo[BaseException]
    ) -> str | TerminalRepr:
        """Show the project's own errors as their message, without a traceback."""
        if isinstance(excinfo.value, RealtimeEvalError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the file as the item's place."""
        return self.path, 0, self.name


def mark_name(text: str) -> str:
    """Return what `-m` can say and pytest takes as a mark: no spaces, no leading underscore."""
    return re.sub(r"[^\w.+-]+", "_", text).lstrip("_") or "unnamed"


def is_eval_id(nodeid: str) -> bool:
    """Whether a node id is that of an eval; for processes that have ids and no items."""
    return nodeid.partition("::")[0].endswith(".json")


def _is_own(definition: pytest.FixtureDef[Any]) -> bool:
    return definition.func.__module__ == _FIXTURES_MODULE


def _is_from_conftest(definition: pytest.FixtureDef[Any]) -> bool:
    code = getattr(definition.func, "__code__", None)
    return code is not None and Path(code.co_filename).name == "conftest.py"


class SimulationItem(EvalItem):
    """One simulation."""

    lane = "conversations"
    concurrency_option = "concurrency"
    needs = ("realtime_endpoints", "tool_mocks", "judge")
    first_turn = 1

    def __init__(self, *, conversation: ConversationSetup, **kwargs: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**kwargs)
        self.conversation = conversation
        self.add_marker("simulation")
        for tag in conversation.simulation.tags:
            self.add_marker(mark_name(tag))

    async def work(self, values: dict[str, Any]) -> AnyRecord:
        """Play the simulation and grade it."""
        from pytest_realtime_eval.execution.evaluate import evaluate

        return await evaluate(
            self._job(),
            values["realtime_endpoints"],
            values["tool_mocks"],
            values["judge"],
            self._tell,
        )

    def own_value(self, fixture: str) -> Any:  # noqa: ANN401 - any fixture's
        """Return the default of ``tool_mocks``: the simulation's own."""
        from pytest_realtime_eval.conversation.tools import ToolMocks

        if fixture != "tool_mocks":
            raise NotImplementedError(fixture)
        return ToolMocks(self.conversation.simulation.tool_mocks)

    def empty_record(self, **fields: Any) -> SimulationRecord:  # noqa: ANN401 - fields of the record
        """Return a record of a conversation that was not played."""
        return self._job().record(**fields)

    @property
    def content_key(self) -> str:
        """The hash of all that shapes the conversation and its grading."""
        return self.runner.simulation_key(self.conversation)

    def _job(self) -> SimulationJob:
        name = self.conversation.simulation.simulation_id
        return self.runner.simulation_job(self.nodeid, name, self.conversation)

    def _tell(self, turn: Turn) -> None:
        self.watch.turn_ended(self.nodeid, turn, self.conversation.max_turns)


class EntryItem(EvalItem):
    """One entry of a dataset."""

    lane = "entries"
    concurrency_option = "batch_size"
    needs = ("translator",)

    def __init__(
        self,
        *,
        dataset: Dataset,
        entry: Entry,
        thresholds: tuple[Threshold, ...],
        **kwargs: Any,  # noqa: ANN401 - pytest's own
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.entry = entry
        self.thresholds = thresholds

    async def work(self, values: dict[str, Any]) -> AnyRecord:
        """Translate the entry and score it."""
        from pytest_realtime_eval.execution.translate import translate

        translator = values["translator"]
        source = self.runner.source_of(self, translator.source)
        return await translate(self._job(), self.dataset, replace(translator, source=source))

    def own_value(self, fixture: str) -> Any:  # noqa: ANN401 - any fixture's
        """Entries need session fixtures only."""
        raise NotImplementedError(fixture)

    def empty_record(self, **fields: Any) -> EntryRecord:  # noqa: ANN401 - fields of the record
        """Return a record of an entry that was not translated."""
        return self._job().record(**fields)

    @property
    def content_key(self) -> str:
        """The hash of all that shapes the translation and its scores."""
        return self.runner.entry_key(self.dataset, self.entry)

    def _job(self) -> EntryJob:
        from pytest_realtime_eval.execution.translate import EntryJob

        path = self.nodeid.partition("::")[0]
        return EntryJob(
            nodeid=self.nodeid,
            path=path,
            dataset_id=self.dataset.id,
            entry=self.entry,
            content_key=self.content_key,
            thresholds=self.thresholds,
            limits=self.runner.limits,
        )


def play_simulation(
    request: pytest.FixtureRequest,
    subtests: pytest.Subtests,
    realtime_endpoints: object,
    tool_mocks: object,
    judge: object,
) -> None:
    """Play the simulation of the item that this is the function of, and assert its verdicts."""
    item: SimulationItem = request.node
    values = {"realtime_endpoints": realtime_endpoints, "tool_mocks": tool_mocks, "judge": judge}
    record = item.runner.run(item, values)
    # Until then the reports are those of subtests, which carry no record.
    item.stash[RECORDS_KEY] = []
    # With -x the first failing subtest raises through; the item's own story says it all.
    with contextlib.suppress(VerdictFailed, EvalBroken):
        for verdict in record.verdicts:
            # What is no verdict is said in the summary; a skipped subtest would make
            # JUnit's readers take the item for skipped.
            if verdict.status in ("pass", "fail", "error"):
                _report_verdict(subtests, verdict)
    item.stash[RECORDS_KEY] = [record]
    # Not at the first item that does without the judge: what is ahead of its turn may be done.
    if record.outcome == "judge_error" and (unusable := getattr(judge, "unusable", "")):
        item.session.shouldstop = unusable
    conclude(item, record)


def translate_entry(request: pytest.FixtureRequest, translator: object) -> None:
    """Translate the entry of the item that this is the function of, and hold its thresholds."""
    item: EntryItem = request.node
    record = item.runner.run(item, {"translator": translator})
    item.stash[RECORDS_KEY] = [record]
    conclude(item, record)


def _report_verdict(subtests: pytest.Subtests, verdict: Verdict) -> None:
    place = {"turn": verdict.turn_index} if verdict.turn_index is not None else {}
    with subtests.test(msg=verdict.grader_id, **place):
        if verdict.status == "fail":
            raise VerdictFailed(verdict.rationale)
        if verdict.status == "error":
            raise EvalBroken(verdict.rationale)


def conclude(item: EvalItem, record: AnyRecord) -> None:
    """Turn a record's outcome into pytest's.

    Raises:
        EvalFailed: A verdict says fail.
        EvalBroken: There is no result: infrastructure, judge, or the simulated user.
    """
    from pytest_realtime_eval.reports.story import story

    if record.failure is not None and record.failure.fatal:
        # Every other item would fail in the same way: stop with one message.
        item.session.shouldstop = record.failure.message
    if record.outcome == "failed":
        raise EvalFailed(story(record, item.runner.folder))
    if record.outcome in ("infra_error", "judge_error", "invalid_simulation"):
        raise EvalBroken(story(record, item.runner.folder))
    if record.outcome in ("ungraded", "skipped"):
        pytest.skip(record.reason)


def attach_records(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
) -> None:
    """Put the records of an item on its report, under ``eval_records``, as lines of JSON.

    What a Python test played goes with its teardown, when the test's outcome is known.
    """
    if isinstance(item, EvalItem):
        records = _records_of_item(item, call)
        error = call.excinfo.value if call.excinfo else None
        if call.when == "setup" and isinstance(error, RealtimeEvalError):
            # Of a setup, pytest does not ask the item how to show what went wrong.
            report.longrepr = str(error)
    else:
        records = _records_of_test(item, report)
    if records:
        from pytest_realtime_eval.schemas.results import to_line

        report.eval_records = [to_line(record) for record in records]  # type: ignore[attr-defined]  # ours
        report.eval_outcome = records[0].outcome  # type: ignore[attr-defined]  # ours
        if call.when == "call":
            report.duration = sum(record.duration_ms for record in records) / 1000


def _records_of_test(item: pytest.Item, report: pytest.TestReport) -> list[AnyRecord]:
    """Return what a Python test played, once its outcome is known: it is the grader."""
    played = item.stash.get(PLAYED_KEY, [])
    if report.when == "call":
        item.stash[FAILED_KEY] = report.failed
    if report.when != "teardown":
        return []
    outcome = "failed" if item.stash.get(FAILED_KEY, True) else "passed"
    return [
        record.model_copy(update={"outcome": outcome, "reason": ""})
        if record.outcome == "ungraded"
        else record
        for record in played
    ]


def _records_of_item(item: EvalItem, call: pytest.CallInfo[None]) -> list[AnyRecord]:
    records = item.stash.get(RECORDS_KEY, None)
    if records is not None:
        if records:
            del item.stash[RECORDS_KEY]
        return records
    if call.excinfo is None or call.when == "teardown":
        return []
    error = call.excinfo.value
    in_file = call.when == "setup" and isinstance(error, FileError)
    if isinstance(error, ConfigurationError) or in_file:
        # No other item can do without what is missing: stop with one message.
        item.session.shouldstop = str(error)
    return [_record_without_work(item, error, call.when)]


def _record_without_work(item: EvalItem, error: BaseException, when: str) -> AnyRecord:
    """Return the record of an item that was skipped, or broke, outside its own work."""
    if isinstance(error, pytest.skip.Exception):
        return item.empty_record(outcome="skipped", reason=str(error))
    from pytest_realtime_eval.schemas.transcript import Failure

    failure = Failure(
        stage=getattr(error, "failure_stage", when),
        error_type=type(error).__name__,
        message=str(error),
    )
    return item.empty_record(outcome="infra_error", reason=str(error), failure=failure)


#: Category, letter and word of the outcomes that pytest has no word for.
_STATUS: Final = {
    "infra_error": ("error", "I", "INFRA ERROR"),
    "judge_error": ("error", "J", "JUDGE ERROR"),
    "invalid_simulation": ("error", "V", "INVALID SIMULATION"),
    "ungraded": ("skipped", "u", "UNGRADED"),
}


def teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[str, str, str] | None:
    """Return how the terminal names an eval's outcome; ``None`` leaves it to pytest."""
    outcome = getattr(report, "eval_outcome", None)
    return _STATUS.get(outcome) if outcome and report.when == "call" else None
