from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from pytest_realtime_eval.exceptions import CardError, ConfigurationError, InfraError
from pytest_realtime_eval.run_card.build import build_dataset_card
from pytest_realtime_eval.run_card.submit import TOKEN_VARIABLE, submit, token_from

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pytest_realtime_eval.run_card.build import CardFacts
    from pytest_realtime_eval.schemas.dataset import Dataset
    from pytest_realtime_eval.schemas.results import EntryRecord

pytestmark = pytest.mark.asyncio
Card = dict[str, Any]


class Leaderboard:
    """Validates as the run card's source document says, with code of its own."""

    def __init__(self, registry: dict[str, str]) -> None:
        self.registry = registry
        self.taken: list[Card] = []
        self.requests: list[web.Request] = []
        #: Answers given before any card is looked at, one for each request.
        self.script: list[Callable[[], web.StreamResponse]] = []
        self.url = ""

    async def receive(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.script:
            return self.script.pop(0)()
        card = await request.json()
        if problem := self.problem(card):
            return web.json_response({"error": problem}, status=422)
        self.taken.append(card)
        return web.json_response({"message": f"accepted as #{len(self.taken)}"}, status=201)

    def problem(self, card: Card) -> str | None:
        claimed = card["run_card_hash"]
        text = json.dumps({**card, "run_card_hash": ""}, sort_keys=True, ensure_ascii=False)
        if hashlib.sha256(text.encode()).hexdigest() != claimed:
            return "run_card_hash mismatch"
        if card["dataset"]["id"] not in self.registry:
            return f"unknown dataset {card['dataset']['id']}"
        if self.registry[card["dataset"]["id"]] != card["dataset"]["sha256"]:
            return "dataset sha256 is not the registered one"
        if card["scores"]["total"] != card["dataset"]["entry_count"]:
            return "scores.total differs from dataset.entry_count"
        return None


@pytest_asyncio.fixture
async def leaderboard(dataset: Dataset) -> AsyncIterator[Leaderboard]:
    board = Leaderboard({dataset.id: dataset.sha256})
    application = web.Application()
    application.router.add_post("/api/leaderboard/submit", board.receive)
    async with TestServer(application) as server:
        board.url = str(server.make_url("/api/leaderboard/submit"))
        yield board


class Naps:
    """Instead of waiting."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> Awaitable[None]:
        self.seconds.append(seconds)
        return asyncio.sleep(0)


@pytest.fixture
def naps() -> Naps:
    return Naps()


async def test_a_card_is_taken(card: Card, leaderboard: Leaderboard, dataset: Dataset) -> None:
    receipt = await submit(card, leaderboard.url, "s3cret", dataset=dataset)
    assert (receipt.status, receipt.text) == (201, "accepted as #1")
    assert leaderboard.taken == [card]
    (request,) = leaderboard.requests
    assert request.headers["Authorization"] == "Bearer s3cret"
    assert request.content_type == "application/json"


async def test_without_a_token_none_is_sent(card: Card, leaderboard: Leaderboard) -> None:
    await submit(card, leaderboard.url)
    assert "Authorization" not in leaderboard.requests[0].headers


async def test_a_refusal_is_told_in_the_servers_words(card: Card, leaderboard: Leaderboard) -> None:
    leaderboard.registry.clear()
    with pytest.raises(CardError, match="answered 422: unknown dataset kitchen-dev-v1"):
        await submit(card, leaderboard.url)
    assert len(leaderboard.requests) == 1, "a refusal is not retried"


async def test_another_version_of_the_dataset_is_refused(
    card: Card, leaderboard: Leaderboard, dataset: Dataset
) -> None:
    leaderboard.registry[dataset.id] = "0" * 64
    with pytest.raises(CardError, match="not the registered one"):
        await submit(card, leaderboard.url)


async def test_a_card_that_does_not_hold_is_not_sent(card: Card, leaderboard: Leaderboard) -> None:
    card["scores"]["chrf_plus_plus"] = 99.9
    with pytest.raises(CardError, match=r"not sent.*\n.*run_card_hash"):
        await submit(card, leaderboard.url)
    assert leaderboard.requests == []


async def test_a_partial_run_is_not_sent(
    dataset: Dataset, records: list[EntryRecord], facts: CardFacts, leaderboard: Leaderboard
) -> None:
    partial = build_dataset_card(dataset, records[:1], facts)
    with pytest.raises(CardError, match=r"scores\.total is 1, but the dataset has 3 entries"):
        await submit(partial, leaderboard.url)
    assert leaderboard.requests == []


def busy(status: int, headers: dict[str, str] | None = None) -> Callable[[], web.StreamResponse]:
    return lambda: web.Response(status=status, text="busy", headers=headers)


async def test_an_overloaded_server_is_asked_again(
    card: Card, leaderboard: Leaderboard, naps: Naps
) -> None:
    leaderboard.script = [busy(429, {"Retry-After": "7"}), busy(503), busy(500)]
    receipt = await submit(card, leaderboard.url, sleep=naps)
    assert receipt.status == 201
    assert len(leaderboard.requests) == 4
    assert naps.seconds[0] == 7.0
    assert all(0 < seconds <= 60 for seconds in naps.seconds)


async def test_asking_again_has_an_end(card: Card, leaderboard: Leaderboard, naps: Naps) -> None:
    leaderboard.script = [busy(503, {"Retry-After": "99999"})] * 10
    with pytest.raises(InfraError, match="answered 503: busy"):
        await submit(card, leaderboard.url, attempts=3, sleep=naps)
    assert len(leaderboard.requests) == 3
    assert naps.seconds == [60.0, 60.0]


async def test_a_server_that_is_not_there(card: Card, naps: Naps, unused_tcp_port: int) -> None:
    with pytest.raises(InfraError, match="could not be reached"):
        await submit(card, f"http://127.0.0.1:{unused_tcp_port}/", sleep=naps)
    assert len(naps.seconds) == 3


async def test_a_redirect_is_not_followed(card: Card, leaderboard: Leaderboard) -> None:
    target = {"Location": "http://127.0.0.1:9/elsewhere"}
    leaderboard.script = [busy(308, target)]
    with pytest.raises(CardError, match=r"answered 308.*points to http://127\.0\.0\.1:9/elsewhere"):
        await submit(card, leaderboard.url, "s3cret")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"message": "no", "details": ["a is bad", {"reason": "b too"}]}', "no: a is bad; b too"),
        ("<h1>No</h1>\n  such page", "<h1>No</h1> such page"),
        ('{"code": 7}', '{"code": 7}'),
        ("", r"(nothing)"),
        ('{"error": "the token s3cret is not known"}', "the token *** is not known"),
    ],
)
async def test_the_words_of_a_refusal(
    card: Card, leaderboard: Leaderboard, body: str, words: str
) -> None:
    leaderboard.script = [lambda: web.Response(status=403, text=body)]
    with pytest.raises(CardError) as error:
        await submit(card, leaderboard.url, "s3cret")
    assert str(error.value).endswith(f"answered 403: {words}")


@pytest.mark.parametrize("url", ["leaderboard", "ftp://example.org/x", "http://", "https://[x"])
async def test_what_is_no_url_is_refused(card: Card, url: str) -> None:
    with pytest.raises(ConfigurationError, match="the leaderboard's URL"):
        await submit(card, url)


async def test_a_token_is_not_sent_in_the_clear(card: Card) -> None:
    with pytest.raises(ConfigurationError, match="unencrypted") as error:
        await submit(card, "http://example.org/submit", "s3cret")
    assert "s3cret" not in str(error.value)


async def test_the_token_comes_from_the_environment() -> None:
    assert token_from({TOKEN_VARIABLE: " abc\n"}) == "abc"
    assert token_from({TOKEN_VARIABLE: " "}) is None
    assert token_from({}) is None
