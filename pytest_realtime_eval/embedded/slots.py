"""A tool's properties: what fills them, how to ask for them and how to say them.

Every property of a JSON schema gets a `Kind` from its type, format, name and
description; an utterance is read once for each kind, and what one property took is no
longer there for the next.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.embedded.moments import (
    Clock,
    Spoken,
    find_dates,
    find_times,
    say_date,
    say_time,
)
from pytest_realtime_eval.embedded.numbers import read_digits, read_number
from pytest_realtime_eval.embedded.words import (
    STOP_WORDS,
    has_phrase,
    in_words,
    listed,
    meaning,
    meanings,
    raw_tokens,
    word_list,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


class Kind(Enum):
    """What sort of words fill a property."""

    EMAIL = "email"
    DATE_TIME = "date-time"
    DATE = "date"
    TIME = "time"
    IDENTIFIER = "identifier"
    PHONE = "phone"
    CHOICE = "choice"
    YES_NO = "yes or no"
    NUMBER = "number"
    NAME = "name"
    TEXT = "text"


#: Kinds that say who or what it is about; they outlast a finished task.
LASTING: Final = frozenset({Kind.EMAIL, Kind.PHONE, Kind.NAME, Kind.IDENTIFIER})

_ORDER: Final = tuple(Kind)
_EXAMPLE: Final = re.compile(r"\b([A-Z]{1,6})([- ]?)(\d{2,})\b")
_SPELT_EMAIL: Final = re.compile(
    r"([\w.+-]+(?: (?:dot|underscore|dash) [\w+-]+)*) at ((?:[\w-]+(?: dot |\.))+[a-z]{2,})"
)
_CURRENCIES: Final = frozenset(word_list("euro euros dollar dollars pound pounds"))
_PLACES: Final = frozenset(word_list("city town place location destination country"))
_PLACE_WORDS: Final = ("address", "street", "city", "town")
_NAME_CUES: Final = (
    "my name is",
    "my name's",
    "the name is",
    "name is",
    "the name's",
    "name of",
    "under the name",
)
#: These introduce other things as well: what follows has to be written as a name is.
_LOOSE_NAME_CUES: Final = ("this is", "i am", "i'm", "called", "name", "under", "it's for")
_NAME_ENDS: Final = frozenset(
    word_list(
        "and for i i'm i'd my at on please from the a an with to is it it's in phone email "
        "but number thanks thank table who calling about here there not no yes looking "
        "trying just so sorry would want like need have that this of"
    )
)
_FILLERS: Final = re.compile(
    r"^(?:\W*(?:yes|yeah|sure|of course|certainly|well|um|uh|oh|ok|okay|hi|hello|please|so|"
    r"it's|it is|it was|that's|that is|that would be|because|"
    r"to|in|at|on|for|from|the \w+ is|my \w+ is|i think)\b)+"
    r"[\s,:]*",
    re.IGNORECASE,
)
_NOT_KNOWN: Final = ("don't know", "do not know", "no idea", "not sure", "don't have", "can't tell")
_NEGATIONS: Final = frozenset({"no", "not", "without", "don't", "never", "skip"})


@dataclass(frozen=True)
class Property:
    """A property of a tool's parameters.

    Attributes:
        name: Its key in the arguments.
        schema: Its JSON schema.
        required: Whether a call needs it.
    """

    name: str
    schema: Mapping[str, Any]
    required: bool

    @cached_property
    def words(self) -> str:
        """The name as words."""
        return in_words(self.name)

    @cached_property
    def description(self) -> str:
        """What the schema says about it; may be empty."""
        return str(self.schema.get("description") or "")

    @cached_property
    def type(self) -> str:
        """The JSON type; of several, the first that is not null."""
        given = self.schema.get("type", "string")
        if isinstance(given, list):
            given = next((name for name in given if name != "null"), "string")
        return str(given)

    @cached_property
    def item(self) -> Property:
        """What an array holds, as a property of the same name."""
        return Property(self.name, self.schema.get("items") or {}, self.required)

    @cached_property
    def choices(self) -> tuple[Any, ...]:
        """The values of an enum."""
        given = self.schema.get("enum") or (
            [self.schema["const"]] if "const" in self.schema else ()
        )
        return tuple(value for value in given if value is not None)

    @cached_property
    def meanings(self) -> frozenset[str]:
        """What the words of its name and description mean."""
        return frozenset(meanings(self.name) | meanings(self.description))

    @cached_property
    def template(self) -> tuple[str, str] | None:
        """Letters and separator of an identifier that the schema shows: ``("ORD", "-")``."""
        shown = [self.description, *map(str, self.schema.get("examples") or ())]
        shown += [str(self.schema.get("pattern") or "").replace(r"\d", "00").strip("^$")]
        found = _EXAMPLE.search(" ".join(shown))
        return (found[1], found[2]) if found else None

    @cached_property
    def kind(self) -> Kind:
        """What fills it."""
        if self.choices:
            return Kind.CHOICE
        if self.type == "array":
            return self.item.kind
        if self.type == "boolean":
            return Kind.YES_NO
        if self.type in {"integer", "number"}:
            return Kind.NUMBER
        return self._kind_by_format() or self._kind_by_name()

    def _kind_by_format(self) -> Kind | None:
        formats = {"email": Kind.EMAIL, "date": Kind.DATE, "time": Kind.TIME}
        formats |= {"date-time": Kind.DATE_TIME, "phone": Kind.PHONE}
        return formats.get(str(self.schema.get("format")))

    def _kind_by_name(self) -> Kind:
        named = set(self.words.split())
        for kind, marks in (
            (Kind.EMAIL, {"email", "mail"}),
            (Kind.PHONE, {"phone", "telephone", "mobile"}),
            (Kind.DATE, {"date", "day", "birthday"}),
            (Kind.TIME, {"time", "hour"}),
        ):
            if named & marks:
                return kind
        return self._kind_by_last_word()

    def _kind_by_last_word(self) -> Kind:
        last = self.words.split()[-1:]
        if self.template or last[0:1] in (["id"], ["number"], ["code"], ["reference"], ["no"]):
            return Kind.IDENTIFIER
        if last in (["name"], ["guest"], ["patient"], ["customer"]):
            return Kind.NAME
        return Kind.TEXT

    @cached_property
    def question(self) -> str:
        """How to ask for it."""
        if self.kind is Kind.CHOICE:
            return f"What is the {self.words}: {listed(self._said_choices(), 'or')}?"
        if self.kind is Kind.YES_NO:
            return f"Would you like {self.words}, yes or no?"
        if self.kind is Kind.NUMBER:
            return f"How many {self._counted()}?" if self._counted() else self._plain_question()
        if self.words in {"date", "time", "day"}:
            return f"What {self.words} would you like?"
        if self.type == "array" and self.words.endswith("s"):
            return f"What are the {self.words}, please?"
        return self._plain_question()

    def _said_choices(self) -> list[str]:
        return [in_words(str(choice)) for choice in self.choices]

    def _counted(self) -> str:
        """Return what is counted: ``number of guests`` is ``guests``."""
        for text in (self.words, self.description.lower()):
            counted = re.match(r"(?:the )?(?:number of|how many) ([\w ]+)", text)
            if counted:
                return counted[1].strip()
        return "people" if self.words in {"party size", "guests", "group size"} else ""

    def _plain_question(self) -> str:
        if self.words in {"name", "full name", "customer name"}:
            return "May I have your name, please?"
        yours = {"phone", "email", "birth", "address"} & set(self.words.split())
        words = re.sub(r" id$", " number", self.words)
        if self.kind in {Kind.DATE, Kind.TIME} and self.kind.value not in words:
            words += f" {self.kind.value}"
        return f"What is {'your' if yours else 'the'} {words}, please?"

    def say(self, value: object) -> str:
        """Return a value as one says it."""
        if isinstance(value, list):
            return listed([self.item.say(entry) for entry in value]) if value else "none"
        if self.kind is Kind.CHOICE:
            return in_words(str(value))
        is_birth = self.kind is Kind.DATE and "birth" in self.words
        return say_value(value, with_year=is_birth)


def say_value(value: object, *, with_year: bool = False) -> str:
    """Return a JSON value as one says it: dates and times by their form, booleans yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if value != int(value) else f"{int(value)}"
    text = str(value)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return _said_date(text, with_year=with_year)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}.*", text):
        return f"{_said_date(text[:10])} at {say_time(text[11:16])}"
    if re.fullmatch(r"[0-2]\d:[0-5]\d(:\d\d)?", text):
        return say_time(text)
    return text.replace("_", " ")


