"""Text in, text out, over HTTP: the client of judges and of translation models.

One `TextClient` serves a run: it opens its HTTP session on the first request, inside
the loop that runs then, and keeps it until `TextClient.aclose`. Two dialects are
spoken: OpenAI's Responses API, and chat completions, which everybody else offers.
"""

from __future__ import annotations

import asyncio
import base64
import email.utils
import json
import os
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote, urlsplit

import aiohttp
import tenacity

from pytest_realtime_eval.exceptions import ConfigurationError, InfraError
from pytest_realtime_eval.schemas.results import EntryUsage
from pytest_realtime_eval.text.request import (
    JsonSchema,
    RequestRefused,
    TextReply,
    TextRequest,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = [
    "ChatCompletions",
    "Dialect",
    "Gate",
    "JsonSchema",
    "RequestRefused",
    "Responses",
    "Retries",
    "TextClient",
    "TextReply",
    "TextRequest",
    "host_of",
    "is_openai",
    "parse_retry_after",
]

_OPENAI_HOSTS: Final = ("api.openai.com",)

#: Statuses that another attempt can turn into an answer: RFC 9110 section 15, RFC 6585.
#: 409 and 425 are what OpenAI's own clients retry beside these.
_TRANSIENT: Final = frozenset({408, 409, 425, 429})

_TOO_MANY_REQUESTS: Final = 429

#: Keys as providers echo them in messages, whole or with stars in the middle.
_KEY: Final = re.compile(r"\b(sk|pk|rk|key)-[\w*.\-]{6,}|Bearer\s+\S+", re.IGNORECASE)

#: Shorter ones occur in any text.
_SHORTEST_SECRET: Final = 8
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class Retries:
    """How long to go on when a server is busy, broken or silent.

    Attributes:
        attempts: The most requests that are sent for one question.
        max_seconds: No attempt starts later than this after the first one.
        first_wait_s, longest_wait_s: Bounds of the back-off, which doubles and is
            jittered. A ``Retry-After`` longer than the back-off is waited for in full,
            or, if it ends after ``max_seconds``, not at all.
    """

    attempts: int = 5
    max_seconds: float = 120.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0


class Gate(Protocol):
    """What requests wait for, and what a server that is asked too often closes."""

    async def wait(self) -> None:
        """Wait until a request may be sent."""
        ...

    async def hold(self, seconds: float) -> None:
        """Let nobody send a request for so long."""
        ...


class Dialect(Protocol):
    """An API's way of asking and of answering."""

    @property
    def base_url(self) -> str:
        """Return the URL that the API's paths are relative to."""
        ...

    @property
    def api_key(self) -> str:
        """Return the credential; empty for a server that asks for none."""
        ...

    @property
    def path(self) -> str:
        """Return where requests are posted, relative to the base URL."""
        ...

    def body(self, request: TextRequest) -> dict[str, Any]:
        """Return the request's JSON."""
        ...

    def read(self, answer: Mapping[str, Any]) -> TextReply:
        """Return the reply in a successful answer.

        Raises:
            LookupError, TypeError, ValueError: It is no such answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChatCompletions:
    """``POST <base_url>/chat/completions``, as OpenAI-compatible servers have it."""

    base_url: str = field(repr=False)
    api_key: str = field(default="", repr=False)
    path: str = field(default="/chat/completions", init=False)

    def body(self, request: TextRequest) -> dict[str, Any]:
        """Return the request's JSON."""
        messages = [{"role": "user", "content": request.user}]
        if request.system:
            messages.insert(0, {"role": "system", "content": request.system})
        body: dict[str, Any] = {"model": request.model, "messages": messages}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.max_tokens is not None:
            # OpenAI's newer models refuse the old name, most other servers the new one.
            name = "max_completion_tokens" if is_openai(self.base_url) else "max_tokens"
            body[name] = request.max_tokens
        if request.json_schema is not None:
            schema = request.json_schema
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": schema.name, "strict": True, "schema": schema.schema},
            }
        if host_of(self.base_url).endswith("openrouter.ai"):
            body["usage"] = {"include": True}  # the cost is told only to those who ask
        return body

    def read(self, answer: Mapping[str, Any]) -> TextReply:
        """Return the first choice."""
        choice = answer["choices"][0]
        message = choice["message"]
        refusal = message.get("refusal") or None
        if refusal is None and choice.get("finish_reason") == "content_filter":
            refusal = "the provider's content filter withheld the reply"
        usage = answer.get("usage") or {}
        return TextReply(
            text=_joined(message.get("content")),
            refusal=refusal,
            model_id=str(answer.get("model") or ""),
            usage=EntryUsage(
                prompt_tokens=_count(usage, "prompt_tokens"),
                completion_tokens=_count(usage, "completion_tokens"),
                reasoning_tokens=_count(usage, "completion_tokens_details", "reasoning_tokens"),
                cached_tokens=_count(usage, "prompt_tokens_details", "cached_tokens"),
            ),
            cost_usd=_cost(usage),
        )


