"""What a process needs to run eval items: settings, endpoints, lanes of overlapping work.

One `Runner` lives in every process that runs items: pytest's own, or each xdist worker.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pytest_realtime_eval.execution.portal import LoopThread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    import pytest

    from pytest_realtime_eval.conversation.loop import Endpoints
    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.execution.evaluate import SimulationJob
    from pytest_realtime_eval.execution.identity import RunIdentity
    from pytest_realtime_eval.execution.lag import LagMonitor
    from pytest_realtime_eval.execution.lane import Lane
    from pytest_realtime_eval.execution.translate import Translator
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.items import EvalItem
    from pytest_realtime_eval.options import Options
    from pytest_realtime_eval.pricing import PriceTable
    from pytest_realtime_eval.schemas.results import AnyRecord
    from pytest_realtime_eval.settings import MetricsHook

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
    """

    def __init__(
        self, options: Options, identity: RunIdentity, hook: MetricsHook, *, ahead: bool
    ) -> None:
        self.options = options
        self.identity = identity
        self.folder = Path(identity.folder)
        self.loop_thread = LoopThread()
        self._ahead = ahead
        self._hook = hook
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._lanes: dict[str, Lane[AnyRecord]] = {}
        self._upcoming: deque[EvalItem] = deque()
        self._expected: set[str] = set()
        self._announced: set[str] = set()

    def expect(self, items: Iterable[pytest.Item]) -> None:
        """Take note of the items that will have their turn here, in that order."""
        from pytest_realtime_eval.items import EvalItem

        if self._ahead:
            new = [i for i in items if isinstance(i, EvalItem) and i.nodeid not in self._expected]
            self._expected.update(item.nodeid for item in new)
            self._upcoming.extend(new)

    def run(self, item: EvalItem, values: dict[str, Any]) -> AnyRecord:
        """Return the item's record, from what was started ahead or by running it now."""
        self._announce()
        self._announced.discard(item.nodeid)
        return self._lane(item).take(item.nodeid, partial(item.evaluate, values))

    def _lane(self, item: EvalItem) -> Lane[AnyRecord]:
        if item.lane not in self._lanes:
            from pytest_realtime_eval.execution.lane import Lane

            concurrency = self.options.get(item.concurrency_option)
            self._lanes[item.lane] = Lane(self.loop_thread.portal, concurrency)
        return self._lanes[item.lane]

    def _announce(self) -> None:
        """Announce what is upcoming, as far ahead as the lead allows.

        An item whose session fixtures have no value yet is tried again at the next turn.
        """
        later: list[EvalItem] = []
        while self._upcoming and len(self._announced) < _LEAD:
            item = self._upcoming.popleft()
            values = None if _may_not_run(item) else item.values_ahead()
            if values is None:
                later.append(item)
                continue
            self._announced.add(item.nodeid)
            self._lane(item).announce({item.nodeid: partial(item.evaluate, values)})
        self._upcoming.extendleft(reversed([item for item in later if item.could_start_ahead]))

    async def run_in_loop(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await work of the runner's loop from another loop."""
        future = self.loop_thread.portal.start_task_soon(work, *args)
        return await asyncio.wrap_future(future)

    def endpoints(self) -> Endpoints:
        """Return where sessions are opened, starting the embedded endpoint if it is that."""
        from pytest_realtime_eval.endpoints import open_endpoints

        return open_endpoints(self.options, self.identity, os.environ)

    def judge(self) -> Judge | None:
        """Return the judge that the settings name, if they name one."""
        from pytest_realtime_eval.endpoints import configured_judge

        judge = configured_judge(self.options, os.environ)
        if judge is not None:
            self._closers.append(judge.aclose)
        return judge

    def translator(self) -> Translator:
        """Return the model that translates dataset entries, and how it is asked."""
        from pytest_realtime_eval.settings import build_translator

        translator = build_translator(self.options, self.identity, self._hook, os.environ)
        self._closers.append(translator.aclose)
        return translator

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
            retries=self.options.get("retries"),
            lag=self._lag,
        )

    @cached_property
    def _lag(self) -> LagMonitor:
        from pytest_realtime_eval.execution.lag import LagMonitor

        return LagMonitor()

    @cached_property
    def prices(self) -> PriceTable:
        """The price table: the file that is named, else the packaged one."""
        from pytest_realtime_eval.pricing import load_prices

        return load_prices(self.options.path("price_file"))

    def close(self) -> None:
        """Cancel what was started ahead and end the loop's thread."""
        for lane in self._lanes.values():
            lane.cancel()
        self._lanes.clear()
        if self.loop_thread.started:
            for closer in self._closers:
                self.loop_thread.portal.call(closer)
            self.loop_thread.stop()
        self._closers.clear()


def _may_not_run(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in _UNCERTAIN)