def _said_date(text: str, *, with_year: bool = False) -> str:
    try:
        return say_date(dt.date.fromisoformat(text), with_year=with_year)
    except ValueError:
        return text


def properties(tool: Mapping[str, Any]) -> tuple[Property, ...]:
    """Return the properties of a function schema, the required ones first."""
    parameters = tool.get("parameters") or {}
    required = set(parameters.get("required") or ())
    found = [
        Property(name, schema if isinstance(schema, dict) else {}, name in required)
        for name, schema in (parameters.get("properties") or {}).items()
    ]
    return tuple(sorted(found, key=lambda one: not one.required))


@dataclass
class Heard:
    """An utterance, or a part of it, of which properties take their words.

    Attributes:
        raw: The tokens with their case.
        taken: Indices of the tokens that filled something.
    """

    text: str
    raw: list[str] = field(init=False)
    found: list[str] = field(init=False)
    taken: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.raw = raw_tokens(self.text)
        self.found = [token.lower() for token in self.raw]

    def free(self, start: int, end: int) -> bool:
        """Whether none of the tokens was taken."""
        return not self.taken & set(range(start, end))

    def take(self, start: int, end: int) -> None:
        """Take the tokens from ``start`` to ``end``."""
        self.taken |= set(range(start, end))


def says_not_known(text: str) -> bool:
    """Whether somebody says that they do not know."""
    return has_phrase(Heard(text).found, *_NOT_KNOWN)


