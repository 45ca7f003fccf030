from __future__ import annotations

import asyncio
import email.utils
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import ConfigurationError, InfraError
from pytest_realtime_eval.schemas.results import EntryUsage
from pytest_realtime_eval.text.client import (
    ChatCompletions,
    JsonSchema,
    RequestRefused,
    Responses,
    Retries,
    TextClient,
    TextReply,
    TextRequest,
    parse_retry_after,
)

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "sk-secret-0123456789"
SCHEMA = JsonSchema("verdict", {"type": "object"})
ASK = TextRequest("m", "be brief", "hello", temperature=0.3, max_tokens=9, json_schema=SCHEMA)

CHAT = {
    "model": "m-2026",
    "choices": [{"message": {"role": "assistant", "content": "hola"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "completion_tokens_details": {"reasoning_tokens": 2},
        "prompt_tokens_details": {"cached_tokens": 4},
        "cost": 0.0012,
    },
}
RESPONSE = {
    "model": "m-2026",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "hola"}]},
    ],
    "usage": {
        "input_tokens": 12,
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 2},
        "input_tokens_details": {"cached_tokens": 4},
    },
}
USAGE = EntryUsage(prompt_tokens=12, completion_tokens=3, reasoning_tokens=2, cached_tokens=4)


@dataclass
class Asking:
    """A server, a client of it, and how long the client slept between attempts."""

    server: Any
    client: TextClient
    slept: list[float]


@pytest.fixture
def ask(serve: Callable[[], Any]) -> Callable[..., Any]:
    """``ask(*answers)`` → (reply or error, Asking)."""

    def run(
        *answers: dict[str, Any] | float,
        dialect: type[ChatCompletions | Responses] = ChatCompletions,
        retries: Retries | None = None,
        timeout_s: float = 5.0,
        request: TextRequest = ASK,
    ) -> tuple[TextReply | InfraError, Asking]:
        async def scenario() -> tuple[TextReply | InfraError, Asking]:
            slept: list[float] = []

            async def sleep(seconds: float) -> None:
                slept.append(seconds)

            async with serve() as server:
                server.answers = list(answers)
                client = TextClient(
                    dialect(server.base_url, KEY),
                    timeout_s=timeout_s,
                    retries=retries,
                    sleep=sleep,
                )
                try:
                    return await client.ask(request), Asking(server, client, slept)
                except InfraError as error:
                    return error, Asking(server, client, slept)
                finally:
                    await client.aclose()

        return asyncio.run(scenario())

    return run


def test_chat_completions(ask: Callable[..., Any]) -> None:
    reply, asking = ask({"json": CHAT})
    assert reply == TextReply(
        "hola", None, "m-2026", USAGE, cost_usd=0.0012, latency_s=reply.latency_s
    )
    assert 0 < reply.latency_s < 5
    assert asking.server.paths == ["/v1/chat/completions"]
    assert asking.server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert asking.server.requests == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "hello"},
            ],
            "temperature": 0.3,
            "max_tokens": 9,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "strict": True, "schema": {"type": "object"}},
            },
        }
    ]


def test_responses(ask: Callable[..., Any]) -> None:
    reply, asking = ask({"json": RESPONSE}, dialect=Responses)
    assert (reply.text, reply.model_id, reply.usage) == ("hola", "m-2026", USAGE)
    assert reply.cost_usd is None
    assert asking.server.paths == ["/v1/responses"]
    assert asking.server.requests == [
        {
            "model": "m",
            "instructions": "be brief",
            "input": "hello",
            "store": False,
            "temperature": 0.3,
            "max_output_tokens": 9,
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "verdict",
                    "strict": True,
                    "schema": {"type": "object"},
                }
            },
        }
    ]


def test_what_is_not_asked_for_is_not_sent() -> None:
    bare = TextRequest("m", "", "hello")
    assert Responses("http://h").body(bare) == {"model": "m", "input": "hello", "store": False}
    assert ChatCompletions("http://h").body(bare) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
    }


def test_providers_that_differ_are_asked_in_their_way() -> None:
    openai = ChatCompletions("https://api.openai.com/v1").body(ASK)
    assert (openai["max_completion_tokens"], "max_tokens" in openai) == (9, False)
    router = ChatCompletions("https://openrouter.ai/api/v1").body(ASK)
    assert (router["usage"], router["max_tokens"]) == ({"include": True}, 9)


