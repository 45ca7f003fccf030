"""summary.json: a run in one flat object, which thresholds are written over."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from pytest_realtime_eval.reports.table import grader_ids
from pytest_realtime_eval.schemas.results import AnyRecord, EntryRecord, Outcome, SimulationRecord

if TYPE_CHECKING:
    import pandas as pd

    from pytest_realtime_eval.reports.run_info import RunInfo

Summary = dict[str, Any]

#: Averaged, with percentiles, whatever the run holds: first the field's columns, then ours.
MEASURED: Final = (
    "latency_first_audio_ms",
    "latency_first_text_ms",
    "latency_response_done_ms",
    "output_tokens",
    "output_audio_tokens",
    "output_text_tokens",
    "latency_first_audio_after_speech_ms",
    "input_tokens",
    "schedule_error_p99_ms",
    "latency_seconds",
)
QUANTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

#: Names of the counts that thresholds gate on.
_COUNTED: Final[dict[Outcome, str]] = {
    "passed": "passed",
    "failed": "failed",
    "infra_error": "infra_errors",
    "judge_error": "judge_errors",
    "invalid_simulation": "invalid_simulations",
    "ungraded": "ungraded",
    "skipped": "skipped",
}
_RUN: Final = ("run_id", "started_at", "elapsed_seconds", "endpoint", "judge", "parent")


def summarise(frame: pd.DataFrame, records: Sequence[AnyRecord], info: RunInfo) -> Summary:
    """Return the flat summary of a run; JSON values only, ``None`` where nothing was measured.

    Percentiles interpolate linearly, as pandas does. ``pass_rate`` is passed over passed
    and failed items: broken and ungraded ones say nothing about the model and are counted
    by themselves. ``total_cost_usd`` is ``None`` as soon as the cost of one item that ran
    is not known; ``known_cost_usd`` sums the others. Dataset scores are flattened as
    ``<dataset_id>_<score>``, and without the prefix when there is one dataset.
    """
    failed = frame.loc[(frame["status"] == "failed") & (frame["outcome"] != "skipped")]
    return {
        "total_rows": len(frame),
        "failed_simulations": int(failed["simulation_id"].nunique()),
        **_grade_means(frame, grader_ids(records)),
        **_measurements(frame),
        **info.configuration,
        **{name: getattr(info, name) for name in _RUN},
        **_counts(records),
        **_costs(records),
        **_tokens(records),
        **_scores(info.dataset_scores),
    }


def quantiles(column: pd.Series[Any]) -> dict[str, float | None]:
    """Return ``avg``, ``p50``, ``p95`` and ``p99`` of what is known in a column."""
    known = column.dropna().astype("float64")
    if known.empty:
        return dict.fromkeys(("avg", *QUANTILES))
    at = known.quantile([*QUANTILES.values()], interpolation="linear")
    return {"avg": float(known.mean()), **dict(zip(QUANTILES, map(float, at), strict=True))}


def outcome_counts(records: Sequence[AnyRecord]) -> dict[Outcome, int]:
    """Return how many items had each outcome; all outcomes, in the schema's order."""
    counted = Counter(record.outcome for record in records)
    return {outcome: counted[outcome] for outcome in get_args(Outcome)}


def pass_rate(records: Sequence[AnyRecord]) -> float | None:
    """Return passed over passed and failed; ``None`` when nothing was graded."""
    counts = outcome_counts(records)
    graded = counts["passed"] + counts["failed"]
    return counts["passed"] / graded if graded else None


def _grade_means(frame: pd.DataFrame, graders: Sequence[str]) -> Summary:
    grades = {f"{grader_id}_grade": frame[f"{grader_id}_grade"] for grader_id in graders}
    return {f"{name}_mean": quantiles(column)["avg"] for name, column in grades.items()}


def _measurements(frame: pd.DataFrame) -> Summary:
    return {
        f"{name}_{statistic}": value
        for name in MEASURED
        for statistic, value in _column_quantiles(frame, name).items()
    }


