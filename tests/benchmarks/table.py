"""What was measured: rows, their medians over runs, a table and JSON."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_PACKAGES: Final = ("pytest", "pytest-xdist", "pytest-asyncio", "websockets", "aiohttp", "pandas")


@dataclass(frozen=True)
class Row:
    """One figure of one run.

    Attributes:
        measurement: Number of the measurement.
        what: What was measured.
        value: In ``unit``.
        against: What the baseline is; empty where there is none.
        baseline: In ``unit``.
        aim: What the ratio, or without a baseline the value, is to be at most.
    """

    measurement: int
    what: str
    value: float
    unit: str
    against: str = ""
    baseline: float | None = None
    aim: float | None = None

    @property
    def key(self) -> tuple[int, str, str]:
        """What is the same in every run."""
        return (self.measurement, self.what, self.against)


@dataclass(frozen=True)
class Figure:
    """A figure over all runs.

    Attributes:
        value, baseline, ratio: Medians; the ratio's is that of the runs' own ratios.
        values: Of each run.
        met: Whether the aim is; ``None`` without one.
    """

    measurement: int
    what: str
    value: float
    unit: str
    against: str
    baseline: float | None
    ratio: float | None
    aim: float | None
    met: bool | None
    values: tuple[float, ...]
    baselines: tuple[float, ...]


def medians(rows: Iterable[Row]) -> list[Figure]:
    """Return a figure for each key, in the order in which they came."""
    groups: dict[tuple[int, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.key].append(row)
    return [_figure(group) for group in groups.values()]


def _figure(rows: list[Row]) -> Figure:
    first = rows[0]
    values = tuple(row.value for row in rows)
    baselines = tuple(row.baseline for row in rows if row.baseline is not None)
    ratios = [row.value / row.baseline for row in rows if row.baseline]
    ratio = statistics.median(ratios) if ratios else None
    value = statistics.median(values)
    judged = value if ratio is None else ratio
    return Figure(
        measurement=first.measurement,
        what=first.what,
        value=value,
        unit=first.unit,
        against=first.against,
        baseline=statistics.median(baselines) if baselines else None,
        ratio=ratio,
        aim=first.aim,
        met=None if first.aim is None else judged <= first.aim,
        values=values,
        baselines=baselines,
    )


_HEAD: Final = ("#", "what", "value", "against", "baseline", "ratio", "aim", "")


def as_table(figures: Iterable[Figure]) -> str:
    """Return the figures as a Markdown table, its columns aligned."""
    lines = [_HEAD, *map(_cells, figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(map(str.ljust, line, widths)) + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        str(figure.measurement),
        figure.what,
        f"{_number(figure.value)} {figure.unit}".strip(),
        figure.against,
        "" if figure.baseline is None else f"{_number(figure.baseline)} {figure.unit}".strip(),
        _number(figure.ratio),
        "" if figure.aim is None else f"≤ {_number(figure.aim)}",
        {True: "met", False: "**above**", None: ""}[figure.met],
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def as_json(figures: Iterable[Figure], **facts: object) -> dict[str, Any]:
    """Return the figures with what they were taken on."""
    return {**facts, "machine": machine(), "figures": [asdict(figure) for figure in figures]}


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