@pytest.mark.parametrize(
    ("dialect", "answer", "refusal"),
    [
        (
            ChatCompletions,
            {"choices": [{"message": {"content": None, "refusal": "I won't"}}]},
            "I won't",
        ),
        (
            ChatCompletions,
            {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]},
            "the provider's content filter withheld the reply",
        ),
        (
            Responses,
            {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No"}]}]},
            "No",
        ),
        (
            Responses,
            {"output": [], "incomplete_details": {"reason": "content_filter"}},
            "the provider's content filter withheld the reply",
        ),
    ],
)
def test_refusals(
    ask: Callable[..., Any], dialect: type, answer: dict[str, Any], refusal: str
) -> None:
    reply, asking = ask({"json": answer}, dialect=dialect)
    assert (reply.text, reply.refusal) == ("", refusal)
    assert len(asking.server.requests) == 1


def test_content_in_parts(ask: Callable[..., Any]) -> None:
    parts = [{"type": "text", "text": "ho"}, {"type": "text", "text": "la"}]
    reply, _ = ask({"json": {"choices": [{"message": {"content": parts}}]}})
    assert (reply.text, reply.usage, reply.cost_usd) == ("hola", EntryUsage(), None)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_transient_statuses_are_retried(ask: Callable[..., Any], status: int) -> None:
    reply, asking = ask({"status": status}, {"status": status}, {"json": CHAT})
    assert reply.text == "hola"
    assert len(asking.server.requests) == 3
    assert len(asking.slept) == 2


def test_retry_after_in_seconds_is_waited_for(ask: Callable[..., Any]) -> None:
    reply, asking = ask({"status": 429, "headers": {"Retry-After": "37"}}, {"json": CHAT})
    assert reply.text == "hola"
    assert asking.slept == [37.0]


def test_retry_after_as_a_date_is_waited_for(ask: Callable[..., Any]) -> None:
    date = email.utils.formatdate(time.time() + 40, usegmt=True)
    _, asking = ask({"status": 503, "headers": {"Retry-After": date}}, {"json": CHAT})
    assert 36 < asking.slept[0] <= 40


def test_back_off_grows_and_is_bounded(ask: Callable[..., Any]) -> None:
    retries = Retries(attempts=8, first_wait_s=1.0, longest_wait_s=4.0, max_seconds=1e6)
    error, asking = ask({"status": 500}, retries=retries)
    assert isinstance(error, InfraError)
    assert len(asking.server.requests) == 8
    for slept, bound in zip(asking.slept, [1, 2, 4, 4, 4, 4, 4], strict=True):
        assert 0 <= slept <= bound


def test_a_wait_beyond_the_total_time_is_not_begun(ask: Callable[..., Any]) -> None:
    answer = {"status": 429, "headers": {"Retry-After": "3600"}, "text": "slow down"}
    error, asking = ask(answer, retries=Retries(max_seconds=60))
    assert isinstance(error, InfraError)
    assert error.retry_after == 3600
    assert "429: slow down" in str(error)
    assert (len(asking.server.requests), asking.slept) == (1, [])


def test_giving_up_names_the_last_problem(ask: Callable[..., Any]) -> None:
    error, asking = ask({"status": 500}, {"status": 503, "text": "over capacity"})
    assert (error.failure_stage, error.fatal) == ("response_error", False)
    assert str(error).endswith("answered 503: over capacity")
    assert len(asking.server.requests) == 5


@pytest.mark.parametrize(
    ("status", "fatal"), [(401, True), (403, True), (400, False), (404, False), (422, False)]
)
def test_refused_requests_are_not_repeated(
    ask: Callable[..., Any], status: int, fatal: bool
) -> None:
    error, asking = ask({"status": status, "json": {"error": {"message": "no such thing"}}})
    assert isinstance(error, RequestRefused)
    assert (error.status, error.fatal, error.retryable) == (status, fatal, False)
    assert "no such thing" in str(error)
    assert len(asking.server.requests) == 1


def test_a_redirect_is_not_followed(ask: Callable[..., Any]) -> None:
    error, asking = ask({"status": 307, "headers": {"Location": "/elsewhere"}})
    assert isinstance(error, RequestRefused)
    assert asking.server.paths == ["/v1/chat/completions"]


