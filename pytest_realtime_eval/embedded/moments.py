"""Dates and times of day: what was said, and how to say it."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final

from pytest_realtime_eval.embedded.numbers import read_number, read_ordinal
from pytest_realtime_eval.embedded.words import tokens, word_list

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        word_list(
            "january february march april may june july august september october november december"
        ),
        start=1,
    )
}
_WEEKDAYS: Final = {
    name: number
    for number, name in enumerate(
        word_list("monday tuesday wednesday thursday friday saturday sunday")
    )
}
_AFTERNOON: Final = frozenset({"pm", "afternoon", "evening", "tonight", "night"})
_PAST: Final = frozenset({"past", "after"})
_BEFORE: Final = frozenset({"to", "before", "of"})
_COUNTED: Final = frozenset(
    word_list("people persons guests adults children nights days weeks hours minutes months years")
)
_ISO_DATE: Final = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")


@dataclass(frozen=True)
class Spoken:
    """A value among tokens: what it is, and the tokens ``start`` to ``end`` that say it."""

    value: str
    start: int
    end: int


@dataclass(frozen=True)
class Clock:
    """What a session's instructions say about time.

    Attributes:
        today: The day of the call; without it *tomorrow* stays a word.
        opens, closes: Opening hours in minutes after midnight; they decide whether
            *seven* is in the morning or in the evening.
    """

    today: dt.date | None = None
    opens: int | None = None
    closes: int | None = None

    def is_open(self, minute: int) -> bool:
        """Whether the hours are known and ``minute`` lies in them."""
        if self.opens is None or self.closes is None:
            return False
        return self.opens <= minute <= self.closes


def read_clock(instructions: str) -> Clock:
    """Return the day (*Today is …*) and the opening hours that the instructions name."""
    today = None
    for line in instructions.splitlines():
        found = tokens(line)
        if "today" in found:
            spoken = _date_after(found, found.index("today") + 1)
            today = dt.date.fromisoformat(spoken) if spoken else today
    opens, closes = _opening_hours(instructions)
    return Clock(today, opens, closes)


def _date_after(found: list[str], at: int) -> str | None:
    dates = find_dates(found[at:], Clock())
    return next((date.value for date in dates if _ISO_DATE.fullmatch(date.value)), None)


def _opening_hours(instructions: str) -> tuple[int | None, int | None]:
    for line in instructions.splitlines():
        found = tokens(line)
        if not {"open", "opens", "hours", "serve", "appointments"} & set(found):
            continue
        times = [_minutes(time.value) for time in find_times(found, Clock())]
        if len(times) >= 2 and times[0] < times[-1]:
            return times[0], times[-1]
    return None, None


def _minutes(time: str) -> int:
    hour, minute = time.split(":")
    return int(hour) * 60 + int(minute)


def find_dates(found: list[str], clock: Clock) -> list[Spoken]:
    """Return the dates that the tokens say: ISO where the day is known, else as said."""
    dates = []
    at = 0
    while at < len(found):
        date = _date_at(found, at, clock)
        dates += [date] if date else []
        at = date.end if date else at + 1
    return dates


def _date_at(found: list[str], at: int, clock: Clock) -> Spoken | None:
    if _ISO_DATE.fullmatch(found[at]):
        return Spoken(found[at], at, at + 1)
    return _calendar_date(found, at, clock) or _relative_date(found, at, clock)


def _relative_date(found: list[str], at: int, clock: Clock) -> Spoken | None:
    if found[at : at + 4] == ["the", "day", "after", "tomorrow"]:
        return _days_on("the day after tomorrow", at, at + 4, clock, 2)
    if found[at : at + 3] == ["day", "after", "tomorrow"]:
        return _days_on("the day after tomorrow", at, at + 3, clock, 2)
    if found[at] in {"today", "tonight"}:
        return _days_on("today", at, at + 1, clock, 0)
    if found[at] == "tomorrow":
        return _days_on("tomorrow", at, at + 1, clock, 1)
    if found[at] not in _WEEKDAYS:
        return None
    if clock.today is None:
        return Spoken(found[at].capitalize(), at, at + 1)
    ahead = (_WEEKDAYS[found[at]] - clock.today.weekday() - 1) % 7 + 1
    return _days_on(found[at], at, at + 1, clock, ahead)


def _days_on(said: str, start: int, end: int, clock: Clock, days: int) -> Spoken:
    if clock.today is None:
        return Spoken(said, start, end)
    return Spoken((clock.today + dt.timedelta(days=days)).isoformat(), start, end)


def _calendar_date(found: list[str], at: int, clock: Clock) -> Spoken | None:
    """Read ``[Friday] [the] 14th [of] March [2026]`` and ``March [the] 14[th] [2026]``."""
    here = at + 1 if found[at] in _WEEKDAYS else at
    here += found[here : here + 1] == ["the"]
    day = read_ordinal(found, here)
    if day is not None:
        return _after_day(found, at, day, clock)
    number = read_number(found, here)
    if number is not None and 1 <= number[0] <= 31:
        named = number[1] + (found[number[1] : number[1] + 1] == ["of"])
        if found[named : named + 1] and found[named] in _MONTHS:
            return _after_day(found, at, (int(number[0]), number[1]), clock)
    month = _MONTHS.get(found[here]) if here < len(found) else None
    return _after_month(found, at, here, month, clock) if month else None


def _after_day(found: list[str], start: int, day: tuple[int, int], clock: Clock) -> Spoken | None:
    end = day[1] + (found[day[1] : day[1] + 1] == ["of"])
    month = _MONTHS.get(found[end]) if end < len(found) else None
    if month is not None:
        return _dated(found, start, end + 1, month, day[0], clock)
    goes_on = day[1] < len(found) and found[day[1]] not in {"at", "in", "for", "please", "and"}
    if start == day[1] - 1 or goes_on or clock.today is None:
        return None  # no date: `first`, `the second one`
    return _next_such_day(start, day, clock.today)


def _after_month(found: list[str], start: int, at: int, month: int, clock: Clock) -> Spoken | None:
    here = at + 1 + (found[at + 1 : at + 2] == ["the"])
    day = read_ordinal(found, here) or read_number(found, here)
    if day is None or not 1 <= day[0] <= 31:
        return None
    return _dated(found, start, day[1], month, int(day[0]), clock)


def _next_such_day(start: int, day: tuple[int, int], today: dt.date) -> Spoken | None:
    if not 1 <= day[0] <= 28:
        return None
    date = today.replace(day=day[0])
    if date < today:
        date = (today.replace(day=1) + dt.timedelta(days=32)).replace(day=day[0])
    return Spoken(date.isoformat(), start, day[1])


def _dated(
    found: list[str], start: int, end: int, month: int, day: int, clock: Clock
) -> Spoken | None:
    year, end = _year(found, end)
    try:
        if year is not None:
            return Spoken(dt.date(year, month, day).isoformat(), start, end)
        if clock.today is None:
            return Spoken(f"{_month_name(month)} {day}", start, end)
        date = dt.date(clock.today.year, month, day)
        date = date if date >= clock.today else date.replace(year=date.year + 1)
    except ValueError:
        return None
    return Spoken(date.isoformat(), start, end)


def _year(found: list[str], at: int) -> tuple[int | None, int]:
    """Read ``2026``, ``nineteen eighty eight`` and ``two thousand one`` after a date."""
    first = read_number(found, at)
    if first is None:
        return None, at
    if 1900 <= first[0] < 2100:
        return int(first[0]), first[1]
    second = read_number(found, first[1])
    if first[0] in {19, 20} and second is not None and 10 <= second[0] < 100:
        return int(first[0] * 100 + second[0]), second[1]
    return None, at


def find_times(found: list[str], clock: Clock, *, bare: bool = False) -> list[Spoken]:
    """Return the times of day that the tokens say, as ``HH:MM``.

    Args:
        found: The tokens.
        clock: Decides between morning and evening where nothing was said.
        bare: Take a bare number for an hour; only right when a time was asked for.
    """
    times = []
    at = 0
    while at < len(found):
        time = _time_at(found, at, clock, bare=bare)
        times += [time] if time else []
        at = time.end if time else at + 1
    return times


def _time_at(found: list[str], at: int, clock: Clock, *, bare: bool) -> Spoken | None:
    if found[at] in {"noon", "midday"}:
        return Spoken("12:00", at, at + 1)
    if found[at] == "midnight":
        return Spoken("00:00", at, at + 1)
    read = _relative_time(found, at) or _clock_time(found, at) or _hour(found, at, bare=bare)
    if read is None:
        return None
    hour, minute, end = read
    if not (0 <= hour < 24 and 0 <= minute < 60):
        return None
    half, end = _half_of_day(found, end)
    return Spoken(_resolved(hour, minute, half, clock), at, end)


def _relative_time(found: list[str], at: int) -> tuple[int, int, int] | None:
    """Read ``half past six``, ``a quarter to seven``, ``ten past six``."""
    start = at + (found[at] == "a")
    word = found[start] if start < len(found) else ""
    part = {"half": 30, "quarter": 15}.get(word)
    number = (part, start + 1) if part else read_number(found, start)
    if number is None or number[1] >= len(found) or not 0 < number[0] < 60:
        return None
    joint = found[number[1]]
    hour = read_number(found, number[1] + 1)
    if hour is None or not 1 <= hour[0] <= 12:
        return None
    if joint in _PAST:
        return int(hour[0]), int(number[0]), hour[1]
    if joint in _BEFORE and (part == 15 or number[0] % 5 == 0) and joint != "of":
        return (int(hour[0]) - 1) % 12 or 12, 60 - int(number[0]), hour[1]
    return None


def _clock_time(found: list[str], at: int) -> tuple[int, int, int] | None:
    """Read ``7:30``, ``7.30 pm``, ``seven thirty``, ``630 pm``."""
    hour, colon, minute = found[at].replace(".", ":").partition(":")
    if colon and hour.isdecimal() and minute.isdecimal():
        is_clock = ":" in found[at] or (len(minute) == 2 and _says_half(found, at + 1))
        return (int(hour), int(minute), at + 1) if is_clock else None
    if found[at].isdecimal() and len(found[at]) in {3, 4} and _says_half(found, at + 1):
        return int(found[at][:-2]), int(found[at][-2:]), at + 1
    number = read_number(found, at)
    if number is None or not 1 <= number[0] <= 23 or number[1] >= len(found):
        return None
    small = read_number(found, number[1])
    is_minute = small is not None and 10 <= small[0] < 60 and small[0] % 5 == 0
    if small is None or not is_minute or found[small[1] : small[1] + 1] == ["people"]:
        return None
    return int(number[0]), int(small[0]), small[1]


def _says_half(found: list[str], at: int) -> bool:
    return _half_of_day(found, at)[0] is not None


def _hour(found: list[str], at: int, *, bare: bool) -> tuple[int, int, int] | None:
    """Read ``seven o'clock``, ``seven pm``, ``at seven``."""
    number = read_number(found, at)
    if number is None or number[0] != int(number[0]) or not 0 <= number[0] <= 23:
        return None
    hour, end = int(number[0]), number[1]
    after = found[end] if end < len(found) else ""
    if after in {"o'clock", "oclock"}:
        return hour, 0, end + 1
    if after == "o" and found[end + 1 : end + 2] == ["clock"]:
        return hour, 0, end + 2
    before = found[at - 1] if at else ""
    timed = _says_half(found, end) or bare or before in {"at", "around", "until", "till", "about"}
    return (hour, 0, end) if timed and after not in _COUNTED else None


