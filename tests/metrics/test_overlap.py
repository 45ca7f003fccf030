from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from pytest_realtime_eval.metrics.overlap import Bleu, ChrF

sentences = st.text(alphabet="abcé ñ.¿?ßI", max_size=30)
corpora = st.lists(st.tuples(sentences, sentences), min_size=1, max_size=12)


@given(corpora)
@settings(deadline=None)
def test_chrf_is_sacrebleus_corpus_score(pairs: list[tuple[str, str]]) -> None:
    expected = CHRF(word_order=2).corpus_score([p[0] for p in pairs], [[p[1] for p in pairs]])
    metric = ChrF()
    statistics = metric.matrix(pairs)
    assert metric.corpus(statistics) == expected.score
    assert metric.scores(statistics.sum(axis=0, keepdims=True))[0] == expected.score


@given(corpora)
@settings(deadline=None)
def test_bleu_is_sacrebleus_corpus_score(pairs: list[tuple[str, str]]) -> None:
    expected = BLEU().corpus_score([p[0] for p in pairs], [[p[1] for p in pairs]])
    metric = Bleu()
    assert metric.corpus_of(pairs) == expected.score
    assert metric.scores(metric.matrix(pairs).sum(axis=0, keepdims=True))[0] == expected.score


@given(sentences, sentences)
@settings(deadline=None)
def test_entry_chrf_is_sacrebleus_sentence_score(hypothesis: str, reference: str) -> None:
    expected = CHRF(word_order=2).sentence_score(hypothesis, [reference]).score
    assert ChrF().entry_score(hypothesis, reference) == expected


@given(corpora)
@settings(deadline=None, max_examples=30)
def test_vectorised_chrf_scores_each_row_as_sacrebleu_does(pairs: list[tuple[str, str]]) -> None:
    metric = ChrF()
    statistics = metric.matrix(pairs)
    rows = np.cumsum(statistics, axis=0)
    assert metric.scores(rows).tolist() == [metric.score(row) for row in rows]


def test_a_corpus_score_is_no_average_of_entry_scores() -> None:
    pairs = [("a", "a"), ("completely different words", "nothing in common here at all")]
    metric = ChrF()
    average = sum(metric.entry_score(*pair) for pair in pairs) / 2
    assert metric.corpus_of(pairs) != pytest.approx(average, abs=5)


def test_signatures_tell_what_reproduces_the_score() -> None:
    assert ChrF().signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:")
    assert Bleu().signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_an_empty_hypothesis_pulls_the_corpus_down() -> None:
    whole = [("La sopa", "La sopa"), ("El pan", "El pan")]
    assert ChrF().corpus_of(whole) == pytest.approx(100.0)
    failed = ChrF().corpus_of([whole[0], ("", "El pan")])
    assert failed is not None
    assert 0 < failed < 90


def test_a_short_but_perfect_sentence_has_a_bleu_of_100() -> None:
    assert Bleu().entry_score("La sopa", "La sopa") == pytest.approx(100.0)


def test_no_entries_have_no_score() -> None:
    assert ChrF().corpus_of([]) is None
