"""Whether the arguments of a tool call are the expected ones.

The rules, from the outside in:

* Objects: every expected key is there and its value matches; further keys are free.
* Lists: the expected values match the first ones, in order; further values are free.
* ``true``, ``false`` and ``null`` match only themselves.
* Numbers match by value, also when one side or both are text that is a JSON number:
  ``"1e3"`` is 1000, ``2`` is ``"2.0"``. Integers are exact at any size. ``"02"`` and
  ``"2 units"`` are text.
* Text matches when it is the same after folding case, punctuation and white space.
  Text with digits in it also matches without its separators (``ORD-1001`` is
  ``ord1001``), unless both sides separate the same digits differently
  (``2026-1-12`` is not ``2026-11-2``). Addresses match whether or not their usual words
  are abbreviated (``12 North Main Street, Apt. 5`` is ``12 N Main St Apt 5``).
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

__all__ = ["difference", "fold", "matches", "number"]

#: JSON's own grammar of numbers, so that "02", "+2", ".5" and "2 units" stay text.
_JSON_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)

#: Punctuation that carries meaning, so that it is never folded away.
_MEANINGFUL: Final = frozenset("%&@")
_APOSTROPHES: Final = frozenset("'`\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}")

_THOUSANDS: Final = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_INITIALS: Final = re.compile(r"\b(?:[^\W\d_]\.){2,}(?=(\w?))")
_BETWEEN_DIGITS: Final = frozenset(".,:")

_STREETS: Final = {
    "alley": "aly",
    "av": "ave",
    "avenue": "ave",
    "boulevard": "blvd",
    "circle": "cir",
    "close": "cl",
    "court": "ct",
    "crescent": "cres",
    "drive": "dr",
    "expressway": "expy",
    "freeway": "fwy",
    "highway": "hwy",
    "lane": "ln",
    "parkway": "pkwy",
    "place": "pl",
    "plaza": "plz",
    "road": "rd",
    "square": "sq",
    "street": "st",
    "str": "st",
    "strasse": "st",
    "terrace": "ter",
    "trail": "trl",
    "way": "wy",
}
_UNITS: Final = {
    "apartment": "apt",
    "building": "bldg",
    "department": "dept",
    "floor": "fl",
    "room": "rm",
    "suite": "ste",
}
_IN_ADDRESSES: Final = {
    **_STREETS,
    **_UNITS,
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
    "northeast": "ne",
    "northwest": "nw",
    "southeast": "se",
    "southwest": "sw",
    "fort": "ft",
    "mount": "mt",
    "saint": "st",
}
_STREET_WORDS: Final = frozenset(_STREETS) | frozenset(_STREETS.values())
_UNIT_WORDS: Final = frozenset(_UNITS) | frozenset(_UNITS.values())


def matches(expected: object, actual: object) -> bool:
    """Return whether ``actual`` is what was expected; the rules are the module's."""
    return difference(expected, actual) is None


def difference(expected: object, actual: object, path: str = "$") -> str | None:
    """Describe the first thing in which ``actual`` is not what was expected.

    Args:
        expected: A JSON value.
        actual: A JSON value.
        path: Where the two stand, as a JSON path.

    Returns:
        A sentence that names the place and both values; ``None`` if they match.
    """
    if isinstance(expected, Mapping):
        return _object_difference(expected, actual, path)
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return _list_difference(expected, actual, path)
    if _scalar_matches(expected, actual):
        return None
    return f"{path} is {_show(actual)}, expected {_show(expected)}"


def _object_difference(expected: Mapping[str, object], actual: object, path: str) -> str | None:
    if not isinstance(actual, Mapping):
        return f"{path} is {_show(actual)}, expected an object"
    for key, value in expected.items():
        if key not in actual:
            return f"{path}.{key} is missing, expected {_show(value)}"
        found = difference(value, actual[key], f"{path}.{key}")
        if found is not None:
            return found
    return None


