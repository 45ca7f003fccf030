"""The embedded endpoint's caller: a persona's facts, told when they are asked for.

It is no language model. It reads these things in the persona, one a line or a sentence:

- facts: ``- Name: Ana Ruiz``, ``Your order number is ORD-1001.``
- scripted answers: ``If asked to confirm, say: "Sorry, make it seven."`` (also *when*,
  and *offered*, *told* for *asked*). Each is given once, the first time it fits; with
  *always* in the line, every time.
- further requests: ``Before you hang up, ask: "Do you have parking?"`` (also *then*), in
  their order, when the other side has no question left.

It answers the question that was put last: a read-back that contradicts one of its facts
it corrects, other yes-or-no questions it affirms, of a choice it takes what its facts
name, else the first, and for the rest it gives the fact whose name shares most words
with the question, in other words when it is asked again. Without such a fact it says that
it does not know. When the other side
has no question, or asks whether there is anything else, it has what it came for and says
``END_CALL``.

It does not judge what it is told, beyond the read-back, and knows English only.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any, Final

from pytest_realtime_eval.embedded.moments import Clock, find_dates, find_times
from pytest_realtime_eval.embedded.numbers import read_digits
from pytest_realtime_eval.embedded.words import (
    content_text,
    has_phrase,
    meaning,
    meanings,
    sentences,
    tokens,
    word_list,
)


@dataclass(frozen=True)
class CallerView:
    """What the caller knows when its next utterance is asked of it.

    Attributes:
        instructions: The session's instructions: persona, facts, rules.
        response_instructions: The response's own instructions.
        items: The response's ``input``: the conversation so far as message items, the
            caller's own words with the role ``assistant``, the other side's with ``user``.
    """

    instructions: str = ""
    response_instructions: str = ""
    items: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class _Script:
    """A scripted answer.

    Attributes:
        cue: What the words of the condition mean.
        line: What to say.
        always: Whether it is said more than once.
    """

    cue: frozenset[str]
    line: str
    always: bool


@dataclass(frozen=True)
class _Persona:
    facts: dict[str, str]
    scripts: tuple[_Script, ...]
    requests: tuple[str, ...]


_QUOTED: Final = (
    r"[:,]?\s*[\"\N{LEFT DOUBLE QUOTATION MARK}](.+?)[\"\N{RIGHT DOUBLE QUOTATION MARK}]"
)
_FACT_LINE: Final = re.compile(r"^\s*[-*]\s*([A-Za-z][\w '/-]{0,40}?)\s*:\s*(\S.*?)\s*$")
_FACT_SENTENCE: Final = re.compile(
    r"^(?:your|the) ([\w ]{2,40}?) (?:is|are) (?!to\b|not\b)(.+?)\.?$", re.IGNORECASE
)
_SCRIPT: Final = re.compile(r"\b(?:if|when)\b(.+?)\b(?:say|answer|reply)" + _QUOTED, re.I | re.S)
_REQUEST: Final = re.compile(r"\b(?:then|before you hang up,?|also|finally,?) ask" + _QUOTED, re.I)
_SCRIPT_NOISE: Final = frozenset(
    meaning(word)
    for word in word_list(
        "if when asked ask for about offered told tell says assistant whether always"
    )
)
_CONFIRMING: Final = (
    "is that right", "is that correct", "is this correct", "is this right", "correct", "right",
    "shall i go ahead", "shall i", "should i", "may i go ahead", "do you confirm", "confirm",
    "would you like me to", "do you want me to",
)  # fmt: skip
_READ_BACK: Final = re.compile(r"\bread\b.*\bback\b|\b(?:correct|right)\b|: the ", re.IGNORECASE)
_WEEKDAYS: Final = word_list("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_MORE: Final = ("anything else", "something else", "further help")
_OPEN: Final = (
    "how can i help",
    "what can i do",
    "how may i help",
    "say that again",
    "repeat that",
)
_ALIKE: Final = (
    ("name", "call", "who"), ("people", "size", "many", "number"), ("date", "day", "when"),
    ("time", "clock", "hour", "when"), ("reason", "why", "purpose", "wrong", "problem"),
    ("birth", "born", "birthday"), ("order", "code", "reference", "id"), ("address", "liv"),
)  # fmt: skip


_SENTENCE_STARTS: Final = frozenset(
    word_list("i i'm i'd my it it's we we're there for at on in by because please the a an")
)


def reply(view: CallerView) -> str:
    """Return the caller's next utterance; ``END_CALL`` in it ends the conversation."""
    exact = re.search(
        r"word for word, and nothing else:\s*\n(.+)", view.response_instructions, re.S
    )
    if exact:
        return exact[1].strip()
    persona = _read(view.instructions)
    own = [content_text(item) for item in view.items if item.get("role") == "assistant"]
    told = [content_text(item) for item in view.items if item.get("role") == "user"]
    return _answer(persona, told[-1] if told else "", own)


