from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.exceptions import CassetteError, InfraError
from pytest_realtime_eval.graders.judge import Judge
from pytest_realtime_eval.schemas.results import EntryUsage
from pytest_realtime_eval.text.cassette import CallPlayer, CallRecorder, read_calls
from pytest_realtime_eval.text.request import RequestRefused, TextReply, TextRequest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

SYSTEM = "You judge.\nNothing else."
KEY = "sk-proj-abcdef0123456789"


class Client:
    """Answers with what it was given, one after another; an exception is raised."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.closed = False

    async def ask(self, request: TextRequest) -> TextReply:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        usage = EntryUsage(prompt_tokens=len(request.user), completion_tokens=2)
        return TextReply(answer, model_id="judge-2", usage=usage, cost_usd=0.25, latency_s=1.23456)

    async def aclose(self) -> None:
        self.closed = True


def asked(user: str = "Is it?", model: str = "judge", system: str = SYSTEM) -> TextRequest:
    return TextRequest(model, system, user, temperature=0.0)


async def test_replies_come_back_as_they_were(tmp_path: Path) -> None:
    recorder = CallRecorder(Client("yes", "no"))
    heard = [await recorder.ask(asked("a")), await recorder.ask(asked("b"))]
    recorder.write(tmp_path / "judge.jsonl")
    player = CallPlayer("judge.jsonl", read_calls(tmp_path / "judge.jsonl"))
    # In whichever order they are asked.
    again = [await player.ask(asked("b")), await player.ask(asked("a"))]
    assert [reply.text for reply in again] == ["no", "yes"]
    assert again[1].usage == heard[0].usage
    assert (again[0].model_id, again[0].cost_usd, again[0].latency_s) == ("judge-2", 0.25, 1.235)


async def test_the_same_question_has_its_answers_in_their_order(tmp_path: Path) -> None:
    recorder = CallRecorder(Client("first", "second"))
    for _ in range(2):
        await recorder.ask(asked())
    recorder.write(tmp_path / "judge.jsonl")
    player = CallPlayer("judge.jsonl", read_calls(tmp_path / "judge.jsonl"))
    assert [(await player.ask(asked())).text for _ in range(2)] == ["first", "second"]
    with pytest.raises(CassetteError, match="more often than recorded"):
        await player.ask(asked())


async def test_a_prompt_is_written_once_and_the_order_of_asking_does_not_show(
    tmp_path: Path,
) -> None:
    for name, order in (("one", "abc"), ("other", "cab")):
        recorder = CallRecorder(Client(*order))
        for user in order:
            await recorder.ask(asked(user))
        recorder.write(tmp_path / name)
    lines = (tmp_path / "one").read_text().splitlines()
    assert lines == (tmp_path / "other").read_text().splitlines()
    assert [json.loads(line).get("text") for line in lines if "prompt" in json.loads(line)] == [
        SYSTEM
    ]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (asked("Is it not?"), r'\$.user is "Is it not\?", recorded "Is it\?"'),
        (asked(model="other"), r'\$.model is "other", recorded "judge"'),
        (asked(system="You judge.\nAlso."), r"\$.system is .*Also.*, recorded .*Nothing else"),
        (TextRequest("judge", SYSTEM, "Is it?"), r"\$.temperature is nothing, recorded 0.0"),
    ],
)
async def test_a_question_that_was_not_asked_is_named(
    tmp_path: Path, request_: TextRequest, message: str
) -> None:
    recorder = CallRecorder(Client("yes", "yes"))
    await recorder.ask(asked())
    await recorder.ask(asked("Something that is unlike it", model="very", system="unlike"))
    recorder.write(tmp_path / "judge.jsonl")
    player = CallPlayer("judge.jsonl", read_calls(tmp_path / "judge.jsonl"))
    with pytest.raises(CassetteError, match=message):
        await player.ask(request_)


async def test_a_question_to_an_empty_recording_says_so() -> None:
    with pytest.raises(CassetteError, match=r"judge.jsonl: nothing was recorded"):
        await CallPlayer("judge.jsonl", []).ask(asked())


async def test_a_judge_goes_the_same_way_after_a_refused_schema(tmp_path: Path) -> None:
    refused = RequestRefused("no schemas here", status=400)
    verdict = '{"rationale": "polite", "applicable": true, "grade": 1}'
    recorder = CallRecorder(Client(refused, verdict, verdict))
    live = Judge(recorder, "judge")
    heard = [(await live.ask("judge", SYSTEM, user)).text for user in ("a", "b")]
    recorder.write(tmp_path / "judge.jsonl")
    player = CallPlayer("judge.jsonl", read_calls(tmp_path / "judge.jsonl"))
    replayed = Judge(player, "judge")
    assert [(await replayed.ask("judge", SYSTEM, user)).text for user in ("a", "b")] == heard


async def test_other_failures_are_not_recorded(tmp_path: Path) -> None:
    recorder = CallRecorder(Client(InfraError("busy"), "yes"))
    with pytest.raises(InfraError, match="busy"):
        await recorder.ask(asked())
    await recorder.ask(asked())
    recorder.write(tmp_path / "judge.jsonl")
    assert len(read_calls(tmp_path / "judge.jsonl")) == 1


async def test_no_credential_is_kept_and_a_replay_knows_the_question(tmp_path: Path) -> None:
    recorder = CallRecorder(Client("yes"))
    await recorder.ask(asked(f"My key is {KEY}."))
    recorder.write(tmp_path / "judge.jsonl")
    assert KEY not in (tmp_path / "judge.jsonl").read_text()
    player = CallPlayer("judge.jsonl", read_calls(tmp_path / "judge.jsonl"))
    assert (await player.ask(asked(f"My key is {KEY}."))).text == "yes"


async def test_the_client_is_left_to_its_owner() -> None:
    client = Client()
    await CallRecorder(client).aclose()
    assert not client.closed


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[1]",
        '{"system_prompt": "unknown"}',
        '{"user": "Is it?", "reply": {"text": "yes"}}',
        '{"user": "Is it?", "reply": null}',
    ],
)
async def test_a_damaged_tape_is_an_error_that_names_the_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "judge.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(CassetteError, match=r"judge.jsonl, line 1: this is no line"):
        read_calls(path)


async def test_a_missing_tape_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match=r"judge.jsonl: .* cannot be read"):
        read_calls(tmp_path / "judge.jsonl")
