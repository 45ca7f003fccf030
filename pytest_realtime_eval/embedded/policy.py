"""What the instructions of a session ask of the agent, as far as rules can read them.

Read are sentences that say to confirm, to retry, in which order tools go, what a value
of an output forbids, and plain facts that a caller may ask about. Anything else in the
instructions is not understood and has no effect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pytest_realtime_eval.embedded.moments import Clock, read_clock
from pytest_realtime_eval.embedded.words import (
    in_words,
    meaning,
    meanings,
    sentences,
    tokens,
    word_list,
)

_CONFIRM: Final = frozenset(meaning(word) for word in word_list("confirm confirmation agree"))
_READ_BACK: Final = re.compile(r"\b(?:read|repeat)\b.*\bback\b", re.IGNORECASE)
_NOT_CONFIRM: Final = re.compile(
    r"\b(?:do not|don't|never|no need to|without) (?:need to )?(?:ask|confirm|read|repeat)",
    re.IGNORECASE,
)
_RETRY: Final = re.compile(
    r"\b(?:retry|try (?:it |that )?(?:once )?(?:again|more))\b", re.IGNORECASE
)
_ASK_FIRST: Final = re.compile(r"\b(?:offer|ask|suggest|propose)\b", re.IGNORECASE)
_FORBID: Final = re.compile(
    r"\b(?:do not|don't|never|cannot|can't|must not|may not)\b", re.IGNORECASE
)
_CONDITION: Final = re.compile(
    r"^if (?:the |its |his |her |their )?([\w ]+?) (?:is|are|says|reads|equals) (.+?), (.+)$",
    re.IGNORECASE,
)
_SAY: Final = re.compile(r"\b(?:say|tell them|tell the caller|explain|offer)(?: that)? (.+)$", re.I)
_LOOK_UPS: Final = frozenset(
    word_list("find get look lookup check search list track show read fetch query retrieve")
)
_ORDERS: Final = frozenset(
    word_list(
        "you your always never do don't ask say tell keep speak use call read repeat if "
        "when before after first be answer offer confirm only once never please help stay "
        "give greet then end thank report make apologise apologize try retry look find "
        "check let wait unless"
    )
)


@dataclass(frozen=True)
class Tool:
    """A function of the session.

    Attributes:
        name: Its name.
        schema: Its schema as the session has it.
    """

    name: str
    schema: dict[str, Any]

    @property
    def action(self) -> str:
        """What its name says it does: ``book`` of ``book_table``."""
        words = in_words(self.name).split()
        return meaning(words[0]) if words else ""

    @property
    def only_reads(self) -> bool:
        """Whether its name says that it changes nothing."""
        return in_words(self.name).split()[0:1] != [] and (
            in_words(self.name).split()[0] in _LOOK_UPS
        )

    def named_in(self, text: str) -> bool:
        """Whether a text names it: ``book_table`` or ``book table``."""
        low = text.lower()
        return self.name.lower() in low or in_words(self.name) in low

    def meant_in(self, text: str) -> bool:
        """Whether a text names it or its action (*before booking*)."""
        return self.named_in(text) or self.action in meanings(text)


@dataclass(frozen=True)
class Rule:
    """What an output forbids: *If the status is shipped, do not cancel it; say that …*.

    Attributes:
        key: The output's key, as words that mean the same.
        value: The words of the value.
        tools: The tools that must not be called then; none named means all that change
            anything.
        says: What to say instead; may be empty.
    """

    key: frozenset[str]
    value: frozenset[str]
    tools: frozenset[str]
    says: str

    def applies(self, key: str, value: object) -> bool:
        """Whether an output's pair is the one of the rule."""
        found = frozenset(tokens(str(value).replace("_", " ")))
        return self.key <= meanings(key) and bool(self.value & found)


@dataclass(frozen=True)
class Policy:
    """The instructions, read.

    Attributes:
        clock: The day and the opening hours.
        confirm: Tools whose arguments are read back and agreed on before the call.
        retry: Tools that are called once more without asking when they fail.
        before: For a tool, the tools that must have been called before it.
        after: For a tool, the tools that are called when it has succeeded.
        instead: For a tool, the one to turn to when it fails.
        rules: What outputs forbid.
        facts: Sentences that answer questions.
    """

    clock: Clock
    confirm: frozenset[str]
    retry: frozenset[str]
    before: dict[str, tuple[str, ...]]
    after: dict[str, tuple[str, ...]]
    instead: dict[str, str]
    rules: tuple[Rule, ...]
    facts: tuple[str, ...]


