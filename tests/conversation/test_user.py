from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.conversation.user import RULES, Utterance, normalised
from pytest_realtime_eval.schemas.transcript import Usage


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Good evening. I'd like a table!", "good evening, id like a table"),
        ("Good evening. I\u2019d like", "good evening I'd like"),
        ("  two\nlines ", "two lines"),
        ("Grüße", "GRÜSSE"),
        ("cafe\u0301", "caf\u00e9"),
        ("ﬁne", "fine"),
    ],
)
def test_spelling_that_cannot_be_heard_does_not_matter(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a table for two", "a table for ten"), ("book it", "book"), ("いま", "まい")],
)
def test_other_words_do(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("text", "ends"),
    [("END_CALL", True), ("Thanks. END_CALL.", True), ("The end of the call", False), ("", False)],
)
def test_the_call_ends_where_its_sign_is_said(text: str, ends: bool) -> None:
    assert Utterance(text, b"", Usage()).ends_call is ends


def test_the_rules_name_the_sign() -> None:
    assert "END_CALL" in RULES
