"""Where translations come from, by what ``--eval-model`` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.text.request import TextRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_realtime_eval.text.client import Gate, Retries, TextClient
    from pytest_realtime_eval.text.request import TextReply

__all__ = [
    "ModelSource",
    "TextSource",
    "key_for",
    "openai_base_url",
    "provider_of",
    "text_source",
]

_OPENROUTER: Final = "https://openrouter.ai/api/v1"
_OPENAI: Final = "https://api.openai.com/v1"


class TextSource(Protocol):
    """Something that translates one text at a time, several at once."""

    @property
    def slug(self) -> str:
        """Return what the run card calls the model."""
        ...

    @property
    def provider(self) -> str:
        """Return what the run card calls the provider."""
        ...

    async def translate(self, text: str, system: str) -> TextReply:
        """Return the translation of ``text``.

        Args:
            text: The source text.
            system: The system prompt; programs have no use for it.

        Raises:
            InfraError: None could be had.
        """
        ...

    async def aclose(self) -> None:
        """Free what the source holds."""
        ...


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A language model behind chat completions.

    Attributes:
        slug: The model as the user named it.
        provider: ``openrouter``, ``openai``, ``embedded``, or the server's host.
        client: Reaches the server.
        model: The model as the server knows it.
        temperature, max_tokens: Sent with every request; ``None`` leaves them out.
    """

    slug: str
    provider: str
    client: TextClient
    model: str
    temperature: float | None = None
    max_tokens: int | None = None

    async def translate(self, text: str, system: str) -> TextReply:
        """Ask the model; the text alone is the user's message."""
        request = TextRequest(self.model, system, text, self.temperature, self.max_tokens)
        return await self.client.ask(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.client.aclose()


def text_source(
    spec: str,
    *,
    environ: Mapping[str, str],
    base_url: str | None = None,
    embedded: tuple[str, str] | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    batch_size: int = 5,
    timeout_s: float = 60.0,
    retries: Retries | None = None,
    gate: Gate | None = None,
) -> TextSource:
    """Return the source that ``spec`` names.

    Args:
        spec: ``embedded``, ``command:PROGRAM …``, ``callable:package.module:function``, or
            a model's slug.
        environ: Where keys are looked up: ``OPENROUTER_API_KEY`` before ``OPENAI_API_KEY``
            (with ``OPENAI_BASE_URL``).
        base_url: A server of chat completions; comes before what the keys say.
        embedded: Base URL and token of the embedded endpoint.
        temperature: Sent to models.
        max_tokens: Sent to models.
        batch_size: The most texts that a batch function is given.
        timeout_s: The longest that one attempt may take.
        retries: How often and how long models are asked again.
        gate: What requests to models wait for.

    Raises:
        ConfigurationError: There is no such program or function, or no key.
    """
    kind, _, rest = spec.partition(":")
    if kind == "command":
        from pytest_realtime_eval.text.command import CommandSource

        return CommandSource(rest, timeout_s=timeout_s)
    if kind == "callable":
        from pytest_realtime_eval.text.callable import CallableSource

        return CallableSource(rest, batch_size=batch_size, timeout_s=timeout_s)
    server = _server(spec, environ, base_url, embedded)

    from pytest_realtime_eval.text.client import ChatCompletions, TextClient

    client = TextClient(
        ChatCompletions(server.base_url, server.api_key),
        timeout_s=timeout_s,
        retries=retries,
        gate=gate,
    )
    return ModelSource(spec, server.provider, client, server.model, temperature, max_tokens)


def provider_of(spec: str, environ: Mapping[str, str], base_url: str | None = None) -> str:
    """Return what the run card calls the provider of a model; empty when there is none.

    Args:
        spec: As `text_source` takes it.
        environ: Where keys are looked up.
        base_url: As `text_source` takes it.
    """
    kind = spec.partition(":")[0]
    if kind in ("command", "callable", "embedded"):
        return kind
    try:
        return _server(spec, environ, base_url, None).provider
    except ConfigurationError:
        return ""


@dataclass(frozen=True, slots=True)
class _Server:
    provider: str
    base_url: str
    api_key: str
    model: str


def _server(
    spec: str,
    environ: Mapping[str, str],
    base_url: str | None,
    embedded: tuple[str, str] | None,
) -> _Server:
    from pytest_realtime_eval.text.client import host_of, is_openai

    if spec == "embedded":
        if embedded is None:
            raise ConfigurationError("the model 'embedded' needs the embedded endpoint to run")
        return _Server("embedded", *embedded, "embedded")
    if base_url is not None:
        return _Server(host_of(base_url), base_url, key_for(base_url, environ), spec)
    if environ.get("OPENROUTER_API_KEY"):
        return _Server("openrouter", _OPENROUTER, key_for(_OPENROUTER, environ), spec)
    if not environ.get("OPENAI_API_KEY"):
        raise ConfigurationError(
            f"the model {spec!r} needs OPENROUTER_API_KEY or OPENAI_API_KEY, or "
            "--eval-base-url for another server; without any, there are --eval-model "
            "embedded, command:PROGRAM and callable:package.module:function"
        )
    url = openai_base_url(environ)
    if not is_openai(url):
        return _Server(host_of(url), url, key_for(url, environ), spec)
    vendor, slash, model = spec.partition("/")
    if slash and vendor != "openai":
        raise ConfigurationError(
            f"the model {spec!r} is not OpenAI's: it needs OPENROUTER_API_KEY or --eval-base-url"
        )
    return _Server("openai", url, key_for(url, environ), model if slash else spec)


def openai_base_url(environ: Mapping[str, str]) -> str:
    """Return where ``OPENAI_API_KEY`` is for."""
    return environ.get("OPENAI_BASE_URL", "").strip() or _OPENAI


def key_for(base_url: str, environ: Mapping[str, str]) -> str:
    """Return the key that is sent to a server; empty when there is none.

    OpenRouter is sent its own key and nobody else's. Any other server that the user
    names is sent ``OPENAI_API_KEY``, as OpenAI's own clients do.
    """
    from pytest_realtime_eval.text.client import host_of

    host = host_of(base_url)
    router = host == "openrouter.ai" or host.endswith(".openrouter.ai")
    return environ.get("OPENROUTER_API_KEY" if router else "OPENAI_API_KEY", "").strip()
