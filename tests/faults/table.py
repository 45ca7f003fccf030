"""Print the fault matrix as the table that the README shows.

python tests/faults/table.py
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Final

MATRIX: Final = Path(__file__).with_name("matrix.csv")
_HEAD: Final = ("fault", "outcome", "`failure_stage`", "turns kept", "exit")
#: What an item that left no record is called.
_NO_RECORD: Final = "no record: runs again with `--eval-resume`"


def markdown() -> str:
    """Return the table, a row for each fault."""
    with MATRIX.open(encoding="utf-8", newline="") as file:
        rows = [_cells(row) for row in csv.DictReader(file)]
    return "\n".join(map(_line, [_HEAD, ("---",) * len(_HEAD), *rows])) + "\n"


def _cells(row: dict[str, str]) -> tuple[str, ...]:
    stage = f"`{row['stage']}`" if row["stage"] else ""
    turns = row["turns"] if row["outcome"] else ""
    return row["fault"], row["outcome"] or _NO_RECORD, stage, turns, row["exit"]


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
