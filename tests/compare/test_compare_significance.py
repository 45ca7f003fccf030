from __future__ import annotations

import random
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.significance import PairedTest as SacrebleuTest

from pytest_realtime_eval.compare import significance
from pytest_realtime_eval.compare.significance import mcnemar, paired_bootstrap, paired_means
from pytest_realtime_eval.metrics.overlap import Bleu, ChrF

WORDS = [
    "the",
    "market",
    "sells",
    "red",
    "apples",
    "and",
    "green",
    "pears",
    "near",
    "old",
    "bridge",
    "every",
    "cold",
    "morning",
]


def sentences(seed: int, count: int = 60) -> list[str]:
    draw = random.Random(seed)  # noqa: S311 - texts of a test
    return [" ".join(draw.choices(WORDS, k=draw.randint(4, 9))) for _ in range(count)]


def noisy(lines: list[str], seed: int, share: float) -> list[str]:
    draw = random.Random(seed)  # noqa: S311 - texts of a test
    swap = [[w if draw.random() > share else draw.choice(WORDS) for w in x.split()] for x in lines]
    return [" ".join(words) for words in swap]


@pytest.mark.parametrize("share", [0.2, 0.25, 0.5])
def test_scores_and_p_values_are_those_of_sacrebleus_paired_test(share: float) -> None:
    references = sentences(1)
    before, after = noisy(references, 2, 0.2), noisy(references, 3, share)
    _, theirs = SacrebleuTest(
        [("before", before), ("after", after)],
        {"chrF": CHRF(word_order=2), "BLEU": BLEU()},
        [references],
        test_type="bs",
    )()
    for metric, name in ((ChrF(), "chrF2++"), (Bleu(), "BLEU")):
        matrices = [metric.matrix(zip(side, references, strict=True)) for side in (before, after)]
        ours = paired_bootstrap(metric, *matrices)
        baseline, system = theirs[name]
        assert ours.before == pytest.approx(baseline.score)  # type: ignore[union-attr]
        assert ours.after == pytest.approx(system.score)  # type: ignore[union-attr]
        assert ours.p_value == system.p_value  # type: ignore[union-attr]


def test_draws_in_blocks_are_the_draws_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "_BLOCK_DRAWS", 50)
    counts = np.concatenate(list(significance._draws(7, 3, 20)))
    drawn = np.random.default_rng(3).choice(7, size=(20, 7), replace=True)
    assert counts.tolist() == [np.bincount(row, minlength=7).tolist() for row in drawn]


def test_the_interval_of_a_difference_holds_the_difference() -> None:
    references = sentences(1)
    metric = ChrF()
    before, after = (
        metric.matrix(zip(noisy(references, 2, share), references, strict=True))
        for share in (0.1, 0.6)
    )
    test = paired_bootstrap(metric, before, after)
    assert test.low is not None
    assert test.high is not None
    assert test.low < test.difference < test.high < 0


def test_equal_outputs_are_no_difference() -> None:
    metric = ChrF()
    same = metric.matrix(zip(sentences(4), sentences(1), strict=True))
    test = paired_bootstrap(metric, same, same)
    assert (test.difference, test.low, test.high, test.p_value) == (0, 0, 0, 1)


def test_one_entry_is_scored_and_not_tested() -> None:
    metric = ChrF()
    test = paired_bootstrap(metric, metric.matrix([("a b", "a b")]), metric.matrix([("a", "a b")]))
    assert test.difference < 0
    assert test.p_value is None
    assert test.low is None


@given(lost=st.integers(0, 40), gained=st.integers(0, 40))
def test_mcnemar_is_a_fair_coin_thrown_for_each_changed_item(lost: int, gained: int) -> None:
    changed = lost + gained
    tail = sum(comb(changed, k) for k in range(min(lost, gained) + 1))
    assert mcnemar(lost, gained) == pytest.approx(min(float(Fraction(2 * tail, 2**changed)), 1.0))
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


def test_mcnemar_of_many_items_does_not_underflow() -> None:
    assert mcnemar(0, 0) == 1.0
    assert 0 <= mcnemar(0, 20_000) < 1e-300
    assert mcnemar(10_000, 10_000) == 1.0


def test_the_means_of_pairs() -> None:
    test = paired_means([100, 200, 300, 400, 500], [150, 260, 340, 450, 560])
    assert (test.before, test.after) == (300, 352)
    assert test.low is not None
    assert test.high is not None
    assert 40 <= test.low <= test.difference <= test.high <= 60
    assert paired_means([1.0], [2.0]).low is None