def fill(
    text: str,
    props: Sequence[Property],
    clock: Clock,
    *,
    asked: str | None = None,
    known: Collection[str] = (),
) -> dict[str, Any]:
    """Return the properties that an utterance fills, in the order in which they were found.

    Args:
        text: The utterance; the part after a correction (*no, sorry, make it seven*)
            has to be cut off by the caller.
        props: The properties of the tool in question.
        clock: For dates and times.
        asked: The property that was asked for; a bare answer fills it.
        known: Properties that have a value; of several of one kind, the next one is
            filled.
    """
    heard = Heard(text)
    values: dict[str, Any] = {}
    ordered = sorted(props, key=lambda one: (one.name != asked, _ORDER.index(one.kind)))
    for prop in ordered:
        rivals = _Rivals(props, {*known, *values})
        value = _read(heard, prop, clock, asked=prop.name == asked, rivals=rivals)
        if value is not None:
            values[prop.name] = value
    return values


@dataclass(frozen=True)
class _Rivals:
    """The properties among which an utterance is divided, and those that have a value."""

    props: Sequence[Property]
    filled: set[str]

    def of(self, prop: Property) -> list[Property]:
        """Return the others of the same kind."""
        return [one for one in self.props if one.kind is prop.kind and one.name != prop.name]

    def is_next(self, prop: Property) -> bool:
        """Whether all required ones of the same kind before it have a value."""
        ahead = itertools.takewhile(lambda one: one.name != prop.name, self.props)
        same = (one for one in ahead if one.kind is prop.kind and one.required)
        return prop.required and all(one.name in self.filled for one in same)


def _read(heard: Heard, prop: Property, clock: Clock, *, asked: bool, rivals: _Rivals) -> Any:  # noqa: ANN401 - a JSON value
    if prop.type == "array":
        values = list(_read_all(heard, prop.item, clock, asked=asked))
        return values or None
    spans = _spans(heard, prop, clock, asked=asked)
    chosen = _chosen(heard, prop, spans, rivals, asked=asked)
    if chosen is None:
        return None
    heard.take(chosen[1], chosen[2])
    return chosen[0]


