"""What GitHub Actions shows of a run: annotations at the files, and a summary of the job.

Formats: GitHub's documentation, "Workflow commands for GitHub Actions" and "Adding a job
summary".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.reports.plots import interval
from pytest_realtime_eval.reports.text import (
    clean,
    decimal,
    dollars,
    percent,
    plural,
    seconds,
    shorten,
)
from pytest_realtime_eval.schemas.results import SimulationRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.schemas.results import AnyRecord, Outcome

#: GitHub shows ten annotations of a kind for each step.
MOST_ANNOTATIONS: Final = 10
#: A job summary may have 1 MiB; rows beyond this many are counted only.
MOST_ROWS: Final = 200

_LEVELS: Final[dict[Outcome, str]] = {
    "failed": "error",
    "infra_error": "error",
    "judge_error": "error",
    "invalid_simulation": "error",
    "ungraded": "notice",
}
_SIGNS: Final[dict[Outcome, str]] = {
    "passed": "✅ passed",
    "failed": "❌ failed",
    "infra_error": "⚡ infra error",
    "judge_error": "❓ judge error",
    "invalid_simulation": "❗ invalid simulation",
    "ungraded": "⚪ ungraded",
    "skipped": "⏭️ skipped",
}


def annotation(record: AnyRecord, line: int = 1) -> str | None:
    """Return the workflow command that marks an item's file; ``None`` for a passed one.

    Args:
        record: The item; its path is relative to the repository.
        line: Where in the file the item stands, from 1.
    """
    level = _LEVELS.get(record.outcome)
    if level is None:
        return None
    message = clean(record.reason) or record.outcome.replace("_", " ")
    properties = {
        "file": record.path,
        "line": str(line),
        "title": f"{_name(record)} {record.outcome}",
    }
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{level} {listed}::{_data(message)}"


def workflow_commands(records: Sequence[AnyRecord], root: Path) -> Iterator[str]:
    """Yield the workflow commands of a run, each at its item's line of its file.

    Args:
        records: The run's records; their paths are relative to ``root``.
        root: The folder of the repository.
    """
    shown = 0
    for record in records:
        if record.outcome not in _LEVELS or shown == MOST_ANNOTATIONS:
            continue
        name = record.simulation_id if isinstance(record, SimulationRecord) else record.entry_id
        try:
            content = (root / record.path).read_text("utf-8", "replace")
        except OSError:
            content = ""
        if found := annotation(record, line_of(content, name)):
            shown += 1
            yield found


def line_of(content: str, name: str) -> int:
    """Return the line of a JSON file on which ``name`` stands as a value, else 1."""
    at = re.search(rf':\s*"{re.escape(name)}"', content)
    return content.count("\n", 0, at.start()) + 1 if at else 1


def job_summary(records: Sequence[AnyRecord], summary: Mapping[str, Any], info: RunInfo) -> str:
    """Return the run as Markdown, for the file that ``GITHUB_STEP_SUMMARY`` names."""
    blocks = (
        [f"## Evals: {_text(info.run_name or info.run_id)}", "", _totals(summary, info)],
        list(_thresholds(info)),
        list(_simulations([r for r in records if isinstance(r, SimulationRecord)])),
        list(_datasets(info)),
        list(_problems(records)),
    )
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _totals(summary: Mapping[str, Any], info: RunInfo) -> str:
    names = ("passed", "failed", "infra_errors", "judge_errors", "invalid_simulations", "ungraded")
    counts = [f"{summary[name]} {name.replace('_', ' ')}" for name in names if summary.get(name)]
    cost = dollars(summary.get("total_cost_usd"))
    cost = "unknown" if cost == "-" else cost
    return f"{', '.join(counts) or 'no items'} in {seconds(info.elapsed_seconds)}; cost: {cost}."


_RESULTS: Final = {"met": "✅ met", "missed": "❌ missed", "not applicable": "not applicable"}


def _thresholds(info: RunInfo) -> Iterator[str]:
    if not info.thresholds:
        return
    yield from _heading("threshold", "value:", "")
    for check in info.thresholds:
        value = "not measured" if check.value is None else f"{check.value:g}"
        yield _row(_code(check.expression), value, _RESULTS[check.result])


def _simulations(records: Sequence[SimulationRecord]) -> Iterator[str]:
    if not records:
        return
    yield from _heading("simulation", "outcome", "turns:", "grades:", "time:", "cost:")
    worst_first = sorted(records, key=lambda record: record.outcome == "passed")
    for record in worst_first[:MOST_ROWS]:
        grades = [verdict.grade for verdict in record.verdicts if verdict.grade is not None]
        yield _row(
            _text(record.simulation_id),
            _SIGNS[record.outcome],
            str(len(record.transcript.turns) if record.transcript else 0),
            f"{sum(grades)}/{len(grades)}" if grades else "-",
            seconds(record.duration_ms / 1000),
            dollars(record.cost_usd),
        )
    if len(records) > MOST_ROWS:
        yield f"\n... and {len(records) - MOST_ROWS} more."


def _datasets(info: RunInfo) -> Iterator[str]:
    named = {name: scores for name, scores in info.dataset_scores.items() if name}
    if not named:
        return
    yield from _heading("dataset", "entries:", "chrF++:", "exact:", "FST:")
    for name, scores in named.items():
        bounds = interval(scores)
        span = f" [{bounds[0]:.1f}, {bounds[1]:.1f}]" if bounds else ""
        yield _row(
            _text(name),
            str(scores.get("total", "-")),
            decimal(scores.get("chrf_plus_plus")) + span,
            percent(scores.get("exact_match_rate")),
            percent(scores.get("fst_acceptance_rate")),
        )


def _problems(records: Sequence[AnyRecord]) -> Iterator[str]:
    broken = [record for record in records if record.outcome in _LEVELS and record.reason]
    if not broken:
        return
    yield f"<details><summary>{plural(len(broken), 'item')} did not pass</summary>\n"
    for record in broken[:MOST_ROWS]:
        yield f"- **{_text(_name(record))}**: {_text(shorten(clean(record.reason), 300))}"
    yield "\n</details>"


def _name(record: AnyRecord) -> str:
    return record.simulation_id if isinstance(record, SimulationRecord) else record.entry_id


def _heading(*titles: str) -> list[str]:
    """Return a table's two heading lines; a title that ends in a colon is a number's."""
    marks = ["---:" if title.endswith(":") else "---" for title in titles]
    return [_row(*(title.rstrip(":") for title in titles)), _row(*marks)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Write text so that Markdown shows it as it is: neither markup nor HTML nor a mention."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", clean(text))
    return (
        escaped.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("@", "@\u200c")
    )


def _code(text: str) -> str:
    return "`" + clean(text).replace("`", "'").replace("|", "\\|") + "`"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(clean(text)).replace(":", "%3A").replace(",", "%2C")
