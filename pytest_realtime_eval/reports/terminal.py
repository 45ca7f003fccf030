"""The lines that close a run: tables, thresholds, what was not graded, where the files lie."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.reports.plots import interval, own_metrics
from pytest_realtime_eval.reports.text import (
    UNKNOWN,
    Column,
    decimal,
    dollars,
    percent,
    plural,
    seconds,
    table,
    wrap,
)
from pytest_realtime_eval.schemas.results import EntryRecord, Outcome, SimulationRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.schemas.results import AnyRecord

#: Simulations that passed are left out of the table beyond this many rows.
MAX_ROWS: Final = 40

#: What a row ends with whose item did not pass: last words of `_WORDS`.
_RED_ENDS: Final = frozenset({"FAILED", "ERROR", "INVALID"})
_WORDS: Final[dict[Outcome, str]] = {
    "passed": "passed",
    "failed": "FAILED",
    "infra_error": "INFRA ERROR",
    "judge_error": "JUDGE ERROR",
    "invalid_simulation": "INVALID",
    "ungraded": "ungraded",
    "skipped": "skipped",
}


def closing_lines(
    records: Sequence[AnyRecord],
    summary: Mapping[str, Any],
    info: RunInfo,
    *,
    width: int = 80,
    report: Path | None = None,
) -> list[str]:
    """Return the closing summary, plain text, no line wider than ``width``.

    Args:
        records: The run's records.
        summary: What `reports.summary.summarise` made of them.
        info: The run, with its dataset scores and checked thresholds.
        width: Columns of the terminal.
        report: The report page, where there is one.
    """
    simulations = [record for record in records if isinstance(record, SimulationRecord)]
    entries = [record for record in records if isinstance(record, EntryRecord)]
    blocks = (
        simulation_table(simulations, width),
        dataset_table(entries, info.dataset_scores, width),
        threshold_table(info, width),
        unmocked(simulations, width),
        not_graded(records, width),
        totals(summary, info, width),
        places(info, report),
    )
    filled = [block for block in blocks if block]
    return [line for block in filled for line in (*block, "")][:-1]


def colour(line: str) -> str:
    """Return the colour of one of the closing lines, in pytest's words; empty for plain."""
    words = line.removesuffix(" (resumed)").split()
    if words and (words[-1] in _RED_ENDS or "MISSED" in words or words[0] == "ERROR:"):
        return "red"
    return "green" if words and words[-1] == "passed" else ""


def simulation_table(records: Sequence[SimulationRecord], width: int = 80) -> list[str]:
    """Return a row for each simulation, those that did not pass first when there are many."""
    if not records:
        return []
    shown = list(records)
    if len(shown) > MAX_ROWS:
        shown = [r for r in records if r.outcome != "passed"]
        shown += [r for r in records if r.outcome == "passed"][: max(0, MAX_ROWS - len(shown))]
    columns = [
        Column("simulation", least=12),
        Column("turns", right=True),
        Column("grades"),
        Column("audio p50/p95 ms", right=True),
        Column("cost", right=True),
        Column("outcome", least=11),
    ]
    heading, *rows = table(columns, [_simulation_row(record) for record in shown], width)
    lines = [heading]
    for record, row in zip(shown, rows, strict=True):
        lines += [row, *_failing_grades(record, width)]
    left_out = len(records) - len(shown)
    return lines + ([f"... and {left_out} more that passed"] if left_out else [])


def _simulation_row(record: SimulationRecord) -> list[str]:
    turns = record.transcript.turns if record.transcript else ()
    outcome = _WORDS[record.outcome] + (" (resumed)" if record.resumed else "")
    return [
        record.simulation_id,
        str(len(turns)),
        _grades(record),
        _latency(record),
        dollars(record.cost_usd),
        outcome,
    ]


def _grades(record: SimulationRecord) -> str:
    grades = [verdict.grade for verdict in record.verdicts if verdict.grade is not None]
    return f"{sum(grades)}/{len(grades)} pass" if grades else UNKNOWN


