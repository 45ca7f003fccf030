"""The judge through the real client, against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from pytest_realtime_eval.graders import Judge, conversation_outcome, grade
from pytest_realtime_eval.text.client import ChatCompletions, Responses, Retries, TextClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_realtime_eval.schemas.results import Verdict
    from pytest_realtime_eval.schemas.transcript import Transcript

GOOD = json.dumps({"rationale": "kind", "applicable": True, "grade": 1})


def _chat(text: str | None, **message: Any) -> web.Response:  # noqa: ANN401 - of the API
    return web.json_response({"choices": [{"message": {"content": text, **message}}]})


async def _silence(_: dict[str, Any]) -> web.Response:
    await asyncio.sleep(5)
    return _chat(GOOD)


async def _no_schema(request: dict[str, Any]) -> web.Response:
    if "response_format" in request:
        return web.json_response({"error": {"message": "unsupported"}}, status=400)
    return _chat(GOOD)


async def _responses_api(request: dict[str, Any]) -> web.Response:
    assert request["text"]["format"]["strict"] is True
    content = [{"type": "output_text", "text": GOOD}]
    return web.json_response({"output": [{"type": "message", "content": content}]})


def _always(make: Callable[[], web.Response]) -> Callable[[dict[str, Any]], Any]:
    async def answer(_: dict[str, Any]) -> web.Response:
        return make()

    return answer


def _status(status: int, text: str = "", **headers: str) -> Callable[[dict[str, Any]], Any]:
    return _always(lambda: web.Response(status=status, text=text, headers=headers))


#: What the server does, the API, how often it is asked, the verdict and what it says.
FAULTS: list[tuple[str, Any, Any, int, str, str]] = [
    ("good", _always(lambda: _chat(GOOD)), ChatCompletions, 1, "pass", "kind"),
    ("the Responses API", _responses_api, Responses, 1, "pass", "kind"),
    ("refuses the schema", _no_schema, ChatCompletions, 2, "pass", "kind"),
    ("401", _status(401, "bad key sk-secret-1234567"), ChatCompletions, 1, "error", "answered 401"),
    ("429", _status(429, **{"Retry-After": "1000"}), ChatCompletions, 1, "error", "answered 429"),
    ("500", _status(500), ChatCompletions, 2, "error", "answered 500"),
    ("time-out", _silence, ChatCompletions, 2, "error", "did not answer within"),
    ("refusal", _always(lambda: _chat(None, refusal="no")), ChatCompletions, 2, "error", "refused"),
    ("prose", _always(lambda: _chat("It was kind.")), ChatCompletions, 2, "error", "no JSON"),
    ("wrong schema", _always(lambda: _chat('{"grade": 1}')), ChatCompletions, 2, "error", "needs"),
    ("empty", _always(lambda: _chat("")), ChatCompletions, 2, "error", "is empty"),
    ("no API", _status(200, "<html>"), ChatCompletions, 2, "error", "did not answer as"),
]


@pytest.mark.parametrize(
    ("answer", "dialect", "asked", "status", "rationale"),
    [fault[1:] for fault in FAULTS],
    ids=[fault[0] for fault in FAULTS],
)
def test_whatever_the_server_does_there_is_one_verdict(
    make_turn: Callable[..., Any],
    make_transcript: Callable[..., Transcript],
    make_simulation: Callable[..., Any],
    answer: Callable[[dict[str, Any]], Any],
    dialect: Any,  # noqa: ANN401 - one of two classes
    asked: int,
    status: str,
    rationale: str,
) -> None:
    requests: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        requests.append(await request.json())
        response: web.Response = await answer(requests[-1])
        return response

    async def scenario() -> tuple[Verdict, ...]:
        app = web.Application()
        app.router.add_post("/{path:.*}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        client = TextClient(
            dialect(f"http://127.0.0.1:{runner.addresses[0][1]}", "sk-secret-1234567"),
            timeout_s=0.3,
            retries=Retries(attempts=2, first_wait_s=0.01),
        )
        judge = Judge(client, "j")
        simulation = make_simulation(None, None, [{"id": "kind", "criteria": "is kind"}])
        try:
            return await grade(make_transcript(make_turn(1, said="Hello.")), simulation, judge)
        finally:
            await judge.aclose()
            await runner.cleanup()

    (found,) = asyncio.run(scenario())
    assert found.status == status
    assert rationale in found.rationale
    assert "sk-secret" not in found.rationale
    assert len(requests) == asked
    outcome, _ = conversation_outcome(make_transcript(), [found])
    assert outcome == {"pass": "passed", "error": "judge_error"}[status]
