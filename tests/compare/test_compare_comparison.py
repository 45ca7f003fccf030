from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.compare.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_realtime_eval.compare.side import Item, Side

HASH = "ab12cd34" * 8


@pytest.mark.parametrize(
    ("before", "after", "better"),
    [
        ("passed", "failed", False),
        ("failed", "passed", True),
        ("passed", "infra_error", None),
        ("ungraded", "failed", None),
        ("judge_error", "passed", None),
    ],
)
def test_an_item_got_worse_only_when_both_sides_say_something_about_the_model(
    before: str,
    after: str,
    better: bool | None,
    simulation: Callable[..., Item],
    side: Callable[..., Side],
) -> None:
    found = compare(
        side("A", simulation("sim", before)), side("B", simulation("sim", after, reason="why"))
    )
    (change,) = found.outcomes
    assert (change.before, change.after, change.better) == (before, after, better)
    assert change.reason == "why"
    assert found.regressions == (("simulations/sim",) if better is False else ())


def test_what_did_not_change_is_not_told(
    simulation: Callable[..., Item], side: Callable[..., Side]
) -> None:
    found = compare(side("A", simulation("sim")), side("B", simulation("sim")))
    assert (found.outcomes, found.warnings, found.regressions) == ((), (), ())
    (rate,) = found.rates
    assert (rate.what, rate.before, rate.after, rate.p_value) == ("pass", 1, 1, 1.0)


def test_items_of_one_side_are_named_and_not_counted(
    simulation: Callable[..., Item], side: Callable[..., Side]
) -> None:
    found = compare(
        side("A", simulation("gone"), simulation("kept")),
        side("B", simulation("kept"), simulation("new", "failed")),
    )
    assert found.shared == 1
    assert found.only_before == ("simulations/gone",)
    assert found.only_after == ("simulations/new",)
    assert found.regressions == ()


def test_grades_are_paired_by_grader_and_turn(
    simulation: Callable[..., Item], side: Callable[..., Side]
) -> None:
    found = compare(
        side("A", simulation("sim", grades={("polite", 1): 1, ("polite", 2): 1, ("old", 0): 1})),
        side("B", simulation("sim", grades={("polite", 1): 1, ("polite", 2): 0, ("new", 0): 0})),
    )
    rate = {rate.what: rate for rate in found.rates}["polite"]
    assert (rate.items, rate.before, rate.after, rate.gained, rate.lost) == (2, 2, 1, 0, 1)
    assert {rate.what for rate in found.rates} == {"pass", "polite"}


def test_a_score_that_is_lower_beyond_chance_is_a_regression(
    entry: Callable[..., Item], side: Callable[..., Side]
) -> None:
    texts = [
        f"the {word} is on the table"
        for word in ["cup", "hat", "pen", "map", "key", "bag", "box", "toy"]
    ]
    before = [entry(str(n), text, text) for n, text in enumerate(texts)]
    after = [entry(str(n), text[::-1], text) for n, text in enumerate(texts)]
    worse = compare(side("A", *before), side("B", *after))
    assert set(worse.regressions) == {
        "market chrf_plus_plus",
        "market bleu",
        "market exact match",
    }
    better = compare(side("A", *after), side("B", *before))
    assert better.regressions == ()
    assert {score.better for score in better.scores} == {True}


def test_a_small_difference_of_a_few_entries_is_chance(
    entry: Callable[..., Item], side: Callable[..., Side]
) -> None:
    texts = [
        f"the {word} is on the table"
        for word in ["cup", "hat", "pen", "map", "key", "bag", "box", "toy"]
    ]
    before = [entry(str(n), text, text) for n, text in enumerate(texts)]
    after = [entry("0", "the cup is on a table", texts[0]), *before[1:]]
    found = compare(side("A", *before), side("B", *after))
    assert all(score.test.difference < 0 for score in found.scores)
    assert found.regressions == ()


def test_entries_whose_text_is_another_have_no_part_in_the_scores(
    entry: Callable[..., Item], side: Callable[..., Side]
) -> None:
    found = compare(
        side("A", entry("1", "a cup", "a cup"), entry("2", "a hat", "a hat")),
        side("B", entry("1", "a cup", "a cup"), entry("2", "a hat", "one hat")),
    )
    assert {score.items for score in found.scores} == {1}
    assert found.warnings == (
        "market: 1 entry has another source or reference, and no part in the scores",
    )


def test_a_failed_entry_counts_as_an_empty_output(
    entry: Callable[..., Item], side: Callable[..., Side]
) -> None:
    found = compare(
        side("A", entry("1", "a cup", "a cup")),
        side("B", entry("1", "", "a cup", outcome="infra_error")),
    )
    assert {score.test.after for score in found.scores} == {0.0}


def test_latencies_shift_when_enough_conversations_agree(
    simulation: Callable[..., Item], side: Callable[..., Side]
) -> None:
    def played(count: int, offset: float) -> list[Item]:
        turns = [{"first audio": (100.0 + n + offset, 200.0 + offset)} for n in range(count)]
        return [simulation(f"sim{n}", latencies=each) for n, each in enumerate(turns)]

    slower = compare(side("A", *played(6, 0)), side("B", *played(6, 50)))
    (shift,) = slower.latencies
    assert shift.better is False
    assert shift.test.difference == pytest.approx(50)
    assert shift.after[0] == pytest.approx(shift.before[0] + 50)
    few = compare(side("A", *played(4, 0)), side("B", *played(4, 50)))
    assert few.latencies[0].better is None
    assert slower.regressions == ()


def test_a_cost_that_is_not_known_is_not_nothing(
    simulation: Callable[..., Item], side: Callable[..., Side]
) -> None:
    found = compare(
        side("A", simulation("a", cost_usd=0.25), simulation("b", cost_usd=0.5)),
        side("B", simulation("a", cost_usd=0.25), simulation("b")),
    )
    (cost,) = found.costs
    assert (cost.before, cost.after) == (0.75, None)


def test_warnings_say_what_else_differs(
    simulation: Callable[..., Item], side: Callable[..., Side]
) -> None:
    before = side(
        "A",
        *(simulation(name, setup={"assistant_model": "one"}) for name in "abcde"),
        simulations={"condition": "x", "file evals/sim_a.json": HASH, "file only_before": HASH},
        market={"system_prompt_sha256": HASH, "temperature": "0.3"},
    )
    after = side(
        "B",
        *(simulation(name, setup={"assistant_model": "two"}) for name in "abcde"),
        simulations={"condition": "y", "file evals/sim_a.json": "0" * 64},
        market={"system_prompt_sha256": "0" * 64, "temperature": "0.3"},
    )
    assert compare(before, after).warnings == (
        "simulations: condition differs: x before, y now",
        "simulations: evals/sim_a.json changed",
        "market: system prompt sha256 differs: ab12cd34 before, 00000000 now",
        "assistant model differs: one before, two now (a, b, c and 2 more)",
    )