def _half_of_day(found: list[str], at: int) -> tuple[bool | None, int]:
    """Return whether it is after noon, if it was said, and where that ends."""
    here = at
    while here < len(found) and here < at + 2 and found[here] in {"in", "the", "at", "this"}:
        here += 1
    word = found[here] if here < len(found) else ""
    if word in {"am", "morning"}:
        return False, here + 1
    return (True, here + 1) if word in _AFTERNOON else (None, at)


def _resolved(hour: int, minute: int, afternoon: bool | None, clock: Clock) -> str:
    if hour == 0 or hour > 12:
        return f"{hour:02d}:{minute:02d}"
    early = hour % 12
    if afternoon is None:
        afternoon = _likely_afternoon(early * 60 + minute, clock)
    return f"{early + 12 * afternoon:02d}:{minute:02d}"


def _likely_afternoon(minute: int, clock: Clock) -> bool:
    """Prefer the reading inside the opening hours, else one to seven are after noon."""
    morning, evening = clock.is_open(minute), clock.is_open(minute + 720)
    return evening if morning != evening else minute < 8 * 60


def _month_name(month: int) -> str:
    return next(name for name, number in _MONTHS.items() if number == month).capitalize()


def say_date(date: dt.date, *, with_year: bool = False) -> str:
    """Return ``Friday, March 20``, or ``March 20, 2026``."""
    if with_year:
        return f"{_month_name(date.month)} {date.day}, {date.year}"
    weekday = next(name for name, number in _WEEKDAYS.items() if number == date.weekday())
    return f"{weekday.capitalize()}, {_month_name(date.month)} {date.day}"


def say_time(time: str) -> str:
    """Return ``19:30`` as ``7:30 PM`` and ``19:00`` as ``7 PM``."""
    hour, minute = (int(part) for part in time.split(":")[:2])
    shown = f"{hour % 12 or 12}" + (f":{minute:02d}" if minute else "")
    return f"{shown} {'PM' if hour >= 12 else 'AM'}"
