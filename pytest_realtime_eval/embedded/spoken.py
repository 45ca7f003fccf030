"""Between written and spoken text: how identifiers, money and times are said and heard.

The voice says :func:`speakable` text, the ear returns :func:`readable` text. The forms
were chosen by measuring what the ear hears: letters as separate sentences and digits as
separate words bring back identifiers best, and a pause before them keeps "is R F" from
being heard as "are F".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["readable", "speakable"]

_DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGIT_OF: Final = {word: str(value) for value, word in enumerate(_DIGITS)} | {"oh": "0"}

_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_MONEY: Final = re.compile(r"([$€£])\s?(\d{1,3}(?:,\d{3})+|\d+)\.(\d{2})(?![\d.])")
_CURRENCY: Final = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
_CLOCK: Final = re.compile(r"(?<![\d:-])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])(\s?[AaPp]\.?[Mm]\b)?")
_PHONE: Final = re.compile(
    r"(?<![\w.-])\+?\d{1,3}(?:-\d{3,4}){1,3}(?![\w-])|(?<![\w.,$€£-])0\d{2,}\b"
)
_LONG_NUMBER: Final = re.compile(r"(?<![\w.,$€£-])\d{5,}(?![\w,-]|\.\d)")
_IDENTIFIER: Final = re.compile(
    r"(?<![\w$€£.-])(?=[A-Z\d-]*[A-Z])(?=[A-Z\d-]*\d)[A-Z\d]+(?:-[A-Z\d]+)*(?![\w-])"
)
_HALF_DAY: Final = re.compile(r"\d{1,2}(AM|PM)")
_MARKUP: Final = re.compile(r"[*_`#]+")


def speakable(text: str) -> str:
    """Return ``text`` as it should be read aloud.

    Identifiers are spelled ("ORD-1001" becomes ", O. R. D. one, zero, zero, one"), long
    numbers and telephone numbers are said digit by digit, clock times on the 24-hour
    dial become 12-hour ones, and e-mail addresses are said with "dot" and "at".
    """
    for pattern, say in _SPOKEN_FORMS:
        text = pattern.sub(say, text)
    return re.sub(r"\s+(?=,)", "", re.sub(r"[ \t]+", " ", text)).strip(" ,")


def readable(heard: str) -> str:
    """Return what was heard, as one would write it.

    Spelled-out identifiers are joined ("o r d one, zero, zero, one" and "O-R-D-1-0-0-1"
    become "ORD1001"; fewer than three characters in a row are left as they are), and so
    are e-mail addresses; clock times in words become figures ("at twelve fifteen"), and
    the spellings of a century ago ("to-morrow") today's.
    """
    for pattern, write in _WRITTEN_FORMS:
        heard = pattern.sub(write, heard)
    return heard


def _say_email(match: re.Match[str]) -> str:
    said = match[0].replace("@", " at ").replace(".", " dot ").replace("-", " dash ")
    return said.replace("_", " underscore ").replace("+", " plus ")


def _say_money(match: re.Match[str]) -> str:
    unit, cent = _CURRENCY[match[1]]
    amount, cents = match[2], int(match[3])
    said = f"{amount} {unit}{'' if amount == '1' else 's'}"
    plural = "pence" if cent == "penny" else f"{cent}s"
    return f"{said} and {cents} {cent if cents == 1 else plural}" if cents else said


def _say_clock(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), match[2]
    on_24_hour_dial = not match[3] and (hour > 12 or match[1].startswith("0"))
    if not on_24_hour_dial:
        return match[0]
    return f"{hour % 12 or 12}:{minute} {'AM' if hour < 12 else 'PM'}"


def _digits(number: str) -> str:
    """Return the digits in words, in groups of three; a last group may have four.

    Without the grouping, repeated digits are heard too often or too seldom.
    """
    ends = [*range(3, len(number) - 1, 3), len(number)]
    groups = [number[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return ", ".join(" ".join(_DIGITS[int(digit)] for digit in group) for group in groups)


def _say_phone(match: re.Match[str]) -> str:
    groups = match[0].lstrip("+").split("-")
    return f", {'plus ' if match[0].startswith('+') else ''}{', '.join(map(_digits, groups))}"


def _say_number(match: re.Match[str]) -> str:
    return f", {_digits(match[0])}"


def _say_identifier(match: re.Match[str]) -> str:
    if _HALF_DAY.fullmatch(match[0]) or len(match[0].replace("-", "")) < 4:
        return match[0]
    parts = re.findall(r"[A-Z]+|\d+", match[0])
    return ", " + " ".join(
        # "zee" is heard as the letter C
        "".join(f"{'zed' if letter == 'Z' else letter}. " for letter in part).strip()
        if part.isalpha()
        else ", ".join(_DIGITS[int(digit)] for digit in part)
        for part in parts
    )


_SPOKEN_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (_EMAIL, _say_email),
    (_MONEY, _say_money),
    (_CLOCK, _say_clock),
    (_IDENTIFIER, _say_identifier),
    (_PHONE, _say_phone),
    (_LONG_NUMBER, _say_number),
    (_MARKUP, lambda _: " "),
)

_DIGIT: Final = rf"(?:\d+|{'|'.join(_DIGIT_OF)})"
_NEXT: Final = r"(?:[.,]? |[-,])"
_SPELLED: Final = re.compile(
    rf"(?<![\w'$€£.:-])(?:(?:[A-Za-z]{_NEXT})+{_DIGIT}(?:{_NEXT}{_DIGIT})+"
    rf"|[A-Za-z](?:{_NEXT}[A-Za-z]){{2,}}(?:{_NEXT}{_DIGIT})*|{_DIGIT}(?:{_NEXT}{_DIGIT}){{2,}})"
    r"(?![\w':]|\.\d|-\w)",
    re.IGNORECASE,
)
_HEARD_IDENTIFIER: Final = re.compile(r"\b([A-Za-z]{1,5})-?(\d+)(?:[,-] ?(\d{2,}))?\b")
_HEARD_EMAIL: Final = re.compile(
    r"\b([\w.+-]+) at ((?:\w+\.)+(?:com|org|net|edu|io))\b", re.IGNORECASE
)
_OLD_SPELLING: Final = re.compile(r"\b(to)-(day|morrow|night)\b|\b(good)-(bye?)\b", re.IGNORECASE)

_NUMBER_WORDS: Final = {
    word: number
    for number, word in enumerate(
        (
            *_DIGITS[1:],
            *("ten", "eleven", "twelve", "thirteen", "fourteen"),
            *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
        ),
        start=1,
    )
} | {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "oh": 0, "o": 0}
_HOUR: Final = "|".join(list(_NUMBER_WORDS)[:12])
_UNIT: Final = "|".join(list(_NUMBER_WORDS)[:9])
_HEARD_CLOCK: Final = re.compile(
    rf"(?<=\b(?:at|by|to) )({_HOUR})[ -]((?:oh?|twenty|thirty|forty|fifty)[ -](?:{_UNIT})"
    rf"|{'|'.join(list(_NUMBER_WORDS)[9:-2])})\b(?![ -](?:{_UNIT})\b)",
    re.IGNORECASE,
)


def _join_spelled(match: re.Match[str]) -> str:
    parts = re.split(r"[\s.,-]+", match[0])
    return "".join(_DIGIT_OF.get(part.lower(), part) for part in parts).upper()


def _write_identifier(match: re.Match[str]) -> str:
    letters, digits, rest = match.groups()
    return f"{letters.upper()}{digits}{rest or ''}" if len(digits + (rest or "")) > 2 else match[0]


def _write_clock(match: re.Match[str]) -> str:
    minutes = sum(_NUMBER_WORDS[word] for word in re.split(r"[ -]", match[2].lower()))
    return f"{_NUMBER_WORDS[match[1].lower()]}:{minutes:02}"


def _write_today(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}" if match[1] else f"{match[3]}bye"


_WRITTEN_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (_HEARD_CLOCK, _write_clock),
    (_SPELLED, _join_spelled),
    (_HEARD_IDENTIFIER, _write_identifier),
    (_HEARD_EMAIL, lambda match: f"{match[1]}@{match[2]}"),
    (_OLD_SPELLING, _write_today),
)