def _failing_grades(record: SimulationRecord, width: int) -> list[str]:
    """Write each grader that fails, with how many of its grades pass."""
    graded: dict[str, list[int]] = defaultdict(list)
    for verdict in record.verdicts:
        if verdict.grade is not None:
            graded[verdict.grader_id].append(verdict.grade)
    failing = [f"{g} {sum(found)}/{len(found)}" for g, found in graded.items() if not all(found)]
    return wrap(", ".join(failing), width, indent="    ") if failing else []


def _latency(record: SimulationRecord) -> str:
    """Write p50 and p95 of a conversation's first audio, interpolated linearly."""
    turns = record.transcript.turns if record.transcript else ()
    known = sorted(t.latencies.first_audio for t in turns if t.latencies.first_audio is not None)
    if not known:
        return UNKNOWN
    return f"{_quantile(known, 0.5):,.0f}/{_quantile(known, 0.95):,.0f}"


def _quantile(known: Sequence[float], share: float) -> float:
    place = share * (len(known) - 1)
    low = int(place)
    high = min(low + 1, len(known) - 1)
    return known[low] + (known[high] - known[low]) * (place - low)


def dataset_table(
    entries: Sequence[EntryRecord],
    scores: Mapping[str, Mapping[str, Any]],
    width: int = 80,
) -> list[str]:
    """Return a row for each dataset."""
    if not entries:
        return []
    by_dataset: dict[str, list[EntryRecord]] = defaultdict(list)
    for entry in entries:
        by_dataset[entry.dataset_id].append(entry)
    own = list(dict.fromkeys(name for found in scores.values() for name in own_metrics(found)))
    columns = [
        Column("dataset", least=12),
        Column("entries", right=True),
        Column("chrF++ [95 % interval]", right=True),
        Column("exact", right=True),
        Column("FST", right=True),
        *(Column(name, right=True) for name in own),
        Column("cost", right=True),
        Column("errors", right=True),
    ]
    rows = [
        _dataset_row(name, found, scores.get(name, {}), own) for name, found in by_dataset.items()
    ]
    return table(columns, rows, width)


def _dataset_row(
    name: str, entries: Sequence[EntryRecord], scores: Mapping[str, Any], own: Sequence[str]
) -> list[str]:
    bounds = interval(scores)
    costs = [entry.cost_usd for entry in entries if entry.cost_usd is not None]
    return [
        name,
        f"{len(entries):,}",
        decimal(scores.get("chrf_plus_plus"))
        + (f" [{bounds[0]:.1f}-{bounds[1]:.1f}]" if bounds else ""),
        percent(scores.get("exact_match_rate")),
        percent(scores.get("fst_acceptance_rate")),
        *(f"{value:.4g}" if (value := scores.get(each)) is not None else UNKNOWN for each in own),
        dollars(sum(costs) if len(costs) == len(entries) else None),
        str(sum(entry.outcome in {"infra_error", "judge_error"} for entry in entries)),
    ]


def threshold_table(info: RunInfo, width: int = 80) -> list[str]:
    """Return a row for each threshold, with the value that the run reached."""
    if not info.thresholds:
        return []
    columns = [
        Column("threshold", least=20),
        Column("value", right=True),
        Column(""),
        Column("set by"),
    ]
    rows = [
        [
            check.expression,
            "not measured" if check.value is None else f"{check.value:g}",
            "MISSED" if check.result == "missed" else check.result,
            check.place,
        ]
        for check in info.thresholds
    ]
    return table(columns, rows, width)


def not_graded(records: Sequence[AnyRecord], width: int = 80) -> list[str]:
    """Say what has no verdict, and why; what shares a reason stands under it."""
    missing: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.outcome in {"infra_error", "invalid_simulation", "skipped"}:
            missing[record.reason].append(f"{_name(record)} ({_WORDS[record.outcome].lower()})")
        for verdict in record.verdicts:
            if verdict.status in {"ungraded", "error"}:
                missing[verdict.rationale].append(f"{_name(record)} {verdict.grader_id}")
    most_first = sorted(missing.items(), key=lambda reason: -len(reason[1]))
    lines = [line for why, what in most_first[:20] for line in _reason(why, what, width)]
    if len(missing) > 20:
        lines.append(f"  ... and {len(missing) - 20} other reasons")
    return ["not graded:", *lines] if lines else []


