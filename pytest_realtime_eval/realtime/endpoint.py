"""Where sessions are opened: URL, credentials, model."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping  # noqa: TC003 - dataclass fields are inspected at run time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from pytest_realtime_eval.exceptions import ConfigurationError

__all__ = ["DEFAULT_OPENAI_URL", "Endpoint", "openai_endpoint", "url_endpoint"]

DEFAULT_OPENAI_URL: Final = "https://api.openai.com/v1"

#: Query keys by which a URL already says which model or deployment it serves.
_MODEL_KEYS: Final = {"model", "deployment"}
#: Shorter header values (``1``, ``realtime=v1``) are no secrets, and occur in any text.
_SHORTEST_SECRET: Final = 8


@dataclass(frozen=True)
class Endpoint:
    """Where and as whom sessions are opened.

    Attributes:
        name: ``embedded``, ``openai``, ``azure``, or the URL.
        url: ``ws://`` or ``wss://``, without the model; it may hold credentials too.
        model: What the caller asks for; the server may resolve it to another name.
        headers: Credentials. They stay out of ``repr``, logs and messages.
    """

    name: str
    url: str = field(repr=False)
    model: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise ConfigurationError(
                f"{without_credentials(self.url)!r} is no ws:// or wss:// URL of an endpoint"
            )

    def with_model(self, model: str) -> Endpoint:
        """Return the same endpoint for another model."""
        return replace(self, model=model)

    @property
    def connect_url(self) -> str:
        """The URL with ``?model=…``, unless it names a model or deployment already."""
        parts = urlsplit(self.url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        if self.model and not _MODEL_KEYS & {key for key, _ in query}:
            query.append(("model", self.model))
        return urlunsplit(parts._replace(query=urlencode(query)))

    @property
    def shown_url(self) -> str:
        """The URL for messages: no user, password or query."""
        return without_credentials(self.url)

    def redact(self, text: str) -> str:
        """Replace this endpoint's credentials in a server's text."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    @cached_property
    def _secrets(self) -> list[str]:
        """Return what must not be shown, longest first."""
        parts = urlsplit(self.url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        values = [*self.headers.values(), parts.username or "", parts.password or ""]
        values += [user, password, basic] if user or password else []
        values += [value for key, value in parse_qsl(parts.query) if key not in _PUBLIC_KEYS]
        words = {word for value in values for word in (value, *value.split())}
        return sorted((w for w in words if len(w) >= _SHORTEST_SECRET), key=len, reverse=True)


_PUBLIC_KEYS: Final = _MODEL_KEYS | {"api-version"}


def without_credentials(url: str) -> str:
    """Return scheme, host and path of a URL."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def url_endpoint(url: str, environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint of an explicit ws or wss URL.

    Credentials come from ``OPENAI_API_KEY``, or ``AZURE_OPENAI_API_KEY`` for Azure's
    hosts; without either none are sent.
    """
    return Endpoint(name=without_credentials(url), url=url, headers=_headers(url, environ))


def openai_endpoint(environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint that the environment describes: OpenAI's, a proxy's, Azure's.

    ``OPENAI_BASE_URL`` is honoured, and ``AZURE_OPENAI_ENDPOINT`` with
    ``AZURE_OPENAI_API_KEY`` (sent as ``api-key``). With ``OPENAI_API_VERSION`` Azure's
    preview path is used, whose deployment is ``AZURE_OPENAI_DEPLOYMENT``.

    Raises:
        ConfigurationError: There is no key, or the URL is unusable.
    """
    azure = environ.get("AZURE_OPENAI_ENDPOINT", "")
    base = environ.get("OPENAI_BASE_URL") or _azure_base(azure) or DEFAULT_OPENAI_URL
    url = _azure_preview(azure, environ) or _realtime_url(base)
    headers = _headers(url, environ)
    if not headers:
        raise ConfigurationError(
            "no key for the OpenAI endpoint: set OPENAI_API_KEY "
            "(or AZURE_OPENAI_API_KEY for Azure), or choose --eval-endpoint embedded"
        )
    return Endpoint(name="azure" if "api-key" in headers else "openai", url=url, headers=headers)


def _azure_base(resource: str) -> str:
    return f"{resource.rstrip('/')}/openai/v1" if resource else ""


def _azure_preview(resource: str, environ: Mapping[str, str]) -> str:
    """Return the preview API's URL, or nothing where the GA path serves."""
    version = environ.get("OPENAI_API_VERSION", "")
    deployment = environ.get("AZURE_OPENAI_DEPLOYMENT", "")
    if not (resource and version and deployment) or environ.get("OPENAI_BASE_URL"):
        return ""
    query = urlencode({"api-version": version, "deployment": deployment})
    return f"{_realtime_url(resource.rstrip('/') + '/openai')}?{query}"


def _realtime_url(base: str) -> str:
    parts = urlsplit(re.sub(r"^http(s?)://", r"ws\1://", base.strip()))
    path = parts.path.rstrip("/")
    path = path if path.endswith("/realtime") else f"{path}/realtime"
    return urlunsplit(parts._replace(path=path))


def _headers(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    if urlsplit(url).username:
        return {}  # the URL's own credentials are sent; two kinds would contradict
    azure_key = environ.get("AZURE_OPENAI_API_KEY", "").strip()
    key = environ.get("OPENAI_API_KEY", "").strip()
    if _is_azure(url) or not key:
        return {"api-key": azure_key or key} if azure_key or key else {}
    return {"Authorization": f"Bearer {key}"}


def _is_azure(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith(".azure.com")
