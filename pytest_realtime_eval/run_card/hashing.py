"""The two hashes of a card: one of its inputs, one of all its bytes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How the field ``run_card_hash`` stood in the card while it was hashed.
Convention = Literal["empty", "omitted"]


def canonical(value: object) -> str:
    """Return the JSON text that both hashes are made from."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, in hexadecimal.

    Raises:
        UnicodeEncodeError: The text holds half a surrogate pair.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_hash(components: Mapping[str, Any]) -> str:
    """Return the hash of a fingerprint's components."""
    return sha256_text(canonical(dict(components)))


def card_hash(card: Mapping[str, Any], convention: Convention = "empty") -> str:
    """Return the hash of a whole card.

    Args:
        card: The card, whatever its ``run_card_hash`` holds.
        convention: ``empty`` hashes the card with ``run_card_hash`` set to ``""``, as the
            format says; some published cards were hashed with the field ``omitted``.
    """
    rest = {key: value for key, value in card.items() if key != "run_card_hash"}
    return sha256_text(canonical(rest if convention == "omitted" else rest | {"run_card_hash": ""}))


def sealed(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card with its hash."""
    return {**card, "run_card_hash": card_hash(card)}


def hash_convention(card: Mapping[str, Any]) -> Convention | None:
    """Return the convention under which the card's hash holds; ``None`` if it does not."""
    conventions: tuple[Convention, ...] = ("empty", "omitted")
    for convention in conventions:
        if card.get("run_card_hash") == card_hash(card, convention):
            return convention
    return None
