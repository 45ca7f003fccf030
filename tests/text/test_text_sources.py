from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.text.callable import CallableSource
from pytest_realtime_eval.text.command import CommandSource
from pytest_realtime_eval.text.sources import ModelSource, key_for, text_source

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTER = {"OPENROUTER_API_KEY": "router-key"}
OPENAI = {"OPENAI_API_KEY": "openai-key"}
PROXY = {**OPENAI, "OPENAI_BASE_URL": "http://proxy.example/v1"}


@pytest.mark.parametrize(
    ("spec", "environ", "base_url", "provider", "host", "key", "model"),
    [
        (
            "openai/gpt-4o",
            ROUTER,
            None,
            "openrouter",
            "openrouter.ai",
            "router-key",
            "openai/gpt-4o",
        ),
        (
            "openai/gpt-4o",
            {**ROUTER, **OPENAI},
            None,
            "openrouter",
            "openrouter.ai",
            "router-key",
            "openai/gpt-4o",
        ),
        ("openai/gpt-4o", OPENAI, None, "openai", "api.openai.com", "openai-key", "gpt-4o"),
        ("gpt-4o", OPENAI, None, "openai", "api.openai.com", "openai-key", "gpt-4o"),
        ("any/model", PROXY, None, "proxy.example", "proxy.example", "openai-key", "any/model"),
        ("m:7b", {}, "http://localhost:1234/v1", "localhost:1234", "localhost:1234", "", "m:7b"),
        (
            "m",
            {**ROUTER, **OPENAI},
            "http://localhost/v1",
            "localhost",
            "localhost",
            "openai-key",
            "m",
        ),
        (
            "m",
            {**ROUTER, **OPENAI},
            "https://openrouter.ai/api/v1",
            "openrouter.ai",
            "openrouter.ai",
            "router-key",
            "m",
        ),
    ],
)
def test_where_a_model_is_asked(
    spec: str,
    environ: dict[str, str],
    base_url: str | None,
    provider: str,
    host: str,
    key: str,
    model: str,
) -> None:
    source = text_source(spec, environ=environ, base_url=base_url)
    assert isinstance(source, ModelSource)
    assert (source.slug, source.provider, source.model) == (spec, provider, model)
    assert (source.client.host, source.client.dialect.api_key) == (host, key)
    assert key not in repr(source) or not key


@pytest.mark.parametrize(
    ("spec", "environ", "message"),
    [
        ("openai/gpt-4o", {}, "OPENROUTER_API_KEY or OPENAI_API_KEY.*--eval-base-url.*embedded"),
        ("google/gemini", OPENAI, "not OpenAI's.*OPENROUTER_API_KEY"),
        ("embedded", OPENAI, "embedded endpoint"),
        ("command:no-such-program-anywhere", {}, "no program"),
        ("callable:nothing", {}, "must name"),
    ],
)
def test_what_cannot_be_asked(spec: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        text_source(spec, environ=environ)


def test_programs_and_functions() -> None:
    command = text_source("command:cat -u", environ={})
    assert isinstance(command, CommandSource)
    assert (command.slug, command.provider) == ("command:cat -u", "command")
    function = text_source("callable:textwrap:dedent", environ={})
    assert isinstance(function, CallableSource)
    assert (function.slug, function.provider) == ("callable:textwrap:dedent", "callable")


def test_a_model_is_told_what_was_configured(serve: Callable[[], Any]) -> None:
    async def scenario() -> None:
        async with serve() as server:
            server.answers = [{"json": {"choices": [{"message": {"content": "hola"}}]}}]
            source = text_source(
                "embedded",
                environ=OPENAI,
                embedded=(server.base_url, "token"),
                temperature=0.3,
                max_tokens=50,
            )
            reply = await source.translate("hello", "Translate.")
            await source.aclose()
            assert (reply.text, source.provider) == ("hola", "embedded")
            assert server.headers[0]["Authorization"] == "Bearer token"
            assert server.requests == [
                {
                    "model": "embedded",
                    "messages": [
                        {"role": "system", "content": "Translate."},
                        {"role": "user", "content": "hello"},
                    ],
                    "temperature": 0.3,
                    "max_tokens": 50,
                }
            ]

    asyncio.run(scenario())


def test_a_router_is_known_by_its_whole_name() -> None:
    environ = {**ROUTER, **OPENAI}
    assert key_for("https://openrouter.ai.evil.example/v1", environ) == "openai-key"
    assert key_for("https://evilopenrouter.ai/v1", environ) == "openai-key"
    assert key_for("https://eu.openrouter.ai/v1", environ) == "router-key"
