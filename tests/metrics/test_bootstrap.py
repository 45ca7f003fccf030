from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from pytest_realtime_eval.metrics import bootstrap
from pytest_realtime_eval.metrics.base import Metric
from pytest_realtime_eval.metrics.exact import ExactMatch, exact_match
from pytest_realtime_eval.metrics.overlap import ChrF

WORDS = ["la", "sopa", "está", "caliente", "pero", "el", "pan", "no", "llegó", "¿verdad?"]

Scorer = Callable[[list[tuple[str, str]]], float]


def make_pairs(count: int, seed: int = 7) -> list[tuple[str, str]]:
    rng = random.Random(seed)  # noqa: S311 - test data
    pairs = []
    for index in range(count):
        reference = " ".join(rng.choices(WORDS, k=rng.randint(1, 9)))
        kept = [word for word in reference.split() if rng.random() > 0.3]
        pairs.append(
            ("" if index % 11 == 0 else " ".join(kept) if index % 3 else reference, reference)
        )
    return pairs


def honest_interval(
    pairs: list[tuple[str, str]], score: Scorer, resamples: int
) -> tuple[float, float]:
    rng = random.Random(12345)  # noqa: S311 - the seed of the format
    scores = sorted(
        score([pairs[rng.randint(0, len(pairs) - 1)] for _ in pairs]) for _ in range(resamples)
    )
    return scores[int(resamples * 0.025)], scores[int(resamples * 0.975) - 1]


def sacrebleu_score(pairs: list[tuple[str, str]]) -> float:
    hypotheses, references = zip(*pairs, strict=True)
    score: float = CHRF(word_order=2).corpus_score(list(hypotheses), [list(references)]).score
    return score


def match_rate(pairs: list[tuple[str, str]]) -> float:
    return sum(exact_match(*pair) for pair in pairs) / len(pairs)


@pytest.mark.parametrize("count", [1, 2, 13, 40])
def test_chrf_interval_equals_scoring_every_resample_with_sacrebleu(count: int) -> None:
    pairs = make_pairs(count)
    metric = ChrF()
    found = bootstrap.interval(metric, metric.matrix(pairs), resamples=200)
    assert found is not None
    assert (found.low, found.high) == honest_interval(pairs, sacrebleu_score, 200)


def test_exact_match_interval_is_the_26th_and_the_975th_of_1000() -> None:
    pairs = make_pairs(60)
    metric = ExactMatch()
    found = bootstrap.interval(metric, metric.matrix(pairs))
    assert found is not None
    assert (found.low, found.high) == honest_interval(pairs, match_rate, 1000)
    assert found.low < match_rate(pairs) < found.high


@given(entries=st.integers(1, 300), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_draws_are_those_of_randint(entries: int, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - the draws under test
    rows = [[rng.randint(0, entries - 1) for _ in range(entries)] for _ in range(7)]
    expected = np.array([np.bincount(row, minlength=entries) for row in rows])
    found = np.concatenate(list(bootstrap.draw_counts(entries, seed=seed, resamples=7)))
    assert (found == expected).all()


def test_blocks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(bootstrap.draw_counts(37, resamples=50)))
    monkeypatch.setattr(bootstrap, "_BLOCK_DRAWS", 100)
    blocks = list(bootstrap.draw_counts(37, resamples=50))
    assert len(blocks) == 25
    assert (np.concatenate(blocks) == whole).all()


def test_a_metric_without_vectorised_scores_gets_the_same_interval() -> None:
    class Slow(ExactMatch):
        scores = Metric.scores

    statistics = ExactMatch().matrix(make_pairs(30))
    assert bootstrap.interval(Slow(), statistics) == bootstrap.interval(ExactMatch(), statistics)


def test_no_entries_have_no_interval() -> None:
    assert bootstrap.interval(ExactMatch(), ExactMatch().matrix([])) is None


def test_a_thousand_entries_and_resamples_take_half_a_second_of_cpu() -> None:
    chrf, exact = ChrF(), ExactMatch()
    pairs = make_pairs(1000)
    statistics = [(metric, metric.matrix(pairs)) for metric in (chrf, exact)]
    before = time.process_time()
    for metric, matrix in statistics:
        bootstrap.interval(metric, matrix)
    assert time.process_time() - before < 0.5
