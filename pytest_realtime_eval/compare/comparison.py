"""From two sides to what changed between them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_realtime_eval.compare.side import SIMULATIONS
from pytest_realtime_eval.compare.significance import (
    PairedTest,
    mcnemar,
    paired_bootstrap,
    paired_means,
)
from pytest_realtime_eval.metrics.exact import exact_match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pytest_realtime_eval.compare.side import Item, Side
    from pytest_realtime_eval.metrics.base import Metric

    Pairs = Sequence[tuple[Item, Item]]

#: A difference whose p-value is below this is called better or worse.
SIGNIFICANT: Final = 0.05
#: Conversations of which the latencies must be known before a shift is called one.
FEWEST_CONVERSATIONS: Final = 5
#: Scores that are counts of entries, which McNemar's test is for.
_COUNTED: Final = frozenset({"exact_match_rate", "fst_acceptance_rate"})
_GRADED: Final = frozenset({"passed", "failed"})
_NAMES_SHOWN: Final = 3
_HASH_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class OutcomeChange:
    """An item whose outcome is another.

    Attributes:
        better: Whether it passes now; ``None`` where one side says nothing about the model.
    """

    group: str
    name: str
    before: str
    after: str
    reason: str
    better: bool | None


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """A corpus score of the entries that both runs have.

    Attributes:
        signature: What reproduces the score.
        better: ``None`` where chance could explain the difference.
    """

    group: str
    metric: str
    signature: str
    items: int
    test: PairedTest
    better: bool | None


@dataclass(frozen=True, slots=True)
class RateDifference:
    """How many of the same items pass.

    Attributes:
        what: ``pass``, ``exact match``, ``FST accepted``, or a grader.
        before, after: Passed items.
        gained, lost: Items that pass only now, and only before.
        p_value: Of McNemar's exact test.
    """

    group: str
    what: str
    items: int
    before: int
    after: int
    gained: int
    lost: int
    p_value: float
    better: bool | None


@dataclass(frozen=True, slots=True)
class LatencyShift:
    """A latency in ms over all turns of the items that both runs have.

    Attributes:
        before, after: p50 and p95.
        test: The means over items; items are pairs.
        better: ``None`` where chance could explain the shift, or where items are few.
    """

    group: str
    what: str
    items: int
    before: tuple[float, float]
    after: tuple[float, float]
    test: PairedTest
    better: bool | None


@dataclass(frozen=True, slots=True)
class CostShift:
    """What the items that both runs have cost, in USD; ``None`` when it is not known."""

    group: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Comparison:
    """What changed from one run to another.

    Attributes:
        before, after: The runs' ids.
        shared: How many items both have.
        only_before, only_after: Items that one side alone has.
        warnings: What else differs than the model's answers.
    """

    before: str
    after: str
    shared: int
    outcomes: tuple[OutcomeChange, ...] = ()
    scores: tuple[ScoreDifference, ...] = ()
    rates: tuple[RateDifference, ...] = ()
    latencies: tuple[LatencyShift, ...] = ()
    costs: tuple[CostShift, ...] = ()
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def regressions(self) -> tuple[str, ...]:
        """What got worse: items that passed and fail, and scores beyond chance.

        What broke (infrastructure, judge, simulated user) says nothing about the model and
        is no regression; latencies and cost have thresholds of their own.
        """
        items = [f"{c.group}/{c.name}" for c in self.outcomes if c.better is False]
        scores = [f"{s.group} {s.metric}" for s in self.scores if s.better is False]
        rates = [
            f"{r.group} {r.what}"
            for r in self.rates
            if r.better is False and r.group != SIMULATIONS and r.what != "pass"
        ]
        return (*items, *scores, *rates)


def compare(before: Side, after: Side, metrics: Iterable[Metric] | None = None) -> Comparison:
    """Compare two runs over the items that both have.

    Args:
        before: The baseline.
        after: What is held against it.
        metrics: What translations are scored with; the project's own by default.
    """
    if metrics is None:
        from pytest_realtime_eval.metrics.registry import default_metrics

        metrics = default_metrics()
    pairs = [(before.items[key], after.items[key]) for key in before.items if key in after.items]
    groups: dict[str, list[tuple[Item, Item]]] = defaultdict(list)
    for pair in pairs:
        groups[pair[0].group].append(pair)
    same = {group: [p for p in found if _same_text(p)] for group, found in groups.items()}
    used = list(metrics)
    return Comparison(
        before=before.name,
        after=after.name,
        shared=len(pairs),
        outcomes=tuple(_outcome(pair) for pair in pairs if pair[0].outcome != pair[1].outcome),
        scores=tuple(_scores(same, used)),
        rates=tuple(_rates(same)),
        latencies=tuple(_latencies(groups)),
        costs=tuple(_costs(groups)),
        only_before=_missing(before, after),
        only_after=_missing(after, before),
        warnings=(*_setups(before, after), *_item_setups(pairs), *_other_texts(groups, same)),
    )


def _missing(side: Side, other: Side) -> tuple[str, ...]:
    return tuple("/".join(key) for key in side.items if key not in other.items)


def _outcome(pair: tuple[Item, Item]) -> OutcomeChange:
    before, after = pair
    graded = {before.outcome, after.outcome} <= _GRADED
    better = after.outcome == "passed" if graded else None
    return OutcomeChange(
        after.group, after.name, before.outcome, after.outcome, after.reason, better
    )


def _same_text(pair: tuple[Item, Item]) -> bool:
    before, after = pair
    return (before.source, before.reference) == (after.source, after.reference)


def _scores(groups: Mapping[str, Pairs], metrics: Sequence[Metric]) -> Iterator[ScoreDifference]:
    for group, pairs in groups.items():
        if group == SIMULATIONS or not pairs:
            continue
        for metric in metrics:
            if metric.name not in _COUNTED:
                yield _score(group, pairs, metric)


def _score(group: str, pairs: Pairs, metric: Metric) -> ScoreDifference:
    matrices = [
        metric.matrix((side.hypothesis or "", side.reference) for side in sides)
        for sides in zip(*pairs, strict=True)
    ]
    test = paired_bootstrap(metric, *matrices)
    better = None
    if _is_beyond_chance(test) and test.p_value is not None and test.p_value < SIGNIFICANT:
        better = (test.difference > 0) == metric.higher_is_better
    return ScoreDifference(group, metric.name, metric.signature, len(pairs), test, better)


def _is_beyond_chance(test: PairedTest) -> bool:
    """Whether the interval of a difference leaves out zero."""
    return test.low is not None and test.high is not None and (test.low > 0 or test.high < 0)


def _rates(groups: Mapping[str, Pairs]) -> Iterator[RateDifference]:
    for group, pairs in groups.items():
        ways: dict[str, Callable[[Item], Any]] = {"pass": _passed}
        if group != SIMULATIONS:
            ways |= {"exact match": _exact, "FST accepted": lambda item: item.fst_accepted}
        for what, way in ways.items():
            if found := _rate(group, what, [(way(before), way(after)) for before, after in pairs]):
                yield found
        for grader, grades in _graders(pairs).items():
            if found := _rate(group, grader, grades):
                yield found


def _passed(item: Item) -> bool | None:
    return item.outcome == "passed" if item.outcome in _GRADED else None


def _exact(item: Item) -> bool:
    return exact_match(item.hypothesis or "", item.reference)


def _graders(pairs: Pairs) -> dict[str, list[tuple[bool, bool]]]:
    """Return the grades that both sides have, by grader; turns are paired by their number."""
    found: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for before, after in pairs:
        for (grader, turn), grade in before.grades.items():
            if (grader, turn) in after.grades:
                found[grader].append((bool(grade), bool(after.grades[grader, turn])))
    return found


def _rate(
    group: str, what: str, pairs: Iterable[tuple[bool | None, bool | None]]
) -> RateDifference | None:
    known = [(before, after) for before, after in pairs if before is not None and after is not None]
    if not known:
        return None
    gained = sum(after and not before for before, after in known)
    lost = sum(before and not after for before, after in known)
    p_value = mcnemar(lost, gained)
    return RateDifference(
        group=group,
        what=what,
        items=len(known),
        before=sum(bool(before) for before, _ in known),
        after=sum(bool(after) for _, after in known),
        gained=gained,
        lost=lost,
        p_value=p_value,
        better=gained > lost if p_value < SIGNIFICANT else None,
    )


def _latencies(groups: Mapping[str, Pairs]) -> Iterator[LatencyShift]:
    for group, pairs in groups.items():
        names = dict.fromkeys(name for item, _ in pairs for name in item.latencies)
        for name in names:
            measured = [p for p in pairs if p[0].latencies.get(name) and p[1].latencies.get(name)]
            if measured:
                yield _latency(group, name, measured)


def _latency(group: str, name: str, pairs: Pairs) -> LatencyShift:
    sides = [[item.latencies[name] for item in side] for side in zip(*pairs, strict=True)]
    test = paired_means(*[[float(np.mean(turns)) for turns in side] for side in sides])
    before, after = (np.percentile(np.concatenate(side), [50, 95]) for side in sides)
    enough = len(pairs) >= FEWEST_CONVERSATIONS and _is_beyond_chance(test)
    return LatencyShift(
        group=group,
        what=name,
        items=len(pairs),
        before=(float(before[0]), float(before[1])),
        after=(float(after[0]), float(after[1])),
        test=test,
        better=test.difference < 0 if enough else None,
    )


def _costs(groups: Mapping[str, Pairs]) -> Iterator[CostShift]:
    for group, pairs in groups.items():
        before, after = (_cost(side) for side in zip(*pairs, strict=True))
        yield CostShift(group, before, after)


def _cost(items: Sequence[Item]) -> float | None:
    known = [item.cost_usd for item in items if item.cost_usd is not None]
    return sum(known) if len(known) == len(items) else None


def _setups(before: Side, after: Side) -> Iterator[str]:
    """Say what the groups were made with that differs."""
    for group, setup in before.setups.items():
        other = after.setups.get(group, {})
        changed = [name for name in setup if name in other and setup[name] != other[name]]
        files = [name.removeprefix("file ") for name in changed if name.startswith("file ")]
        where = f"{group}: " if group else ""
        for name in changed:
            if not name.startswith("file "):
                yield f"{where}{_difference(name, setup[name], other[name])}"
        if files:
            yield f"{where}{_some(files)} changed"


def _item_setups(pairs: Pairs) -> Iterator[str]:
    """Say what items were played with that differs, those that share a difference together."""
    found: dict[str, list[str]] = defaultdict(list)
    for before, after in pairs:
        for name, value in before.setup.items():
            if name in after.setup and after.setup[name] != value:
                found[_difference(name, value, after.setup[name])].append(after.name)
    for difference, names in found.items():
        yield f"{difference} ({_some(names)})"


def _other_texts(groups: Mapping[str, Pairs], same: Mapping[str, Pairs]) -> Iterator[str]:
    for group, pairs in groups.items():
        if left_out := len(pairs) - len(same[group]):
            entries = "1 entry has" if left_out == 1 else f"{left_out} entries have"
            yield f"{group}: {entries} another source or reference, and no part in the scores"


def _difference(name: str, before: str, after: str) -> str:
    return f"{name.replace('_', ' ')} differs: {_short(before)} before, {_short(after)} now"


def _short(value: str) -> str:
    """Shorten a SHA-256 to what tells it from others."""
    is_hash = len(value) == 64 and all(digit in "0123456789abcdef" for digit in value)
    return value[:_HASH_SHOWN] if is_hash else value or "none"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
