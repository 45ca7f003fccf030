from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.graders.matching import difference, fold, matches, number

if TYPE_CHECKING:
    from decimal import Decimal

SAME = [
    (2, 2),
    (2, 2.0),
    (2, "2"),
    ("2", 2),
    ("2.0", 2),
    (1000, "1e3"),
    ("1e3", "1000"),
    (0.1, "0.1"),
    (0.1, "0.10"),
    (-5, "-5"),
    (10**40 + 1, 10**40 + 1),
    (10**40 + 1, str(10**40 + 1)),
    (True, True),
    (None, None),
    ("Grand Hotel", "grand  hotel."),
    ("O'Brien", "OBrien"),
    ("check-in", "Check in"),
    ("U.S.A.", "USA"),
    ("ORD-1001", "ord1001"),
    ("ORD-1001", "O R D 1001"),
    ("O.R.D.-1001", "ord 1001"),
    ("555-0100", "5550100"),
    ("1,000 people", "1000 people"),
    ("café", "cafe\u0301"),
    ("12 North Main Street, Apt. 5", "12 N Main St, Apartment 5"),
    ("Main Street", "Main St."),
    ("Hauptstraße 5", "Hauptstr. 5"),
    ("P.O. Box 12", "PO Box 12"),
    ("", ""),
    ("?", "?"),
    ({}, {"a": 1}),
    ({"a": {"b": [1]}}, {"a": {"b": [1, 2], "c": 3}, "d": 4}),
    ([], [1]),
    ([1, 2], [1, "2", 3]),
]

DIFFERENT = [
    (2, 3),
    (2, "02"),
    ("2", "02"),
    (2, "2 units"),
    (2, "two"),
    (2, "+2"),
    (0.5, ".5"),
    (2**53 + 1, 2**53),
    (10**40 + 1, 10**40),
    (10**40 + 1, 1e40),
    (True, 1),
    (1, True),
    (True, "true"),
    (False, 0),
    (False, None),
    (None, 0),
    (None, ""),
    ("null", None),
    (None, False),
    ("5%", "5"),
    ("$5", "€5"),
    ("-5 degrees", "5 degrees"),
    ("1.5 km", "15 km"),
    ("12:30", "1230"),
    ("2026-1-12", "2026-11-2"),
    ("apt 2 15", "apt 21 5"),
    ("a1@b.com", "a1b.com"),
    ("Grand Hotel", "Grand Hotels"),
    ("drive", "dr"),
    ("Court", "ct"),
    ("?", "!"),
    ("", "?"),
    ("", " x"),
    ({"a": 1}, {}),
    ({"a": None}, {}),
    ({"a": 1}, [1]),
    ({}, None),
    ([1, 2], [1]),
    ([1, 2], [2, 1]),
    ([1], 1),
    (["a"], "a"),
    ([2], [1, 2]),
]


@pytest.mark.parametrize(("expected", "actual"), SAME)
def test_matches(expected: object, actual: object) -> None:
    assert difference(expected, actual) is None


@pytest.mark.parametrize(("expected", "actual"), DIFFERENT)
def test_does_not_match(expected: object, actual: object) -> None:
    assert not matches(expected, actual)


def test_the_first_difference_is_named_with_place_and_both_values() -> None:
    expected = {"guest": {"rooms": [{"beds": 2}, {"beds": 1}]}}
    actual = {"guest": {"rooms": [{"beds": "2"}, {"beds": 3}]}}
    assert difference(expected, actual) == "$.guest.rooms[1].beds is 3, expected 1"
    assert difference({"a": None}, {}) == "$.a is missing, expected null"
    assert difference([True], [None]) == "$[0] is null, expected true"


def test_a_number_of_any_length_is_told_apart_and_shown() -> None:
    shown = difference(10**5000 + 1, 10**5000)
    assert shown is not None
    assert shown.startswith("$ is 1000")
    assert len(shown) < 400


def test_an_exponent_beyond_all_numbers_is_text() -> None:
    assert number("1e99999999999999999999") is None
    assert matches("1e99999999999999999999", "1E99999999999999999999")


scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.text()
scalars |= st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_every_value_matches_itself_also_through_json(value: object) -> None:
    assert matches(value, value)
    assert matches(value, json.loads(json.dumps(value)))


@given(st.dictionaries(st.text(), json_values, max_size=4), st.data())
def test_objects_match_as_subsets(value: dict[str, Any], data: st.DataObject) -> None:
    kept = data.draw(st.sets(st.sampled_from(sorted(value)))) if value else set()
    assert matches({key: value[key] for key in kept}, value)
    for key in value:
        rest = {other: value[other] for other in value if other != key}
        assert not matches(value, rest)


@given(st.lists(json_values, max_size=5), st.integers(0, 5))
def test_lists_match_as_prefixes(value: list[Any], length: int) -> None:
    assert matches(value[:length], value)
    assert matches(value, value[:length]) == (length >= len(value))


@given(st.integers(), st.integers())
def test_integers_match_exactly_in_all_spellings(left: int, right: int) -> None:
    for expected in (left, str(left), f"{left}.0", f"{left}e0"):
        for actual in (right, str(right), f"{right}.00"):
            assert matches(expected, actual) == (left == right)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=6), st.integers(-5, 5))
def test_exponents_do_not_change_the_value(value: Decimal, exponent: int) -> None:
    text = f"{value.scaleb(-exponent):f}e{exponent}"
    assert matches(text, f"{value:f}")


@given(json_values, json_values)
def test_symmetry_of_scalars(left: object, right: object) -> None:
    if not isinstance(left, dict | list) and not isinstance(right, dict | list):
        assert matches(left, right) == matches(right, left)


@given(st.text())
def test_folding_is_idempotent_and_matches(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert matches(text, f" {text}\n")


@given(st.booleans() | st.none(), json_values)
def test_booleans_and_null_match_only_themselves(constant: bool | None, other: object) -> None:
    if other is not constant:
        assert not matches(constant, other)
        assert not matches(other, constant) or other in ({}, [])
