"""The xdist hooks and the scheduler of evals; imported only when xdist distributes.

xdist sends a worker its items bit by bit, so the worker could start no more than the next
one ahead. `EvalScheduling` sends each worker its whole share of the evals at once. The
worker derives the same division, and so knows what is coming. Items that are no evals are
scheduled as ``--dist load`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xdist.scheduler import LoadScheduling

from pytest_realtime_eval.execution.partition import partition
from pytest_realtime_eval.items import is_eval_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest
    from xdist.workermanage import WorkerController


class Distribution:
    """Tells workers which run they belong to."""

    def __init__(self, worker_input: Mapping[str, Any]) -> None:
        self._worker_input = worker_input

    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hand the run to a worker before it starts."""
        node.workerinput.update(self._worker_input)


class EvalDistribution(Distribution):
    """Also divides the evals; used unless the user named a ``--dist`` mode."""

    def __init__(self, worker_input: Mapping[str, Any], durations: Mapping[str, float]) -> None:
        super().__init__(worker_input)
        self._durations = durations

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> EvalScheduling:  # noqa: ANN401 - xdist's own
        """Return the scheduler of evals."""
        return EvalScheduling(config, log, self._durations)


class EvalScheduling(LoadScheduling):  # type: ignore[misc]  # xdist publishes no types
    """``--dist load`` that gives each worker its share of the evals at once.

    Items that a dead worker leaves go to the others as ``load`` does it.
    """

    collection: list[str] | None
    maxschedchunk: int | None

    def __init__(
        self,
        config: pytest.Config,
        log: Any,  # noqa: ANN401 - xdist's own
        durations: Mapping[str, float],
    ) -> None:
        super().__init__(config, log)
        self._durations = durations
        self._has_stopped = False

    def schedule(self) -> None:
        """Divide the evals among the workers, and leave the rest to ``load``."""
        collections = list(self.node2collection.values())
        alike = all(collection == collections[0] for collection in collections)
        if self.collection is not None or not alike or not any(map(is_eval_id, collections[0])):
            super().schedule()
            return
        nodeids: list[str] = collections[0]
        self.collection = nodeids
        evals, self.pending[:] = split(nodeids)
        shares = partition([nodeids[i] for i in evals], len(self.nodes), self._durations)
        for node in self.nodes:
            share = [evals[i] for i in shares[worker_number(node.gateway.id)]]
            self.node2pending[node].extend(share)
            node.send_runtest_some(share)
        if self.maxschedchunk is None:
            self.maxschedchunk = len(nodeids)
        for node in self.nodes:
            self.check_schedule(node)

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        """Note that an item has run, and look whether the run goes on (``-x``, ``--maxfail``)."""
        super().mark_test_complete(node, item_index, duration)
        session: Any = self.config.pluginmanager.get_plugin("dsession")
        if session.shouldstop and not self._has_stopped:
            self._has_stopped = True
            self._take_back()

    def _take_back(self) -> None:
        """Take back what no worker has begun: a worker ends when it has run all it was sent."""
        for node in self.nodes:
            for index in self.node2pending[node]:
                # One by one: of several, a worker gives all or none.
                node.send_steal([index])

    def remove_pending_tests_from_node(
        self, node: WorkerController, indices: Sequence[int]
    ) -> None:
        """Forget items that a worker has given back."""
        for index in indices:
            self.node2pending[node].remove(index)


def split(nodeids: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the indexes of the evals and those of other items."""
    evals = [index for index, nodeid in enumerate(nodeids) if is_eval_id(nodeid)]
    chosen = set(evals)
    return evals, [index for index in range(len(nodeids)) if index not in chosen]


def worker_number(worker_id: str) -> int:
    """Return 3 for ``gw3``."""
    return int(worker_id.removeprefix("gw"))


def share_of_worker(
    nodeids: Sequence[str], worker_input: Mapping[str, Any], durations: Mapping[str, float]
) -> list[int]:
    """Return the indexes that this worker will be sent, in their order.

    A worker that replaces a dead one has no share; it is sent what is left, bit by bit.
    """
    evals, _ = split(nodeids)
    number, workers = worker_number(worker_input["workerid"]), worker_input["workercount"]
    if number >= workers:
        return []
    shares = partition([nodeids[index] for index in evals], workers, durations)
    return [evals[i] for i in shares[number]]
