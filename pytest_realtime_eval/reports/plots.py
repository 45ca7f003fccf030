"""plots/*.png: what a run looks like; a chart is there only when it has something to show."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.reports.files import write_bytes
from pytest_realtime_eval.reports.summary import outcome_counts, quantiles
from pytest_realtime_eval.reports.table import grader_ids
from pytest_realtime_eval.schemas.results import AnyRecord, EntryRecord, Outcome, SimulationRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: Okabe and Ito's palette, which colour-blind readers can tell apart (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, PALE = "#56B4E9", "#CC79A7", "#6E7781", "#D0D7DE"
INK: Final = "#1F2328"

OUTCOME_COLOURS: Final[dict[Outcome, str]] = {
    "passed": GREEN,
    "failed": RED,
    "infra_error": GREY,
    "judge_error": PURPLE,
    "invalid_simulation": ORANGE,
    "ungraded": SKY,
    "skipped": PALE,
}
LATENCIES: Final = {
    "latency_first_text_ms": "first text",
    "latency_first_audio_ms": "first audio",
    "latency_first_audio_after_speech_ms": "first audio after speech",
    "latency_response_done_ms": "response done",
}
_STYLE: Final[Any] = {  # matplotlib types the keys as literals
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    # A `$` in a name is a dollar, not the start of a formula.
    "text.parse_math": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#E4E8EC",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
}
_WIDTH, _DPI = 8.0, 150
_MANY = 25


@dataclass(frozen=True)
class Chart:
    """A chart that has data.

    Attributes:
        name: The file's stem.
        alt: What the chart shows, in words and numbers, for those who do not see it.
        height: Inches.
        draw: Draws onto an empty figure.
    """

    name: str
    title: str
    alt: str
    height: float
    draw: Callable[[Figure], None]


def charts(
    frame: pd.DataFrame,
    records: Sequence[AnyRecord],
    dataset_scores: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Chart]:
    """Return the charts that the run has data for, undrawn; matplotlib is not imported."""
    found = (
        _outcomes(records),
        _grades(frame, records),
        _grade_grid(frame, records),
        _latency_percentiles(frame),
        _tokens(frame),
        _trends(frame, records),
        _dataset_scores(dataset_scores or {}),
        _entry_scores(records),
    )
    return [chart for chart in found if chart is not None]


def write_plots(
    frame: pd.DataFrame,
    records: Sequence[AnyRecord],
    folder: Path,
    dataset_scores: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Path]:
    """Draw the run's charts to ``<folder>/plots/<name>.png``; returns the files."""
    drawn = charts(frame, records, dataset_scores)
    return [_write(chart, folder / "plots" / f"{chart.name}.png") for chart in drawn]


def _write(chart: Chart, path: Path) -> Path:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # Names in scripts that the bundled font lacks are drawn as boxes: worth no warning
    # in the user's test run, and no reason to lose the plot.
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12)
        figure = Figure(figsize=(_WIDTH, chart.height), dpi=_DPI, layout=layout)
        chart.draw(figure)
        image = io.BytesIO()
        figure.savefig(image, format="png", metadata={"Title": chart.title, "Software": None})
    write_bytes(path, image.getvalue())
    return path


def _axes(figure: Figure, title: str, note: str = "") -> Axes:
    axes = figure.add_subplot()
    _title(axes, title, note)
    return axes


def _title(axes: Axes, title: str, note: str = "") -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=22 if note else 8)
    if note:
        axes.annotate(note, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points",
                      fontsize=9, color=GREY)  # fmt: skip


def _shorten(name: str, width: int = 34) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _bars_height(count: int, *, each: float = 0.3, least: float = 1.8) -> float:
    return max(least, 1.3 + each * count)


