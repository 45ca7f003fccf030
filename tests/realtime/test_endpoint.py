from __future__ import annotations

import pytest

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.realtime.endpoint import Endpoint, openai_endpoint, url_endpoint

KEY = "sk-0123456789"
AZURE = {"AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com/", "AZURE_OPENAI_API_KEY": KEY}


@pytest.mark.parametrize(
    ("environ", "name", "url", "headers"),
    [
        (
            {"OPENAI_API_KEY": KEY},
            "openai",
            "wss://api.openai.com/v1/realtime?model=m",
            {"Authorization": f"Bearer {KEY}"},
        ),
        (
            {"OPENAI_API_KEY": f" {KEY}\n", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"},
            "openai",
            "ws://127.0.0.1:9/v1/realtime?model=m",
            {"Authorization": f"Bearer {KEY}"},
        ),
        (
            {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "wss://proxy.example/realtime"},
            "openai",
            "wss://proxy.example/realtime?model=m",
            {"Authorization": f"Bearer {KEY}"},
        ),
        (
            AZURE,
            "azure",
            "wss://res.openai.azure.com/openai/v1/realtime?model=m",
            {"api-key": KEY},
        ),
        (
            {**AZURE, "OPENAI_API_VERSION": "2025-04-01-preview", "AZURE_OPENAI_DEPLOYMENT": "d"},
            "azure",
            "wss://res.openai.azure.com/openai/realtime"
            "?api-version=2025-04-01-preview&deployment=d",
            {"api-key": KEY},
        ),
        (
            {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "https://r.openai.azure.com/openai/v1"},
            "azure",
            "wss://r.openai.azure.com/openai/v1/realtime?model=m",
            {"api-key": KEY},
        ),
    ],
)
def test_the_environment_names_the_endpoint(
    environ: dict[str, str], name: str, url: str, headers: dict[str, str]
) -> None:
    endpoint = openai_endpoint(environ).with_model("m")
    assert (endpoint.name, endpoint.connect_url) == (name, url)
    assert endpoint.headers == headers


def test_without_a_key_the_error_names_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY.*--eval-endpoint embedded"):
        openai_endpoint({})


@pytest.mark.parametrize("url", ["http://x/realtime", "realtime", "ws://", "wss:///path"])
def test_a_url_that_is_no_websocket_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no ws:// or wss:// URL"):
        url_endpoint(url, {})


def test_an_explicit_url_keeps_its_query_and_needs_no_key() -> None:
    endpoint = url_endpoint("ws://h:1/rt?x=1", {}).with_model("a b&c")
    assert endpoint.connect_url == "ws://h:1/rt?x=1&model=a+b%26c"
    assert endpoint.headers == {}
    assert endpoint.name == "ws://h:1/rt"


def test_a_model_in_the_url_is_kept() -> None:
    endpoint = url_endpoint("ws://h/rt?model=own", {}).with_model("other")
    assert endpoint.connect_url == "ws://h/rt?model=own"


def test_credentials_are_in_no_repr_and_no_shown_url() -> None:
    endpoint = Endpoint(
        "x",
        "wss://user:passw0rd@host/rt?token=t0ken-value&model=gpt-realtime",
        headers={"Authorization": f"Bearer {KEY}"},
    )
    for secret in (KEY, "passw0rd", "t0ken-value"):
        assert secret not in repr(endpoint)
    assert endpoint.shown_url == "wss://host/rt"
    text = f"{KEY} passw0rd t0ken-value gpt-realtime Bearer"
    assert endpoint.redact(text) == "*** *** *** gpt-realtime Bearer"
    with pytest.raises(ConfigurationError) as caught:
        url_endpoint("http://user:passw0rd@host/?token=t0ken-value", {})
    assert "passw0rd" not in str(caught.value)
    assert "t0ken" not in str(caught.value)
