"""Scores from a card's own ``results``: the same computation builds a card and verifies it."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_realtime_eval.metrics import bootstrap
from pytest_realtime_eval.metrics.exact import exact_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_realtime_eval.metrics.base import FloatArray, Metric

    Row = Mapping[str, Any]

#: Scores with a bootstrap interval.
WITH_INTERVAL: Final = ("chrf_plus_plus", "exact_match_rate")
#: Where the translation is there and only its analysis failed, the text is scored.
FST_STAGE: Final = "fst_analyzer"
#: Counted from the entries' own flags, so that nobody needs the analyser to verify it.
_FST_RATE: Final = "fst_acceptance_rate"
_UNKNOWN: Final = "unknown"
_DIGITS: Final = 6


def rounded(value: float | None) -> float | None:
    """Return the value as cards hold it: six digits, and ``None`` for what is no number."""
    return None if value is None or not math.isfinite(value) else round(float(value), _DIGITS)


def hypothesis_of(row: Row) -> str:
    """Return the text that is scored: empty for an entry that failed."""
    error = row.get("error")
    failed = error is not None and not str(error).startswith(FST_STAGE)
    return "" if failed else str(row["predicted"])


def score_results(
    rows: Sequence[Row], metrics: Iterable[Metric], *, intervals: bool = True
) -> dict[str, Any]:
    """Return the scores block of a dataset's card.

    Args:
        rows: The card's ``results``.
        metrics: What to score with; each score stands under its metric's name.
        intervals: Whether ``<score>_interval`` is computed, a pair of limits.
    """
    pairs = [(hypothesis_of(row), str(row["reference"])) for row in rows]
    matrices = [(metric, metric.matrix(pairs)) for metric in metrics if metric.name != _FST_RATE]
    scores = _group_scores(rows, range(len(rows)), matrices)
    if intervals:
        scores |= _intervals(matrices)
    return {
        **scores,
        "errors": sum(row.get("error") is not None for row in rows),
        **_latencies(rows),
        "by_difficulty": _groups(rows, "difficulty", matrices),
        "by_provenance": _groups(rows, "provenance", matrices),
    }


def _group_scores(
    rows: Sequence[Row],
    chosen: Sequence[int],
    matrices: Sequence[tuple[Metric, FloatArray]],
) -> dict[str, Any]:
    group = [rows[index] for index in chosen]
    matches = sum(exact_match(hypothesis_of(row), str(row["reference"])) for row in group)
    return {
        "total": len(group),
        "exact_matches": matches,
        "exact_match_rate": rounded(matches / len(group)) if group else None,
        **_fst(group),
        **{
            metric.name: rounded(metric.corpus(matrix[list(chosen)])) if group else None
            for metric, matrix in matrices
        },
    }


def _fst(group: Sequence[Row]) -> dict[str, Any]:
    """Count accepted entries; a rate over entries that were not all analysed would mislead."""
    analysed = [row for row in group if row.get("fst_accepted") is not None]
    missed = [row for row in group if row.get("fst_accepted") is None and hypothesis_of(row)]
    if not analysed or missed:
        return {"fst_accepted": None, "fst_acceptance_rate": None}
    accepted = sum(row["fst_accepted"] is True for row in analysed)
    return {"fst_accepted": accepted, "fst_acceptance_rate": rounded(accepted / len(group))}


def _intervals(matrices: Sequence[tuple[Metric, FloatArray]]) -> dict[str, Any]:
    found = {
        metric.name: bootstrap.interval(metric, matrix)
        for metric, matrix in matrices
        if metric.name in WITH_INTERVAL
    }
    return {
        f"{name}_interval": [rounded(interval.low), rounded(interval.high)]
        for name, interval in found.items()
        if interval is not None
    }


def _latencies(rows: Sequence[Row]) -> dict[str, float | None]:
    known = [row["latency_seconds"] for row in rows if row.get("latency_seconds") is not None]
    names = ("avg_latency_seconds", "median_latency_seconds", "p95_latency_seconds")
    if not known:
        return dict.fromkeys(names)
    values = (np.mean(known), np.percentile(known, 50), np.percentile(known, 95))
    return {name: rounded(float(value)) for name, value in zip(names, values, strict=True)}


def _groups(
    rows: Sequence[Row], key: str, matrices: Sequence[tuple[Metric, FloatArray]]
) -> dict[str, dict[str, Any]]:
    labels = ["" if row.get(key) is None else str(row[key]) for row in rows]
    if not any(labels):
        return {}
    members: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label or _UNKNOWN, []).append(index)
    return {label: _group_scores(rows, members[label], matrices) for label in sorted(members)}


_SIMULATION_ERRORS: Final = {
    "infra_error": "infra_errors",
    "judge_error": "judge_errors",
    "invalid_simulation": "invalid_simulations",
}


def score_simulations(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the scores block of a simulation suite's card."""
    outcomes = Counter(str(row["outcome"]) for row in rows)
    graded = outcomes["passed"] + outcomes["failed"]
    errors = {name: outcomes[outcome] for outcome, name in _SIMULATION_ERRORS.items()}
    return {
        "total": len(rows),
        **{name: outcomes[name] for name in ("passed", "failed", "ungraded")},
        "errors": sum(errors.values()),
        **errors,
        "pass_rate": rounded(outcomes["passed"] / graded) if graded else None,
        "graders": _graders(rows),
    }


def _graders(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    counts: dict[str, Counter[str]] = {}
    for verdict in (verdict for row in rows for verdict in row["verdicts"]):
        counts.setdefault(str(verdict["grader_id"]), Counter())[str(verdict["status"])] += 1
    return {grader_id: _grader(counts[grader_id]) for grader_id in sorted(counts)}


def _grader(count: Counter[str]) -> dict[str, Any]:
    graded = count["pass"] + count["fail"]
    statuses = ("pass", "fail", "not_applicable", "ungraded", "error")
    mean = rounded(count["pass"] / graded) if graded else None
    return {**{status: count[status] for status in statuses}, "grade_mean": mean}
