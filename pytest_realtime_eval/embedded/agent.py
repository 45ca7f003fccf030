"""The embedded endpoint's agent: rules that read a session's tools and instructions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AgentView:
    """What the agent knows when a response is asked of it.

    Attributes:
        instructions: The session's (or the response's own) instructions.
        tools: The session's function schemas: ``{"type": "function", "name", …}``.
        items: The conversation so far, oldest first, as conversation items of the
            Realtime API: ``message`` (the user's words as the ear heard them, in
            ``text`` or ``transcript`` of its content parts), ``function_call`` and
            ``function_call_output``.
    """

    instructions: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    items: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class AgentReply:
    """What the agent does: it speaks, or it calls functions, or both.

    Attributes:
        text: What it says; empty when it only calls.
        calls: Names and arguments of the functions that it calls, in order.
    """

    text: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


def decide(view: AgentView) -> AgentReply:
    """Return what the agent does next; equal views give equal replies."""
    return AgentReply("How can I help you?") if view else AgentReply()
