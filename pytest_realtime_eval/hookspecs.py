"""Hooks of this plugin that users implement in a ``conftest.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_realtime_eval.metrics.registry import MetricRegistry


@pytest.hookspec
def pytest_realtime_eval_metrics(registry: MetricRegistry) -> None:
    """Register metrics of your own: ``registry.register(MyMetric)``.

    A metric lands in the table, the thresholds and the run cards. Called once in every
    process of a run; implement it in the root ``conftest.py`` or in that of a folder that
    is named on the command line, since the process that writes the cards collects nothing.
    """