def unmocked(records: Sequence[SimulationRecord], width: int = 80) -> list[str]:
    """Name the calls that no mock answered; the model was told "Unsupported tool"."""
    calls = [
        f"{output.name} ({record.simulation_id}, turn {turn.index})"
        for record in records
        if record.transcript
        for turn in record.transcript.turns
        for output in turn.tool_outputs
        if not output.mocked
    ]
    if not calls:
        return []
    more = f" and {len(calls) - 6} more" if len(calls) > 6 else ""
    return wrap(f"called, and no mock answered: {', '.join(calls[:6])}{more}", width, "  ", "")


def _reason(why: str, what: Sequence[str], width: int) -> list[str]:
    named = list(dict.fromkeys(what))
    listed = ", ".join(named[:6]) + (f" and {len(named) - 6} more" if len(named) > 6 else "")
    return [
        *wrap(why or "no reason given", width, "  "),
        *wrap(listed, width, "    "),
    ]


def _name(record: AnyRecord) -> str:
    return record.simulation_id if isinstance(record, SimulationRecord) else record.entry_id


def totals(summary: Mapping[str, Any], info: RunInfo, width: int = 80) -> list[str]:
    """Return outcomes, tokens and dollars of the whole run."""
    counts = (
        "passed",
        "failed",
        "infra_errors",
        "judge_errors",
        "invalid_simulations",
        "ungraded",
        "skipped",
    )
    outcomes = [_count(summary[name], name) for name in counts if summary.get(name)]
    counted = ", ".join(outcomes) or "none"
    lines = wrap(f"evals: {counted} in {seconds(info.elapsed_seconds)}", width)
    tokens = list(_token_words(summary))
    if tokens:
        lines += wrap(f"tokens in/out: {', '.join(tokens)}", width, indent="    ", first="")
    return [*lines, f"cost: {_cost(summary)}", *_late(summary, width)]


def _late(summary: Mapping[str, Any], width: int) -> list[str]:
    count = summary.get("late_conversations") or 0
    if not count:
        return []
    return wrap(
        f"late: {plural(count, 'conversation')} sent audio later than --eval-max-lag-ms "
        "allows; the latencies there are this machine's, not the model's",
        width,
        indent="    ",
        first="",
    )


def _count(count: int, name: str) -> str:
    words = name.replace("_", " ")
    return (
        plural(count, words.removesuffix("s"), words)
        if words.endswith("s")
        else f"{count:,} {words}"
    )


def _token_words(summary: Mapping[str, Any]) -> Iterator[str]:
    pairs = {
        "assistant": ("assistant_input", "assistant_output"),
        "simulator": ("simulator_input", "simulator_output"),
        "judge": ("judge_input", "judge_output"),
        "translation": ("prompt", "completion"),
    }
    for name, (given, made) in pairs.items():
        used = [summary.get(f"total_{part}_tokens") or 0 for part in (given, made)]
        if any(used):
            yield f"{name} {used[0]:,}/{used[1]:,}"


def _cost(summary: Mapping[str, Any]) -> str:
    total = summary.get("total_cost_usd")
    if total is not None:
        return dollars(total)
    known, without = summary.get("known_cost_usd") or 0.0, summary.get("items_without_cost") or 0
    rest = f"the cost of {plural(without, 'item')} is not known"
    return f"{dollars(known)} and more: {rest}" if known else f"unknown: {rest}"


def places(info: RunInfo, report: Path | None = None) -> list[str]:
    """Say where the run's files and its page lie."""
    lines = [f"results: {info.folder}"]
    return [*lines, f"report:  {report}"] if report else lines
