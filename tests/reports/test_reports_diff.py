from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.reports.diff import character_diff


@given(st.text(max_size=60), st.text(max_size=60))
def test_both_texts_can_be_read_from_the_pieces(reference: str, output: str) -> None:
    pieces = character_diff(reference, output)
    assert "".join(text for kind, text in pieces if kind != "missing") == output
    assert "".join(text for kind, text in pieces if kind != "added") == reference


@given(st.text(max_size=60))
def test_equal_texts_have_no_difference(text: str) -> None:
    assert {kind for kind, _ in character_diff(text, text)} <= {"same"}


def test_single_characters_are_told_apart() -> None:
    assert character_diff("la casa", "las casas") == [
        ("same", "la"),
        ("added", "s"),
        ("same", " casa"),
        ("added", "s"),
    ]


def test_long_texts_are_compared_by_words() -> None:
    reference = "uno dos tres " * 400
    output = reference.replace("tres", "cuatro", 1)
    pieces = character_diff(reference, output)
    assert ("missing", "tres") in pieces
    assert ("added", "cuatro") in pieces
    assert "".join(text for kind, text in pieces if kind != "added") == reference
