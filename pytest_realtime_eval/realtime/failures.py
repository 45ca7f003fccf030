"""Which of a server's complaints could go away by itself, and which stop the whole run."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import ConnectionFailed, InfraError, ResponseFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_realtime_eval.realtime.protocol import ServerError

__all__ = ["close_failed", "handshake_failed", "server_failed"]

#: Codes and types that every other item would meet as well: wrong or empty accounts.
_FATAL: Final = frozenset(
    {
        "account_deactivated",
        "authentication_error",
        "billing_hard_limit_reached",
        "insufficient_quota",
        "invalid_api_key",
        "permission_denied",
    }
)
#: The same request would meet these again.
_LASTING: Final = frozenset({"invalid_request_error", "model_not_found", "not_found_error"})
#: Too many requests: everybody should wait.
_THROTTLED: Final = frozenset({"rate_limit_exceeded"})
#: These pass, though servers file them under ``invalid_request_error``.
_PASSING: Final = frozenset({"rate_limit_exceeded", "session_expired", "server_error"})

_FATAL_STATUS: Final = frozenset({401, 403})
_TOO_MANY_REQUESTS: Final = 429
_PASSING_STATUS: Final = frozenset({408, 425, 429})

_CLOSE_CODES: Final[Mapping[int, str]] = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1006: "no closing handshake",
    1008: "policy violation",
    1009: "message too big",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
}
_LONGEST_TEXT: Final = 300


def server_failed(error: ServerError) -> ResponseFailed:
    """Turn an ``error`` event into the exception of the step that it ended."""
    words = {error.type, error.code}
    fatal = bool(words & _FATAL)
    label = " ".join(dict.fromkeys(word for word in (error.type, error.code) if word))
    return ResponseFailed(
        f"the server reported an error{f' ({label})' if label else ''}: {shorten(error.message)}",
        retryable=not fatal and (bool(words & _PASSING) or not words & _LASTING),
        fatal=fatal,
        throttled=bool(words & _THROTTLED),
    )


def handshake_failed(
    where: str, status: int, headers: Mapping[str, str], body: str, now: float
) -> ConnectionFailed:
    """Turn a refused handshake into an exception.

    Args:
        where: The endpoint, for the message.
        status: HTTP status.
        headers: Of the HTTP response; ``Retry-After`` is kept.
        body: Of the HTTP response, without credentials.
        now: Wall clock, s since the epoch: ``Retry-After`` may be a date.
    """
    words, message = _body_error(body)
    fatal = status in _FATAL_STATUS or bool(words & _FATAL)
    retryable = not fatal and (status in _PASSING_STATUS or status >= 500)
    hint = _HINTS.get(status, "")
    said = f": {shorten(message)}" if message else ""
    return ConnectionFailed(
        f"{where} refused the connection with HTTP {status}{said}{hint}",
        retryable=retryable,
        retry_after=retry_after(headers, now),
        fatal=fatal,
        throttled=not fatal and status == _TOO_MANY_REQUESTS,
    )


_HINTS: Final[Mapping[int, str]] = {
    401: " (check the API key)",
    403: " (the key may not use this model or project)",
    404: " (check the endpoint's URL and the model)",
}


def close_failed(where: str, code: int | None, reason: str) -> ConnectionFailed:
    """Turn a close that nobody asked for into an exception; ``reason`` has no credentials."""
    words = set(reason.replace(".", " ").split())
    meaning = _CLOSE_CODES.get(code or 1006, "")
    detail = ", ".join(part for part in (meaning, shorten(reason)) if part)
    return ConnectionFailed(
        f"{where} closed the connection: code {code or 1006}{f' ({detail})' if detail else ''}",
        fatal=bool(words & _FATAL),
        retryable=not words & (_FATAL | _LASTING),
        throttled=bool(words & _THROTTLED),
    )


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds ``Retry-After`` asks to wait: a number or an HTTP date."""
    value = headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def shorten(text: str) -> str:
    """Return a server's text as one line of a message."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"


def with_stage(error: InfraError, stage: str) -> InfraError:
    """Name the results column's stage, known only to whoever was waiting."""
    error.failure_stage = stage
    return error


def _body_error(body: str) -> tuple[set[str], str]:
    """Return the code words and the message of an HTTP error body, JSON or not."""
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        return set(), body
    error = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(error, dict):
        return set(), str(error)
    words = {str(error.get(key)) for key in ("type", "code")}
    return words, str(error.get("message") or "")
