"""A comparison as a page that opens from disk, in the look of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.compare.show import remarks, sections
from pytest_realtime_eval.reports.html import asset, policy, template, trusted

if TYPE_CHECKING:
    from pytest_realtime_eval.compare.comparison import Comparison

#: Long reasons wrap; all else keeps its words whole, and narrow windows scroll the table.
_STYLE: Final = "td { overflow-wrap: normal; } td.text { min-width: 16rem; }\n"


def render(comparison: Comparison) -> str:
    """Return the page: one file, without a script, that loads nothing."""
    style = asset("report.css") + _STYLE
    return template("compare.html.j2").render(
        comparison=comparison,
        remarks=remarks(comparison),
        sections=sections(comparison),
        style=trusted(style),
        policy=policy(style),
    )
