from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.embedded.words import (
    content_text,
    in_words,
    listed,
    meaning,
    sentences,
    tokens,
)


def test_tokens_lose_case_and_punctuation_but_not_what_is_one_thing() -> None:
    text = "Half-past 7:30 P.M., the 14th, 1,001 or A.b@c.org?"
    assert tokens(text) == ["half", "past", "7:30", "pm", "the", "14th", "1001", "or", "a.b@c.org"]


@given(st.text())
def test_tokens_of_tokens_are_the_same(text: str) -> None:
    once = tokens(" ".join(tokens(text)))
    assert tokens(" ".join(once)) == once


@pytest.mark.parametrize(
    "alike",
    [
        ("book", "booked", "booking", "bookings", "reservation", "reserve"),
        ("cancel", "cancelled", "cancelling"),
        ("find", "look", "track", "status"),
        ("order", "orders", "parcel"),
        ("people", "guests", "party"),
        ("open", "hours", "closing"),
    ],
)
def test_words_that_mean_the_same(alike: tuple[str, ...]) -> None:
    assert len({meaning(word) for word in alike}) == 1


def test_words_that_do_not() -> None:
    words = ("book", "cancel", "find", "order", "people", "refund", "table", "lamp")
    assert len({meaning(word) for word in words}) == len(words)


def test_small_helpers() -> None:
    assert in_words("partySize") == in_words("party_size") == "party size"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"], "or") == "a, b or c"
    assert sentences("- One. Two? \n\n* Three") == ["One.", "Two?", "Three"]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"content": [{"type": "input_audio", "transcript": "hi "}]}, "hi"),
        ({"content": [{"type": "input_text", "text": "a"}, {"text": "b"}]}, "a b"),
        ({"content": [{"type": "input_audio", "transcript": None}]}, ""),
        ({"content": "plain"}, "plain"),
        ({}, ""),
    ],
)
def test_the_words_of_an_item(item: dict[str, object], text: str) -> None:
    assert content_text(item) == text