def test_silence_is_a_time_out_and_is_retried(ask: Callable[..., Any]) -> None:
    reply, asking = ask(3.0, {"json": CHAT}, timeout_s=0.1)
    assert reply.text == "hola"
    error, asking = ask(3.0, timeout_s=0.05, retries=Retries(attempts=2))
    assert error.failure_stage == "response_timeout"
    assert "within 0.05 s" in str(error)
    assert len(asking.server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "<html>hello</html>"},
        {"text": ""},
        {"json": []},
        {"json": {}},
        {"json": {"choices": []}},
        {"json": {"choices": [{"message": {"content": 3}}]}},
        {"body": b"\xff\xfe\x00"},
        {"text": "[" * 100_000},
    ],
)
@pytest.mark.parametrize("dialect", [ChatCompletions, Responses])
def test_what_is_not_the_api_is_a_protocol_error(
    ask: Callable[..., Any], answer: dict[str, Any], dialect: type
) -> None:
    error, asking = ask(answer, dialect=dialect, retries=Retries(attempts=2))
    assert isinstance(error, InfraError)
    assert error.failure_stage == "protocol"
    assert len(str(error)) < 500
    assert len(asking.server.requests) == 2


def test_errors_under_status_200(ask: Callable[..., Any]) -> None:
    busy = {"json": {"error": {"code": 429, "message": "rate limited"}}}
    reply, _ = ask(busy, {"json": CHAT})
    assert reply.text == "hola"
    error, _ = ask({"json": {"error": {"code": 400, "message": "bad model"}}})
    assert isinstance(error, RequestRefused)
    assert "bad model" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        f"Incorrect API key provided: {KEY}. Find it at …",
        '{"error": {"message": "Incorrect API key provided: sk-proj-abc***xyz."}}',
        f'{{"error": {{"headers": "Authorization: Bearer {KEY}"}}}}',
    ],
)
@pytest.mark.parametrize("status", [200, 401, 500])
def test_credentials_never_reach_a_message(ask: Callable[..., Any], body: str, status: int) -> None:
    error, asking = ask({"status": status, "text": body}, retries=Retries(attempts=1))
    chain = [error, error.__cause__, error.__context__]
    for shown in [repr(asking.client), repr(asking.client.dialect), *map(str, chain)]:
        assert KEY not in shown
        assert "sk-proj" not in shown


def test_a_server_that_is_not_there() -> None:
    async def scenario() -> InfraError:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            client = TextClient(
                ChatCompletions(f"http://user:pw@127.0.0.1:{unused.getsockname()[1]}", ""),
                retries=Retries(attempts=1),
            )
            with pytest.raises(InfraError) as caught:
                await client.ask(ASK)
            await client.aclose()
            return caught.value

    error = asyncio.run(scenario())
    assert error.failure_stage == "connection"
    assert "cannot be reached" in str(error)
    assert "pw" not in str(error)


def test_requests_share_connections_and_overlap(serve: Callable[[], Any]) -> None:
    async def scenario() -> None:
        async with serve() as server:
            server.answers = [{"json": CHAT}]
            client = TextClient(ChatCompletions(server.base_url, ""))
            for _ in range(5):
                await client.ask(ASK)
            assert len(server.connections) == 1
            server.hold_s = 0.2
            await asyncio.gather(*(client.ask(ASK) for _ in range(20)))
            assert server.most_in_flight == 20
            assert "Authorization" not in server.headers[0]
            await client.aclose()
            await client.aclose()
            with pytest.raises(RuntimeError, match="closed"):
                await client.ask(ASK)

    asyncio.run(scenario())


def test_a_client_is_made_outside_of_any_loop_and_closed_unused() -> None:
    client = TextClient(ChatCompletions("http://127.0.0.1:1"))
    asyncio.run(client.aclose())


def test_a_base_url_without_a_scheme_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="http://"):
        TextClient(ChatCompletions("localhost:8000/v1"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("soon", None),
        ("-3", None),
        ("1.2.3", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("Thu, 32 Jan 1970 00:00:01 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=10.0) == seconds


@given(st.text())
def test_any_retry_after_is_survived(value: str) -> None:
    found = parse_retry_after(value, now=0.0)
    assert found is None or found >= 0
