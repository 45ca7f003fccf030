from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.schemas.index import is_index, read_index

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "simulation_id,simulation_path,enabled,notes,max_turns_override\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("sim_a.json", "sim_b.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def index(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "index.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_a_row_says_what_it_adds(folder: Path) -> None:
    text = HEADER + 'sim_a,sim_a.json,false,"waits, still",7\nsim_b, ./sim_b.json ,,,\n'
    first, second = read_index(index(folder, text)).rows
    assert (first.simulation_id, first.path) == ("sim_a", folder / "sim_a.json")
    assert (first.enabled, first.notes, first.max_turns_override) == (False, "waits, still", 7)
    assert (second.enabled, second.notes, second.max_turns_override) == (True, "", 0)
    assert second.path == folder / "sim_b.json"


@pytest.mark.parametrize("word", ["", "1", "true", "TRUE", "Yes", "on", "y"])
def test_words_for_enabled(folder: Path, word: str) -> None:
    (row,) = read_index(index(folder, f"{HEADER}sim_a,sim_a.json,{word},,\n")).rows
    assert row.enabled


@pytest.mark.parametrize("word", ["0", "false", "False", "no", "n", "OFF"])
def test_words_for_disabled(folder: Path, word: str) -> None:
    (row,) = read_index(index(folder, f"{HEADER}sim_a,sim_a.json,{word},,\n")).rows
    assert not row.enabled


@pytest.mark.parametrize(("text", "turns"), [("", 0), ("0", 0), ("3", 3), ("3.0", 3), ("03", 3)])
def test_turns_as_spreadsheets_write_them(folder: Path, text: str, turns: int) -> None:
    (row,) = read_index(index(folder, f"{HEADER}sim_a,sim_a.json,,,{text}\n")).rows
    assert row.max_turns_override == turns


@pytest.mark.parametrize(
    "row",
    ["sim_a,gone.json,,,", "sim_a,,,,", ",sim_a.json,,,", "sim_a,sim_a.json,maybe,,",
     "sim_a,sim_a.json,,,-1", "sim_a,sim_a.json,,,2.5", "sim_a,sim_a.json,,,many", "sim_a,.,,,"],
)  # fmt: skip
def test_a_row_that_is_wrong_costs_only_itself(folder: Path, row: str) -> None:
    found = read_index(index(folder, f"{HEADER}sim_b,sim_b.json,,,\n{row}\n"))
    assert [good.simulation_id for good in found.rows] == ["sim_b"]
    (bad,) = found.problems
    assert (bad.path, bad.place) == (folder / "index.csv", "row 3")


def test_an_id_that_stands_twice_is_kept_once(folder: Path) -> None:
    found = read_index(index(folder, HEADER + "a,sim_a.json,,,\na,sim_b.json,,,\n"))
    assert [row.path.name for row in found.rows] == ["sim_a.json"]
    assert "'a' stands twice" in found.problems[0].problem


def test_names_that_pandas_would_take_for_missing_are_names(folder: Path) -> None:
    (row,) = read_index(index(folder, HEADER + "NA,sim_a.json,,null,\n")).rows
    assert (row.simulation_id, row.notes) == ("NA", "null")


@pytest.mark.parametrize("text", ["\ufeff" + HEADER, '"simulation_id", "simulation_path"\n', "simulation_path,x,simulation_id\r\n"])  # fmt: skip  # noqa: E501 - a list
def test_an_index_is_known_by_its_columns(folder: Path, text: str) -> None:
    path = index(folder, text)
    assert is_index(path)
    assert read_index(path).rows == ()


@pytest.mark.parametrize("text", ["", "a,b\n", "simulation_id\n", "x\nsimulation_id,simulation_path\n", "\0\xff"])  # fmt: skip  # noqa: E501 - a list
def test_other_csv_files_are_left_alone(folder: Path, text: str) -> None:
    assert not is_index(index(folder, text, "latin-1"))


def test_a_file_that_is_not_there_is_no_index(tmp_path: Path) -> None:
    assert not is_index(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simulation_id\nx\n", "has no column 'simulation_path'"),
        (HEADER + '"a,b\n', "readable CSV"),
    ],
)
def test_a_file_that_is_no_index_is_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read_index(index(folder, text))


def test_a_path_is_without_detours(folder: Path) -> None:
    (folder / "deep").mkdir()
    path = folder / "deep" / "index.csv"
    path.write_text(HEADER + "sim_a,../deep/../sim_a.json,,,\n")
    assert read_index(path).rows[0].path == folder / "sim_a.json"
