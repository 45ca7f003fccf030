"""Numbers in words and digits: what was said, and how to say it."""

from __future__ import annotations

from typing import Final

from pytest_realtime_eval.embedded.words import word_list

_UNITS: Final = {
    word: value
    for value, word in enumerate(
        word_list(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
            "fifteen sixteen seventeen eighteen nineteen"
        )
    )
}
_TENS: Final = {
    word: value * 10
    for value, word in enumerate(
        word_list("twenty thirty forty fifty sixty seventy eighty ninety"), start=2
    )
}
_SCALES: Final = {"thousand": 1000, "million": 1_000_000}
_ORDINALS: Final = {
    **{
        word: value
        for value, word in enumerate(
            word_list(
                "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
                "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
            ),
            start=1,
        )
    },
    "twentieth": 20,
    "thirtieth": 30,
}
_DIGITS: Final = {**{word: value for word, value in _UNITS.items() if value < 10}, "oh": 0, "o": 0}

Span = tuple[float, int]
"""A value and the index of the first token after it."""


def read_number(found: list[str], at: int) -> Span | None:
    """Return the cardinal number that begins at a token, in words or in digits."""
    if at < len(found) and (found[at].isdecimal() or _is_decimal(found[at])):
        value = float(found[at]) if "." in found[at] else int(found[at])
        return _scaled(found, at + 1, value)
    small = _below_thousand(found, at)
    return None if small is None else _scaled(found, small[1], small[0])


def _is_decimal(token: str) -> bool:
    whole, _, part = token.partition(".")
    return whole.isdecimal() and part.isdecimal()


def _scaled(found: list[str], at: int, value: float) -> Span:
    if at < len(found) and found[at] == "hundred" and value < 100:
        return _with_rest(found, at + 1, value * 100, 100)
    if at < len(found) and found[at] in _SCALES:
        scale = _SCALES[found[at]]
        return _with_rest(found, at + 1, value * scale, scale)
    return value, at


def _with_rest(found: list[str], at: int, value: float, below: int) -> Span:
    start = at + 1 if at < len(found) and found[at] == "and" else at
    rest = _below_thousand(found, start)
    if rest is None or rest[0] >= below or rest[0] == 0:
        return value, at
    return value + rest[0], rest[1]


def _below_thousand(found: list[str], at: int) -> tuple[int, int] | None:
    small = _below_hundred(found, at)
    if small is None or small[1] >= len(found) or found[small[1]] != "hundred":
        return small
    value, end = _with_rest(found, small[1] + 1, small[0] * 100, 100)
    return int(value), end


def _below_hundred(found: list[str], at: int) -> tuple[int, int] | None:
    word = found[at] if at < len(found) else ""
    if word in _UNITS:
        return _UNITS[word], at + 1
    if word not in _TENS:
        return None
    unit = _UNITS.get(found[at + 1], 0) if at + 1 < len(found) else 0
    return (_TENS[word] + unit, at + 2) if 0 < unit < 10 else (_TENS[word], at + 1)


def read_ordinal(found: list[str], at: int) -> tuple[int, int] | None:
    """Return the ordinal that begins at a token: ``14th``, ``twenty first``, ``third``."""
    word = found[at] if at < len(found) else ""
    if word[:-2].isdecimal() and word[-2:] in {"st", "nd", "rd", "th"}:
        return int(word[:-2]), at + 1
    if word in _ORDINALS:
        return _ORDINALS[word], at + 1
    unit = _ORDINALS.get(found[at + 1], 0) if at + 1 < len(found) else 0
    return (_TENS[word] + unit, at + 2) if word in _TENS and 0 < unit < 10 else None


def read_digits(found: list[str], at: int) -> tuple[str, int]:
    """Return the digits of an identifier or telephone number from a token on.

    Digits said one by one are strung together; ``double four`` is ``44``; a round number
    takes a smaller one in, as in ``1000-1`` for *one thousand one*.
    """
    groups: list[str] = []
    end = at
    while end < len(found):
        group = _digit_group(found, end, first=not groups)
        if group is None:
            break
        said, end = group
        if groups and _takes_in(groups[-1], said):
            said = f"{int(groups.pop()) + int(said)}"
        groups.append(said)
    return "".join(groups), end


def _digit_group(found: list[str], at: int, *, first: bool) -> tuple[str, int] | None:
    if found[at] in {"double", "triple"} and at + 1 < len(found):
        again = _one_digit(found[at + 1])
        if again is not None:
            return again * (2 if found[at] == "double" else 3), at + 2
    number = read_number(found, at)
    if number is not None:
        as_written = number[1] == at + 1 and found[at].isdecimal()  # keeps leading zeros
        return (found[at] if as_written else f"{number[0]:.0f}"), number[1]
    single = _DIGITS.get(found[at])
    return None if first or single is None else (f"{single}", at + 1)


def _takes_in(round_number: str, said: str) -> bool:
    """Whether the second is the rest of the first: ``1000`` and ``1``."""
    zeros = len(round_number) - len(round_number.rstrip("0"))
    return zeros >= 2 and len(round_number) > zeros >= len(said) and not said.startswith("0")


def _one_digit(token: str) -> str | None:
    value = _DIGITS.get(token)
    return token if token.isdecimal() and len(token) == 1 else None if value is None else f"{value}"
