"""Whether a value is mentioned in speech, in whichever way it is said (in English).

What is understood, on both sides:

* numbers: ``1001``, ``1,001``, "one thousand and one", "one zero zero one", "ten oh one",
  "two and a half", "three point five", "minus five", "twenty twenty six";
* times: ``18:30``, "6:30 pm", "half past six", "six thirty", "quarter to seven", "six
  o'clock in the evening", "noon". Without am or pm a time stands for both; ``06:30`` and
  ``18:30`` for one;
* dates: ``2026-06-03``, ``6/3/2026`` (either order), "June 3rd", "the third of June, 2026",
  "June 2026". A year, or a day, that one side leaves out is not compared;
* money: ``€12.50``, ``12,50 €``, ``EUR 12.50``, "twelve euros fifty", "fifty cents". Named
  currencies must agree. An amount without one ("twelve fifty") will do if it has cents;
* identifiers: ``ORD-1001`` is "O R D one thousand one", "ord 1001", "O-R-D one oh oh one",
  "oscar romeo delta …"; letters alone only when they are capitals (``KLM`` is "K L M");
* all else: the same words in the same order, numbers in them by value.

A match takes whole units: 6 is neither in "sixty" nor in "twenty six", 10 neither in
"100" nor in "10:30" nor in "June 10th". What sounds the same is the same: "six thirty"
may be a time or the number 630.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.graders.numerals import Unit, tokenise, units

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Speech"]

_MONTHS: Final = {
    name[:length]: number
    for number, name in enumerate(
        (
            *("january", "february", "march", "april", "may", "june", "july", "august"),
            *("september", "october", "november", "december"),
        ),
        start=1,
    )
    for length in {3, len(name), 4 if name == "september" else 3}
}
_CURRENCIES: Final = {
    **dict.fromkeys(("$", "dollar", "dollars", "usd", "buck", "bucks"), "USD"),
    **dict.fromkeys(("€", "euro", "euros", "eur"), "EUR"),
    **dict.fromkeys(("£", "pound", "pounds", "gbp", "quid"), "GBP"),
    **dict.fromkeys(("¥", "yen", "jpy"), "JPY"),
    **dict.fromkeys(("franc", "francs", "chf"), "CHF"),
    **dict.fromkeys(("rupee", "rupees", "inr"), "INR"),
}
_CENTS: Final = {"cent": "", "cents": "", "penny": "GBP", "pence": "GBP"}
_NATO: Final = {
    word: word[0]
    for word in (
        *("alpha", "alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"),
        *("india", "juliet", "juliett", "kilo", "lima", "mike", "november", "oscar", "papa"),
        *("quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "yankee"),
        *("xray", "zulu"),
    )
}
_SEPARATORS: Final = frozenset({"dash", "hyphen", "minus", "slash", "dot", "underscore"})
_PAST: Final = {"past": 1, "after": 1, "to": -1, "of": -1, "before": -1, "till": -1}
_FRACTIONS: Final = {"quarter": 15, "half": 30}
_NAMED_TIMES: Final = {"noon": 720, "midday": 720, "midnight": 0}
_BEFORE_TIMES: Final = frozenset(
    {"at", "around", "by", "until", "till", "from", "before", "after", "about"}
)
_HALF_DAY: Final = 720
_DAY: Final = 1440


@dataclass(frozen=True, slots=True)
class _Date:
    month: int
    day: int | None
    year: int | None

    def agrees(self, other: _Date) -> bool:
        return (
            self.month == other.month
            and (None in (self.day, other.day) or self.day == other.day)
            and (None in (self.year, other.year) or self.year == other.year)
            and not (None in (self.day, other.day) and None in (self.year, other.year))
        )


@dataclass(frozen=True, slots=True)
class _Money:
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class _Entity:
    """A reading of some units.

    Attributes:
        value: Minutes of the day that a time may stand for; a date; an amount.
        start, end: The units.
    """

    value: frozenset[int] | _Date | _Money
    start: int
    end: int


class Speech:
    """Text that is searched for values.

    Args:
        text: A transcript, or a value that is looked for.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._units = units(tokenise(text))
        self._entities = list(self._find())

    def mentions(self, value: str | float) -> bool:
        """Return whether ``value`` is said; how values are read is the module's matter."""
        if isinstance(value, int | float):
            return self._has_number(Decimal(str(value)))
        wanted = Speech(value)
        if not wanted._units:
            return value.strip() != "" and value in self._text
        whole = [each for each in wanted._entities if each.end - each.start == len(wanted._units)]
        if whole:
            return any(self._has_entity(each.value) for each in whole)
        if wanted._is_timestamp:
            return all(self._has_entity(each.value) for each in wanted._entities)
        return self._has_text(wanted, value)

    def _has_text(self, wanted: Speech, value: str) -> bool:
        if len(wanted._units) == 1 and wanted._units[0].value is not None:
            return self._has_unit(wanted._units[0])
        spelled = "".join(unit.text for unit in wanted._units)
        if any(unit.value is not None for unit in wanted._units) and self._has_identifier(spelled):
            return True
        if re.fullmatch(r"[A-Z]{2,6}", value.strip()) and self._has_identifier(value, single=True):
            return True
        keys, ours = [_key(unit) for unit in wanted._units], [_key(unit) for unit in self._units]
        return any(
            ours[at : at + len(keys)] == keys
            and self._may_start(at)
            and self._may_end(at + len(keys))
            for at in range(len(ours) - len(keys) + 1)
        )

    @property
    def _is_timestamp(self) -> bool:
        kinds = [unit.kind for unit in self._units]
        return kinds == ["date", "clock"] and len(self._entities) >= 2

    # Numbers

    def _has_unit(self, wanted: Unit) -> bool:
        if wanted.ordinal:
            return any(unit.ordinal and unit.value == wanted.value for unit in self._units)
        if wanted.value is not None and not wanted.text.startswith("0"):
            if self._has_number(wanted.value):
                return True
            return len(wanted.text) >= 4 and self._has_identifier(wanted.text)
        return wanted.value is not None and self._has_identifier(wanted.text)

    def _has_number(self, value: Decimal) -> bool:
        if any(isinstance(e.value, _Money) and e.value.amount == value for e in self._entities):
            return True
        if any(isinstance(e.value, _Date) and e.value.year == value for e in self._entities):
            return True
        if any(pair == value for pair in self._pairs()):
            return True
        covered = {at for each in self._entities for at in range(each.start, each.end)}
        return any(
            unit.value == value and not unit.ordinal and not self._is_in_a_word(at)
            for at, unit in enumerate(self._units)
            if at not in covered
        )

    def _is_in_a_word(self, at: int) -> bool:
        """Return whether letters stand directly before the number, as in "B12"."""
        return at > 0 and not self._units[at].gap and self._units[at - 1].kind == "word"

    def _pairs(self) -> Iterator[int]:
        """Numbers said in two parts: "twenty twenty six", "six thirty", "ten oh one"."""
        for first, second in self._neighbours():
            high, low = first.whole, second.whole
            if high is not None and low is not None and 0 < high < 100 and len(second.text) == 2:
                yield high * 100 + low

    def _neighbours(self) -> Iterator[tuple[Unit, Unit]]:
        for first, second in zip(self._units, self._units[1:], strict=False):
            if second.joined and first.spelled and second.spelled:
                yield first, second

    # Identifiers

    def _has_identifier(self, value: str, *, single: bool = False) -> bool:
        target = "".join(character for character in value.casefold() if character.isalnum())
        return bool(target) and any(
            self._spells(target, at, single)
            for at, unit in enumerate(self._units)
            # No identifier starts with a separator, and there may be thousands of them.
            if all(_spellings(unit)) and self._may_start(at)
        )

    def _may_start(self, at: int) -> bool:
        unit = self._units[at]
        if at == 0:
            return True
        before = self._units[at - 1]
        digits = unit.single and before.single and unit.joined
        return bool(unit.gap) and not digits

    def _spells(self, target: str, at: int, single: bool) -> bool:
        """Return whether the units from ``at`` on, put together, are the target."""
        reached = {0}
        while reached and at < len(self._units):
            parts = [p for p in _spellings(self._units[at]) if not single or len(p) <= 1]
            reached = {
                done + len(part)
                for part in parts
                for done in reached
                if target.startswith(part, done)
            }
            at += 1
            if len(target) in reached and self._may_end(at):
                return True
        return False

    def _may_end(self, at: int) -> bool:
        if at >= len(self._units):
            return True
        return self._may_start(at)

    # Times, dates and money

    def _has_entity(self, wanted: frozenset[int] | _Date | _Money) -> bool:
        if any(_agree(wanted, each.value) for each in self._entities):
            return True
        # "Twelve fifty" for 12.50: cents make it specific enough to need no currency.
        if isinstance(wanted, _Money) and wanted.amount != int(wanted.amount):
            pairs = (Decimal(pair) / 100 for pair in self._pairs())
            return any(wanted.amount == each for each in pairs) or any(
                unit.value == wanted.amount for unit in self._units
            )
        return False

    def _find(self) -> Iterator[_Entity]:
        for at in range(len(self._units)):
            yield from (_Entity(day, at, end) for day, end in self._dates(at))
            yield from (_Entity(money, at, end) for money, end in self._money(at))
            yield from (_Entity(time, at, end) for time, end in self._times(at))

    def _word(self, at: int) -> str:
        """Return the word at ``at``, if it follows without a full stop; else nothing."""
        if not 0 <= at < len(self._units) or self._units[at].kind not in ("word", "sign"):
            return ""
        return self._units[at].text

    def _number(self, at: int, low: int, high: int) -> int | None:
        if not 0 <= at < len(self._units):
            return None
        value = self._units[at].value
        if value is None or value != int(value) or not low <= value <= high:
            return None
        return int(value)

    def _dates(self, at: int) -> Iterator[tuple[_Date, int]]:
        unit = self._units[at]
        if unit.kind == "date":
            yield from ((found, at + 1) for found in _written_dates(unit.text))
        month = _MONTHS.get(self._word(at))
        if month is not None:
            yield from self._month_first(month, at + 1)
        day_at = at + 1 if self._word(at) == "the" else at
        day = self._number(day_at, 1, 31)
        after = day_at + 1 + (self._word(day_at + 1) == "of")
        month = _MONTHS.get(self._word(after))
        if day is not None and month is not None:
            yield from self._with_year(month, day, after + 1)

    def _month_first(self, month: int, at: int) -> Iterator[tuple[_Date, int]]:
        for year, end in self._years(at + (self._word(at) == "of")):
            yield _Date(month, None, year), end
        at += self._word(at) == "the"
        day = self._number(at, 1, 31)
        if day is not None:
            yield from self._with_year(month, day, at + 1)

    def _with_year(self, month: int, day: int, at: int) -> Iterator[tuple[_Date, int]]:
        years = list(self._years(at))
        if not years:
            yield _Date(month, day, None), at
        for year, end in years:
            yield _Date(month, day, year), end

    def _years(self, at: int) -> Iterator[tuple[int, int]]:
        year = self._number(at, 1000, 2999)
        if year is not None and not self._units[at].ordinal:
            yield year, at + 1
        high, low = self._number(at, 18, 21), self._number(at + 1, 0, 99)
        if high is not None and low is not None and len(self._units[at + 1].text) == 2:
            yield high * 100 + low, at + 2

    def _money(self, at: int) -> Iterator[tuple[_Money, int]]:
        before = _CURRENCIES.get(self._word(at), "")
        if before and at + 1 < len(self._units) and not self._units[at + 1].gap.strip():
            amount = self._units[at + 1].value
            if amount is not None and not self._units[at + 1].ordinal:
                yield _Money(amount, before), at + 2
        amount = None if self._units[at].ordinal else self._units[at].value
        if amount is None:
            return
        named = self._word(at + 1)
        if named in _CURRENCIES:
            yield from self._with_cents(amount, _CURRENCIES[named], at + 2)
        elif named in _CENTS:
            yield _Money(amount / 100, _CENTS[named]), at + 2

    def _with_cents(self, amount: Decimal, currency: str, at: int) -> Iterator[tuple[_Money, int]]:
        joined = self._word(at) == "and"
        cents = self._number(at + joined, 1, 99)
        named = self._word(at + joined + 1) in _CENTS
        follows = at < len(self._units) and self._units[at].joined
        if cents is not None and (named or (not joined and follows and cents >= 10)):
            total = amount + Decimal(cents) / 100
            yield _Money(total, currency), at + joined + 1 + named
        else:
            yield _Money(amount, currency), at

    def _times(self, at: int) -> Iterator[tuple[frozenset[int], int]]:
        for hour, minute, end in self._clocks(at):
            meridiem, after = self._meridiem(end, hour)
            yield _minutes(hour, minute, meridiem, _is_padded(self._units[at])), after
        named = _NAMED_TIMES.get(self._word(at))
        if named is not None:
            yield frozenset({named}), at + 1

    def _clocks(self, at: int) -> Iterator[tuple[int, int, int]]:
        """Hour, minute and end of what may be a time at ``at``."""
        unit = self._units[at]
        if unit.kind == "clock":
            hour, minute = (int(part) for part in unit.text.split(":")[:2])
            if hour <= 24 and minute < 60:
                yield hour, minute, at + 1
        relative = self._relative(at)
        if relative is not None:
            yield relative
        if unit.ordinal or unit.value is None:
            return
        yield from self._said_hours(at, unit)

    def _said_hours(self, at: int, unit: Unit) -> Iterator[tuple[int, int, int]]:
        run = re.fullmatch(r"(\d)(0\d)", unit.text) if unit.single and unit.spelled else None
        if run:
            yield int(run[1]), int(run[2]), at + 1
        dotted = re.fullmatch(r"(\d{1,2})\.(\d{2})", str(unit.value))
        if dotted and int(dotted[1]) <= 12 and int(dotted[2]) < 60 and self._has_meridiem(at + 1):
            yield int(dotted[1]), int(dotted[2]), at + 1
        hundreds = self._number(at, 0, 2400)
        if hundreds is not None and hundreds % 100 == 0 and self._word(at + 1) == "hours":
            yield hundreds // 100, 0, at + 2
        hour = self._number(at, 0, 23)
        if hour is None:
            return
        minute = self._minute(at + 1, unit)
        if minute is not None:
            yield hour, minute, at + 2
        elif self._word(at + 1) == "oclock":
            yield hour, 0, at + 2
        elif 1 <= hour <= 12 and (self._has_meridiem(at + 1) or self._is_announced(at)):
            yield hour, 0, at + 1

    def _minute(self, at: int, hour: Unit) -> int | None:
        minute = self._number(at, 0, 59)
        if minute is None:
            return None
        unit = self._units[at]
        plain = len(unit.text) == 2 and unit.joined and not unit.ordinal
        spelled = hour.spelled and unit.spelled
        return minute if plain and (spelled or self._has_meridiem(at + 1)) else None

    def _is_announced(self, at: int) -> bool:
        """Return whether a bare hour is one: "at six", but not "at six dollars"."""
        counted = self._word(at + 1) in _CURRENCIES or self._word(at + 1) in _CENTS
        percent = self._word(at + 1) in ("%", "percent")
        return self._word(at - 1) in _BEFORE_TIMES and not counted and not percent

    def _relative(self, at: int) -> tuple[int, int, int] | None:
        """Read "half past six", "quarter to seven", "twenty minutes past noon"."""
        minutes = _FRACTIONS.get(self._word(at)) or self._number(at, 1, 59)
        if minutes is None:
            return None
        side = at + 1 + (self._word(at + 1) in ("minute", "minutes"))
        sign = _PAST.get(self._word(side))
        if sign is None and self._word(at) == "half":  # "half six", as the British say
            side, sign = at, 1
        hour = self._number(side + 1, 1, 12) if sign is not None else None
        named = _NAMED_TIMES.get(self._word(side + 1))
        hour = hour if named is None else named // 60
        if hour is None or sign is None:
            return None
        total = (hour * 60 + sign * minutes) % _DAY
        return total // 60, total % 60, side + 2

    def _has_meridiem(self, at: int) -> bool:
        return self._meridiem(at, 1)[0] is not None

    def _meridiem(self, at: int, hour: int) -> tuple[int | None, int]:
        """Return 0 for am, 720 for pm, ``None`` when it is not said, and where it ends."""
        words = tuple(self._word(at + offset) for offset in range(3))
        match words:
            case ("am", _, _):
                return 0, at + 1
            case ("pm", _, _):
                return _HALF_DAY, at + 1
            case ("a", "m", _):
                return 0, at + 2
            case ("p", "m", _):
                return _HALF_DAY, at + 2
            case ("in", "the", "morning"):
                return 0, at + 3
            case ("in", "the", "afternoon" | "evening"):
                return _HALF_DAY, at + 3
            case ("at", "night", _):
                return (_HALF_DAY if 6 <= hour <= 11 else 0), at + 2
            case ("tonight", _, _):
                return _HALF_DAY, at + 1
            case ("this", "morning", _):
                return 0, at + 2
            case ("this", "afternoon" | "evening", _):
                return _HALF_DAY, at + 2
        return None, at


