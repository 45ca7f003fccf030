"""Thresholds over the flat summary: ``chrf_plus_plus>=40``, ``infra_errors==0``."""

from __future__ import annotations

import difflib
import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_EXPRESSION: Final = re.compile(r"\s*([^<>=!]+?)\s*(>=|<=|==|!=|>|<)\s*([^<>=!\s]+)\s*\Z")
_NAMES_SHOWN: Final = 3
#: Why a threshold or a grader of latencies says nothing.
NO_LATENCIES: Final = "latencies do not apply to a replay at full speed"
#: Scores of a single entry; those of metrics are named ``entry_<metric>``.
_ENTRY_NAMES: Final = frozenset({"exact_match", "fst_accepted", "latency_seconds"})


@dataclass(frozen=True, slots=True)
class Threshold:
    """A name of the summary, an operator and a limit.

    Attributes:
        place: Where it was written: ``command line``, ``ini``, a file.
    """

    name: str
    operator: str
    limit: float
    place: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{self.limit:g}"


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """A threshold and what the run reached.

    Attributes:
        value: ``None`` when the run measured nothing; the threshold is not met then.
    """

    threshold: Threshold
    value: float | None
    met: bool

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.threshold}: not met, the run measured no {self.threshold.name}"
        return f"{self.threshold}: {'met' if self.met else 'not met'}, it is {self.value:.6g}"


def parse_threshold(text: str, place: str = "") -> Threshold:
    """Read one threshold.

    Raises:
        ConfigurationError: It is not of the form ``name>=value``.
    """
    match = _EXPRESSION.match(text)
    limit = _number(match[3]) if match else None
    if match is None or limit is None:
        where = f" ({place})" if place else ""
        known = " ".join(_OPERATORS)
        what = f"a name of summary.json, one of {known}, and a number"
        raise ConfigurationError(f"the threshold {text!r}{where} is not {what}")
    return Threshold(match[1], match[2], limit, place)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def parse_thresholds(texts: Iterable[str], place: str = "") -> list[Threshold]:
    """Read thresholds, several of which may stand in one text, apart by commas or lines.

    Raises:
        ConfigurationError: As `parse_threshold`.
    """
    parts = [part for text in texts for part in re.split(r"[,\n]", text)]
    return [parse_threshold(part, place) for part in parts if part.strip()]


def is_entry_threshold(threshold: Threshold) -> bool:
    """Whether a threshold is for each dataset entry: over a name that entries have."""
    return threshold.name in _ENTRY_NAMES or threshold.name.startswith("entry_")


def is_timing(threshold: Threshold) -> bool:
    """Whether a threshold is about how long models took, which a replay cannot say."""
    return "latency" in threshold.name or threshold.name.startswith("schedule_error")


def evaluate(
    threshold: Threshold, summary: Mapping[str, Any], of: str = "the summary"
) -> ThresholdResult:
    """Hold a threshold against a flat summary.

    Args:
        threshold: What is to hold.
        summary: Values by name.
        of: What messages call the summary.

    Raises:
        ConfigurationError: The summary has no such name, or its value is no number.
    """
    if threshold.name not in summary:
        raise ConfigurationError(_unknown(threshold, summary, of))
    value = summary[threshold.name]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ThresholdResult(threshold, None, met=False)
    if not isinstance(value, int | float):
        what = f"{threshold.name} is {value!r:.60}, and thresholds compare numbers"
        raise ConfigurationError(f"the threshold {threshold} cannot be checked: {what}")
    met = _OPERATORS[threshold.operator](float(value), threshold.limit)
    return ThresholdResult(threshold, float(value), met)


def evaluate_all(
    thresholds: Iterable[Threshold], summary: Mapping[str, Any]
) -> list[ThresholdResult]:
    """Hold thresholds against a flat summary.

    Raises:
        ConfigurationError: As `evaluate`; one message names every threshold concerned.
    """
    results, problems = [], []
    for threshold in thresholds:
        try:
            results.append(evaluate(threshold, summary))
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError("\n".join(problems))
    return results


def _unknown(threshold: Threshold, summary: Mapping[str, Any], of: str) -> str:
    numbers = int | float | None
    names = [name for name, value in summary.items() if isinstance(value, numbers)]
    near = difflib.get_close_matches(threshold.name, names, n=_NAMES_SHOWN, cutoff=0.5)
    longer = sorted((name for name in names if threshold.name in name), key=len)
    near = near or longer[:_NAMES_SHOWN]
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    place = f" ({threshold.place})" if threshold.place else ""
    return f"the threshold {threshold}{place} names nothing in {of}{hint}"