def _read_all(heard: Heard, prop: Property, clock: Clock, *, asked: bool) -> Iterator[Any]:
    if asked and prop.kind is Kind.TEXT:
        heard.take(0, len(heard.found))
        for part in re.split(r",| and ", _FILLERS.sub("", heard.text)):
            if part.strip(" .!?"):
                yield part.strip(" .!?")
        return
    for value, start, end in _spans(heard, prop, clock, asked=asked):
        heard.take(start, end)
        yield value


Candidate = tuple[Any, int, int]
"""A value and the tokens ``start`` to ``end`` that say it."""


def _spans(heard: Heard, prop: Property, clock: Clock, *, asked: bool) -> list[Candidate]:
    found = [
        candidate
        for candidate in _candidates(heard, prop, clock, asked=asked)
        if heard.free(candidate[1], candidate[2])
    ]
    return [one for one in found if _fits(one[0], prop)]


def _fits(value: object, prop: Property) -> bool:
    """Whether a number lies in the schema's limits."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return True
    low, high = prop.schema.get("minimum"), prop.schema.get("maximum")
    return (low is None or value >= low) and (high is None or value <= high)


def _candidates(heard: Heard, prop: Property, clock: Clock, *, asked: bool) -> Sequence[Candidate]:
    match prop.kind:
        case Kind.EMAIL:
            return _emails(heard)
        case Kind.DATE:
            return [_plain(one) for one in find_dates(heard.found, clock)]
        case Kind.TIME:
            return [_plain(one) for one in find_times(heard.found, clock, bare=asked)]
        case Kind.DATE_TIME:
            return _date_times(heard, clock, asked=asked)
        case Kind.IDENTIFIER:
            return list(_identifiers(heard, prop, asked=asked))
        case Kind.PHONE:
            return [one for one in _digit_runs(heard) if len(str(one[0])) >= 6]
        case Kind.CHOICE:
            return list(_choices(heard, prop, least=0.01 if asked else 1.0))
        case Kind.YES_NO:
            return _yes_no(heard, prop, asked=asked)
        case Kind.NUMBER:
            return list(_numbers(heard, prop, asked=asked))
        case Kind.NAME:
            return _names(heard, asked=asked)
        case Kind.TEXT:
            return _texts(heard, prop, asked=asked)


def _plain(spoken: Spoken) -> Candidate:
    return spoken.value, spoken.start, spoken.end


def _chosen(
    heard: Heard,
    prop: Property,
    spans: Sequence[Candidate],
    rivals: _Rivals,
    *,
    asked: bool,
) -> Candidate | None:
    """Pick among several: the one after the property's own words, else the last said.

    With another property of the same kind, a value goes to the one whose words stand
    before it (*from Friday to Sunday*).
    """
    others = rivals.of(prop)
    if not others or asked:
        return spans[-1] if spans else None
    own = prop.meanings - frozenset().union(*(one.meanings for one in others))
    cued = [one for one in spans if _cues(heard, one[1]) & own]
    if cued:
        return cued[-1]
    foreign = frozenset().union(*(one.meanings for one in others)) - prop.meanings
    left = [one for one in spans if not _cues(heard, one[1]) & foreign]
    takes = rivals.is_next(prop) and "birth" not in prop.words
    return left[0] if left and takes else None


def _cues(heard: Heard, start: int, reach: int = 4) -> set[str]:
    return {meaning(token) for token in heard.found[max(0, start - reach) : start]}


def _emails(heard: Heard) -> list[Candidate]:
    whole = [(token, i, i + 1) for i, token in enumerate(heard.found) if "@" in token]
    if whole or "at" not in heard.found:
        return list(whole)
    spelt = _SPELT_EMAIL.search(heard.text.lower())
    if spelt is None:
        return []
    end = len(heard.found)
    return [(f"{_address(spelt[1])}@{_address(spelt[2])}", end, end)]


def _address(spelt: str) -> str:
    for word, sign in ((" dot ", "."), (" underscore ", "_"), (" dash ", "-")):
        spelt = spelt.replace(word, sign)
    return spelt.replace(" ", "")


def _date_times(heard: Heard, clock: Clock, *, asked: bool) -> list[Candidate]:
    dates = find_dates(heard.found, clock)
    times = find_times(heard.found, clock, bare=asked)
    if not dates or not times:
        return []
    date, time = dates[-1], times[-1]
    start, end = min(date.start, time.start), max(date.end, time.end)
    return [(f"{date.value}T{time.value}:00", start, end)]


def _identifiers(heard: Heard, prop: Property, *, asked: bool) -> Iterator[Candidate]:
    cued = asked or bool(prop.meanings & {meaning(token) for token in heard.found})
    for digits, start, end in _digit_runs(heard):
        first = _letters_start(heard, start)
        letters = "".join(heard.found[first:start]).upper()
        if prop.template:
            prefix, joint = prop.template
            if letters == prefix or (cued and len(str(digits)) >= 2):
                yield f"{prefix}{joint}{digits}", first, end
        elif letters or asked or (cued and _introduced(heard, prop, first, str(digits))):
            yield (f"{letters}-{digits}" if letters else str(digits)), first, end


def _introduced(heard: Heard, prop: Property, at: int, digits: str) -> bool:
    """Whether digits alone are an identifier: long ones, or right after its name."""
    before = heard.found[at - 1] if at else ""
    return len(digits) >= 3 or before in {"is", *prop.words.split()}


def _letters_start(heard: Heard, digits_at: int) -> int:
    """Return where the letters before the digits begin: ``o r d``, ``ord``."""
    start = digits_at
    while start and len(heard.found[start - 1]) == 1 and heard.found[start - 1].isalpha():
        start -= 1
    before = heard.found[start - 1] if start == digits_at and start else ""
    spelt = before.isalpha() and len(before) <= 4 and meaning(before) not in _COMMON
    return start - 1 if spelt and before not in STOP_WORDS else start


_COMMON: Final = frozenset(
    meaning(word) for word in word_list("order item code room the id no gate")
)


def _digit_runs(heard: Heard) -> list[Candidate]:
    runs: list[Candidate] = []
    at = 0
    while at < len(heard.found):
        digits, end = read_digits(heard.found, at)
        if digits:
            runs.append((digits, at, end))
        at = max(end, at + 1)
    return runs


def _choices(heard: Heard, prop: Property, *, least: float) -> Iterator[Candidate]:
    """Find the choices of which most was said, by the words that tell them apart.

    Args:
        heard: The utterance.
        prop: The property.
        least: The share of a choice's telling words that must have been said; a choice
            that nobody asked for has to be said in full.
    """
    all_words = [meanings(in_words(str(choice))) for choice in prop.choices]
    found: list[tuple[float, Candidate]] = []
    for choice, own in zip(prop.choices, all_words, strict=True):
        others = set().union(*(words for words in all_words if words is not own))
        telling = (own - others) or own
        places = [
            i
            for i, token in enumerate(heard.found)
            if meaning(token) in telling and not _negated(heard, i)
        ]
        share = len({meaning(heard.found[i]) for i in places}) / max(1, len(telling))
        found += [(share, (choice, i, i + 1)) for i in places]
    best = max((share for share, _ in found), default=0.0)
    chosen = (one for share, one in found if share == best >= least)
    yield from sorted(chosen, key=lambda one: one[1])


def _negated(heard: Heard, at: int) -> bool:
    return bool(set(heard.found[max(0, at - 2) : at]) & {"not", "without", "don't"})


def _yes_no(heard: Heard, prop: Property, *, asked: bool) -> list[Candidate]:
    if asked and heard.found:
        refused = bool(_NEGATIONS & set(heard.found))
        return [(not refused, 0, len(heard.found))]
    own = meanings(prop.name)
    places = [i for i, token in enumerate(heard.found) if meaning(token) in own]
    if not own or {meaning(heard.found[i]) for i in places} != own:
        return []
    start, end = places[0], places[-1] + 1
    before = set(heard.found[max(0, start - 3) : start])
    return [(not before & _NEGATIONS, start, end)]


def _numbers(heard: Heard, prop: Property, *, asked: bool) -> Iterator[Candidate]:
    moments = [*find_dates(heard.found, Clock()), *find_times(heard.found, Clock())]
    busy = {i for one in moments for i in range(one.start, one.end)} if not asked else set()
    at = 0
    while at < len(heard.found):
        number = read_number(heard.found, at)
        if number is None or busy & set(range(at, number[1])):
            at += 1
            continue
        about = asked or _is_about(heard, prop, at, number[1])
        number = _with_cents(heard, *number) if prop.type == "number" else number
        value = number[0] if prop.type == "number" else int(number[0])
        if about and number[0] == value:
            yield value, at, number[1]
        at = number[1]


def _with_cents(heard: Heard, amount: float, end: int) -> tuple[float, int]:
    """Read on after an amount: ``forty two euros and fifty cents``."""
    if end >= len(heard.found) or heard.found[end] not in _CURRENCIES:
        return amount, end
    after = end + 1 + (heard.found[end + 1 : end + 2] == ["and"])
    cents = read_number(heard.found, after)
    if cents is None or not 0 < cents[0] < 100 or amount != int(amount):
        return amount, end
    return amount + cents[0] / 100, cents[1]


def _is_about(heard: Heard, prop: Property, start: int, end: int) -> bool:
    """Whether a number is the property's: ``two people``, ``party of two``, ``for two``."""
    near = {meaning(token) for token in heard.found[end : end + 2]}
    near |= {meaning(token) for token in heard.found[max(0, start - 3) : start]}
    if near & prop.meanings:
        return True
    counts_people = "people" in prop.meanings or meaning("people") in prop.meanings
    return counts_people and start > 0 and heard.found[start - 1] == "for"