@dataclass(frozen=True, slots=True)
class Responses:
    """``POST <base_url>/responses``, OpenAI's own API."""

    base_url: str = field(repr=False)
    api_key: str = field(default="", repr=False)
    path: str = field(default="/responses", init=False)

    def body(self, request: TextRequest) -> dict[str, Any]:
        """Return the request's JSON; nothing is stored at the provider."""
        body: dict[str, Any] = {"model": request.model, "input": request.user, "store": False}
        if request.system:
            body["instructions"] = request.system
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.max_tokens is not None:
            body["max_output_tokens"] = request.max_tokens
        if request.json_schema is not None:
            schema = request.json_schema
            form = {"type": "json_schema", "name": schema.name, "strict": True}
            body["text"] = {"format": {**form, "schema": schema.schema}}
        return body

    def read(self, answer: Mapping[str, Any]) -> TextReply:
        """Return the text of all messages."""
        messages = [item for item in answer["output"] if item.get("type") == "message"]
        parts = [part for message in messages for part in message["content"]]
        refusals = [part["refusal"] for part in parts if part.get("type") == "refusal"]
        details = answer.get("incomplete_details") or {}
        if not refusals and details.get("reason") == "content_filter":
            refusals = ["the provider's content filter withheld the reply"]
        usage = answer.get("usage") or {}
        return TextReply(
            text="".join(part["text"] for part in parts if part.get("type") == "output_text"),
            refusal=" ".join(refusals) or None,
            model_id=str(answer.get("model") or ""),
            usage=EntryUsage(
                prompt_tokens=_count(usage, "input_tokens"),
                completion_tokens=_count(usage, "output_tokens"),
                reasoning_tokens=_count(usage, "output_tokens_details", "reasoning_tokens"),
                cached_tokens=_count(usage, "input_tokens_details", "cached_tokens"),
            ),
            cost_usd=_cost(usage),
        )


def _joined(content: object) -> str:
    """Return a message's content, which some servers split into parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError("the content is no text")
    return content or ""


def _count(usage: Mapping[str, Any], *path: str) -> int:
    value: object = usage
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def _cost(usage: Mapping[str, Any]) -> float | None:
    cost = usage.get("cost")
    return float(cost) if isinstance(cost, int | float) else None


def host_of(url: str) -> str:
    """Return the host and, where it is written, the port: all of a URL that is shown."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{host}:{parts.port}" if parts.port else host


