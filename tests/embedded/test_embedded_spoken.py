"""How text is said, and how what was heard is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.embedded.spoken import readable, speakable


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Order ORD-1001, please.", "Order, O. R. D. one, zero, zero, one, please."),
        ("BK7421", "B. K. seven, four, two, one"),
        ("Zone ZX-100", "Zone, zed. X. one, zero, zero"),
        ("At 19:05", "At 7:05 PM"),
        ("At 09:30", "At 9:30 AM"),
        ("At 00:15", "At 12:15 AM"),
        ("At 7:30 pm", "At 7:30 pm"),
        ("At 12:15", "At 12:15"),
        ("$129.99", "129 dollars and 99 cents"),
        ("$1.01", "1 dollar and 1 cent"),
        ("$1,250.00", "1,250 dollars"),
        ("£2.50", "2 pounds and 50 pence"),
        ("a.b-c@example.com", "a dot b dash c at example dot com"),
        ("Call 555-0142", "Call, five five five, zero one four two"),
        ("Zip 02139", "Zip, zero two one, three nine"),
        ("Account 882145", "Account, eight eight two, one four five"),
        ("**Yes**, END_CALL", "Yes, END CALL"),
        ("On 2026-03-14", "On 2026-03-14"),
        ("Room 12, in 2026, at 5PM", "Room 12, in 2026, at 5PM"),
        ("1,250 people", "1,250 people"),
        ("NASA and the USA", "NASA and the USA"),
        ("", ""),
    ],
)
def test_text_is_said_so_that_it_can_be_heard(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


@pytest.mark.parametrize(
    ("heard", "text"),
    [
        ("My order is o r d one, zero, zero, one.", "My order is ORD1001."),
        ("It is O-R-D-1-0-0-1.", "It is ORD1001."),
        ("It's ord1001 please.", "It's ORD1001 please."),
        ("not ORD-1001 I meant ord1002", "not ORD1001 I meant ORD1002"),
        ("Reference RF2, 048 please.", "Reference RF2048 please."),
        ("o, r, d, 1001 I think", "ORD1001 I think"),
        ("five, five, five, zero", "5550"),
        ("one, two or three people", "one, two or three people"),
        ("Plan a, b and c", "Plan a, b and c"),
        ("The score was 3-2.", "The score was 3-2."),
        ("maria.lopez at example.com", "maria.lopez@example.com"),
        ("at twelve fifteen.", "at 12:15."),
        ("at seven thirty five", "at 7:35"),
        ("at seven oh five", "at 7:05"),
        ("seven thirty people", "seven thirty people"),
        ("to-morrow, good-by", "tomorrow, goodbye"),
        ("Good-bye. Today.", "Goodbye. Today."),
        ("for two on March 14, 2026 at 7:30 p.m.", "for two on March 14, 2026 at 7:30 p.m."),
        ("", ""),
    ],
)
def test_what_was_heard_is_written_as_one_would(heard: str, text: str) -> None:
    assert readable(heard) == text


@given(st.text(max_size=60))
def test_any_text_can_be_said(text: str) -> None:
    assert speakable(text) == speakable(text).strip(" ,")


@given(st.text(max_size=60))
def test_any_text_can_be_heard(text: str) -> None:
    assert len(readable(text)) <= len(text)


@given(
    st.from_regex(r"[B-HJ-NP-Z]{2,4}", fullmatch=True), st.from_regex(r"[0-9]{3,6}", fullmatch=True)
)
def test_an_identifier_survives_its_spelling(letters: str, digits: str) -> None:
    spoken = speakable(f"It is {letters}-{digits}.").replace("zed", "Z")
    assert readable(spoken) == f"It is, {letters}{digits}."