def _read(instructions: str) -> _Persona:
    """Read facts, scripted answers and further requests of a persona."""
    facts: dict[str, str] = {}
    scripts: list[_Script] = []
    requests: list[str] = []
    for line in instructions.splitlines():
        script, request = _SCRIPT.search(line), _REQUEST.search(line)
        if script:
            scripts.append(_script(line, script))
        elif request:
            requests.append(request[1])
        else:
            facts |= _facts(line)
    return _Persona(facts, tuple(scripts), tuple(requests))


def _script(line: str, found: re.Match[str]) -> _Script:
    cue = frozenset(meanings(found[1]) - _SCRIPT_NOISE)
    return _Script(cue, found[2], "always" in tokens(line))


def _facts(line: str) -> dict[str, str]:
    whole = _FACT_LINE.match(line)
    if whole:
        return {whole[1].strip().lower(): whole[2].rstrip(".")}
    found = (_FACT_SENTENCE.match(sentence) for sentence in sentences(line))
    return {one[1].strip().lower(): one[2] for one in found if one}


def _answer(persona: _Persona, told: str, own: list[str]) -> str:
    script = _scripted(persona, told, own)
    if script:
        return script
    question = _last_question(told)
    if not question or has_phrase(tokens(question), *_MORE):
        return _next_request(persona, own) or _end(own)
    return _to_question(persona, told, question, own)


def _scripted(persona: _Persona, told: str, own: list[str]) -> str:
    """Return the scripted answer whose condition fits what was said, if there is one."""
    heard = _confirmation_words(told) | meanings(told)
    for script in persona.scripts:
        spent = not script.always and script.line in own
        if script.cue and script.cue <= heard and not spent:
            return script.line
    return ""


def _confirmation_words(told: str) -> set[str]:
    """Return *confirm* for a question that asks to confirm, whatever its words are."""
    is_one = _confirms(tokens(_last_question(told)))
    return {meaning("confirm"), meaning("confirmation")} if is_one else set()


def _confirms(question: list[str]) -> bool:
    return has_phrase(question, *_CONFIRMING)


def _last_question(told: str) -> str:
    return next((line for line in reversed(sentences(told)) if line.endswith("?")), "")


def _next_request(persona: _Persona, own: list[str]) -> str:
    return next((request for request in persona.requests if request not in own), "")


def _end(own: list[str]) -> str:
    return "No, that is all. Thank you, goodbye. END_CALL" if own else "Goodbye. END_CALL"


def _to_question(persona: _Persona, told: str, question: str, own: list[str]) -> str:
    if has_phrase(tokens(question), *_OPEN):
        return persona.facts.get("goal") or persona.facts.get("request") or "I don't know."
    if _confirms(tokens(question)):
        return _to_read_back(persona, told, own)
    facts = _asked_facts(persona, question)
    if facts:
        answer = " ".join(_as_said(key, value) for key, value in facts)
        repeated = " ".join(_put_differently(key, value) for key, value in facts)
        return repeated if own[-1:] == [answer] else answer
    choice = _choice(persona, told, question)
    if choice:
        return choice
    if _confirms(tokens(question)):
        return "Yes, please."
    yes_or_no = tokens(question)[0] in word_list("do does is are can could would will shall did")
    return "Yes, please." if yes_or_no else "I'm sorry, I don't know."


def _to_read_back(persona: _Persona, told: str, own: list[str]) -> str:
    """Agree, or say once what was read back wrongly: neither a fact nor what was said."""
    for key, value in persona.facts.items():
        said = re.search(
            rf"\bthe {re.escape(key)} (?:is|are) (.+?)(?=,? the | and the |[.;?]|$)", told, re.I
        )
        correction = f"No, the {key} is {value}."
        if said is None or correction in own or _same(said[1], value):
            continue
        if not any(_same(said[1], line, strictly=True) for line in own):
            return correction
    return "Yes, that's right." if _READ_BACK.search(told) else "Yes, please."


