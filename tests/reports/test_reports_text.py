from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.reports import text


def test_text_of_models_cannot_steer_the_terminal() -> None:
    hostile = "a\x1b[31mred\x07\r\nb\u202ereversed\u2028c\ud83d"
    assert text.clean(hostile) == "a[31mred breversed c"


def test_joiners_that_scripts_need_stay() -> None:
    assert text.clean("नमस्\u200dते") == "नमस्\u200dते"


@given(st.text(max_size=200), st.integers(30, 100))
def test_wrapped_lines_fit_and_lose_nothing(sample: str, width: int) -> None:
    lines = text.wrap(sample, width, indent="    ", first="  > ")
    assert all(text.cells(line) <= width for line in lines)
    kept = "".join(line[4:] for line in lines).replace(" ", "")
    assert kept == text.clean(sample).replace(" ", "")


def test_wide_characters_take_two_columns() -> None:
    assert text.cells("预订") == 4
    assert text.shorten("预订确认", 5) == "预订…"
    assert text.pad("预订", 6, right=True) == "  预订"


@given(
    st.lists(
        st.tuples(st.text(max_size=60), st.text("0123456789", max_size=8), st.text(max_size=60)),
        max_size=6,
    )
)
def test_tables_fit_their_width(rows: list[tuple[str, str, str]]) -> None:
    columns = [text.Column("name"), text.Column("n", right=True), text.Column("reason")]
    lines = text.table(columns, rows, 60)
    assert len(lines) == len(rows) + 1
    assert all(text.cells(line) <= 60 for line in lines)


def test_tables_align_numbers_to_the_right_and_keep_them_whole() -> None:
    columns = [text.Column("name"), text.Column("cost", right=True)]
    lines = text.table(columns, [["a" * 70, "$1.00"], ["b", "$12.00"]], 40)
    assert lines[0].endswith("  cost")
    assert lines[1].endswith("…   $1.00")
    assert lines[2].endswith("  $12.00")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (text.dollars(None), "-"),
        (text.dollars(0.0), "$0.00"),
        (text.dollars(0.0042), "$0.0042"),
        (text.dollars(1234.5), "$1,234.50"),
        (text.milliseconds(None), "-"),
        (text.milliseconds(1234.4), "1,234 ms"),
        (text.milliseconds(65_000), "65.0 s"),
        (text.percent(None), "-"),
        (text.percent(0.256), "25.6 %"),
        (text.seconds(4.26), "4.3 s"),
        (text.seconds(59.97), "60.0 s"),
        (text.seconds(125), "2 min 05 s"),
        (text.seconds(7300), "2 h 01 min"),
        (text.plural(1, "entry", "entries"), "1 entry"),
        (text.plural(1200, "entry", "entries"), "1,200 entries"),
        (text.decimal(None), "-"),
    ],
)
def test_numbers_are_written_to_be_read(written: str, expected: str) -> None:
    assert written == expected
