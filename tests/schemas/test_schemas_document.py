from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.schemas.document import (
    Document,
    json_path,
    parse_json,
    read_json,
    validate,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)  # fmt: skip


class Inner(Document):
    voice: str | None = None


class Outer(Document):
    model: Inner = Inner()
    listed: tuple[Inner, ...] = ()
    count: int = 0


def problem(data: object, path: Path, model: type[BaseModel] = Outer) -> FileError:
    with pytest.raises(FileError) as caught:
        validate(model, data, path)
    return caught.value


@given(JSON, st.sampled_from(["utf-8", "utf-8-sig"]))
def test_any_json_is_read_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, value: object, encoding: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    assert (
        parse_json(json.dumps(value, ensure_ascii=False).encode(encoding, "surrogatepass"), path)
        == value
    )


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_named(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    try:
        parse_json(data, path)
    except FileError as error:
        assert error.path == path  # noqa: PT017 - both ends are right


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n "a": }', "line 2 column 7: is not valid JSON"),
        (b"\xff", "byte 0: is not UTF-8"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "line 1 column 1: is not valid JSON"),
    ],
)
def test_what_is_no_json_is_said_with_its_place(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_json(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.json: cannot be read: No such file"):
        read_json(tmp_path / "gone.json")
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        read_json(tmp_path)


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        ({"modl": {}}, "$.modl", "unknown key 'modl'; did you mean 'model'?"),
        ({"model": {"voise": 1}}, "$.model.voise", "unknown key 'voise'; did you mean 'voice'?"),
        ({"listed": [{}, {"voise": 1}]}, "$.listed[1].voise", "did you mean 'voice'?"),
        ({"qqq": 1}, "$.qqq", "unknown key 'qqq'; `x-…` keys and `metadata` are free"),
        ({"count": "many"}, "$.count", "(it is 'many')"),
        ({"count": None}, "$.count", "(it is None)"),
        ([], "$", ""),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, data: object, place: str, message: str) -> None:
    error = problem(data, tmp_path / "a.json")
    assert error.place == place
    assert message in error.problem


def test_several_problems_stand_in_one_message(tmp_path: Path) -> None:
    error = problem({"count": "many", "modl": 1, "listed": [{"voise": 1}]}, tmp_path / "a.json")
    text = str(error)
    for place in ("$.count", "$.modl", "$.listed[0].voise"):
        assert place in text


def test_long_values_are_cut(tmp_path: Path) -> None:
    assert len(str(problem({"count": "x" * 10_000}, tmp_path / "a.json"))) < 500


@given(JSON)
def test_free_keys_hold_anything_anywhere(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    free = {"x-mine": value, "$schema": value, "metadata": value}
    path = tmp_path_factory.getbasetemp() / "any.json"
    assert validate(Outer, {**free, "listed": [free]}, path).metadata == value


def test_paths_of_unions_leave_their_tags_out() -> None:
    assert json_path(("graders", "turn_level", 0, "@mentions", "values")) == (
        "$.graders.turn_level[0].values"
    )
    assert json_path(()) == "$"