def is_openai(url: str) -> bool:
    """Return whether the server is OpenAI itself."""
    return urlsplit(url).hostname in _OPENAI_HOSTS


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that ``Retry-After`` asks for (RFC 9110 section 10.2.3).

    Args:
        value: The header: seconds, or an HTTP date.
        now: The time, in seconds since the epoch, that a date is counted from.

    Returns:
        ``None`` without the header, or when it is neither.
    """
    if value is None:
        return None
    try:
        return (
            max(0.0, float(value)) if re.fullmatch(r"\s*[\d.]+\s*", value) else _until(value, now)
        )
    except (ValueError, OverflowError):
        return None


def _until(date: str, now: float) -> float:
    return max(0.0, email.utils.parsedate_to_datetime(date).timestamp() - now)


class TextClient:
    """Asks one server.

    Args:
        dialect: The API, its address and its credential.
        timeout_s: The longest that one attempt may take, from connecting to the last byte.
        retries: What happens when an attempt fails.
        gate: What every attempt waits for; its time is not part of a reply's latency.
        sleep: Waits between attempts; tests replace it.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
        gate: Gate | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if urlsplit(dialect.base_url).scheme not in ("http", "https"):
            raise ConfigurationError(
                f"the base URL at {host_of(dialect.base_url) or 'no host'} must start with "
                "http:// or https://"
            )
        self.dialect: Final = dialect
        self.host: Final = host_of(dialect.base_url)
        self._url: Final = dialect.base_url.rstrip("/") + dialect.path
        self.timeout_s: Final = timeout_s
        self._retries: Final = retries or Retries()
        self._gate: Final = gate
        self._sleep: Final = sleep
        self._secrets: Final = _secrets(dialect)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"TextClient({self.host!r}, {type(self.dialect).__name__})"

    async def ask(self, request: TextRequest) -> TextReply:
        """Return the server's reply.

        Raises:
            RequestRefused: 4xx; 401 and 403 are fatal, since they would refuse all others.
            InfraError: Busy, broken or silent in every attempt, or not the API at all.
        """
        try:
            return await self._attempt(request)
        except InfraError as error:
            if not error.retryable:
                raise
            return await self._ask_again(request, error)

    async def _ask_again(self, request: TextRequest, first: InfraError) -> TextReply:
        # Most requests succeed at once, and tenacity costs as much as they do: so it only
        # sees those that did not, and is told of the first attempt by replaying its error.
        failures = [first]

        async def attempt() -> TextReply:
            if failures:
                raise failures.pop()
            return await self._attempt(request)

        retrying = tenacity.AsyncRetrying(
            sleep=self._sleep,
            retry=tenacity.retry_if_exception(_may_be_retried),
            wait=_RetryAfterOr(self._retries),
            stop=tenacity.stop_after_attempt(self._retries.attempts)
            | tenacity.stop_before_delay(self._retries.max_seconds),
            reraise=True,
        )
        return await retrying(attempt)

    async def _attempt(self, request: TextRequest) -> TextReply:
        if self._gate is None:
            return await self._post(request)
        await self._gate.wait()
        try:
            return await self._post(request)
        except InfraError as error:
            if error.throttled:
                await self._gate.hold(error.retry_after or self._retries.first_wait_s)
            raise

    async def _post(self, request: TextRequest) -> TextReply:
        started = time.monotonic()
        try:
            async with self._open_session().post(
                self._url, data=json.dumps(self.dialect.body(request)), allow_redirects=False
            ) as response:
                content = await response.read()
                status, headers = response.status, response.headers
        except TimeoutError as error:
            message = f"{self.host} did not answer within {self.timeout_s:g} s"
            raise InfraError(message, failure_stage="response_timeout") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            message = self._clean(f"{self.host} cannot be reached: {error or type(error).__name__}")
            raise InfraError(message) from None
        if status != 200:
            retry_after = parse_retry_after(headers.get("Retry-After"), time.time())
            raise self._refusal(status, _error_in(content), retry_after)
        reply = self._read(content)
        return replace(reply, latency_s=time.monotonic() - started)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError(f"the client of {self.host} is closed")
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            # Credentials in the URL are this server's own, and two kinds would contradict.
            if self.dialect.api_key and not urlsplit(self._url).username:
                headers["Authorization"] = f"Bearer {self.dialect.api_key}"
            proxied = any(os.environ.get(n) or os.environ.get(n.upper()) for n in _PROXIES)
            self._session = aiohttp.ClientSession(
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self.timeout_s),
                # How many requests are in flight is decided by those who ask.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=proxied,  # looked up anew for each request, which takes time
            )
        return self._session

    def _read(self, content: bytes) -> TextReply:
        try:
            answer = json.loads(content)
            # Some gateways report errors under status 200.
            error = answer.get("error")
            reply = None if error else self.dialect.read(answer)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as problem:
            shown = self._clean(content[:200].decode("utf-8", "replace"))
            message = f"{self.host} did not answer as {self.dialect.path} does: {shown!r}"
            raise InfraError(message, failure_stage="protocol") from problem
        if reply is None:
            raise self._error_under_200(error, content)
        return reply

    def _error_under_200(self, error: object, content: bytes) -> InfraError:
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code <= 599 else 500
        return self._refusal(status, _error_in(content), None)

    def _refusal(self, status: int, problem: str, retry_after: float | None) -> InfraError:
        message = f"{self.host} answered {status}"
        message += f": {self._clean(problem)}" if problem else ""
        if status in (401, 403):
            message += "; check the API key and what it may use"
            return RequestRefused(message, status=status, fatal=True)
        if status in _TRANSIENT or status >= 500:
            return InfraError(
                message,
                failure_stage="response_error",
                retry_after=retry_after,
                throttled=status == _TOO_MANY_REQUESTS,
            )
        return RequestRefused(message, status=status)

    def _clean(self, text: str) -> str:
        """Take credentials out of a text that comes from elsewhere."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return _KEY.sub("[key]", text)

    async def aclose(self) -> None:
        """Close the connections; a closed client answers no more."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _secrets(dialect: Dialect) -> tuple[str, ...]:
    """Return the credentials that a server could repeat, in each of their forms."""
    parts = urlsplit(dialect.base_url)
    user, password = parts.username or "", parts.password or ""
    basic = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    known = (dialect.api_key, basic, password, unquote(password), user, unquote(user))
    return tuple(secret for secret in known if len(secret) >= _SHORTEST_SECRET)


def _error_in(content: bytes, limit: int = 300) -> str:
    """Return the message of an error answer, in whichever of the usual shapes it comes."""
    text = content.decode("utf-8", "replace")
    try:
        error = json.loads(text)
    except ValueError:
        error = None
    if isinstance(error, dict):
        error = error.get("error") or error.get("detail") or error
    if isinstance(error, dict):
        error = error.get("message") or error
    found = text if error is None else error if isinstance(error, str) else json.dumps(error)
    found = " ".join(found.split())
    return found if len(found) <= limit else f"{found[: limit - 1]}…"


def _may_be_retried(error: BaseException) -> bool:
    return isinstance(error, InfraError) and error.retryable


class _RetryAfterOr(tenacity.wait.wait_base):
    """Waits as long as the server asked, at least the jittered back-off."""

    def __init__(self, retries: Retries) -> None:
        self._back_off = tenacity.wait_random_exponential(
            multiplier=retries.first_wait_s, max=retries.longest_wait_s
        )

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        asked = error.retry_after if isinstance(error, InfraError) else None
        return max(self._back_off(retry_state), asked or 0.0)
