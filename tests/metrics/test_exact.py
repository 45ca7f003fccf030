from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.metrics.exact import ExactMatch, exact_match, normalise


@pytest.mark.parametrize(
    ("hypothesis", "reference", "matches"),
    [
        ("La sopa.", "La sopa.", True),
        ("  la   SOPA.\n", "La sopa.", True),
        ("La\u00a0sopa.", "La sopa.", True),
        ("cafe\u0301", "café", True),
        ("La sopa", "La sopa.", False),
        ("la sopá.", "La sopa.", False),
        ("", "", False),
        (" \n", " ", False),
        ("STRASSE", "straße", False),
    ],
)
def test_exact_match(hypothesis: str, reference: str, *, matches: bool) -> None:
    assert exact_match(hypothesis, reference) is matches


@given(st.text(min_size=1))
def test_every_text_with_content_matches_itself_decomposed_and_padded(text: str) -> None:
    expected = bool(text.strip())
    assert exact_match(f" {unicodedata.normalize('NFD', text)}\t", text) is expected


@given(st.text())
def test_normalising_leaves_no_runs_of_white_space(text: str) -> None:
    assert normalise(text) == " ".join(normalise(text).split())


def test_the_rate_counts_matches_over_all_entries() -> None:
    assert ExactMatch().corpus_of([("a", "a"), ("", "b"), ("c", "d"), ("D", "d")]) == 0.5