def _names(heard: Heard, *, asked: bool) -> list[Candidate]:
    for cue in (*_NAME_CUES, *_LOOSE_NAME_CUES):
        words = cue.split()
        for at in range(len(heard.found) - len(words)):
            if heard.found[at : at + len(words)] == words:
                name = _name_from(heard, at + len(words), strict=cue in _LOOSE_NAME_CUES)
                if name:
                    return [name]
    if not asked:
        return []
    filler = _FILLERS.match(heard.text)
    name = _name_from(heard, len(raw_tokens(filler[0])) if filler else 0, strict=False)
    return [name] if name else []


def _name_from(heard: Heard, at: int, *, strict: bool) -> Candidate | None:
    """Take up to four words of a name; loosely introduced ones need their capitals."""
    end = at
    while end < len(heard.found) and end < at + 4 and _is_name_word(heard, end, strict=strict):
        end += 1
    joined = " ".join(word if word[0].isupper() else word.title() for word in heard.raw[at:end])
    return (joined, at, end) if end > at else None


def _is_name_word(heard: Heard, at: int, *, strict: bool) -> bool:
    token = heard.found[at]
    if not token[0].isalpha() or token in _NAME_ENDS or read_number([token], 0):
        return False
    return heard.raw[at][0].isupper() or not strict


def _texts(heard: Heard, prop: Property, *, asked: bool) -> list[Candidate]:
    if asked:
        said = _FILLERS.sub("", heard.text).strip(" .!?,")
        return [(said, 0, len(heard.found))] if said else []
    cue = re.search(
        rf"\b(?:my|the|new) {re.escape(prop.words)}(?: is|:| to)\s+([^.!?;]+)", heard.text, re.I
    )
    if cue is None and any(word in prop.words for word in _PLACE_WORDS):
        cue = re.search(
            r"\b(?:live at|address to|deliver to|to|at) (\d+ [^.!?;,]+)", heard.text, re.I
        )
    if cue is None and _PLACES & set(prop.words.split()):
        cue = re.search(r"\b(?:in|for|to|from) ((?:[A-Z][\w']+ ?)+)", heard.text)
    if cue is None and "reason" in prop.words:
        cue = re.search(r"\b(?:because|since|as) ([^.!?;]+)", heard.text, re.I)
    if cue is None:
        return []
    return [(re.sub(r",? please$", "", cue[1].strip()), len(heard.found), len(heard.found))]
