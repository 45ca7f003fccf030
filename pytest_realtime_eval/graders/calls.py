"""Expected tool calls against made ones, for the conversation and turn by turn.

Expected calls belong to the conversation; a simulation does not say in which turn a
call is due. So the turns are followed in order:

* **Names.** A call takes an expected call of its name that was not yet made. Where none
  is left the call is wrong, unless an expected call of that name allows repeats.
* **Arguments.** As many expected calls as possible are given a made call of their own
  with their name and arguments (earlier calls first). A turn's arguments are right when
  for every name that it called some call is one of those; a call that only repeats the
  arguments of another is right where that is allowed, or where nothing of its name is
  still to come. So a wrong call that is corrected within its turn leaves the turn right
  (its number is a matter of names), and a call that nobody expects is wrong.
* **Placement.** A turn without calls is not graded, since it may have had none to make.
  The last turn answers for every call that never came; when none was expected and none
  was made, it carries the pass. So a perfect conversation has the mean 1.0, and none
  goes without a grade. A conversation that broke does not answer for what is missing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_realtime_eval.graders.matching import difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_realtime_eval.schemas.simulation import ExpectedToolCall
    from pytest_realtime_eval.schemas.transcript import ToolCall, Transcript, Turn

__all__ = ["Comparison", "TurnCalls", "compare_arguments", "compare_names", "follow"]

_NONE_DUE = "no call was expected and none was made"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether calls are the expected ones.

    Attributes:
        correct: ``None`` when there was nothing to compare.
        reason: What is right or wrong, in a sentence.
        expected: The expected calls that were compared.
        actual: The made calls that stand beside them.
    """

    correct: bool | None
    reason: str
    expected: tuple[ExpectedToolCall, ...] = ()
    actual: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnCalls:
    """What the calls of a turn are worth."""

    turn: Turn
    names: Comparison
    arguments: Comparison


def compare_names(expected: Sequence[ExpectedToolCall], calls: Sequence[ToolCall]) -> Comparison:
    """Compare the calls of a conversation by name and count, in any order."""
    names = _Open(expected)
    wrong = [call.name for call in calls if names.take(call.name) is None]
    problems = [*_wrong_names(wrong), *_missing_names(names.left)]
    reason = "; ".join(problems) or _as_expected(calls)
    return Comparison(not problems, reason, tuple(expected), tuple(calls))


def compare_arguments(
    expected: Sequence[ExpectedToolCall], calls: Sequence[ToolCall]
) -> Comparison:
    """Compare the arguments of a conversation's calls with the expected ones.

    Right when every expected call has a call of its own with its name and arguments;
    those calls are the ones reported. Further calls are a matter of `compare_names`,
    except where none was expected at all.
    """
    if not expected:
        reason = "; ".join(_wrong_names([call.name for call in calls])) or _NONE_DUE
        return Comparison(not calls, reason, (), tuple(calls))
    made = assign(expected, calls)
    problems = [
        _shortcoming(each, calls) for each, at in zip(expected, made, strict=True) if at is None
    ]
    reason = "; ".join(problems) or "every expected call was made with its arguments"
    return Comparison(not problems, reason, tuple(expected), _reported(expected, calls, made))


def follow(transcript: Transcript, expected: Sequence[ExpectedToolCall]) -> list[TurnCalls]:
    """Compare turn by turn; the rules are the module's. Failed turns are not compared."""
    names = _names_by_turn(transcript, expected)
    arguments = _arguments_by_turn(transcript, expected)
    compared = zip(transcript.turns, names, arguments, strict=True)
    return [TurnCalls(turn, *both) for turn, *both in compared]


def assign(expected: Sequence[ExpectedToolCall], calls: Sequence[ToolCall]) -> list[int | None]:
    """Give as many expected calls as possible a made call of their own.

    Returns:
        For each expected call the index of its call, or ``None``. Earlier calls are
        preferred. This is bipartite matching by augmenting paths: an expected call with
        few arguments never takes the only call that fits one with many.
    """
    fitting = [[at for at, call in enumerate(calls) if _fits(each, call)] for each in expected]
    owner: dict[int, int] = {}

    def settle(each: int, tried: set[int]) -> bool:
        for at in fitting[each]:
            if at in tried:
                continue
            tried.add(at)
            if at not in owner or settle(owner[at], tried):
                owner[at] = each
                return True
        return False

    for each in range(len(expected)):
        settle(each, set())
    made = {each: at for at, each in owner.items()}
    return [made.get(each) for each in range(len(expected))]


def _fits(expected: ExpectedToolCall, call: ToolCall) -> bool:
    return call.name == expected.name and _difference(expected, call) is None


def _difference(expected: ExpectedToolCall, call: ToolCall) -> str | None:
    if call.arguments is None:
        return "the arguments are no JSON object"
    return difference(expected.arguments, call.arguments)


class _Open:
    """Expected calls that were not yet made, by name."""

    def __init__(self, expected: Sequence[ExpectedToolCall]) -> None:
        self.left = list(expected)
        self._repeatable = {each.name: each for each in expected if each.allow_repeat}

    def take(self, name: str) -> ExpectedToolCall | None:
        """Make a call; return the expected call that it is, or ``None`` for a wrong one."""
        for at, each in enumerate(self.left):
            if each.name == name:
                return self.left.pop(at)
        return self._repeatable.get(name)


def _wrong_names(names: Sequence[str]) -> list[str]:
    return [f"called without being expected: {_list(names)}"] if names else []


def _missing_names(expected: Sequence[ExpectedToolCall]) -> list[str]:
    names = [each.name for each in expected]
    return [f"expected and never called: {_list(names)}"] if names else []