def _list_difference(expected: Sequence[object], actual: object, path: str) -> str | None:
    if not isinstance(actual, Sequence) or isinstance(actual, str):
        return f"{path} is {_show(actual)}, expected a list"
    for index, value in enumerate(expected):
        if index >= len(actual):
            return f"{path}[{index}] is missing, expected {_show(value)}"
        found = difference(value, actual[index], f"{path}[{index}]")
        if found is not None:
            return found
    return None


def _show(value: object, limit: int = 120) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    # str(int) refuses more than 4,300 digits; Decimal does not.
    shown = str(Decimal(value)) if isinstance(value, int) else repr(value)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _scalar_matches(expected: object, actual: object) -> bool:
    if expected is None or actual is None:
        return expected is actual
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    left, right = number(expected), number(actual)
    if left is not None and right is not None:
        return left == right
    if isinstance(expected, str) and isinstance(actual, str):
        return _text_matches(expected, actual)
    return False


def number(value: object) -> Decimal | None:
    """Return the exact value of a JSON number or of text that is one, else ``None``.

    A float stands for the shortest decimal that reads back as it, so that 0.1 is "0.1".
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, str) and _JSON_NUMBER.fullmatch(value.strip()):
        try:
            return Decimal(value.strip())
        except InvalidOperation:  # an exponent beyond what any number type holds
            return None
    return None


def _text_matches(expected: str, actual: str) -> bool:
    if expected == actual:
        return True
    left, right = fold(expected), fold(actual)
    if not left or not right:  # nothing but punctuation: then it is what counts
        return expected.strip() == actual.strip()
    return left == right or _same_identifier(left, right) or _same_address(left, right)


def fold(text: str) -> str:
    """Fold case, punctuation and white space away.

    What carries a value stays: decimal points and colons between digits, a leading
    minus, ``%``, ``&``, ``@``, currency and mathematical signs. Commas between groups of
    three digits go, apostrophes and the dots of initials join.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    text = _INITIALS.sub(lambda found: found[0].replace(".", "") + " " * bool(found[1]), text)
    folded = (_fold_character(text, at) for at in range(len(text)))
    return " ".join("".join(folded).split())


def _fold_character(text: str, at: int) -> str:
    character = text[at]
    if character in _APOSTROPHES:
        return ""
    if not unicodedata.category(character).startswith("P") or character in _MEANINGFUL:
        return character
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if character in _BETWEEN_DIGITS and before.isdigit() and after.isdigit():
        return character
    if character == "-" and after.isdigit() and (not before or before.isspace()):
        return character
    return " "


def _same_identifier(left: str, right: str) -> bool:
    if not _has_digit(left) or left.replace(" ", "") != right.replace(" ", ""):
        return False
    # "1 23" and "12 3" are two things; "123" may be either.
    ours, theirs = _breaks_between_digits(left), _breaks_between_digits(right)
    return ours <= theirs or theirs <= ours


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _breaks_between_digits(text: str) -> set[int]:
    """Return how many other characters stand before each space between two digits."""
    breaks, passed = set(), 0
    for at, character in enumerate(text):
        if character != " ":
            passed += 1
        elif text[at - 1].isdigit() and text[at + 1].isdigit():
            breaks.add(passed)
    return breaks


def _same_address(left: str, right: str) -> bool:
    ours, theirs = left.split(), right.split()
    if not (_is_address(ours) and _is_address(theirs)):
        return False
    return [_abbreviate(word) for word in ours] == [_abbreviate(word) for word in theirs]


def _is_address(words: Sequence[str]) -> bool:
    """Return whether a street ("Main St") or a unit ("Apt 5") is among the words."""
    if any(word in _STREET_WORDS for word in words[1:]) or any(map(_is_compound, words)):
        return True
    pairs = itertools.pairwise(words)
    return any(word in _UNIT_WORDS and _has_digit(after) for word, after in pairs)


def _is_compound(word: str) -> bool:
    """Return whether a German street is written in one word, abbreviated or not."""
    return len(word) > len("strasse") and word.endswith(("strasse", "str"))


def _abbreviate(word: str) -> str:
    if _is_compound(word):
        return word.removesuffix("asse")
    return _IN_ADDRESSES.get(word, word)
