"""Words as the rules of the embedded agent and caller compare them.

A token is a lower-case word, a number, a clock time (``7:30``), an ISO date, an ordinal
(``14th``) or an e-mail address; punctuation, hyphens and case carry nothing, since what
the ear hears has them or has not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN: Final = re.compile(
    r"[\w.+]+@[\w-]+(?:\.[\w-]+)+"
    r"|\d{4}-\d{2}-\d{2}"
    r"|\d{1,2}:\d{2}"
    r"|\d+(?:st|nd|rd|th)\b"
    r"|\d+(?:\.\d+)?"
    r"|[^\W\d_]+(?:'[^\W\d_]+)*"
)
_MERIDIEM: Final = re.compile(r"\b([ap])\.\s?m\b\.?", re.IGNORECASE)
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}\b)")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?;])\s+|\n+")


def word_list(text: str) -> tuple[str, ...]:
    """Return the words of a table that is written as text."""
    return tuple(text.split())


#: Words that say nothing about what is wanted.
STOP_WORDS: Final = frozenset(
    word_list(
        "a an the and or but if so to of in on at for from with by as is are was were be "
        "been am i im i'm i'd i'll i've you your we our us my me mine it its it's this that "
        "these those there here he she they them his her their do does did can could would "
        "should will shall may might must have has had not no yes please hi hello hey good "
        "thanks thank well just also very really like want need help some any all more one "
        "who what which when how let let's about up out make made get got"
    )
)

#: Words that stand for the same thing on the telephone; the first one stands for all.
_SAME_WORDS: Final = (
    "book reserve reservation schedule arrange",
    "cancel revoke abort",
    "find look lookup check track locate search where where's fetch show retrieve status",
    "change move reschedule update amend alter modify switch postpone",
    "refund reimburse money",
    "return send",
    "order purchase parcel package delivery",
    "people person guest party diner adult",
    "appointment visit consultation",
    "hour open close opening closing",
    "cost price fee charge much",
    "phone telephone mobile cell",
    "doctor physician",
    "park parking garage car",
    "add put place",
)


def clean(text: str) -> str:
    """Return the text with one spelling of quotes, a.m./p.m. and thousands."""
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return _THOUSANDS.sub("", _MERIDIEM.sub(r"\1m", text))


def raw_tokens(text: str) -> list[str]:
    """Return the tokens with the case in which they came."""
    return _TOKEN.findall(clean(text))


def tokens(text: str) -> list[str]:
    """Return the tokens of ``text`` in lower case."""
    return [token.lower() for token in raw_tokens(text)]


def sentences(text: str) -> list[str]:
    """Split a text at sentence ends and line breaks; list markers are dropped."""
    return [
        part.strip().removeprefix("-").removeprefix("*").strip()
        for part in _SENTENCE_END.split(text)
        if part.strip(" -*\t")
    ]


def stem(word: str) -> str:
    """Return a crude stem: ``bookings``, ``booked`` and ``book`` are one."""
    word = word.lower().removesuffix("'s")
    for ending, kept, least in (
        ("ations", "", 5), ("ation", "", 5), ("ments", "", 5), ("ment", "", 5), ("ies", "y", 2),
        ("ings", "", 4), ("ing", "", 3), ("ed", "", 3), ("es", "e", 3),
        ("ss", "ss", 2), ("s", "", 3),
    ):  # fmt: skip
        if word.endswith(ending) and len(word) - len(ending) >= least:
            word = word[: len(word) - len(ending)] + kept
            break
    word = word.removesuffix("e") if len(word) > 3 else word
    return re.sub(r"([^aeiousz])\1$", r"\1", word)


_SAME: Final = {
    stem(word): stem(group.split()[0]) for group in _SAME_WORDS for word in group.split()
}


def meaning(word: str) -> str:
    """Return the stem that stands for the word and for those that mean the same."""
    root = stem(word)
    return _SAME.get(root, root)


def meanings(text: str | Iterable[str]) -> set[str]:
    """Return what the text's words mean, without the words that mean nothing."""
    found = tokens(text.replace("_", " ")) if isinstance(text, str) else text
    return {meaning(token) for token in found if token not in STOP_WORDS}


def phrase_at(found: list[str], phrase: tuple[str, ...]) -> int:
    """Return where the phrase begins among the tokens, or -1."""
    size = len(phrase)
    places = (i for i in range(len(found) - size + 1) if tuple(found[i : i + size]) == phrase)
    return next(places, -1)


def has_phrase(found: list[str], *phrases: str) -> bool:
    """Whether any of the phrases stands among the tokens."""
    return any(phrase_at(found, tuple(phrase.split())) >= 0 for phrase in phrases)


def in_words(name: str) -> str:
    """Return an identifier as words: ``partySize`` and ``party_size`` are ``party size``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[\s_\-.]+", spaced)).strip().lower()


def listed(parts: list[str], last: str = "and") -> str:
    """Return ``a, b and c``."""
    *most, end = parts
    return f"{', '.join(most)} {last} {end}" if most else end


def content_text(item: dict[str, Any]) -> str:
    """Return the words of a message item, whatever its content parts call them."""
    content = item.get("content") or ()
    if isinstance(content, str):
        return content
    said = (part.get("transcript") or part.get("text") or "" for part in content)
    return " ".join(text.strip() for text in said if text).strip()