def _is_padded(unit: Unit) -> bool:
    """Return whether the hour has a leading zero, as only 24-hour clocks write it."""
    return unit.text.startswith("0") and len(unit.text) > 1


def _minutes(hour: int, minute: int, meridiem: int | None, padded: bool) -> frozenset[int]:
    total = (hour * 60 + minute) % _DAY
    if meridiem is not None and hour <= 12:
        return frozenset({total % _HALF_DAY + meridiem})
    if padded or hour >= 12 or hour == 0:  # twelve alone is noon, as on 24-hour clocks
        return frozenset({total})
    return frozenset({total % _HALF_DAY, total % _HALF_DAY + _HALF_DAY})


def _written_dates(text: str) -> Iterator[_Date]:
    numbers = [int(part) for part in re.split(r"[-/.]", text)]
    orders = [(0, 1, 2)] if "-" in text else [(2, 0, 1), (2, 1, 0)]
    for order in orders:
        year, month, day = (numbers[at] for at in order)
        try:
            date(year, month, day)
        except ValueError:
            continue
        yield _Date(month, day, year)


def _agree(wanted: frozenset[int] | _Date | _Money, said: frozenset[int] | _Date | _Money) -> bool:
    match wanted, said:
        case frozenset(), frozenset():
            return not wanted.isdisjoint(said)
        case _Date(), _Date():
            return wanted.agrees(said)
        case _Money(), _Money():
            same = wanted.currency == said.currency or "" in (wanted.currency, said.currency)
            return same and wanted.amount == said.amount
    return False


def _spellings(unit: Unit) -> tuple[str, ...]:
    """Return what the unit can be in an identifier; nothing for a separator."""
    if unit.value is not None:
        return (unit.text,)
    if unit.text in ("o", "oh"):
        return ("o", "0", unit.text)
    if unit.text in _SEPARATORS:
        return (unit.text, "")
    if unit.text in _NATO:
        return (unit.text, _NATO[unit.text])
    return ("".join(character for character in unit.text if character.isalnum()),)


def _key(unit: Unit) -> tuple[object, ...]:
    if unit.value is not None:
        return ("number", unit.value, unit.ordinal)
    return (unit.kind, "%" if unit.text == "percent" else unit.text)