def _as_expected(calls: Sequence[ToolCall]) -> str:
    return f"called as expected: {_list([c.name for c in calls])}" if calls else _NONE_DUE


def _list(names: Sequence[str]) -> str:
    counts = Counter(names)
    return ", ".join(name if n == 1 else f"{name} ({n} times)" for name, n in counts.items())


def _shortcoming(expected: ExpectedToolCall, calls: Sequence[ToolCall]) -> str:
    """Say why none of ``calls`` is ``expected``, by the last one of its name."""
    of_name = [call for call in calls if call.name == expected.name]
    if not of_name:
        return f"{expected.name} was never called"
    found = _difference(expected, of_name[-1])
    return f"{expected.name}: {found or 'fewer calls with these arguments than expected'}"


def _reported(
    expected: Sequence[ExpectedToolCall], calls: Sequence[ToolCall], made: Sequence[int | None]
) -> tuple[ToolCall, ...]:
    """Return the calls that settle expected ones; for the others, all calls of their name."""
    at = {settled for settled in made if settled is not None}
    missed = {each.name for each, settled in zip(expected, made, strict=True) if settled is None}
    return tuple(call for i, call in enumerate(calls) if i in at or call.name in missed)


def _names_by_turn(
    transcript: Transcript, expected: Sequence[ExpectedToolCall]
) -> list[Comparison]:
    names = _Open(expected)
    compared = [_turn_names(turn, names) for turn in transcript.turns]
    return _close(transcript, expected, compared, _missing_names(names.left), names.left)


def _turn_names(turn: Turn, names: _Open) -> Comparison:
    taken = [names.take(call.name) for call in turn.tool_calls]
    calls = zip(turn.tool_calls, taken, strict=True)
    wrong = [call.name for call, each in calls if each is None]
    reason = "; ".join(_wrong_names(wrong)) or _as_expected(turn.tool_calls)
    due = tuple(each for each in taken if each is not None)
    return _if_graded(turn, Comparison(not wrong, reason, due, turn.tool_calls))


def _if_graded(turn: Turn, comparison: Comparison) -> Comparison:
    if turn.failure is not None:
        return Comparison(None, "the turn did not come to its end")
    if not turn.tool_calls:
        return Comparison(None, "no call was made in this turn")
    return comparison


def _close(
    transcript: Transcript,
    expected: Sequence[ExpectedToolCall],
    compared: list[Comparison],
    problems: Sequence[str],
    never: Sequence[ExpectedToolCall],
) -> list[Comparison]:
    """Let the last turn answer for what never came, or for that nothing had to come."""
    if not compared or transcript.failure is not None or transcript.turns[-1].failure is not None:
        return compared
    last = compared[-1]
    if problems:
        reasons = [last.reason, *problems] if last.correct is False else problems
        due = (*last.expected, *(each for each in never if each not in last.expected))
        compared[-1] = replace(
            last, correct=False, reason="; ".join(dict.fromkeys(reasons)), expected=due
        )
    elif not expected and not transcript.tool_calls:
        compared[-1] = Comparison(True, _NONE_DUE)
    return compared


def _arguments_by_turn(
    transcript: Transcript, expected: Sequence[ExpectedToolCall]
) -> list[Comparison]:
    settlement = _Settlement(expected, transcript.tool_calls)
    compared, start = [], 0
    for turn in transcript.turns:
        span = range(start, start + len(turn.tool_calls))
        compared.append(_if_graded(turn, settlement.of_turn(span)))
        start = span.stop
    never = settlement.open_after(start)
    problems = [_shortcoming(each, transcript.tool_calls) for each in never]
    return _close(transcript, expected, compared, problems, never)


class _Settlement:
    """Which call of the conversation settles which expected call."""

    def __init__(self, expected: Sequence[ExpectedToolCall], calls: Sequence[ToolCall]) -> None:
        self._calls = calls
        self._pairs = list(zip(expected, assign(expected, calls), strict=True))

    def open_after(self, stop: int, name: str | None = None) -> list[ExpectedToolCall]:
        """Return the expected calls (of ``name``) that no call before ``stop`` settles."""
        return [
            each
            for each, at in self._pairs
            if (at is None or at >= stop) and name in (None, each.name)
        ]

    def of_turn(self, span: range) -> Comparison:
        """Compare the calls whose indexes are in ``span``."""
        problems: list[str] = []
        due: list[ExpectedToolCall] = []
        reported: list[ToolCall] = []
        for name in dict.fromkeys(self._calls[at].name for at in span):
            of_name = [at for at in span if self._calls[at].name == name]
            right = [(at, each) for at in of_name if (each := self._met(at, span.stop)) is not None]
            open_here = self.open_after(span.start, name)
            due += [each for _, each in right] or open_here
            reported += [self._calls[at] for at in [at for at, _ in right] or of_name]
            if not right:
                problems.append(self._problem(name, open_here, of_name))
        reason = "; ".join(problems) or "the arguments are the expected ones"
        return Comparison(not problems, reason, tuple(due), tuple(reported))

    def _met(self, at: int, stop: int) -> ExpectedToolCall | None:
        """Return the expected call that the call at ``at`` settles or rightly repeats."""
        call = self._calls[at]
        for each, settled in self._pairs:
            if settled == at:
                return each
        done = not self.open_after(stop, call.name)
        for each, settled in self._pairs:
            before = settled is not None and settled < stop
            if before and (each.allow_repeat or done) and _fits(each, call):
                return each
        return None

    def _problem(self, name: str, open_here: list[ExpectedToolCall], of_name: list[int]) -> str:
        known = open_here or [each for each, _ in self._pairs if each.name == name]
        if not known:
            return f"called without being expected: {name}"
        return _shortcoming(known[0], [self._calls[at] for at in of_name])
