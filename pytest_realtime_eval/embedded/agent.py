"""The embedded endpoint's agent: rules that read a session's tools and instructions.

It is no language model. It keeps nothing between responses: each time, it goes through
the conversation's items, and equal views give equal replies.

What it does
    It picks the tool whose name, description and properties share most words with what
    was said; fills the tool's properties by their type, format, name and description;
    asks for a required property that is missing, one at a time; reads back and asks
    where the instructions say to confirm; calls; says what came back; goes on with the
    tools that the instructions put before or after it. Later values win over earlier
    ones (*half past six, no, sorry, make it seven*). A failed call is reported and
    offered again, or repeated when the instructions say to. Questions about facts are
    answered with the sentence of the instructions that shares most words with them.

What it does not do
    It knows English only, and few synonyms. One request at a time. Nested objects in
    arguments are taken as text. Relative dates need *Today is …* in the instructions.
    Conditions are understood only as *If the <key> is <value>, do not …*. It does not
    reason, calculate, or follow advice in tool outputs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from pytest_realtime_eval.embedded.policy import Policy, Rule, Tool, read_policy
from pytest_realtime_eval.embedded.slots import (
    LASTING,
    Kind,
    Property,
    fill,
    properties,
    say_value,
    says_not_known,
)
from pytest_realtime_eval.embedded.words import (
    content_text,
    has_phrase,
    in_words,
    listed,
    meanings,
    sentences,
    tokens,
    word_list,
)


@dataclass(frozen=True)
class AgentView:
    """What the agent knows when a response is asked of it.

    Attributes:
        instructions: The session's (or the response's own) instructions.
        tools: The session's function schemas: ``{"type": "function", "name", …}``.
        items: The conversation so far, oldest first, as conversation items of the
            Realtime API: ``message`` (the user's words as the ear heard them, in
            ``text`` or ``transcript`` of its content parts), ``function_call`` and
            ``function_call_output``.
    """

    instructions: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    items: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class AgentReply:
    """What the agent does: it speaks, or it calls functions, or both.

    Attributes:
        text: What it says; empty when it only calls.
        calls: Names and arguments of the functions that it calls, in order.
    """

    text: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


_GO_AHEAD: Final = "Shall I go ahead?"
_TRY_AGAIN: Final = "Shall I try again?"
_MORE: Final = "Is there anything else I can do for you?"
_CHANGE: Final = "What should I change?"
_INSTEAD: Final = "Which one would you like?"
_HELLO: Final = "Hello! How can I help you?"
_AGAIN: Final = "I'm sorry, I did not understand. Could you say that again?"

_YES: Final = word_list("yes yeah yep sure correct right okay ok please perfect absolutely exactly")
_NO: Final = word_list("no nope not don't wrong incorrect")
_GOODBYE: Final = (
    "goodbye",
    "bye",
    "that's all",
    "that is all",
    "that will be all",
    "nothing else",
)
_THANKS: Final = ("thank you", "thanks")
_DROP: Final = ("never mind", "forget it", "leave it", "don't bother", "stop")
_GREETING: Final = frozenset(word_list("hello hi hey good morning afternoon evening there"))
_CORRECTION: Final = re.compile(
    r"[\s,.;]*\b(?:no,? sorry|no,? wait|sorry,? no|no,? actually|sorry|actually|i mean|"
    r"i meant|rather|wait|correction|scratch that|make it|make that|no)\b[\s,.:]*",
    re.IGNORECASE,
)
_NOT_THAT: Final = re.compile(r"\bnot (?:at |for |on )?([\w:]+(?: [\w:]+)?),? but\b", re.IGNORECASE)
_ASKING: Final = frozenset(
    word_list("what when where who which how do does is are can could may will would have")
)
_ERROR_STATES: Final = frozenset(
    word_list(
        "error failed failure unavailable timeout timed_out rejected declined not_found refused "
        "invalid unsupported full sold_out"
    )
)
_OPTIONS: Final = word_list("alternatives options available available_times suggestions choices")
_QUIET: Final = frozenset(word_list("ok success status_code currency"))
_MOST_FAILURES: Final = 3
_TASK_WEIGHT: Final = 1.2
_FILLED_WEIGHT: Final = 0.4
_FACT_WEIGHT: Final = 2


def decide(view: AgentView) -> AgentReply:
    """Return what the agent does next."""
    exact = re.search(r"word for word, and nothing else:\s*\n(.+)", view.instructions, re.S)
    if exact:
        return AgentReply(exact[1].strip())
    return _Agent(view).reply()


@dataclass
class _Call:
    """A function call of the conversation and what came back; ``None``: nothing yet."""

    name: str
    arguments: dict[str, Any]
    output: Any = None
    answered: bool = False

    @property
    def failed(self) -> bool:
        return self.answered and _error_in(self.output) is not None


@dataclass
class _State:
    """What the conversation has come to.

    Attributes:
        goal: The tool that the caller's request needs.
        values: What the caller said, by property.
        recent: Properties in the order in which they were filled.
        agreed: The tool that the caller has agreed to after its read-back.
        retry: Whether the caller wants a failed call again.
        calls: Calls since the request began.
        earlier: Calls of requests before it; their outputs are still known.
        unknown: The property that was asked for and that the caller does not know.
        declined: Whether the caller has just refused what was offered.
        unclaimed: What was said before it was clear what is wanted.
        said: The agent's last words.
        heard: The caller's last words.
        changed: Whether they filled or changed a value.
        began: Whether they began the request.
    """

    goal: Tool | None = None
    values: dict[str, Any] = field(default_factory=dict)
    recent: list[str] = field(default_factory=list)
    agreed: str | None = None
    retry: bool = False
    declined: bool = False
    calls: list[_Call] = field(default_factory=list)
    unknown: str | None = None
    unclaimed: list[str] = field(default_factory=list)
    said: str = ""
    heard: str = ""
    changed: bool = False
    began: bool = False
    earlier: list[_Call] = field(default_factory=list)


class _Agent:
    """One response: the view, read."""

    def __init__(self, view: AgentView) -> None:
        self.tools = tuple(
            Tool(schema["name"], schema)
            for schema in (_function(tool) for tool in view.tools)
            if schema.get("name")
        )
        self.props = {tool.name: properties(tool.schema) for tool in self.tools}
        self.policy: Policy = read_policy(view.instructions, self.tools)
        self.state = _State()
        self.last = ""
        for item in view.items:
            self._follow(item)

    # What happened

    def _follow(self, item: dict[str, Any]) -> None:
        kind = item.get("type", "message")
        self.last = kind if kind != "message" else str(item.get("role"))
        match self.last:
            case "user":
                self._hear(content_text(item))
            case "assistant":
                self.state.said = content_text(item)
            case "function_call":
                self.state.calls.append(_Call(item["name"], _arguments(item)))
                self.state.retry = False
            case "function_call_output":
                self._receive(item.get("output"))

    def _receive(self, output: object) -> None:
        waiting = next((call for call in self.state.calls if not call.answered), None)
        if waiting is not None:
            waiting.output, waiting.answered = _parsed(output), True

    def _hear(self, text: str) -> None:
        state = self.state
        state.heard, state.unknown = text, None
        state.changed = state.declined = state.began = False
        asked = self._asked()
        self._settle(text)
        self._choose(text)
        if state.goal is None:
            state.unclaimed.append(text)
        elif asked and says_not_known(text):
            state.unknown = asked
        else:
            self._fill(text, asked)

    def _settle(self, text: str) -> None:
        """Take a yes or a no for what was asked last."""
        state = self.state
        found = tokens(text)
        yes, no = _says_yes(found), _says_no(found)
        if has_phrase(found, *_DROP) and not yes:
            state.declined = True
        elif state.said.endswith(_GO_AHEAD):
            step = self._step()
            state.agreed = step.name if step and yes and not no else None
            state.declined = no
        elif state.said.endswith(_TRY_AGAIN):
            state.retry, state.declined = yes and not no, no

    def _asked(self) -> str | None:
        """Return the property that the agent's last words asked for."""
        state = self.state
        if state.goal is None:
            return None
        if state.said.endswith(_INSTEAD):
            return self._offered_property()
        step = self._step() or state.goal
        open_questions = [
            prop.name for prop in self._chain_props(step) if state.said.endswith(prop.question)
        ]
        return open_questions[0] if open_questions else None

    def _choose(self, text: str) -> None:
        """Pick the tool for a request; a running one is left only for another action."""
        state = self.state
        if state.goal is not None and not self._finished():
            if not state.agreed and self._wants_other(text):
                self._begin(self._best(text))
            return
        best = self._best(text)
        if best is not None:
            self._begin(best)

    def _begin(self, goal: Tool | None) -> None:
        state = self.state
        lasting = {
            prop.name for props in self.props.values() for prop in props if prop.kind in LASTING
        }
        state.earlier += state.calls
        state.calls, state.agreed, state.retry = [], None, False
        state.goal, state.began, state.said = goal, True, ""
        state.values = {key: value for key, value in state.values.items() if key in lasting}
        state.recent = [key for key in state.recent if key in state.values]
        for text in state.unclaimed:
            self._fill(text, None)
        state.unclaimed = []

    def _wants_other(self, text: str) -> bool:
        goal, other = self.state.goal, self._best(text)
        if goal is None or other is None or other.name == goal.name:
            return False
        if other.name in {step.name for step in self._chain(goal)}:
            return False
        named = bool(meanings(other.name) & meanings(text))
        return named and self._score(other, text) > 2 * self._score(goal, text)

    def _best(self, text: str) -> Tool | None:
        scored = [(self._score(tool, text), -i, tool) for i, tool in enumerate(self.tools)]
        best = max(scored, default=None, key=lambda one: one[:2])
        return best[2] if best and best[0] >= _TASK_WEIGHT else None

    def _score(self, tool: Tool, text: str) -> float:
        """Add up the words shared with the tool, rare ones among the tools counting more."""
        spoken = meanings(text)
        score = 0.0
        for weight, words in _tool_words(tool, self.props[tool.name]):
            for word in spoken & words:
                among = sum(
                    any(word in other for _, other in _tool_words(one, self.props[one.name]))
                    for one in self.tools
                )
                score += weight / among**0.5
        return score + _FILLED_WEIGHT * self._filled_by(tool, text)

    def _filled_by(self, tool: Tool, text: str) -> int:
        """Return how many of the tool's required properties a text fills."""
        telling = tuple(
            prop
            for prop in self.props[tool.name]
            if prop.required and prop.kind not in {Kind.TEXT, Kind.NAME, Kind.IDENTIFIER}
        )
        return len(fill(text, telling, self.policy.clock))

    def _fill(self, text: str, asked: str | None) -> None:
        """Fill properties from an utterance; each correction in it overrides what came before."""
        state = self.state
        goal = state.goal
        if goal is None:
            return
        props = self._chain_props(goal)
        first, *corrections = _corrected(text)
        known = state.values.keys()
        self._learn(fill(first, props, self.policy.clock, asked=asked, known=known))
        for part in corrections:
            values = fill(part, props, self.policy.clock, known=known)
            self._learn(values or self._reread(part, props))
        unasked = asked is None and not state.changed and state.said.endswith((_GO_AHEAD, _CHANGE))
        if unasked and not state.agreed:
            self._learn(self._reread(corrections[-1] if corrections else text, props))

    def _reread(self, text: str, props: tuple[Property, ...]) -> dict[str, Any]:
        """Read a bare value as the one that was said last of those that it can replace."""
        by_name = {prop.name: prop for prop in props}
        for name in reversed(self.state.recent):
            prop = by_name.get(name)
            if prop is not None and prop.kind not in {Kind.TEXT, Kind.YES_NO, Kind.NAME}:
                value = fill(text, (prop,), self.policy.clock, asked=name)
                if value:
                    return value
        return {}

    def _learn(self, values: dict[str, Any]) -> None:
        state = self.state
        for name, given in values.items():
            value = self._offered_time(given)
            if state.values.get(name) != value:
                state.changed, state.agreed = True, None
                state.unknown = None if state.unknown == name else state.unknown
            state.values[name] = value
            state.recent = [one for one in state.recent if one != name] + [name]

    def _offered_time(self, value: object) -> object:
        """Return a time as an output offered it: *eight* is 20:00 where only that is free."""
        offered = {
            option
            for call in self.state.calls
            if isinstance(call.output, dict)
            for options in call.output.values()
            if isinstance(options, list)
            for option in options
            if isinstance(option, str)
        }
        if not isinstance(value, str) or not re.fullmatch(r"\d\d:\d\d", value):
            return value
        twin = f"{(int(value[:2]) + 12) % 24:02d}{value[2:]}"
        return twin if twin in offered and value not in offered else value

    # What comes next

    def _chain(self, goal: Tool) -> tuple[Tool, ...]:
        by_name = {tool.name: tool for tool in self.tools}
        names = [
            *self.policy.before.get(goal.name, ()),
            goal.name,
            *self.policy.after.get(goal.name, ()),
        ]
        return tuple(by_name[name] for name in dict.fromkeys(names))

    def _chain_props(self, goal: Tool) -> tuple[Property, ...]:
        steps = self._chain(goal)
        found = [prop for step in steps for prop in self.props[step.name]]
        return tuple({prop.name: prop for prop in reversed(found)}.values())[::-1]

    def _step(self) -> Tool | None:
        """Return the first tool of the request that has not succeeded yet."""
        if self.state.goal is None:
            return None
        done = {call.name for call in self.state.calls if call.answered and not call.failed}
        return next((step for step in self._chain(self.state.goal) if step.name not in done), None)

    def _finished(self) -> bool:
        return self._step() is None or self._closed()

    def _closed(self) -> bool:
        """Whether the agent has said that it is done with the request."""
        return self.state.said.endswith(_MORE)

    def _known(self, step: Tool) -> dict[str, Any]:
        """Return the step's arguments: what was said, else what outputs gave."""
        given = self._given()
        known = {}
        for prop in self.props[step.name]:
            if prop.name in self.state.values:
                known[prop.name] = self.state.values[prop.name]
            elif prop.name in given and prop.required:
                known[prop.name] = given[prop.name]
            elif prop.required and "default" in prop.schema:
                known[prop.name] = prop.schema["default"]
        return known

    def _given(self) -> dict[str, Any]:
        outputs = [
            call.output
            for call in (*self.state.earlier, *self.state.calls)
            if call.answered and not call.failed
        ]
        return {key: value for output in outputs for key, value in _flat(output)}

    def _missing(self, step: Tool) -> Property | None:
        known = self._known(step)
        return next(
            (one for one in self.props[step.name] if one.required and one.name not in known), None
        )

    # What is said

    def reply(self) -> AgentReply:
        if self.last == "function_call_output":
            return self._after_call()
        state = self.state
        if state.goal is None or self._finished():
            return AgentReply(self._small_talk())
        if state.declined and not state.changed:
            return AgentReply(self._declined())
        answer = self._answer(state.heard) if self._only_asks() else ""
        return self._go_on(prefix=f"{answer} " if answer else "")

    def _only_asks(self) -> bool:
        """Whether the caller asked something in the middle of a request."""
        state = self.state
        quiet = not (state.changed or state.agreed or state.began)
        return quiet and _is_question(state.heard)

    def _go_on(self, prefix: str = "") -> AgentReply:
        """Ask, read back or call, whichever the next step needs."""
        step = self._step()
        if step is None:
            return AgentReply(f"{prefix}{_MORE}")
        forbidden = self._forbidden(step)
        if forbidden is not None:
            return AgentReply(f"{prefix}{_refusal(forbidden)} {_MORE}")
        missing = self._missing(step)
        if missing is not None:
            return AgentReply(prefix + self._ask(missing))
        if step.name in self.policy.confirm and self.state.agreed != step.name:
            return AgentReply(prefix + self._read_back(step))
        return AgentReply("", ((step.name, self._known(step)),))

    def _ask(self, missing: Property) -> str:
        if self.state.unknown == missing.name:
            return f"Without the {missing.words} I cannot do that, I'm afraid. {_MORE}"
        return missing.question

    def _read_back(self, step: Tool) -> str:
        by_name = {prop.name: prop for prop in self.props[step.name]}
        parts = [
            f"{_subject(name, value)} {by_name[name].say(value)}"
            for name, value in self._known(step).items()
        ]
        if not parts:
            return f"I would now {in_words(step.name)}. {_GO_AHEAD}"
        return f"Let me read that back: {listed(parts)}. {_GO_AHEAD}"

    def _declined(self) -> str:
        if self.state.said.endswith(_GO_AHEAD) and not has_phrase(
            tokens(self.state.heard), *_DROP, "cancel"
        ):
            return _CHANGE
        return f"All right, I will leave it. {_MORE}"

    def _forbidden(self, step: Tool) -> Rule | None:
        pairs = [pair for call in self.state.calls if call.answered for pair in _flat(call.output)]
        return next(
            (
                rule
                for rule in self.policy.rules
                if step.name in rule.tools and any(rule.applies(*pair) for pair in pairs)
            ),
            None,
        )

    def _after_call(self) -> AgentReply:
        call = self.state.calls[-1]
        if self._step_waiting():
            return AgentReply()
        if call.failed:
            return self._after_failure(call)
        report = self._report(call)
        if self._step() is None:
            return AgentReply(f"{report} {_MORE}")
        return self._go_on(prefix=f"{report} ")

    def _step_waiting(self) -> bool:
        return any(not call.answered for call in self.state.calls)

    def _after_failure(self, call: _Call) -> AgentReply:
        problem = _error_in(call.output) or ""
        failures = [one for one in self.state.calls if one.name == call.name and one.failed]
        hopeless = _is_unsupported(problem) or len(failures) >= _MOST_FAILURES
        if call.name in self.policy.retry and len(failures) < 2 and not hopeless:
            return AgentReply("", ((call.name, call.arguments),))
        sorry = f"I'm sorry, that did not work: {problem.rstrip('.')}."
        if hopeless:
            return AgentReply(f"{sorry} {_MORE}")
        other = self.policy.instead.get(call.name)
        if other and not _options_in(call.output):
            return self._turn_to(other, sorry)
        return AgentReply(f"{sorry} {self._way_out(call, problem)}")

    def _way_out(self, call: _Call, problem: str) -> str:
        """Offer what the output offers, ask again for what it did not find, or to retry."""
        offered = self._offered_property()
        if offered:
            said = [say_value(option) for option in _options_in(call.output)]
            return f"Another {in_words(offered)} would be {listed(said, 'or')}. {_INSTEAD}"
        doubted = next(
            (
                prop
                for prop in self.props[call.name]
                if prop.kind is Kind.IDENTIFIER and _doubts(problem, prop)
            ),
            None,
        )
        return doubted.question if doubted else _TRY_AGAIN

    def _turn_to(self, name: str, prefix: str) -> AgentReply:
        self.state.goal = next(tool for tool in self.tools if tool.name == name)
        self.state.agreed = None
        return self._go_on(prefix=f"{prefix} ")

    def _offered_property(self) -> str | None:
        """Return the property of which the last failed output offers other values."""
        failed = next((call for call in reversed(self.state.calls) if call.failed), None)
        if failed is None:
            return None
        options = " or ".join(str(option) for option in _options_in(failed.output))
        for prop in self.props.get(failed.name, ()):
            if prop.kind in {Kind.DATE, Kind.TIME, Kind.DATE_TIME, Kind.CHOICE} and fill(
                options, (prop,), self.policy.clock, asked=prop.name
            ):
                return prop.name
        return None

    def _report(self, call: _Call) -> str:
        """Say what came back, leaving out what the call itself said."""
        if not isinstance(call.output, dict):
            said = say_value(call.output) if call.output not in (None, "", [], {}) else "done"
            return f"I have got this: {said}." if said != "done" else "That is done."
        message = str(call.output.get("message") or "").strip()
        spoken = [f"{message.rstrip('.')}."] if message else []
        parts = [
            f"{_subject(key, value)} {self._say_pair(key, value, call.output)}"
            for key, value in call.output.items()
            if key != "message" and key not in _QUIET and value != call.arguments.get(key)
            if value not in (None, "", [], {}) and value is not True and not _says_done(value)
        ]
        spoken += [f"{_capital(listed(parts))}."] if parts else []
        return " ".join(spoken) or "That is done."

    def _say_pair(self, key: str, value: object, output: dict[str, Any]) -> str:
        if isinstance(value, dict):
            return listed(
                [
                    f"{in_words(name)} {self._say_pair(name, one, value)}"
                    for name, one in value.items()
                ]
            )
        if isinstance(value, list):
            return listed([self._say_pair(key, one, output) for one in value])
        money = isinstance(value, int | float) and not isinstance(value, bool)
        currency = str(output.get("currency") or "")
        return f"{say_value(value)} {currency}".strip() if money and currency else say_value(value)

    def _small_talk(self) -> str:
        found = tokens(self.state.heard)
        answer = self._answer(self.state.heard)
        if answer:
            return f"{answer} {_MORE}"
        if has_phrase(found, *_GOODBYE) or (self.state.said.endswith(_MORE) and _says_no(found)):
            return "Thank you for calling. Goodbye!"
        if has_phrase(found, *_THANKS):
            return f"You're welcome. {_MORE}"
        if set(found) <= _GREETING:
            return _HELLO
        return self._what_it_can_do() if self.tools else _AGAIN

    def _what_it_can_do(self) -> str:
        abilities = [_ability(tool) for tool in self.tools]
        return f"I'm sorry, I cannot help with that. I can {listed(abilities, 'or')}."

    def _answer(self, text: str) -> str:
        """Return the fact of the instructions that answers a question, or nothing."""
        spoken = meanings(text)
        scored = [(len(spoken & meanings(fact)), -i) for i, fact in enumerate(self.policy.facts)]
        best = max(scored, default=(0, 0))
        wanted = 1 if _is_question(text) else _FACT_WEIGHT
        return self.policy.facts[-best[1]] if best[0] >= wanted else ""


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a function, also from the shape of chat completions."""
    nested = tool.get("function")
    return nested if isinstance(nested, dict) else tool


def _tool_words(tool: Tool, props: tuple[Property, ...]) -> list[tuple[float, set[str]]]:
    name = meanings(tool.name)
    description = meanings(str(tool.schema.get("description") or "")) - name
    about = {word for prop in props for word in meanings(prop.name)} - name - description
    return [(1.5, name), (0.6, description), (0.3, about)]


def _arguments(item: dict[str, Any]) -> dict[str, Any]:
    parsed = _parsed(item.get("arguments"))
    return parsed if isinstance(parsed, dict) else {}


def _parsed(text: object) -> Any:  # noqa: ANN401 - a JSON value
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flat(output: object, prefix: str = "") -> list[tuple[str, Any]]:
    """Return keys and values; ``{"booking": {"id": 7}}`` also gives ``booking_id``."""
    if isinstance(output, list):
        return _flat(output[0], prefix) if output else []
    if not isinstance(output, dict):
        return []
    pairs: list[tuple[str, Any]] = []
    for key, value in output.items():
        if isinstance(value, dict | list):
            pairs += _flat(value, f"{key}_")
        else:
            pairs += [(f"{prefix}{key}", value), (key, value)] if prefix else [(key, value)]
    return pairs


def _error_in(output: object) -> str | None:
    """Return what an output says went wrong; ``None`` when nothing did."""
    if isinstance(output, str):
        return output if output.lower().startswith(("error", "fail", "unsupported")) else None
    if not isinstance(output, dict):
        return None
    problem = output.get("error")
    if isinstance(problem, dict):
        problem = problem.get("message") or problem.get("code") or "an error"
    status = str(output.get("status") or "").lower().replace(" ", "_")
    bad = status in _ERROR_STATES or status.startswith("unsupported")
    bad = bad or output.get("success") is False or output.get("ok") is False
    if not problem and not bad:
        return None
    said = problem if isinstance(problem, str) else ""
    said = said or str(output.get("message") or output.get("reason") or status or "error")
    return said if " " in said else in_words(said)


def _says_done(value: object) -> bool:
    return isinstance(value, str) and value.lower() in {"ok", "success", "done", "completed"}


def _subject(key: str, value: object) -> str:
    """Return how a sentence about a key of an output begins: ``the price is``."""
    words = in_words(key)
    if words == "status":
        return "it is"
    if re.fullmatch(r"\w+s (?:on|at|by|in)", words):
        return f"it {words}"
    several = isinstance(value, list) and len(value) > 1
    return f"the {words} {'are' if several or re.search('[^s]s$', words) else 'is'}"


def _doubts(problem: str, prop: Property) -> bool:
    """Whether an error says that there is nothing of that reference."""
    missing = set(tokens(problem)) & {"no", "not", "unknown", "invalid", "wrong"}
    return bool(missing) and bool(meanings(prop.name) & meanings(problem))


def _is_unsupported(problem: str) -> bool:
    return problem.lower().startswith("unsupported")


def _options_in(output: object) -> list[Any]:
    if not isinstance(output, dict):
        return []
    found = (output.get(key) for key in _OPTIONS)
    return next((options for options in found if isinstance(options, list) and options), [])


def _refusal(rule: Rule) -> str:
    return (
        f"I'm sorry, I cannot do that. {_capital(rule.says)}."
        if rule.says
        else ("I'm sorry, I cannot do that.")
    )


def _corrected(text: str) -> list[str]:
    """Split an utterance at its corrections; the first part is what was said at first."""
    text = _NOT_THAT.sub(" ", text)
    parts = _CORRECTION.split(text)
    return [part for i, part in enumerate(parts) if i == 0 or part.strip(" .,!?")]


def _says_yes(found: list[str]) -> bool:
    return bool(set(_YES) & set(found)) or has_phrase(found, "go ahead", "do it", "that's it")


def _says_no(found: list[str]) -> bool:
    return bool(set(_NO) & set(found[:4]))


def _is_question(text: str) -> bool:
    """Whether a sentence of the text asks something; the ear may have lost the mark."""
    return any(line.endswith("?") or _begins_asking(tokens(line)) for line in sentences(text))


def _begins_asking(found: list[str]) -> bool:
    first = next((token for token in found if token not in _GREETING | {"and", "but", "so"}), "")
    return first in _ASKING


def _ability(tool: Tool) -> str:
    """Return what a tool does, in the words of its description."""
    lines = sentences(str(tool.schema.get("description") or ""))
    said = lines[0].rstrip(".") if lines else in_words(tool.name)
    return said[:1].lower() + said[1:]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
