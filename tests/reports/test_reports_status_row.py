from __future__ import annotations

import pyte
import pytest

from pytest_realtime_eval.reports.status_row import draw, set_up, take_down


@pytest.fixture
def screen() -> pyte.Screen:
    return pyte.Screen(40, 10)


def feed(screen: pyte.Screen, *texts: str) -> list[str]:
    stream = pyte.Stream(screen)
    for text in texts:
        stream.feed(text)
    return [line.rstrip() for line in screen.display]


def lines(count: int) -> str:
    return "".join(f"line {number}\r\n" for number in range(1, count + 1))


def test_the_status_stands_in_the_last_row_and_the_rest_scrolls_above_it(
    screen: pyte.Screen,
) -> None:
    shown = feed(screen, lines(3), set_up(10), draw("STATUS", 10, 40), lines(30))
    assert shown[-1] == "STATUS"
    assert shown[:-1] == [*(f"line {number}" for number in range(23, 31)), ""]


@pytest.mark.parametrize("before", [0, 3, 8, 9, 10, 25])
def test_the_line_that_was_begun_is_gone_on_with(screen: pyte.Screen, before: int) -> None:
    shown = feed(screen, lines(before), "begun ", set_up(10), draw("STATUS", 10, 40), "and ended")
    assert [line for line in shown if "begun" in line] == ["begun and ended"]
    assert shown[-1] == "STATUS"
    assert f"line {before}" in shown or not before


def test_a_status_replaces_the_one_before(screen: pyte.Screen) -> None:
    longer, shorter = draw("a longer status", 10, 40), draw("short", 10, 40)
    assert feed(screen, set_up(10), longer, shorter)[-1] == "short"


def test_a_status_that_is_too_long_is_cut_and_does_not_wrap(screen: pyte.Screen) -> None:
    shown = feed(screen, lines(30), set_up(10), draw("x" * 200, 10, 40))
    assert shown[-1] == "x" * 38 + "…"
    assert "x" not in "".join(shown[:-1])


def test_taken_down_nothing_of_it_is_left(screen: pyte.Screen) -> None:
    bare = pyte.Screen(40, 10)
    feed(bare, lines(5), "end", lines(30))
    shown = feed(
        screen, lines(5), set_up(10), draw("STATUS", 10, 40), "end", take_down(), lines(30)
    )
    assert shown == [line.rstrip() for line in bare.display]
    assert screen.margins is None or screen.margins == (0, 9)


def test_the_style_of_the_line_around_it_is_kept(screen: pyte.Screen) -> None:
    feed(screen, "\x1b[31mred ", set_up(10), draw("STATUS", 10, 40), "still")
    assert screen.buffer[0][4].fg == "red"
    assert screen.buffer[9][0].reverse
    assert not screen.buffer[0][4].reverse


def test_without_colour_the_status_is_plain(screen: pyte.Screen) -> None:
    feed(screen, set_up(10), draw("STATUS", 10, 40, colour=False))
    assert not screen.buffer[9][0].reverse
