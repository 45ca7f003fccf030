from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.differences import MISSING, differences

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("before", "after", "path", "values"),
    [
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "$.a.b[1]", (2, 3)),
        ({"a": 1}, {}, "$.a", (1, MISSING)),
        ({}, {"a": None}, "$.a", (MISSING, None)),
        ({"a": [1]}, {"a": [1, 2]}, "$.a[1]", (MISSING, 2)),
        ({"a": [1]}, {"a": {"b": 1}}, "$.a", ([1], {"b": 1})),
        ({"a": 1}, {"a": True}, "$.a", (1, True)),
    ],
)
def test_the_place_and_both_values_are_named(
    before: object, after: object, path: str, values: tuple[object, object]
) -> None:
    (found,) = differences(before, after)
    assert (found.path, found.before, found.after) == (path, *values)


@given(JSON, JSON)
def test_values_differ_exactly_when_a_difference_is_found(one: object, other: object) -> None:
    def typed(value: object) -> str:
        if isinstance(value, dict):
            return repr({key: typed(value[key]) for key in sorted(value)})
        return repr([typed(item) for item in value] if isinstance(value, list) else value)

    assert (typed(one) == typed(other)) == (list(differences(one, other)) == [])


def test_long_texts_are_shown_where_they_part() -> None:
    head = "x" * 500
    (found,) = differences({"a": head + "morning" + head}, {"a": head + "evening" + head})
    before, after = found.shown()
    assert "morning" in before
    assert "evening" in after
    assert max(len(before), len(after)) <= 102


def test_short_values_are_shown_whole() -> None:
    (found,) = differences({"a": "Tom"}, {})
    assert found.shown() == ('"Tom"', "nothing")
