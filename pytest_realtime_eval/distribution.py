"""The xdist hooks; registered only when xdist distributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xdist.workermanage import WorkerController


class Distribution:
    """Tells workers which run they belong to."""

    def __init__(self, worker_input: Mapping[str, Any], *, own_scheduler: bool) -> None:
        self._worker_input = worker_input
        self._own_scheduler = own_scheduler

    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hand the run to a worker before it starts."""
        node.workerinput.update(self._worker_input)
