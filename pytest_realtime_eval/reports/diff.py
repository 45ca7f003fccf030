"""What an output has that its reference has not, and the reverse, character by character."""

from __future__ import annotations

import difflib
from typing import Literal, NamedTuple

#: Longer texts are compared word by word: matching characters takes the square of their count.
_MOST_CHARACTERS = 1500


class Piece(NamedTuple):
    """A stretch of text: in both, only in the output, or only in the reference."""

    kind: Literal["same", "added", "missing"]
    text: str


def character_diff(reference: str, output: str) -> list[Piece]:
    """Return the output's text, in pieces, with what is missing from it at its place."""
    if max(len(reference), len(output)) > _MOST_CHARACTERS:
        return _diff(_words(reference), _words(output))
    return _diff(list(reference), list(output))


def _words(text: str) -> list[str]:
    return [part for word in text.split(" ") for part in (word, " ")][:-1]


def _diff(reference: list[str], output: list[str]) -> list[Piece]:
    pieces: list[Piece] = []
    matcher = difflib.SequenceMatcher(None, reference, output, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(output[j1:j2])))
            continue
        if i2 > i1:
            pieces.append(Piece("missing", "".join(reference[i1:i2])))
        if j2 > j1:
            pieces.append(Piece("added", "".join(output[j1:j2])))
    return pieces
