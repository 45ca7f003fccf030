"""What is asked of a text model, and what it answers; without how it is reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pytest_realtime_eval.exceptions import InfraError
from pytest_realtime_eval.schemas.results import EntryUsage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JsonSchema", "RequestRefused", "TextReply", "TextRequest"]


class RequestRefused(InfraError):
    """The server understood the request and does not serve it; repeating it is useless.

    Attributes:
        status: The HTTP status.
    """

    failure_stage = "response_error"

    def __init__(self, message: str, *, status: int, fatal: bool = False) -> None:
        super().__init__(message, retryable=False, fatal=fatal)
        self.status = status


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON schema that the reply must fit, enforced by the server (`strict`)."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One question.

    Attributes:
        model: The model's name, as the server knows it.
        system: The system prompt; empty for none.
        user: The user's message.
        temperature: ``None`` leaves it to the server; some models take no other value.
        max_tokens: The most tokens that the reply may have; ``None`` for no limit.
        json_schema: ``None`` for free text.
    """

    model: str
    system: str
    user: str
    temperature: float | None = None
    max_tokens: int | None = None
    json_schema: JsonSchema | None = None


@dataclass(frozen=True, slots=True)
class TextReply:
    """One answer.

    Attributes:
        text: What the model said; empty when it refused.
        refusal: Why it refused; ``None`` when it did not.
        model_id: The model as the server resolved it.
        usage: Tokens as the server counted them.
        cost_usd: As the server reported it; ``None`` when it did not.
        latency_s: Seconds of the attempt that was answered, without earlier ones.
        replay: How a recorded reply was replayed; empty when it was not.
    """

    text: str
    refusal: str | None = None
    model_id: str = ""
    usage: EntryUsage = field(default_factory=EntryUsage)
    cost_usd: float | None = None
    latency_s: float = 0.0
    replay: Literal["", "fast", "recorded"] = ""