def _column_quantiles(frame: pd.DataFrame, name: str) -> dict[str, float | None]:
    if name not in frame:
        return dict.fromkeys(("avg", *QUANTILES))
    # A conversation has one schedule error, which each of its rows repeats.
    rows = frame.drop_duplicates("nodeid") if name.startswith("schedule_") else frame
    return quantiles(rows[name])


def _counts(records: Sequence[AnyRecord]) -> Summary:
    counts = {_COUNTED[outcome]: count for outcome, count in outcome_counts(records).items()}
    simulations = [record for record in records if isinstance(record, SimulationRecord)]
    transcripts = [record.transcript for record in simulations if record.transcript]
    return {
        "total_items": len(records),
        "simulations": len(simulations),
        "entries": len(records) - len(simulations),
        "turns": sum(len(transcript.turns) for transcript in transcripts),
        "late_conversations": sum(record.late for record in simulations),
        **counts,
        "pass_rate": pass_rate(records),
        "ungraded_verdicts": sum(v.status == "ungraded" for r in records for v in r.verdicts),
        "retried": sum(len(record.attempts) > 1 for record in records),
        "resumed": sum(record.resumed for record in records),
    }


def _costs(records: Sequence[AnyRecord]) -> Summary:
    ran = [record for record in records if record.outcome != "skipped"]
    known = [record.cost_usd for record in ran if record.cost_usd is not None]
    return {
        "total_cost_usd": math.fsum(known) if len(known) == len(ran) else None,
        "known_cost_usd": math.fsum(known),
        "items_without_cost": len(ran) - len(known),
    }


def _tokens(records: Sequence[AnyRecord]) -> Summary:
    """Sum tokens by who used them; judges and translations count prompt and completion."""
    total: Counter[str] = Counter()
    for record in records:
        _add_record_tokens(total, record)
    return {f"total_{name}_tokens": total[name] for name in _TOKENS}


_TOKENS: Final = (
    "assistant_input",
    "assistant_output",
    "simulator_input",
    "simulator_output",
    "judge_input",
    "judge_output",
    "prompt",
    "completion",
    "reasoning",
)


def _add_record_tokens(total: Counter[str], record: AnyRecord) -> None:
    for verdict in record.verdicts:
        total["judge_input"] += verdict.usage.input_tokens
        total["judge_output"] += verdict.usage.output_tokens
    if isinstance(record, EntryRecord):
        total["prompt"] += record.usage.prompt_tokens
        total["completion"] += record.usage.completion_tokens
        total["reasoning"] += record.usage.reasoning_tokens
    elif record.transcript:
        turns = record.transcript.turns
        spoken = [turn.simulator_usage for turn in turns] + [record.transcript.end_usage]
        total["assistant_input"] += sum(turn.usage.input_tokens for turn in turns)
        total["assistant_output"] += sum(turn.usage.output_tokens for turn in turns)
        total["simulator_input"] += sum(usage.input_tokens for usage in spoken)
        total["simulator_output"] += sum(usage.output_tokens for usage in spoken)


def _scores(dataset_scores: Mapping[str, Mapping[str, Any]]) -> Summary:
    flat: Summary = {}
    for dataset_id, scores in dataset_scores.items():
        flat |= _flatten(scores, prefix=dataset_id)
    named = [scores for dataset_id, scores in dataset_scores.items() if dataset_id]
    if len(named) == 1 and "" not in dataset_scores:
        flat |= _flatten(named[0], prefix="")
    return flat


def _flatten(scores: Mapping[str, Any], prefix: str) -> Summary:
    """Flatten nested scores; a pair of numbers is an interval's ``_low`` and ``_high``."""
    flat: Summary = {}
    for key, value in scores.items():
        name = f"{prefix}_{key}" if prefix else key
        if isinstance(value, Mapping):
            flat |= _flatten(value, name)
        elif isinstance(value, list | tuple) and len(value) == 2:
            flat |= {f"{name}_low": value[0], f"{name}_high": value[1]}
        elif not isinstance(value, list | tuple):
            flat[name] = value
    return flat
