"""English text cut into units: words, and numbers however they are spelled.

A unit is the longest stretch that is one number: "twenty six" is one unit, so nothing
that looks for 6 or for 20 finds it there. Digits spoken one by one are one unit, too
("one zero zero one", "double five").
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Token", "Unit", "tokenise", "units"]

_ONES: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS: Final = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_IRREGULAR: Final = {
    "first": "one",
    "second": "two",
    "third": "three",
    "fifth": "five",
    "eighth": "eight",
    "ninth": "nine",
    "twelfth": "twelve",
}

_VALUES: Final = {
    **{word: value for value, word in enumerate(_ONES, start=1)},
    **{word: value for value, word in enumerate(_TEENS, start=10)},
    **{word: value * 10 for value, word in enumerate(_TENS, start=2)},
}
_DIGITS: Final = {"zero": "0", "oh": "0", **{w: str(n) for n, w in enumerate(_ONES, start=1)}}
_TIMES: Final = {"double": 2, "triple": 3}

#: Digits as they are written: dates, clocks and amounts are one token each.
_TOKEN: Final = re.compile(
    r"""
    (?P<date>\d{4}-\d{2}-\d{2}(?!\d)|\d{1,2}/\d{1,2}/\d{4}(?!\d)|\d{1,2}\.\d{1,2}\.\d{4}(?!\d))
    (?:t(?=\d))?
    | (?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?!\d)) (?:z\b|[+-]\d{2}:\d{2})?
    | (?P<ordinal>\d+)(?:st|nd|rd|th)\b
    | (?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+,\d{1,2}(?![\d,])|\d+\.\d+(?!\.?\d)|\d+)
    | (?P<word>[^\W\d_]+(?:'[^\W\d_]+)*)
    | (?P<sign>[$€£¥%])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, sign or run of digits.

    Attributes:
        kind: The name of the alternative in the pattern.
        text: Without case, apostrophes and the possessive.
        gap: What stands between it and the token before it.
    """

    kind: str
    text: str
    gap: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A word or a number.

    Attributes:
        kind: ``word``, ``sign``, ``number``, ``clock`` or ``date``.
        text: The word; for numbers their digits, with leading zeros.
        gap: What stands before it.
        value: A number's value.
        ordinal: "third" or "3rd".
        spelled: The number is written in words.
        single: The number is one digit or digits spoken one by one.
    """

    kind: str
    text: str
    gap: str
    value: Decimal | None = None
    ordinal: bool = False
    spelled: bool = False
    single: bool = False

    @property
    def joined(self) -> bool:
        """Return whether nothing but space or a hyphen is before it."""
        return not self.gap.strip(" \t\r\n-")

    @property
    def whole(self) -> int | None:
        """Return the value of a cardinal integer."""
        if self.value is None or self.ordinal or self.value != int(self.value):
            return None
        return int(self.value)


def tokenise(text: str) -> list[Token]:
    """Cut text into tokens."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("\N{MINUS SIGN}", "-")
    tokens, end = [], 0
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or ""
        written = found[kind].removesuffix("'s").replace("'", "")
        tokens.append(Token(kind, written, text[end : found.start()]))
        end = found.end()
    return tokens


def units(tokens: Sequence[Token]) -> list[Unit]:
    """Group tokens into units, longest numbers first."""
    grouped, at = [], 0
    while at < len(tokens):
        unit, at = _unit(tokens, at)
        grouped.append(unit)
    return grouped


def _unit(tokens: Sequence[Token], at: int) -> tuple[Unit, int]:
    token = tokens[at]
    found = _digit_run(tokens, at) or _number(tokens, at)
    if found is not None:
        return found
    if token.kind == "ordinal":
        value = Decimal(token.text)
        return Unit("number", token.text, token.gap, value, ordinal=True), at + 1
    return Unit(token.kind, token.text, token.gap), at + 1


def _joins(token: Token, allowed: str = " \t\r\n-") -> bool:
    return not token.gap.strip(allowed)


def _digit_run(tokens: Sequence[Token], start: int) -> tuple[Unit, int] | None:
    """Read digits spoken one by one: "one zero zero one", "1 0 0 1", "double five"."""
    digits, at = "", start
    while at < len(tokens) and (at == start or _goes_on(tokens[at])):
        times = _TIMES.get(tokens[at].text, 1)
        of = at + 1 if times > 1 else at
        digit = _digit(tokens[of]) if of < len(tokens) else None
        if digit is None or _starts_longer(tokens, of):
            break
        digits, at = digits + digit * times, of + 1
    if len(digits) < 2:
        return None
    gap = tokens[start].gap
    spelled = tokens[start].kind == "word"
    unit = Unit("number", digits, gap, Decimal(digits), spelled=spelled, single=True)
    return unit, at


def _goes_on(token: Token) -> bool:
    # Between written digits a hyphen means a range.
    return bool(token.gap) and _joins(token, " " if token.kind == "number" else " -")


def _digit(token: Token) -> str | None:
    if token.kind == "number" and len(token.text) == 1:
        return token.text
    return _DIGITS.get(token.text)


def _starts_longer(tokens: Sequence[Token], at: int) -> bool:
    """Return whether the digit belongs to a longer number: the last one of "oh one hundred"."""
    found = _cardinal(tokens, at)
    return found is not None and found[1] > at + 1


def _number(tokens: Sequence[Token], start: int) -> tuple[Unit, int] | None:
    at, sign = start, 1
    if tokens[at].text in ("minus", "negative") and at + 1 < len(tokens):
        at, sign = at + 1, -1
    found = _cardinal(tokens, at)
    if found is None:
        return None
    value, end, ordinal = found
    if not ordinal:
        value, end = _fraction(tokens, value, end)
    gap = tokens[start].gap
    if tokens[start].kind == "number" and gap.endswith("-") and not gap[:-1].strip():
        sign = -1 if gap != "-" or start == 0 else 1
    spelled = tokens[at].kind == "word"
    digits = _digits_of(tokens[at], value, end - at)
    return (
        Unit(
            *("number", digits, gap, sign * value),
            ordinal=ordinal,
            spelled=spelled,
            single=len(digits) == 1,
        ),
        end,
    )


def _digits_of(token: Token, value: Decimal, length: int) -> str:
    """Return digits as identifiers have them: leading zeros stay, separators go."""
    if length == 1 and token.kind == "number":
        return re.sub(r"\D", "", token.text)
    return re.sub(r"\D", "", f"{value.normalize():f}")


def _fraction(tokens: Sequence[Token], value: Decimal, at: int) -> tuple[Decimal, int]:
    """Add "point five", "and a half" or a scale after decimals ("1.2 million")."""
    words = [token.text for token in tokens[at : at + 3]]
    if words[:1] == ["point"]:
        digits, end = "", at + 1
        while end < len(tokens) and (digit := _digit(tokens[end])) is not None:
            digits, end = digits + digit, end + 1
        if digits:
            return value + Decimal(f"0.{digits}"), end
    halves = {"half": Decimal("0.5"), "quarter": Decimal("0.25")}
    if words[:2] == ["and", "a"] and words[-1] in halves:
        # "and a quarter past" starts a time.
        after = tokens[at + 3].text if at + 3 < len(tokens) else ""
        if after not in ("past", "to", "after"):
            return value + halves[words[2]], at + 3
    return value, at


def _cardinal(tokens: Sequence[Token], start: int) -> tuple[Decimal, int, bool] | None:
    """Read the longest number at ``start``: its value, its end, whether it is an ordinal."""
    first = tokens[start]
    if first.kind == "number":
        return _written(tokens, start)
    if first.text == "zero":
        return Decimal(0), start + 1, False
    return _Words().read(tokens, start)


def _written(tokens: Sequence[Token], start: int) -> tuple[Decimal, int, bool]:
    text = tokens[start].text
    if re.fullmatch(r"\d+,\d{1,2}", text):
        value = Decimal(text.replace(",", "."))
    else:
        value = Decimal(text.replace(",", ""))
    end = start + 1
    while end < len(tokens) and _joins(tokens[end]):
        scale = 100 if tokens[end].text == "hundred" else _SCALES.get(tokens[end].text)
        if scale is None:
            break
        value, end = value * scale, end + 1
    return value, end, False


class _Words:
    """Reads a cardinal or ordinal in words, as long as the next word still fits.

    ``_group`` is what was read since the last scale word, ``_room`` the value below
    which the next word must be to belong to it: after "twenty" 10, after "hundred" 100.
    """

    def __init__(self) -> None:
        self._total = 0
        self._group: int | None = None
        self._room = 100
        self._scale = 10**12

    def read(self, tokens: Sequence[Token], start: int) -> tuple[Decimal, int, bool] | None:
        end, at = start, start
        while at < len(tokens) and (at == start or self._continues(tokens[at])):
            word, ordinal = _stem(tokens[at].text)
            if self._is_filler(tokens, at, start):
                at += 1
                continue
            if not self._take(word):
                break
            at = end = at + 1
            if ordinal:
                return Decimal(self._value), end, True
        return (Decimal(self._value), end, False) if end > start else None

    @property
    def _value(self) -> int:
        return self._total + (self._group or 0)

    def _continues(self, token: Token) -> bool:
        after_scale = self._group is None
        return _joins(token, " \t\r\n-," if after_scale else " \t\r\n-")

    def _is_filler(self, tokens: Sequence[Token], at: int, start: int) -> bool:
        following = _stem(tokens[at + 1].text)[0] if at + 1 < len(tokens) else ""
        if tokens[at].text in ("a", "an") and at == start:
            if following == "hundred" or following in _SCALES:
                self._group, self._room = 1, 0
                return True
            return False
        above = self._value >= 100 and self._value % 100 == 0
        return tokens[at].text == "and" and above and following in _VALUES

    def _take(self, word: str) -> bool:
        if word in _VALUES:
            return self._take_value(_VALUES[word])
        if word == "hundred" and self._group is not None and self._group < 100:
            self._group, self._room = self._group * 100, 100
            return True
        scale = _SCALES.get(word)
        if scale is not None and self._group is not None and scale < self._scale:
            self._total += self._group * scale
            self._group, self._room, self._scale = None, 100, scale
            return True
        return False

    def _take_value(self, value: int) -> bool:
        if value >= self._room:
            return False
        self._group = (self._group or 0) + value
        self._room = 10 if value >= 20 else 0
        return True


def _stem(word: str) -> tuple[str, bool]:
    """Return the cardinal of an ordinal, and whether the word was one."""
    if word in _IRREGULAR:
        return _IRREGULAR[word], True
    if word.endswith("ieth"):
        return f"{word.removesuffix('ieth')}y", f"{word.removesuffix('ieth')}y" in _VALUES
    stem = word.removesuffix("th")
    known = stem in _VALUES or stem == "hundred" or stem in _SCALES
    return (stem, True) if stem != word and known else (word, False)
