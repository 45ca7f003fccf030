"""A comparison in words: for terminals, in Markdown, and as rows for pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.reports.text import (
    UNKNOWN,
    Column,
    clean,
    dollars,
    plural,
    table,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_realtime_eval.compare.comparison import (
        Comparison,
        CostShift,
        LatencyShift,
        OutcomeChange,
        RateDifference,
        ScoreDifference,
    )
    from pytest_realtime_eval.compare.significance import PairedTest
    from pytest_realtime_eval.reports.html import Baseline, Change

#: Names of items that one side alone has.
_NAMES_SHOWN: Final = 5
#: Items that changed their outcome; a page and Markdown have all of them.
MAX_ROWS: Final = 40
_SCORE_NAMES: Final = {"chrf_plus_plus": "chrF++", "bleu": "BLEU"}


@dataclass(frozen=True)
class Row:
    """A row of a table; ``better`` is ``None`` where it is neither better nor worse."""

    cells: tuple[str, ...]
    better: bool | None = None

    @property
    def mark(self) -> str:
        """The row's last cell, which says better or worse without colour."""
        return "" if self.better is None else "▲ better" if self.better else "▼ worse"


@dataclass(frozen=True)
class Section:
    """A table of a comparison."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def headline(comparison: Comparison) -> str:
    """Say in one line what the comparison came to."""
    regressions = plural(len(comparison.regressions), "regression")
    better = sum(row.better is True for part in sections(comparison) for row in part.rows)
    return (
        f"{comparison.after} against {comparison.before}: {regressions}, "
        f"{plural(better, 'improvement')}; {plural(comparison.shared, 'item')} in both"
    )


def sections(comparison: Comparison) -> list[Section]:
    """Return the tables that have something to say."""
    found = (
        _outcomes(comparison.outcomes),
        _scores(comparison.scores),
        _rates(comparison.rates),
        _latencies(comparison.latencies),
        _costs(comparison.costs),
    )
    return [section for section in found if section.rows]


def remarks(comparison: Comparison) -> list[str]:
    """Return what makes the comparison less than fair: other settings, other items."""
    found = list(comparison.warnings)
    for run, names in (
        (comparison.before, comparison.only_before),
        (comparison.after, comparison.only_after),
    ):
        if names:
            shown = ", ".join(names[:_NAMES_SHOWN])
            more = len(names) - _NAMES_SHOWN
            found.append(f"only in {run}: {shown}" + (f" and {more} more" if more > 0 else ""))
    return found


def terminal_lines(comparison: Comparison, width: int = 80) -> list[str]:
    """Return the comparison for a terminal, no line wider than ``width``."""
    lines = wrap(headline(comparison), width)
    for remark in remarks(comparison):
        lines += wrap(remark, width, indent="    ", first="  warning: ")
    for section in sections(comparison):
        rows = section.rows[:MAX_ROWS]
        heading, *cells = table(
            (*section.columns, Column("")), [[*row.cells, row.mark] for row in rows], width
        )
        lines += ["", *wrap(section.title, width), heading, *cells]
        if left := len(section.rows) - len(rows):
            lines.append(f"... and {left} more")
    return lines


def short_lines(comparison: Comparison, width: int = 80) -> list[str]:
    """Return what a run's summary says of its baseline: warnings, and what is not as it was."""
    lines = wrap(headline(comparison), width)
    for remark in remarks(comparison):
        lines += wrap(remark, width, indent="    ", first="  warning: ")
    told = [c for c in _changes(comparison) if c.better is not None]
    told += [c for c in _outcome_changes(comparison) if c.better is None]
    if told:
        columns = (Column("against the baseline", least=20), Column("before"), Column("now"))
        marks = {True: "▲ better", False: "▼ worse", None: ""}
        rows = [(c.what, c.before, c.after, marks[c.better]) for c in told[:MAX_ROWS]]
        lines += table((*columns, Column("")), rows, width)
    return lines


def markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown, as GitHub shows it."""
    lines = [f"## {_escaped(headline(comparison))}", ""]
    lines += [f"- ⚠️ {_escaped(remark)}" for remark in remarks(comparison)]
    for section in sections(comparison):
        lines += ["", f"### {section.title}", "", *_markdown_table(section)]
    return "\n".join(lines) + "\n"


def _markdown_table(section: Section) -> Iterator[str]:
    yield _piped([*(column.title for column in section.columns), ""])
    yield _piped(["---:" if column.right else "---" for column in section.columns] + ["---"])
    for row in section.rows:
        yield _piped([*map(_escaped, row.cells), row.mark])


def _piped(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Escape what Markdown or HTML could read in a text of a file or a model."""
    for character in "\\`*_[]<>|#~":
        text = text.replace(character, f"\\{character}")
    return clean(text)


def baseline(comparison: Comparison) -> Baseline:
    """Return the comparison as the report page shows it: what changed, and no more."""
    from pytest_realtime_eval.reports.html import Baseline

    changes = tuple(_changes(comparison))
    return Baseline(comparison.before, changes, tuple(remarks(comparison)))