def _same(one: str, other: str, *, strictly: bool = False) -> bool:
    """Whether two phrases name the same time, date or number, or have the same words.

    Args:
        one: A phrase.
        other: Another; it may say more.
        strictly: Whether a phrase without any words to compare is another one.
    """
    for find in (_times, _days, _weekdays, _figures):
        mine, theirs = find(tokens(one)), find(tokens(other))
        if mine and theirs:
            return bool(mine & theirs)
    mine, theirs = meanings(one), meanings(other)
    if not mine or not theirs:
        return not strictly
    return mine <= theirs or (theirs <= mine and not strictly)


def _times(found: list[str]) -> set[str]:
    return {f"{int(one.value[:2]) % 12}{one.value[2:]}" for one in find_times(found, Clock())}


def _days(found: list[str]) -> set[str]:
    """Return months with days, without the year, which is seldom said."""
    some_day = Clock(dt.date(2000, 1, 1))
    dates = {one.value for one in find_dates(found, Clock())}
    named = " ".join(date for date in dates if date not in _WEEKDAYS)
    return {one.value[5:] for one in find_dates(tokens(named), some_day)}


def _weekdays(found: list[str]) -> set[str]:
    return set(found) & {day.lower() for day in _WEEKDAYS}


def _figures(found: list[str]) -> set[str]:
    at, figures = 0, set()
    while at < len(found):
        digits, end = read_digits(found, at)
        figures |= {digits} if digits else set()
        at = max(end, at + 1)
    return figures


def _choice(persona: _Persona, told: str, question: str) -> str:
    """Answer *a, b or c?*: what a fact names, else the first."""
    offered = re.search(r"(?::|there (?:is|are)|have|like)\s+([^:?.]+ or [^:?.]+)", told, re.I)
    if offered is None or not set(tokens(question)) & {"which", "or", "prefer"}:
        return ""
    options = [part.strip() for part in re.split(r",| or ", offered[1]) if part.strip()]
    named = [
        (len(meanings(option) & meanings(value)), -i, option)
        for value in persona.facts.values()
        for i, option in enumerate(options)
    ]
    best = max(named, default=(0, 0, ""))
    return f"{(best[2] if best[0] else options[0]).capitalize()}, please."


def _asked_facts(persona: _Persona, question: str) -> list[tuple[str, str]]:
    """Return the facts that a question asks for: the closest, of *a and b* both."""
    scored = [(_overlap(key, question), len(meanings(key)), key) for key in persona.facts]
    best = max((one[:2] for one in scored), default=(0.0, 0))
    if best[0] < 0.5:
        return []
    several = "and" in tokens(question)
    found = [
        key for share, size, key in scored if (share, size) >= best or (several and share == 1)
    ]
    return [(key, persona.facts[key]) for key in found[:3]]


def _overlap(key: str, question: str) -> float:
    """Return the share of a fact's name that a question has, alike words counting half."""
    asked, own = meanings(question) | set(tokens(question)), meanings(key)
    if not own:
        return 0.0
    return sum(_likeness(word, asked) for word in own) / len(own)


def _likeness(word: str, asked: set[str]) -> float:
    if word in asked:
        return 1.0
    alike = {other for group in _ALIKE if word in map(meaning, group) for other in group}
    return 0.6 if {meaning(other) for other in alike} & {meaning(other) for other in asked} else 0.0


def _put_differently(key: str, value: str) -> str:
    """Return a fact in other words, for a question that is asked again: it was not heard."""
    bare = re.sub(r"^(at|on|for|in|it is|it's) ", "", value.rstrip("."), flags=re.IGNORECASE)
    return f"The {key} is {bare}."


def _as_said(key: str, value: str) -> str:
    """Return a fact as an answer; a value that begins like a sentence stays as it is."""
    if tokens(value)[:1] and tokens(value)[0] in _SENTENCE_STARTS:
        said = value[:1].upper() + value[1:]
    else:
        said = f"{'My name is' if key == 'name' else 'It is'} {value}"
    return said if said.endswith((".", "!", "?")) else f"{said}."
