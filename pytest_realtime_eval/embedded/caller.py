"""The embedded endpoint's caller: a persona's facts, told when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CallerView:
    """What the caller knows when its next utterance is asked of it.

    Attributes:
        instructions: The session's instructions: persona, facts, rules.
        response_instructions: The response's own instructions.
        items: The response's ``input``: the conversation so far as message items, the
            caller's own words with the role ``assistant``, the other side's with ``user``.
    """

    instructions: str = ""
    response_instructions: str = ""
    items: tuple[dict[str, Any], ...] = ()


def reply(view: CallerView) -> str:
    """Return the caller's next utterance; ``END_CALL`` in it ends the conversation."""
    _, _, exact = view.response_instructions.partition("nothing else:\n")
    return exact.strip() or "END_CALL"
