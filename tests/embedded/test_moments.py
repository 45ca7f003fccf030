from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.embedded.moments import (
    Clock,
    find_dates,
    find_times,
    read_clock,
    say_date,
    say_time,
)
from pytest_realtime_eval.embedded.words import tokens

MONDAY = Clock(dt.date(2026, 3, 16))
EVENINGS = Clock(dt.date(2026, 3, 16), 17 * 60, 23 * 60)
MORNINGS = Clock(None, 8 * 60, 12 * 60)


def times(text: str, clock: Clock = MONDAY, *, bare: bool = False) -> list[str]:
    return [time.value for time in find_times(tokens(text), clock, bare=bare)]


def dates(text: str, clock: Clock = MONDAY) -> list[str]:
    return [date.value for date in find_dates(tokens(text), clock)]


@given(st.times())
def test_a_time_that_is_said_is_heard(time: dt.time) -> None:
    written = f"{time:%H:%M}"
    assert times(say_time(written)) == [written]


@given(st.dates(dt.date(2026, 3, 16), dt.date(2027, 3, 15)))
def test_a_date_that_is_said_is_heard(date: dt.date) -> None:
    assert dates(say_date(date)) == [date.isoformat()]
    assert dates(say_date(date, with_year=True)) == [date.isoformat()]


@pytest.mark.parametrize(
    ("said", "time"),
    [
        ("half past six", "18:30"),
        ("half-past seven in the morning", "07:30"),
        ("a quarter to seven p.m.", "18:45"),
        ("ten past six", "18:10"),
        ("five to eight in the evening", "19:55"),
        ("six thirty", "18:30"),
        ("7:30 P.M.", "19:30"),
        ("7.30 pm", "19:30"),
        ("630 pm", "18:30"),
        ("eight o'clock in the morning", "08:00"),
        ("at nine", "09:00"),
        ("noon", "12:00"),
        ("12 am", "00:00"),
        ("19:45", "19:45"),
    ],
)
def test_times(said: str, time: str) -> None:
    assert times(f"please come {said}, thanks") == [time]


@pytest.mark.parametrize(
    "said", ["for seven people", "room 12", "seven", "one of two", "25:70", "LL 4096"]
)
def test_what_is_no_time(said: str) -> None:
    assert times(said) == []


def test_a_bare_number_is_an_hour_when_a_time_was_asked_for() -> None:
    assert times("seven, please", bare=True) == ["19:00"]


def test_opening_hours_decide_between_morning_and_evening() -> None:
    assert times("at nine", EVENINGS) == ["21:00"]
    assert times("at nine", MORNINGS) == ["09:00"]
    assert times("at nine in the morning", EVENINGS) == ["09:00"]


@pytest.mark.parametrize(
    ("said", "date"),
    [
        ("today", "2026-03-16"),
        ("tomorrow at six", "2026-03-17"),
        ("the day after tomorrow", "2026-03-18"),
        ("on friday", "2026-03-20"),
        ("next Monday", "2026-03-23"),
        ("Friday the 20th of March", "2026-03-20"),
        ("March twenty first", "2026-03-21"),
        ("the twelfth of April", "2026-04-12"),
        ("12 February", "2027-02-12"),
        ("the third of May, nineteen eighty eight", "1988-05-03"),
        ("May 3rd 1988", "1988-05-03"),
        ("on the 20th", "2026-03-20"),
        ("on the 2nd", "2026-04-02"),
        ("2026-03-14", "2026-03-14"),
    ],
)
def test_dates(said: str, date: str) -> None:
    assert dates(f"it is {said}") == [date]


@pytest.mark.parametrize("said", ["the first one", "the 31st of February", "may I", "march on"])
def test_what_is_no_date(said: str) -> None:
    assert dates(said) == []


def test_without_a_day_a_relative_date_stays_words() -> None:
    assert dates("tomorrow or friday", Clock()) == ["tomorrow", "Friday"]
    assert dates("the 14th of March", Clock()) == ["March 14"]


def test_instructions_say_the_day_and_the_hours() -> None:
    clock = read_clock("You work here.\nToday is Monday, March 16, 2026.\nOpen from 5 PM to 11 PM.")
    assert clock == EVENINGS
    assert read_clock("Be kind.") == Clock()


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    for clock in (Clock(), MONDAY, EVENINGS):
        dates(text, clock)
        times(text, clock, bare=True)