def _whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_shorten(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


# --- outcomes -----------------------------------------------------------------------------


def _outcomes(records: Sequence[AnyRecord]) -> Chart | None:
    groups: dict[str, list[AnyRecord]] = {
        "simulations": [r for r in records if isinstance(r, SimulationRecord)],
        "dataset entries": [r for r in records if isinstance(r, EntryRecord)],
    }
    counts = {name: outcome_counts(group) for name, group in groups.items() if group}
    if not counts:
        return None
    alt = ". ".join(f"Outcomes of {name}: {_count_words(c)}" for name, c in counts.items())
    height = 1.9 + 0.55 * len(counts)
    return Chart("outcomes", "Outcomes", f"{alt}.", height, lambda f: _draw_outcomes(f, counts))


def _count_words(counts: Mapping[Outcome, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def _draw_outcomes(figure: Figure, counts: Mapping[str, Mapping[Outcome, int]]) -> None:
    axes = _axes(figure, "Outcomes")
    labelled: set[str] = set()
    for row, outcomes in enumerate(counts.values()):
        _draw_outcome_row(axes, row, outcomes, labelled)
    _named_rows(axes, [f"{name} ({sum(c.values())})" for name, c in counts.items()])
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of items (%)")
    figure.legend(loc="outside lower center", ncols=7, handlelength=1, columnspacing=1.2)


def _draw_outcome_row(
    axes: Axes, row: int, outcomes: Mapping[Outcome, int], labelled: set[str]
) -> None:
    left, total = 0.0, sum(outcomes.values())
    for outcome, count in outcomes.items():
        if not count:
            continue
        share = 100 * count / total
        label = None if outcome in labelled else outcome.replace("_", " ")
        labelled.add(outcome)
        colour = OUTCOME_COLOURS[outcome]
        axes.barh(row, share, left=left, height=0.6, color=colour, edgecolor="white", label=label)
        if share >= 4:
            ink = INK if outcome in {"skipped", "ungraded", "invalid_simulation"} else "white"
            axes.text(left + share / 2, row, f"{count}", ha="center", va="center", color=ink)
        left += share


# --- grades -------------------------------------------------------------------------------


def _graded(frame: pd.DataFrame, records: Sequence[AnyRecord]) -> dict[str, pd.Series[Any]]:
    """Return the known grades of each grader that gave any."""
    known = {g: frame[f"{g}_grade"].dropna().astype("float64") for g in grader_ids(records)}
    return {grader: grades for grader, grades in known.items() if not grades.empty}


def _grades(frame: pd.DataFrame, records: Sequence[AnyRecord]) -> Chart | None:
    graded = _graded(frame, records)
    if not graded:
        return None
    lowest_first = sorted(graded, key=lambda grader: (graded[grader].mean(), grader))
    shown = {grader: graded[grader] for grader in lowest_first[:_MANY]}
    words = ", ".join(f"{g} {100 * v.mean():.0f} % of {len(v)}" for g, v in shown.items())
    note = f"the {_MANY} lowest of {len(graded)} graders" if len(graded) > _MANY else ""
    return Chart(
        "scores",
        "Share of grades that pass, by grader",
        f"Share of grades that pass, lowest first: {words}.",
        _bars_height(len(shown)),
        lambda figure: _draw_grades(figure, shown, note),
    )


def _draw_grades(figure: Figure, graded: Mapping[str, pd.Series[Any]], note: str) -> None:
    axes = _axes(figure, "Share of grades that pass, by grader", note)
    for row, grades in enumerate(graded.values()):
        share = 100 * float(grades.mean())
        axes.barh(row, 100, height=0.6, color="#F1F3F5")
        axes.barh(row, share, height=0.6, color=BLUE)
        text = f"{share:.0f} %  ({int(grades.sum())}/{len(grades)})"
        axes.text(101, row, text, va="center", fontsize=9)
    _named_rows(axes, list(graded))
    axes.set_xlim(0, 122)
    axes.set_xticks(range(0, 101, 20))
    axes.spines["bottom"].set_bounds(0, 100)
    axes.set_xlabel("grades that pass (%)", loc="left")


def _grade_grid(frame: pd.DataFrame, records: Sequence[AnyRecord]) -> Chart | None:
    graders = _most_used(_graded(frame, records), 12)
    if not graders:
        return None
    grades = frame.dropna(subset=["simulation_id"])
    grades = grades.set_index("simulation_id")[[f"{g}_grade" for g in graders]].astype("float64")
    grid = grades.groupby(level=0, sort=False).mean().dropna(how="all")
    if grid.empty:
        return None
    worst = grid.assign(mean=grid.mean(axis=1)).sort_values("mean", kind="stable")
    shown = worst.head(40).drop(columns="mean")
    note = f"the 40 lowest of {len(grid)} simulations" if len(grid) > 40 else "lowest first"
    if (count := len(_graded(frame, records))) > len(graders):
        note += f"; the {len(graders)} of {count} graders with the most grades"
    return Chart(
        "scores_by_simulation",
        "Grades by simulation",
        _grid_words(shown, graders),
        _bars_height(len(shown), each=0.26) + (1.0 if len(graders) > 5 else 0.3),
        lambda figure: _draw_grid(figure, shown, graders, note),
    )


def _most_used(graded: Mapping[str, pd.Series[Any]], count: int) -> list[str]:
    """Return the graders with the most grades, in the run's order."""
    most = sorted(graded, key=lambda grader: -len(graded[grader]))[:count]
    return [grader for grader in graded if grader in most]


def _grid_words(grid: pd.DataFrame, graders: Sequence[str]) -> str:
    below = [str(name) for name, row in grid.iterrows() if row.mean() < 1]
    listed = ", ".join(below[:20]) + (f" and {len(below) - 20} more" if len(below) > 20 else "")
    return f"Grades of {len(grid)} of the simulations by {len(graders)} of the graders. " + (
        f"Not all pass in: {listed}." if below else "All pass."
    )


def _draw_grid(figure: Figure, grid: pd.DataFrame, graders: Sequence[str], note: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    axes = _axes(figure, "Grades by simulation", note)
    colours = LinearSegmentedColormap.from_list("grades", ["#F4B183", "#FFF4D6", "#A6DDC8"])
    axes.imshow(grid.to_numpy(), cmap=colours, vmin=0, vmax=1, aspect="auto")
    for row, values in enumerate(grid.to_numpy()):
        for column, value in enumerate(values):
            axes.text(column, row, _grade_sign(value), ha="center", va="center", fontsize=9)
    axes.set_yticks(range(len(grid)), [_shorten(str(name)) for name in grid.index])
    if len(graders) > 5:
        names = [_shorten(grader, 24) for grader in graders]
        axes.set_xticks(range(len(graders)), names, fontsize=8, rotation=40, ha="right",
                        rotation_mode="anchor")  # fmt: skip
    else:
        axes.set_xticks(range(len(graders)), [_shorten(grader, 22) for grader in graders])
    axes.set_xticks([edge - 0.5 for edge in range(1, len(graders))], minor=True)
    axes.set_yticks([edge - 0.5 for edge in range(1, len(grid))], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.set_xlabel("✓ passes    ✗ fails    % of turns that pass    · no grade", color=GREY)
    axes.tick_params(which="both", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _grade_sign(value: float) -> str:
    if math.isnan(value):
        return "·"
    return {1.0: "✓", 0.0: "✗"}.get(value, f"{100 * value:.0f} %")


# --- latency ------------------------------------------------------------------------------


def _latency_percentiles(frame: pd.DataFrame) -> Chart | None:
    measured = {
        label: (quantiles(frame[name]), int(frame[name].count()))
        for name, label in LATENCIES.items()
        if frame[name].notna().any()
    }
    if not measured:
        return None
    words = "; ".join(
        f"{label} p50 {q['p50']:,.0f} ms, p95 {q['p95']:,.0f} ms, p99 {q['p99']:,.0f} ms"
        for label, (q, _) in measured.items()
    )
    return Chart(
        "latency_percentiles",
        "Latency percentiles",
        f"Latency of the assistant's turns: {words}.",
        1.6 + 0.75 * len(measured),
        lambda figure: _draw_latencies(figure, measured),
    )


def _draw_latencies(
    figure: Figure, measured: Mapping[str, tuple[Mapping[str, float | None], int]]
) -> None:
    axes = _axes(figure, "Latency percentiles")
    colours = {"p50": SKY, "p95": BLUE, "p99": "#003B5C"}
    for offset, (percentile, colour) in zip((-0.26, 0.0, 0.26), colours.items(), strict=True):
        values = [q[percentile] or 0.0 for q, _ in measured.values()]
        rows = [row + offset for row in range(len(values))]
        bars = axes.barh(rows, values, height=0.24, color=colour, label=percentile)
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8.5)
    _named_rows(axes, [f"{label}\n(n={n})" for label, (_, n) in measured.items()])
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="x")
    axes.set_xlabel("milliseconds, over turns")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, handlelength=1)


# --- tokens -------------------------------------------------------------------------------

_TOKENS: Final = {"output_audio_tokens": "audio", "output_text_tokens": "text"}


def _tokens(frame: pd.DataFrame) -> Chart | None:
    rows = frame.dropna(subset=["simulation_id", "output_tokens"])
    used = rows.groupby("simulation_id", sort=False)[["output_tokens", *_TOKENS]].sum()
    used = used.astype("float64")
    total = used["output_tokens"].sum()
    if not total:
        return None
    spent = quantiles(used["output_tokens"])
    many = len(used) > _MANY
    return Chart(
        "tokens",
        "Output tokens by simulation",
        f"Output tokens of the assistant: {total:,.0f} in {len(used)} simulations, of which "
        f"{used['output_audio_tokens'].sum():,.0f} audio; median {spent['p50']:,.0f} "
        f"for each simulation, p95 {spent['p95']:,.0f}.",
        3.6 if many else _bars_height(len(used)),
        lambda figure: (_draw_token_histogram if many else _draw_token_bars)(figure, used),
    )


def _draw_token_bars(figure: Figure, used: pd.DataFrame) -> None:
    axes = _axes(figure, "Output tokens by simulation")
    used = used.sort_values("output_tokens", ascending=False, kind="stable")
    rows, left = range(len(used)), used["output_tokens"] * 0
    for (name, label), colour in zip(_TOKENS.items(), (BLUE, ORANGE), strict=True):
        axes.barh(rows, used[name], left=left, height=0.62, color=colour, label=label)
        left = left + used[name]
    # Servers that do not split their tokens leave a rest.
    if (rest := (used["output_tokens"] - left).clip(lower=0)).any():
        axes.barh(rows, rest, left=left, height=0.62, color=PALE, label="not split")
    for row, total in enumerate(used["output_tokens"]):
        axes.annotate(f"{total:,.0f}", (total, row), (4, 0), textcoords="offset points",
                      va="center", fontsize=8.5)  # fmt: skip
    _named_rows(axes, [str(name) for name in used.index])
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="x")
    axes.set_xlabel("tokens of the assistant's output")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, handlelength=1)


def _draw_token_histogram(figure: Figure, used: pd.DataFrame) -> None:
    axes = _axes(figure, f"Output tokens by simulation (n={len(used)})")
    axes.hist(used["output_tokens"], bins=30, color=BLUE, edgecolor="white", linewidth=0.5)
    median = used["output_tokens"].median()
    axes.axvline(median, color=RED, linewidth=1.5, linestyle="--", label=f"median {median:,.0f}")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _whole_numbers(axes.yaxis)
    axes.grid(axis="y")
    axes.set_xlabel("tokens of the assistant's output, over the conversation")
    axes.set_ylabel("simulations")
    axes.legend(loc="upper right")


# --- by turn ------------------------------------------------------------------------------

Panel = tuple[str, dict[str, "pd.Series[Any]"]]


def _trends(frame: pd.DataFrame, records: Sequence[AnyRecord]) -> Chart | None:
    turns = frame.dropna(subset=["turn_index"])
    if turns["turn_index"].nunique() < 2:
        return None
    panels = [panel for panel in (_latency_panel(turns), _token_panel(turns)) if panel[1]]
    by_turn = _turn_graders(records)
    if by_turn:
        panels.append(_grade_panel(turns, by_turn))
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return None
    counts = turns.groupby("turn_index").size()
    return Chart(
        "by_turn",
        "Trends by turn",
        "By turn: " + "; ".join(_panel_words(*panel) for panel in panels) + ".",
        1.0 + 1.9 * len(panels),
        lambda figure: _draw_trends(figure, panels, counts),
    )


def _turn_graders(records: Sequence[AnyRecord]) -> list[str]:
    verdicts = [v for r in records if isinstance(r, SimulationRecord) for v in r.verdicts]
    return list(dict.fromkeys(v.grader_id for v in verdicts if v.turn_index is not None))


def _latency_panel(turns: pd.DataFrame) -> Panel:
    column = "latency_first_audio_ms"
    known = turns.dropna(subset=[column]).astype({column: "float64"}).groupby("turn_index")[column]
    return "first audio (ms)", _lines({"median": known.median(), "p95": known.quantile(0.95)})


def _token_panel(turns: pd.DataFrame) -> Panel:
    column = "output_tokens"
    known = turns.dropna(subset=[column]).astype({column: "float64"}).groupby("turn_index")[column]
    return "output tokens", _lines({"median": known.median(), "p95": known.quantile(0.95)})


def _grade_panel(turns: pd.DataFrame, graders: Sequence[str]) -> Panel:
    grades = turns.set_index("turn_index")[[f"{g}_grade" for g in graders]].astype("float64")
    by_turn = grades.groupby(level=0)
    passing = (100 * by_turn.sum().sum(axis=1) / by_turn.count().sum(axis=1)).dropna()
    return "turn grades\nthat pass (%)", _lines({"mean": passing})


def _lines(lines: Mapping[str, pd.Series[Any]]) -> dict[str, pd.Series[Any]]:
    return {label: line for label, line in lines.items() if not line.empty}


def _panel_words(label: str, lines: Mapping[str, pd.Series[Any]]) -> str:
    name, line = next(iter(lines.items()))
    first, last = line.index[0], line.index[-1]
    label = label.replace("\n", " ")
    return (
        f"{name} of {label} {line.loc[first]:,.0f} in turn {first}, "
        f"{line.loc[last]:,.0f} in turn {last}"
    )


def _draw_trends(figure: Figure, panels: Sequence[Panel], counts: pd.Series[Any]) -> None:
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    _title(axes[0], "Trends by turn")
    for place, (label, lines) in zip(axes, panels, strict=True):
        _draw_panel(place, label, lines)
    turns = [int(turn) for turn in counts.index]
    if len(turns) <= 12:
        axes[-1].set_xticks(turns, [f"{turn}\nn={counts[turn]}" for turn in turns])
    else:
        _whole_numbers(axes[-1].xaxis)
    axes[-1].set_xlabel("turn")
    figure.align_ylabels()
    axes[-1].set_xlim(turns[0] - 0.2, turns[-1] + 0.2)


def _draw_panel(axes: Axes, label: str, lines: Mapping[str, pd.Series[Any]]) -> None:
    # Broad below narrow: where median and p95 are the same, both are seen.
    styles = ((BLUE, "o", 1.6, 3), (ORANGE, "s", 3.5, 2))
    for (name, line), (colour, marker, width, order) in zip(lines.items(), styles, strict=False):
        turns, values = [int(turn) for turn in line.index], line.to_numpy(float)
        axes.plot(turns, values, color=colour, marker=marker, markersize=5, linewidth=width,
                  zorder=order, label=name)  # fmt: skip
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    highest = max(float(line.max()) for line in lines.values())
    axes.set_ylim(0, 108 if "%" in label else (highest * 1.12 or 1))
    axes.grid(axis="y")
    if len(lines) > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)