def _outcome_changes(comparison: Comparison) -> Iterator[Change]:
    from pytest_realtime_eval.reports.html import Change

    for outcome in comparison.outcomes:
        yield Change(
            f"{outcome.group}/{outcome.name}",
            _words(outcome.before),
            _words(outcome.after),
            outcome.better,
        )


def _changes(comparison: Comparison) -> Iterator[Change]:
    from pytest_realtime_eval.reports.html import Change

    yield from _outcome_changes(comparison)
    for score in comparison.scores:
        if score.test.difference:
            what = f"{score.group} {_score_name(score.metric)} ({_p(score.test.p_value)})"
            yield Change(what, f"{score.test.before:.1f}", f"{score.test.after:.1f}", score.better)
    for rate in comparison.rates:
        if rate.gained or rate.lost:
            what = f"{rate.group} {rate.what} ({_p(rate.p_value)})"
            yield Change(
                what, f"{rate.before}/{rate.items}", f"{rate.after}/{rate.items}", rate.better
            )
    for shift in comparison.latencies:
        yield Change(
            f"{shift.group} {shift.what} p50/p95",
            _pair(shift.before),
            _pair(shift.after),
            shift.better,
        )
    for cost in comparison.costs:
        if cost.before != cost.after:
            yield Change(f"{cost.group} cost", dollars(cost.before), dollars(cost.after))


def _outcomes(changes: Sequence[OutcomeChange]) -> Section:
    columns = (Column("item", least=16), Column("before"), Column("now"), Column("why", least=12))
    rows = (
        Row((f"{c.group}/{c.name}", _words(c.before), _words(c.after), clean(c.reason)), c.better)
        for c in sorted(changes, key=lambda change: change.better is not False)
    )
    return Section("Items that changed their outcome", columns, tuple(rows))


def _scores(differences: Sequence[ScoreDifference]) -> Section:
    columns = (
        Column("dataset", least=10),
        Column("score"),
        Column("entries", right=True),
        Column("before", right=True),
        Column("now", right=True),
        Column("difference [95 %]", right=True),
        Column("p", right=True),
    )
    rows = tuple(
        Row(
            (
                d.group,
                _score_name(d.metric),
                f"{d.items:,}",
                _number(d.test.before),
                _number(d.test.after),
                _difference(d.test, 2),
                _p_value(d.test.p_value),
            ),
            d.better,
        )
        for d in differences
    )
    note = "Paired bootstrap resampling, as sacrebleu does it: " + "; ".join(
        dict.fromkeys(f"{_score_name(d.metric)} {d.signature}" for d in differences)
    )
    return Section("Scores over the same entries", columns, rows, note if rows else "")


def _rates(differences: Sequence[RateDifference]) -> Section:
    columns = (
        Column("of", least=10),
        Column("what", least=10),
        Column("before", right=True),
        Column("now", right=True),
        Column("gained", right=True),
        Column("lost", right=True),
        Column("p", right=True),
    )
    rows = tuple(
        Row(
            (
                d.group,
                d.what,
                f"{d.before}/{d.items}",
                f"{d.after}/{d.items}",
                str(d.gained),
                str(d.lost),
                _p_value(d.p_value),
            ),
            d.better,
        )
        for d in differences
        if d.gained or d.lost or d.what == "pass"
    )
    return Section("What passes, by McNemar's exact test", columns, rows)


def _latencies(shifts: Sequence[LatencyShift]) -> Section:
    columns = (
        Column("of", least=10),
        Column("latency, ms"),
        Column("items", right=True),
        Column("before p50/p95", right=True),
        Column("now p50/p95", right=True),
        Column("mean shift [95 %]", right=True),
    )
    rows = tuple(
        Row(
            (
                s.group,
                s.what,
                str(s.items),
                _pair(s.before),
                _pair(s.after),
                _difference(s.test, 0),
            ),
            s.better,
        )
        for s in shifts
    )
    return Section("Latencies", columns, rows)


def _costs(shifts: Sequence[CostShift]) -> Section:
    columns = (
        Column("of", least=10),
        Column("before", right=True),
        Column("now", right=True),
        Column("difference", right=True),
    )
    rows = tuple(
        Row((s.group, dollars(s.before), dollars(s.after), _cost_difference(s))) for s in shifts
    )
    return Section("Cost of the same items", columns, rows)


def _cost_difference(shift: CostShift) -> str:
    if shift.before is None or shift.after is None:
        return UNKNOWN
    difference = shift.after - shift.before
    return f"{'-' if difference < 0 else '+'}{dollars(abs(difference))}"


def _score_name(name: str) -> str:
    return _SCORE_NAMES.get(name, name)


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else UNKNOWN


def _difference(test: PairedTest, digits: int) -> str:
    shown = f"{test.difference:+,.{digits}f}"
    if test.low is None or test.high is None:
        return shown
    return f"{shown} [{test.low:+,.{digits}f}, {test.high:+,.{digits}f}]"


def _pair(quantiles: tuple[float, float]) -> str:
    return f"{quantiles[0]:,.0f}/{quantiles[1]:,.0f}"


def _p_value(value: float | None) -> str:
    return UNKNOWN if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def _p(value: float | None) -> str:
    shown = _p_value(value)
    return f"p < {shown[1:]}" if shown.startswith("<") else f"p = {shown}"
