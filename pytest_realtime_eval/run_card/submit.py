"""Sending a card to a leaderboard."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_base, wait_exponential_jitter

from pytest_realtime_eval.exceptions import (
    CardError,
    ConfigurationError,
    InfraError,
    RealtimeEvalError,
)
from pytest_realtime_eval.run_card.verify import verify
from pytest_realtime_eval.schemas.document import read_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from tenacity import RetryCallState

    from pytest_realtime_eval.schemas.dataset import Dataset

#: The leaderboard of the run card's own specification.
DEFAULT_URL: Final = "https://i18n-rosetta.com/api/leaderboard/submit"
TOKEN_VARIABLE: Final = "REALTIME_EVAL_LEADERBOARD_TOKEN"  # noqa: S105 - a name, no token
_ATTEMPTS: Final = 4
_TIMEOUT: Final = 60.0
_LONGEST_WAIT: Final = 60.0
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_WORDS_SHOWN: Final = 1000


@dataclass(frozen=True)
class Receipt:
    """What the leaderboard answered to a card that it took."""

    status: int
    text: str


def token_from(environ: Mapping[str, str]) -> str | None:
    """Return the leaderboard's token from the environment, if it is set."""
    return environ.get(TOKEN_VARIABLE, "").strip() or None


async def submit(
    card: Mapping[str, Any],
    url: str = DEFAULT_URL,
    token: str | None = None,
    *,
    dataset: Dataset | None = None,
    attempts: int = _ATTEMPTS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Receipt:
    """Verify a card and post it.

    Args:
        card: Parsed JSON.
        url: Where to.
        token: Sent as a bearer token.
        dataset: The dataset that the card is about, if it is at hand.
        attempts: How often to try while the server is overloaded or out of reach.
        sleep: Waits between attempts.

    Raises:
        CardError: The card does not hold, would be refused, or was; in the server's words.
        InfraError: The leaderboard could not be reached.
        ConfigurationError: The URL is none, or would show the token to others.
    """
    _check_url(url, token)
    _check_card(card, dataset)
    retrying = AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=_Wait(),
        retry=retry_if_exception_type(InfraError),
        sleep=sleep,
        reraise=True,
    )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as session:
        return await retrying(_post, session, url, token, card)


class _Wait(wait_base):
    """As long as the server asks for, else exponentially longer, up to a minute."""

    def __init__(self) -> None:
        self._backoff = wait_exponential_jitter(initial=1.0, max=_LONGEST_WAIT)

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.retry_after if isinstance(error, InfraError) else None
        return self._backoff(retry_state) if asked is None else min(asked, _LONGEST_WAIT)


def _check_url(url: str, token: str | None) -> None:
    try:
        parsed = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"the leaderboard's URL {url!r} is none: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.hostname:
        raise ConfigurationError(f"the leaderboard's URL {url!r} must begin with http(s)://")
    if token and parsed.scheme == "http" and not _is_loopback(parsed.hostname):
        what = "would send the token unencrypted; use https, or unset"
        raise ConfigurationError(f"the leaderboard's URL {url!r} {what} {TOKEN_VARIABLE}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_card(card: Mapping[str, Any], dataset: Dataset | None) -> None:
    verification = verify(card, dataset)
    found = [*verification.problems, *verification.refusals]
    if found:
        listed = "".join(f"\n  - {problem}" for problem in found)
        raise CardError(f"the card was not sent, since it would be refused:{listed}")


async def _post(
    session: aiohttp.ClientSession, url: str, token: str | None, card: Mapping[str, Any]
) -> Receipt:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps(card, ensure_ascii=False).encode()
    try:
        # A redirect would carry card and token somewhere that nobody named.
        posting = session.post(url, data=body, headers=headers, allow_redirects=False)
        async with posting as response:
            text = (await response.text(errors="replace"))[: 10 * _WORDS_SHOWN]
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        what = str(error) or type(error).__name__
        raise InfraError(f"the leaderboard {url} could not be reached: {what}") from error
    words = _words(text, token)
    if 200 <= response.status < 300:
        return Receipt(response.status, words)
    said = f"the leaderboard {url} answered {response.status}: {words or '(nothing)'}"
    if response.status in _RETRIED:
        raise InfraError(said, retry_after=_retry_after(response.headers.get("Retry-After")))
    if location := response.headers.get("Location"):
        said += f" (it points to {location})"
    raise CardError(said)


def _retry_after(value: str | None) -> float | None:
    return float(value) if value is not None and value.strip().isdecimal() else None


def _words(text: str, token: str | None) -> str:
    """Return what a server said: the usual keys of an error in JSON, else its text."""
    try:
        said = _message(json.loads(text))
    except (ValueError, RecursionError):
        said = ""
    said = said or " ".join(text.split())
    return (said.replace(token, "***") if token else said)[:_WORDS_SHOWN]


def _message(answer: object) -> str:
    if isinstance(answer, str):
        return answer
    if isinstance(answer, list):
        return "; ".join(filter(None, map(_message, answer)))
    if not isinstance(answer, dict):
        return ""
    keys = ("error", "message", "detail", "reason", "errors", "details", "problems")
    return ": ".join(dict.fromkeys(filter(None, (_message(answer.get(key)) for key in keys))))


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of the cards of a run: a line each, and whether all were taken."""

    lines: tuple[str, ...]
    all_taken: bool


def submit_all(paths: Iterable[Path], url: str, token: str | None) -> Submitted:
    """Verify and post the cards of a finished run.

    A card that was not taken stays where it is; its line says why, and which command
    submits it later.
    """
    lines, all_taken = [], True
    for path in paths:
        try:
            receipt = asyncio.run(submit(read_json(path), url, token))
        except RealtimeEvalError as error:
            all_taken = False
            again = shlex.join(["realtime-eval", "submit", str(path), "--leaderboard-url", url])
            lines.append(f"NOT SUBMITTED {path}: {error}\n  submit it later with: {again}")
        else:
            said = f": {receipt.text}" if receipt.text else ""
            lines.append(f"submitted {path} to {url}{said}")
    return Submitted(tuple(lines), all_taken)