# --- datasets -----------------------------------------------------------------------------


def _dataset_scores(dataset_scores: Mapping[str, Mapping[str, Any]]) -> Chart | None:
    found = [bar for name, scores in dataset_scores.items() for bar in _score_bars(name, scores)]
    bars = [(label, value, bounds) for label, value, bounds in found if value is not None][:40]
    if not bars:
        return None
    words = ", ".join(f"{label.strip()} {value:.1f}" for label, value, _ in bars)
    return Chart(
        "dataset_scores",
        "chrF++ by dataset, difficulty and provenance",
        f"Corpus-level chrF++, 0 to 100: {words}.",
        _bars_height(len(bars)),
        lambda figure: _draw_scores(figure, bars),
    )


Bar = tuple[str, float | None, tuple[float, float] | None]


def _score_bars(name: str, scores: Mapping[str, Any]) -> list[Bar]:
    """Return label, chrF++ and interval of a dataset, then of its groups."""
    bars: list[Bar] = [(name or "all datasets", scores.get("chrf_plus_plus"), interval(scores))]
    for by in ("by_difficulty", "by_provenance"):
        for group, nested in (scores.get(by) or {}).items():
            label = f"{by.removeprefix('by_')}: {group}"
            bars.append((label, nested.get("chrf_plus_plus"), interval(nested)))
    return bars


