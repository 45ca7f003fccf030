"""The index of simulations: a CSV with ``simulation_id`` and ``simulation_path``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.schemas.document import is_file

REQUIRED: Final = ("simulation_id", "simulation_path")
_TRUE: Final = {"", "1", "true", "yes", "y", "on"}
_FALSE: Final = {"0", "false", "no", "n", "off"}


@dataclass(frozen=True)
class IndexRow:
    """What an index says of a simulation.

    Attributes:
        index: The CSV.
        path: The simulation file, absolute.
        max_turns_override: 0 leaves the file's own.
    """

    index: Path
    simulation_id: str
    path: Path
    enabled: bool = True
    notes: str = ""
    max_turns_override: int = 0


def is_index(path: Path) -> bool:
    """Whether a CSV's first line has the columns of an index."""
    try:
        with path.open("rb") as file:
            header = file.readline(10_000)
    except OSError:
        return False
    names = [name.strip().strip('"') for name in header.decode("utf-8-sig", "replace").split(",")]
    return all(column in names for column in REQUIRED)


@dataclass(frozen=True)
class Index:
    """The rows that can be used, and what is wrong with the others."""

    rows: tuple[IndexRow, ...]
    problems: tuple[FileError, ...]


def read_index(path: Path, root: Path | None = None) -> Index:
    """Read an index with pandas.

    A row that is wrong costs only itself. Rows are counted as a spreadsheet does: the
    header is row 1.

    Args:
        path: The CSV.
        root: Rows may name files under it, and beside the index; without it, any.

    Raises:
        FileError: The file cannot be read, or lacks a column.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True
        )
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise FileError(path, f"is no readable CSV: {error}") from error
    frame.columns = frame.columns.str.strip()
    for column in REQUIRED:
        if column not in frame.columns:
            raise FileError(path, f"has no column {column!r}")
    rows: dict[str, IndexRow] = {}
    problems = []
    for number, values in enumerate(frame.to_dict("records"), start=2):
        try:
            row = _row(path, number, values)
            _check_new(row, rows, number)
            _check_inside(row, root, number)
        except FileError as error:
            problems.append(error)
        else:
            rows[row.simulation_id] = row
    return Index(tuple(rows.values()), tuple(problems))


def _check_new(row: IndexRow, rows: dict[str, IndexRow], number: int) -> None:
    if row.simulation_id in rows:
        raise FileError(row.index, f"{row.simulation_id!r} stands twice", f"row {number}")


def _check_inside(row: IndexRow, root: Path | None, number: int) -> None:
    """Refuse what lies outside the suite, also behind a link."""
    folders = (row.index.parent.resolve(), root.resolve()) if root else ()
    target = row.path.resolve()
    if folders and not any(target.is_relative_to(folder) for folder in folders):
        raise FileError(row.index, f"{row.path} lies outside the suite", f"row {number}")


def _row(index: Path, number: int, values: dict[Any, Any]) -> IndexRow:
    place = f"row {number}"
    text = {str(key): str(value).strip() for key, value in values.items()}
    if not text["simulation_id"]:
        raise FileError(index, "has no simulation_id", place)
    return IndexRow(
        index=index,
        simulation_id=text["simulation_id"],
        path=_simulation_path(index, text["simulation_path"], place),
        enabled=_enabled(index, text.get("enabled", ""), place),
        notes=text.get("notes", ""),
        max_turns_override=_max_turns(index, text.get("max_turns_override", ""), place),
    )


def _simulation_path(index: Path, name: str, place: str) -> Path:
    if not name or "\0" in name:
        raise FileError(index, "has no simulation_path", place)
    # Without `..`, so that a file has one name however many indexes list it.
    path = Path(os.path.normpath(index.parent / name))
    if not is_file(path):
        raise FileError(index, f"no file {name!r} beside the index", place)
    return path


def _enabled(index: Path, text: str, place: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise FileError(index, f"'enabled' must be true or false (it is {text!r})", place)


def _max_turns(index: Path, text: str, place: str) -> int:
    # A column with gaps holds "3.0" once a spreadsheet saved it.
    match = re.fullmatch(r"(\d{1,6})(\.0*)?", text or "0")
    if match is None:
        problem = f"'max_turns_override' must be a whole number (it is {text!r})"
        raise FileError(index, problem, place)
    return int(match[1])
