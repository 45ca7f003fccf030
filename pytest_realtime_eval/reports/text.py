"""Text for terminals: widths, wrapping, tables, and how numbers are written."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Joiners that scripts and emoji need; other invisible characters can hide or reorder text.
_JOINERS: Final = "\u200c\u200d"
_INVISIBLE: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}
UNKNOWN: Final = "-"


def clean(text: str) -> str:
    """Return one line without control characters: text of models must not steer a terminal."""
    kept = (
        " " if character.isspace() else "" if _is_hidden(character) else character
        for character in text
    )
    return " ".join("".join(kept).split())


def _is_hidden(character: str) -> bool:
    return character not in _JOINERS and unicodedata.category(character) in _INVISIBLE


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(map(_cell, text))


def _cell(character: str) -> int:
    if unicodedata.combining(character) or character in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """Cut a text to ``width`` columns, with an ellipsis where something is left out."""
    if cells(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += _cell(character)
        if used > width - 1:
            break
        kept += character
    return f"{kept}…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Fill a text with spaces to ``width`` columns; ``right`` aligns it to the right."""
    blank = " " * max(0, width - cells(text))
    return blank + text if right else text + blank


def wrap(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    """Wrap cleaned text to ``width`` columns; ``first`` starts the first line, ``indent`` the rest.

    `textwrap` counts characters, and those of Chinese or Japanese take two columns.
    """
    start = indent if first is None else first
    lines, line, used = [], start, cells(start)
    empty = True
    for word in _pieces(clean(text), max(width - cells(indent), 20)):
        if not empty and used + 1 + cells(word) > width:
            lines.append(line)
            line, used, empty = indent, cells(indent), True
        line += word if empty else f" {word}"
        used, empty = cells(line), False
    return [*lines, line.rstrip()]


def _pieces(text: str, room: int) -> Iterator[str]:
    """Yield the words; one that is wider than ``room`` in pieces."""
    for word in text.split():
        piece = ""
        for character in word:
            if cells(piece) + _cell(character) > room:
                yield piece
                piece = ""
            piece += character
        yield piece


def json_text(value: object) -> str:
    """Write a JSON value on one line, cleaned."""
    return clean(json.dumps(value, ensure_ascii=False, default=str))


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        right: Aligned to the right, as numbers are.
        least: The columns below which it is not cut when the table is too wide.
    """

    title: str
    right: bool = False
    least: int = 8


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lay out a table with a heading, two spaces between columns, at most ``width`` wide.

    When it is too wide, the widest column that is not right-aligned is cut first.
    """
    texts = [[column.title for column in columns], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(cells(row[at]) for row in texts) for at in range(len(columns))]
    _narrow(columns, widths, width - 2 * (len(columns) - 1))
    return [
        "  ".join(
            pad(shorten(cell, widths[at]), widths[at], right=columns[at].right)
            for at, cell in enumerate(row)
        ).rstrip()
        for row in texts
    ]


def _narrow(columns: Sequence[Column], widths: list[int], room: int) -> None:
    while sum(widths) > room:
        free = [
            at for at, c in enumerate(columns) if not c.right and widths[at] > max(2, c.least)
        ] or [at for at, width in enumerate(widths) if width > 3]
        if not free:
            return
        widest = max(free, key=lambda at: widths[at])
        widths[widest] -= 1


def dollars(amount: float | None) -> str:
    """Write a cost with as many decimals as it needs to be read."""
    if amount is None:
        return UNKNOWN
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def milliseconds(value: float | None) -> str:
    """Write a latency: whole milliseconds, seconds from ten of them on."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"


def percent(share: float | None) -> str:
    """Write a share as a percentage with one decimal."""
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def decimal(value: float | None, digits: int = 1) -> str:
    """Write a number with a fixed count of decimals."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def seconds(value: float) -> str:
    """Write how long something took."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Write a count with its noun: ``1 turn``, ``2 turns``, ``2 entries``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
