from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.embedded.numbers import read_digits, read_number, read_ordinal
from pytest_realtime_eval.embedded.words import tokens

UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = tokens("zero ten twenty thirty forty fifty sixty seventy eighty ninety")


def spelt(number: int) -> str:
    if number < 20:
        return UNITS[number]
    if number < 100:
        return TENS[number // 10] + (f" {UNITS[number % 10]}" if number % 10 else "")
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = f" {spelt(number % size)}" if number % size else ""
            return f"{spelt(number // size)} {name}{rest}"
    raise AssertionError


@given(st.integers(0, 999_999))
def test_reads_what_is_spelt(number: int) -> None:
    found = tokens(spelt(number))
    assert read_number(found, 0) == (number, len(found))


@given(st.integers(0, 10**9))
def test_reads_figures_with_and_without_thousands_marks(number: int) -> None:
    assert read_number(tokens(f"{number:,}"), 0) == (number, 1)


@given(st.text("0123456789", min_size=2, max_size=8))
def test_digits_said_one_by_one_are_strung_together(digits: str) -> None:
    found = [UNITS[int(digit)] for digit in digits]
    assert read_digits(found, 0) == (digits, len(digits))


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("1000-1", "1001"),
        ("one thousand one", "1001"),
        ("thirty ninety", "3090"),
        ("555-0142", "5550142"),
        ("double four oh one", "4401"),
        ("twenty four seventeen", "2417"),
        ("seventy three fifty one", "7351"),
    ],
)
def test_digits_in_the_ways_they_are_said_and_heard(said: str, digits: str) -> None:
    assert read_digits(tokens(said), 0)[0] == digits


@pytest.mark.parametrize("word", ["oh", "table", "and", "", "hundred", "th"])
def test_what_is_no_number(word: str) -> None:
    assert read_number([word], 0) is None


@pytest.mark.parametrize(
    ("said", "value"), [("14th", 14), ("twenty first", 21), ("third", 3), ("thirtieth", 30)]
)
def test_ordinals(said: str, value: int) -> None:
    read = read_ordinal(tokens(said), 0)
    assert read is not None
    assert read[0] == value
