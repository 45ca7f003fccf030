"""What a process needs to run eval items: settings, endpoints, lanes of overlapping work.

One `Runner` lives in every process that runs items: pytest's own, or each xdist worker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pytest_realtime_eval.environment import environment
from pytest_realtime_eval.execution.journal import Journal, Legacy
from pytest_realtime_eval.execution.meeting_place import leave_meeting_place
from pytest_realtime_eval.execution.portal import LoopThread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence

    import pytest

    from pytest_realtime_eval.conversation.loop import Endpoints
    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.execution.cassettes import CassetteMode
    from pytest_realtime_eval.execution.entry_cassettes import DatasetCassette
    from pytest_realtime_eval.execution.evaluate import SimulationJob
    from pytest_realtime_eval.execution.identity import RunIdentity
    from pytest_realtime_eval.execution.lag import LagMonitor
    from pytest_realtime_eval.execution.lane import Lane
    from pytest_realtime_eval.execution.limits import Limits, RequestGate
    from pytest_realtime_eval.execution.translate import Translator
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.items import EntryItem, EvalItem
    from pytest_realtime_eval.metrics.registry import MetricRegistry
    from pytest_realtime_eval.options import Options
    from pytest_realtime_eval.pricing import PriceTable
    from pytest_realtime_eval.schemas.dataset import Dataset, Entry
    from pytest_realtime_eval.schemas.results import AnyRecord
    from pytest_realtime_eval.settings import MetricsHook

    Work = Callable[[], Awaitable[AnyRecord]]
    from pytest_realtime_eval.text.sources import TextSource

T = TypeVar("T")

#: Finished and running jobs that may wait for their turn, beyond what is in flight.
_LEAD: Final = 256
#: An item with one of these marks may never run, so nothing is spent on it early.
_UNCERTAIN: Final = ("skip", "skipif", "xfail")


class Runner:
    """Runs items, starting those whose fixtures allow it ahead of their turn.

    Attributes:
        options: The run's settings.
        identity: The run's name and folder.
        journal: Where records are kept until pytest has taken them.

    Args:
        worker: xdist's name of this process; empty where pytest was started.
    """

    def __init__(
        self,
        options: Options,
        identity: RunIdentity,
        hook: MetricsHook,
        *,
        ahead: bool,
        worker: str = "",
    ) -> None:
        self.options = options
        self.identity = identity
        self.folder = Path(identity.folder)
        self.loop_thread = LoopThread()
        self.journal = Journal(self.folder, worker or "main")
        # What a dead worker was to run comes to other workers.
        self._legacy = Legacy(self.folder) if worker else None
        self._share: set[str] = set()
        self._ahead = ahead
        self._hook = hook
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._lanes: dict[str, Lane[AnyRecord]] = {}
        self._upcoming: deque[EvalItem] = deque()
        self._expected: set[str] = set()
        self._announced: set[str] = set()
        self._datasets: dict[Path, DatasetCassette] = {}

    def expect_share(self, items: Sequence[pytest.Item]) -> None:
        """Take note of the items that no other process has been given, in their order."""
        self._share.update(item.nodeid for item in items)
        self.expect(items)

    def expect(self, items: Iterable[pytest.Item]) -> None:
        """Take note of the items that will have their turn here, in that order."""
        from pytest_realtime_eval.items import EvalItem

        if self._ahead:
            new = [i for i in items if isinstance(i, EvalItem) and i.nodeid not in self._expected]
            self._expected.update(item.nodeid for item in new)
            self._upcoming.extend(new)

    def run(self, item: EvalItem, values: dict[str, Any]) -> AnyRecord:
        """Return the item's record: one that is kept, started ahead, or new."""
        if kept := self._kept(item):
            if self._legacy:
                self._legacy.drop(item.nodeid)
            return kept
        self._close_later(values)
        self._announce()
        self._announced.discard(item.nodeid)
        return self._lane(item).take(item.nodeid, partial(item.evaluate, values))

    def _close_later(self, values: dict[str, Any]) -> None:
        """Note the clients among fixtures' values: they live in this loop, also users' own."""
        for value in values.values():
            closer = getattr(value, "aclose", None)
            if closer is not None and closer not in self._closers:
                self._closers.append(closer)

    def _kept(self, item: EvalItem) -> AnyRecord | None:
        """Return the result there is of an item, if it still stands for it.

        The run that is resumed has it, or a worker that died before it could report it.
        """
        if record := _if_it_stands(self._earlier.get(item.nodeid), item):
            return record.model_copy(update={"resumed": True})
        return _if_it_stands(self._left(item.nodeid), item)

    def _left(self, nodeid: str) -> AnyRecord | None:
        if self._legacy is None or nodeid in self._share or nodeid in self._announced:
            return None
        return self._legacy.get(nodeid)

    @cached_property
    def _earlier(self) -> dict[str, AnyRecord]:
        if not self.identity.resumes:
            return {}
        from pytest_realtime_eval.reports.stored import kept_records

        return {record.nodeid: record for record in kept_records(self.folder)}

    def _lane(self, item: EvalItem) -> Lane[AnyRecord]:
        if item.lane not in self._lanes:
            from pytest_realtime_eval.execution.lane import Lane

            concurrency = self.options.get(item.concurrency_option)
            self._lanes[item.lane] = Lane(self.loop_thread.portal, concurrency)
        return self._lanes[item.lane]

    def _announce(self) -> None:
        """Announce what is upcoming, as far ahead as the lead allows.

        An item whose session fixtures have no value yet is tried again at the next turn.
        Nothing is announced before half the lead is used up: each announcement waits for
        the loop's thread, which would cost an entry more than its translation.
        """
        if len(self._announced) > _LEAD // 2:
            return
        later: list[EvalItem] = []
        jobs: dict[str, dict[Hashable, Work]] = {}
        while self._upcoming and len(self._announced) < _LEAD:
            item = self._upcoming.popleft()
            values = None if _may_not_run(item) or self._kept(item) else item.values_ahead()
            if values is None:
                later.append(item)
                continue
            self._announced.add(item.nodeid)
            jobs.setdefault(item.lane, {})[item.nodeid] = partial(item.evaluate, values)
            self._lane(item)
        for lane, announced in jobs.items():
            self._lanes[lane].announce(announced)
        self._upcoming.extendleft(reversed([item for item in later if item.could_start_ahead]))

    async def run_in_loop(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await work of the runner's loop from another loop."""
        future = self.loop_thread.portal.start_task_soon(work, *args)
        return await asyncio.wrap_future(future)

    def endpoints(self) -> Endpoints:
        """Return where sessions are opened, starting the embedded endpoint if it is that.

        With recordings they are opened when something has to be recorded.
        """
        from pytest_realtime_eval.endpoints import open_endpoints

        open_ = partial(open_endpoints, self.options, self.identity, environment())
        if not self.cassettes.is_used:
            return open_()
        from pytest_realtime_eval.execution.cassettes import DeferredEndpoints, no_endpoints

        return DeferredEndpoints(no_endpoints if self.cassettes.replay else open_)

    def judge(self) -> Judge | None:
        """Return the judge that the settings name, if they name one."""
        from pytest_realtime_eval.endpoints import configured_judge

        if self.cassettes.replay:
            return None  # Each recording has the judge that it was made with.
        judge = configured_judge(self.options, environment(), self._gate)
        if judge is not None:
            self._closers.append(judge.aclose)
        return judge

    @cached_property
    def metrics(self) -> MetricRegistry:
        """What translations are scored with; remembers what it counted of each."""
        from pytest_realtime_eval.settings import metrics_of

        return metrics_of(self._hook)

    def translator(self) -> Translator:
        """Return the model that translates dataset entries, and how it is asked."""
        from pytest_realtime_eval.settings import build_translator

        translator = build_translator(
            self.options, self.identity, self.metrics, environment(), self._gate
        )
        self._closers.append(translator.aclose)
        return translator

    def source_of(self, item: EntryItem, source: TextSource) -> TextSource:
        """Return what translates an entry: the source, or the dataset's recording."""
        if not self.cassettes.is_used:
            return source
        from pytest_realtime_eval.execution.entry_cassettes import (
            DatasetCassette,
            EntrySource,
            Sampling,
        )

        if item.path not in self._datasets:
            self._datasets[item.path] = DatasetCassette(
                item.dataset, item.path, self.cassettes, self.identity.meeting_place
            )
        sampling = Sampling(self.options.get("temperature"), self.options.get("max_tokens"))
        return EntrySource(source, self._datasets[item.path], item.entry, sampling)

    @cached_property
    def cassettes(self) -> CassetteMode:
        """What is recorded, and what is replayed."""
        from pytest_realtime_eval.execution.cassettes import cassette_mode

        return cassette_mode(self.options)

    def simulation_job(self, nodeid: str, name: str, setup: ConversationSetup) -> SimulationJob:
        """Return what one conversation needs; ``name`` names its files."""
        from pytest_realtime_eval.execution.evaluate import SimulationJob

        return SimulationJob(
            nodeid=nodeid,
            path=nodeid.partition("::")[0],
            name=name,
            setup=setup,
            folder=self.folder,
            prices=self.prices,
            content_key=self.simulation_key(setup),
            retries=self.options.get("retries"),
            lag=self._lag,
            limits=self.limits,
            max_lag_ms=self.options.get("max_lag_ms"),
            cassettes=self.cassettes,
            whole_call=not self.options.get("skip_report"),
        )

    def simulation_key(self, setup: ConversationSetup) -> str:
        """Return the hash of all that shapes a simulation's result in this run."""
        from pytest_realtime_eval.endpoints import endpoint_name, judge_name
        from pytest_realtime_eval.execution.content_key import simulation_key

        model = judge_name(self.options, environment())
        judge = {"model": model, "url": self.options.get("judge_base_url")} if model else None
        endpoint = endpoint_name(self.options, environment())
        return simulation_key(setup, judge, endpoint)

    def entry_key(self, dataset: Dataset, entry: Entry) -> str:
        """Return the hash of all that shapes an entry's result in this run."""
        from pytest_realtime_eval.execution.content_key import (
            content_key,
            entry_key,
            request_content,
        )
        from pytest_realtime_eval.text.prompts import translation_prompt

        get, (model, system, thresholds) = self.options.get, self._translation
        request = request_content(
            entry.source,
            system or translation_prompt(dataset),
            model,
            get("temperature"),
            get("max_tokens"),
        )
        scored = {"fst_analyzer": get("fst_analyzer"), "thresholds": thresholds}
        key = entry_key(dataset, entry, request)
        return content_key({"key": key, "server": get("base_url"), **scored})

    @cached_property
    def _translation(self) -> tuple[str, str, list[str]]:
        """The model, the system prompt and the thresholds that entries are translated with."""
        from pytest_realtime_eval.endpoints import text_model
        from pytest_realtime_eval.settings import entry_thresholds, system_prompt

        thresholds = [str(threshold) for threshold in entry_thresholds(self.options)]
        return text_model(self.options, environment()), system_prompt(self.options), thresholds

    @cached_property
    def _lag(self) -> LagMonitor:
        from pytest_realtime_eval.execution.lag import LagMonitor

        return LagMonitor()

    @cached_property
    def limits(self) -> Limits:
        """What holds for the whole run: rate, sessions, cost."""
        from pytest_realtime_eval.execution.limits import Limits, LimitSettings

        get = self.options.get
        settings = LimitSettings(
            rate_per_minute=get("rate_limit"),
            max_sessions=get("max_sessions"),
            max_cost_usd=get("max_cost_usd"),
            spent_usd=sum(record.cost_usd or 0.0 for record in self._earlier.values()),
        )
        if self.cassettes.replay:
            settings = LimitSettings()  # Nobody is asked, and nothing is paid.
        limits = Limits(settings, self.identity.meeting_place / "limits.sqlite")
        self._closers.append(limits.aclose)
        return limits

    @property
    def _gate(self) -> RequestGate:
        from pytest_realtime_eval.execution.limits import RequestGate

        return RequestGate(self.limits)

    @cached_property
    def prices(self) -> PriceTable:
        """The price table: the file that is named, else the packaged one."""
        from pytest_realtime_eval.pricing import load_prices

        return load_prices(self.options.path("price_file"))

    def close(self) -> None:
        """Cancel what was started ahead and end the loop's thread."""
        closers, self._closers[:] = list(self._closers), []
        with ExitStack() as stack:
            # Last, also when a client of a user's fixture cannot be closed, or when another
            # Ctrl-C, or xdist for want of its controller, cuts this short.
            stack.callback(leave_meeting_place, self.identity)
            stack.callback(self.journal.close)
            stack.callback(self.loop_thread.stop)
            if self.loop_thread.started:
                for closer in closers:
                    stack.callback(self.loop_thread.portal.call, closer)
            for lane in self._lanes.values():
                lane.cancel()
            self._lanes.clear()
        for recording in self._datasets.values():
            recording.put_in_order()
        self._datasets.clear()


def _if_it_stands(record: AnyRecord | None, item: EvalItem) -> AnyRecord | None:
    """Return a record if it is a result, and of what the item is now."""
    from pytest_realtime_eval.schemas.results import RESULT_OUTCOMES

    if record is None or record.outcome not in RESULT_OUTCOMES:
        return None
    return record if record.content_key == item.content_key else None


def _may_not_run(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in _UNCERTAIN)
