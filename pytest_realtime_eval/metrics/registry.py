"""The metrics of a run: the project's own, and those that users add in a conftest."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.metrics.base import Metric, entry_name
from pytest_realtime_eval.metrics.exact import ExactMatch
from pytest_realtime_eval.metrics.overlap import Bleu, ChrF

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAME: Final = re.compile(r"[A-Za-z_][\w.\-]*\Z")
#: Keys of a run card's scores that are no metrics.
_TAKEN: Final = frozenset(
    {
        *("total", "exact_matches", "errors", "by_difficulty", "by_provenance"),
        *("fst_accepted", "fst_acceptance_rate"),
        *("avg_latency_seconds", "median_latency_seconds", "p95_latency_seconds"),
    }
)


def default_metrics() -> list[Metric]:
    """Return the metrics that every dataset is scored with."""
    return [ChrF(), Bleu(), ExactMatch()]


class MetricRegistry:
    """The metrics of a run by name, in the order in which they were registered."""

    def __init__(self, metrics: Iterable[Metric] | None = None) -> None:
        self._metrics: dict[str, Metric] = {}
        for metric in default_metrics() if metrics is None else metrics:
            self.register(metric)

    def register(self, metric: Metric | type[Metric]) -> None:
        """Add a metric, or a class that makes one without arguments.

        Raises:
            ConfigurationError: It is no metric, lacks its name or signature, or one of its
                names is taken.
        """
        made = metric() if isinstance(metric, type) else metric
        _check(made)
        taken = {name for other in self for name in (other.name, entry_name(other))} | _TAKEN
        for name in {made.name, entry_name(made)}:
            if name in taken:
                raise ConfigurationError(f"the metric name {name!r} is taken")
        self._metrics[made.name] = made

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics.values())

    def __len__(self) -> int:
        return len(self._metrics)

    def __getitem__(self, name: str) -> Metric:
        return self._metrics[name]

    def entry_scores(self, hypothesis: str, reference: str) -> dict[str, float | None]:
        """Return the score of one entry by each metric, under its entry name.

        What is no finite number is ``None``: an entry can be too short for a metric.

        Raises:
            ConfigurationError: A metric raised something.
        """
        scores = {entry_name(metric): _score(metric, hypothesis, reference) for metric in self}
        return {name: score if math.isfinite(score) else None for name, score in scores.items()}


def _score(metric: Metric, hypothesis: str, reference: str) -> float:
    try:
        return metric.entry_score(hypothesis, reference)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"the metric {metric.name!r} failed: {what}") from error


def _check(metric: object) -> None:
    if not isinstance(metric, Metric):
        what = "metrics derive from pytest_realtime_eval.metrics.base.Metric"
        raise ConfigurationError(f"{metric!r} is no metric: {what}")
    name = getattr(metric, "name", None)
    if not isinstance(name, str) or not _NAME.match(name):
        what = "a name of letters, digits, '_', '-' and '.' that starts with a letter"
        raise ConfigurationError(f"{type(metric).__name__} needs {what} (it has {name!r})")
    if not isinstance(metric.signature, str) or not metric.signature.strip():
        what = "a signature that tells how its scores can be reproduced"
        raise ConfigurationError(f"{type(metric).__name__} needs {what}")
