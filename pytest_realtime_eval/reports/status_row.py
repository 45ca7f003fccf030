"""What keeps a terminal's bottom row for a status: control sequences, as text.

Scrolling is confined to the rows above (DECSTBM), so the rest of the program writes as
ever. The cursor is saved and restored around everything (DECSC, DECRC); the sequences are
those of VT100, as apt's progress bar uses them.
"""

from __future__ import annotations

from typing import Final

from pytest_realtime_eval.reports.text import pad, shorten

#: Below this many rows there is no room for a status.
LEAST_ROWS: Final = 5

_SAVE, _RESTORE = "\x1b7", "\x1b8"
_DOWN_SCROLLING, _UP = "\x1bD", "\x1b[A"
_CLEAR_ROW: Final = "\x1b[2K"
_CLEAR_BELOW: Final = "\x1b[J"
_WHOLE_SCREEN: Final = "\x1b[r"
_REVERSE, _PLAIN = "\x1b[7m", "\x1b[0m"


def set_up(rows: int) -> str:
    """Keep the last of ``rows`` rows free; the cursor stays on its line, above it."""
    # The way down scrolls if the cursor is on the last row, which then is free.
    return f"{_DOWN_SCROLLING}{_UP}{_SAVE}\x1b[1;{rows - 1}r{_RESTORE}"


def draw(text: str, rows: int, columns: int, *, colour: bool = True) -> str:
    """Write a status into the last row."""
    # A character in the very last column would make some terminals wrap.
    shown = pad(shorten(text, columns - 1), columns - 1)
    styled = f"{_REVERSE}{shown}" if colour else shown
    return f"{_SAVE}{_to(rows)}{_PLAIN}{_CLEAR_ROW}{styled}{_PLAIN}{_RESTORE}"


def take_down() -> str:
    """Give the last row back, empty.

    A terminal that was resized may have moved the status anywhere below the cursor, where
    nothing else is.
    """
    return f"{_SAVE}{_WHOLE_SCREEN}{_RESTORE}{_CLEAR_BELOW}"


def _to(row: int) -> str:
    return f"\x1b[{row};1H"