def read_policy(instructions: str, tools: tuple[Tool, ...]) -> Policy:
    """Read the instructions of a session that has these tools."""
    said = sentences(instructions)
    before, after = _orders(said, tools)
    return Policy(
        clock=read_clock(instructions),
        confirm=_confirmed(said, tools),
        retry=_retried(said, tools),
        before=before,
        after=after,
        instead=_alternatives(said, tools),
        rules=tuple(rule for line in _clauses(instructions) if (rule := _rule(line, tools))),
        facts=tuple(line for line in said if _is_fact(line, tools)),
    )


def _clauses(instructions: str) -> list[str]:
    """Return the sentences, not split at semicolons."""
    return [line.replace("\0", ";") for line in sentences(instructions.replace(";", "\0"))]


def _confirmed(said: list[str], tools: tuple[Tool, ...]) -> frozenset[str]:
    confirmed: set[str] = set()
    for line in said:
        if not (_CONFIRM & meanings(line) or _READ_BACK.search(line)):
            continue
        if _NOT_CONFIRM.search(line) and "without confirm" not in line.lower():
            continue
        meant = {tool.name for tool in tools if tool.named_in(line)}
        meant = meant or {
            tool.name for tool in tools if tool.meant_in(line) and not tool.only_reads
        }
        confirmed |= meant or {tool.name for tool in tools if not tool.only_reads}
    return frozenset(confirmed)


def _retried(said: list[str], tools: tuple[Tool, ...]) -> frozenset[str]:
    retried: set[str] = set()
    for line in said:
        if _RETRY.search(line) and not _ASK_FIRST.search(line) and not _FORBID.search(line):
            named = {tool.name for tool in tools if tool.named_in(line)}
            retried |= named or {tool.name for tool in tools}
    return frozenset(retried)


def _orders(
    said: list[str], tools: tuple[Tool, ...]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Read *A before B*, *B only after A*, *first A, then B*, *after A, call B*."""
    before: dict[str, tuple[str, ...]] = {}
    after: dict[str, tuple[str, ...]] = {}
    for line in said:
        pair = _two_tools(line, tools)
        if pair is None:
            continue
        first, second, follows = _in_order(line, *pair)
        if follows:
            after[first] = (*after.get(first, ()), second)
        else:
            before[second] = (*before.get(second, ()), first)
    return before, after


def _two_tools(line: str, tools: tuple[Tool, ...]) -> tuple[str, str] | None:
    named = [tool.name for tool in tools if tool.named_in(line)]
    if len(named) != 2 or "fail" in line.lower():
        return None
    low = line.lower().replace("_", " ")
    one, two = sorted(named, key=lambda name: low.find(in_words(name)))
    between = low.partition(in_words(one))[2].partition(in_words(two))[0]
    return None if between.strip() in {"or", "and", ","} else (one, two)


def _in_order(line: str, one: str, two: str) -> tuple[str, str, bool]:
    """Return which comes first, and whether the second follows of itself."""
    low = line.lower().replace("_", " ")
    lead, _, rest = low.partition(in_words(one))
    between = rest.partition(in_words(two))[0]
    if "before" in tokens(lead) or {"after", "once"} & set(tokens(between)):
        return two, one, False
    return one, two, bool({"after", "once", "when"} & set(tokens(lead)))


def _alternatives(said: list[str], tools: tuple[Tool, ...]) -> dict[str, str]:
    """Read *If A fails, use B*."""
    found: dict[str, str] = {}
    for line in said:
        failing = re.match(r"(?:if|when) (.*?\b(?:fails?|unavailable|error)\b)(.*)", line, re.I)
        if failing is None:
            continue
        first = [tool.name for tool in tools if tool.named_in(failing[1])]
        then = [tool.name for tool in tools if tool.named_in(failing[2])]
        if first and then and first[0] != then[0]:
            found[first[0]] = then[0]
    return found


def _rule(line: str, tools: tuple[Tool, ...]) -> Rule | None:
    condition = _CONDITION.match(line)
    if condition is None or not _FORBID.search(condition[3]):
        return None
    forbidding, _, rest = condition[3].partition(";")
    named = frozenset(tool.name for tool in tools if tool.meant_in(forbidding))
    says = _SAY.search(rest or forbidding)
    return Rule(
        key=frozenset(meanings(condition[1])),
        value=frozenset(tokens(condition[2])) - {"or"},
        tools=named or frozenset(tool.name for tool in tools if not tool.only_reads),
        says=says[1].rstrip(" .") if says else "",
    )


def _is_fact(line: str, tools: tuple[Tool, ...]) -> bool:
    words = tokens(line)
    if len(words) < 4 or words[0] in _ORDERS or line.endswith(":"):
        return False
    return "you" not in words[:2] and not any(tool.name in line for tool in tools)