def interval(scores: Mapping[str, Any], name: str = "chrf_plus_plus") -> tuple[float, float] | None:
    """Return the confidence interval of a score, if its block has one."""
    bounds = scores.get(f"{name}_interval")
    if isinstance(bounds, list | tuple) and len(bounds) == 2 and None not in bounds:
        return (float(bounds[0]), float(bounds[1]))
    return None


#: Scores that every dataset has.
_STANDARD: Final = frozenset(
    {
        *("total", "exact_matches", "exact_match_rate", "fst_accepted", "fst_acceptance_rate"),
        *("chrf_plus_plus", "bleu", "errors"),
        *("avg_latency_seconds", "median_latency_seconds", "p95_latency_seconds"),
    }
)


def own_metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of users' own metrics."""
    numbers = ((name, value) for name, value in scores.items() if isinstance(value, int | float))
    return {name: value for name, value in numbers if name not in _STANDARD}


def _draw_scores(figure: Figure, bars: Sequence[tuple[str, float, Any]]) -> None:
    axes = _axes(figure, "chrF++ by dataset, difficulty and provenance")
    for row, (label, value, bounds) in enumerate(bars):
        axes.barh(row, value, height=0.6, color=SKY if ": " in label else BLUE)
        edge = value
        if bounds:
            low, high = bounds
            axes.errorbar(value, row, xerr=[[max(0, value - low)], [max(0, high - value)]],
                          color=INK, capsize=3, linewidth=1)  # fmt: skip
            edge = max(value, high)
        axes.annotate(f"{value:.1f}", (edge, row), (5, 0), textcoords="offset points",
                      va="center", fontsize=9)  # fmt: skip
    _named_rows(axes, [label for label, _, _ in bars])
    axes.set_xlim(0, 108)
    axes.set_xticks(range(0, 101, 20))
    axes.spines["bottom"].set_bounds(0, 100)
    axes.grid(axis="x")
    axes.set_xlabel("chrF++ (0-100, corpus level; whiskers: 95 % bootstrap interval)")


def _entry_scores(records: Sequence[AnyRecord]) -> Chart | None:
    scores = [r.entry_chrf for r in records if isinstance(r, EntryRecord) and r.predicted]
    if not scores:
        return None
    middle = sorted(scores)[len(scores) // 2]
    return Chart(
        "entry_scores",
        "chrF++ of single entries",
        f"Sentence-level chrF++ of {len(scores)} translated entries, from {min(scores):.0f} "
        f"to {max(scores):.0f}, about {middle:.0f} in the middle.",
        3.4,
        lambda figure: _draw_entry_scores(figure, scores),
    )


def _draw_entry_scores(figure: Figure, scores: Sequence[float]) -> None:
    axes = _axes(figure, f"chrF++ of single entries (n={len(scores)})")
    axes.hist(scores, bins=[5.0 * edge for edge in range(21)], color=BLUE, edgecolor="white")
    axes.set_xlim(0, 100)
    _whole_numbers(axes.yaxis)
    axes.grid(axis="y")
    axes.set_xlabel("sentence-level chrF++ (0-100)")
    axes.set_ylabel("entries")
