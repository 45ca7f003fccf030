from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.compare.comparison import Comparison, compare
from pytest_realtime_eval.compare.page import render
from pytest_realtime_eval.compare.show import baseline, markdown, short_lines, terminal_lines
from pytest_realtime_eval.reports.text import cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_realtime_eval.compare.side import Item, Side

EVIL = "</td><script>alert(1)</script> | `x` \x1b[31m"


@pytest.fixture
def comparison(
    simulation: Callable[..., Item], entry: Callable[..., Item], side: Callable[..., Side]
) -> Comparison:
    words = ["cup", "hat", "pen", "map", "key", "bag"]
    before = [entry(word, f"the {word} is here", f"the {word} is here") for word in words]
    after = [entry(word, f"{word} not", f"the {word} is here") for word in words]
    return compare(
        side(
            "A",
            simulation("worse", cost_usd=0.5),
            simulation("better", "failed", cost_usd=0.5),
            simulation("gone"),
            *before,
            simulations={"condition": "x"},
        ),
        side(
            "B",
            simulation("worse", "failed", cost_usd=0.75, reason=EVIL),
            simulation("better", cost_usd=0.5),
            *after,
            simulations={"condition": "y"},
        ),
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_is_told_everything_within_its_width(
    comparison: Comparison, width: int
) -> None:
    lines = terminal_lines(comparison, width)
    assert max(map(cells, lines)) <= width
    text = "\n".join(lines)
    assert re.sub(r"\s+", " ", text).startswith(
        "B against A: 4 regressions, 1 improvement; 8 items in both warning: simulations: "
        "condition differs: x before, y now"
    )
    assert "only in A: simulations/gone" in text
    assert "\x1b" not in text
    assert text.count("▼") == 4
    assert text.index("simulations/w") < text.index("simulations/b")


def test_the_summary_of_a_run_names_what_changed(comparison: Comparison) -> None:
    lines = short_lines(comparison, 100)
    text = "\n".join(lines)
    assert "simulations/worse" in text
    assert "market chrF++" in text
    assert max(map(cells, lines)) <= 100


def test_the_report_page_is_given_what_changed(comparison: Comparison) -> None:
    found = baseline(comparison)
    assert found.run_id == "A"
    changes = {change.what: change for change in found.changes}
    assert changes["simulations/worse"].better is False
    assert changes["simulations/better"].better is True
    assert (changes["simulations cost"].before, changes["simulations cost"].after) == (
        "$1.00",
        "$1.25",
    )
    assert any("condition differs" in warning for warning in found.warnings)


def test_markdown_cannot_be_forged(comparison: Comparison) -> None:
    text = markdown(comparison)
    row = next(line for line in text.splitlines() if "simulations/worse" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert "\\<script\\>" in row
    assert "\x1b" not in text
    for line in text.splitlines():
        if line.startswith("| ---"):
            assert line.count("|") >= 5


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's signature
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_shows_texts_and_runs_nothing(comparison: Comparison) -> None:
    page = render(comparison)
    parsed = _Tags()
    parsed.feed(page)
    assert "script" not in parsed.tags
    assert "<script>alert(1)</script>" in parsed.words
    assert "script-src 'none'" in html.unescape(page)
    assert "4 regressions" in parsed.words


def test_nothing_that_changed_is_said_so(
    simulation: Callable[..., Item], side: Callable[..., Side]
) -> None:
    same = compare(side("A", simulation("sim")), side("B", simulation("sim")))
    assert short_lines(same) == ["B against A: 0 regressions, 0 improvements; 1 item in both"]
    assert "No item that passed fails now" in render(same)
    assert baseline(same).changes == ()
