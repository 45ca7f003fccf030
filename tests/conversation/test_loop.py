from __future__ import annotations

import asyncio
import base64
import json
import wave
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.conversation.loop import MAX_RESPONSES_PER_TURN
from pytest_realtime_eval.conversation.tools import UNSUPPORTED
from pytest_realtime_eval.conversation.user import RULES, SAY_EXACTLY
from pytest_realtime_eval.exceptions import InfraError, InvalidSimulation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_realtime_eval.schemas.transcript import Turn
    from tests.conversation.conftest import Stage

pytestmark = pytest.mark.asyncio

ORDER = {"name": "find_order", "arguments": {"order": "ORD-7"}}
CALLER = {"says": ["And the other one?"]}


def events(sent: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in sent if event["type"] == kind]


def appended(sent: list[dict[str, Any]]) -> list[bytes]:
    return [base64.b64decode(e["audio"]) for e in events(sent, "input_audio_buffer.append")]


def wav_info(path: Path) -> tuple[int, int, int, int]:
    with wave.open(str(path)) as wav:
        return wav.getnchannels(), wav.getsampwidth(), wav.getframerate(), wav.getnframes()


async def test_turns_alternate_until_the_caller_hangs_up(stage: Stage) -> None:
    played = await stage.play([[{"say": "Yes."}], [{"say": "That too."}]], CALLER)
    assert played.error is None
    transcript = played.transcript
    assert [(t.index, t.user_text, t.assistant_text) for t in transcript.turns] == [
        (1, "Hello, is anyone there?", "Yes."),
        (2, "And the other one?", "That too."),
    ]
    assert (transcript.ended_by, transcript.end_text) == ("end_call", "END_CALL")
    assert transcript.end_usage.output_tokens == 7
    assert transcript.assistant_model == f"{stage.model}-assistant"
    assert transcript.simulator_model == f"{stage.model}-caller"


async def test_max_turns_ends_the_conversation_without_asking_the_caller_again(
    stage: Stage,
) -> None:
    played = await stage.play([[{"say": "Yes."}]], CALLER, max_turns=1)
    assert played.transcript.ended_by == "max_turns"
    assert len(played.transcript.turns) == 1
    assert len(events(stage.sent("caller"), "response.create")) == 1


async def test_each_side_has_one_session_for_the_whole_conversation(stage: Stage) -> None:
    await stage.play([[{"say": "Yes."}]], {"says": ["One?", "Two?"]})
    assert len(events(stage.sent("assistant"), "session.update")) == 1
    assert len(events(stage.sent("caller"), "session.update")) == 1
    assert len(events(stage.sent("assistant"), "response.create")) == 3


async def test_the_harness_commits_and_turn_detection_is_off(stage: Stage) -> None:
    await stage.play([[{"say": "Yes."}]])
    sent = stage.sent("assistant")
    audio = sent[0]["session"]["audio"]
    assert audio["input"]["turn_detection"] is None
    kinds = [e["type"] for e in sent if e["type"] != "input_audio_buffer.append"]
    assert kinds == ["session.update", "input_audio_buffer.commit", "response.create"]


async def test_the_first_turn_is_dictated_word_for_word(stage: Stage) -> None:
    await stage.play([[{"say": "Yes."}]])
    session, first, _ = (e.get("session") or e["response"] for e in stage.sent("caller"))
    assert session["instructions"].endswith(RULES)
    assert first == {
        "conversation": "none",
        "output_modalities": ["audio"],
        "metadata": {"turn": "1"},
        "instructions": SAY_EXACTLY + "Hello, is anyone there?",
        "input": [],
    }


async def test_the_caller_hears_the_conversation_as_text_with_swapped_roles(stage: Stage) -> None:
    await stage.play([[{"say": "Yes."}], [{"say": "That too."}]], CALLER)
    last = events(stage.sent("caller"), "response.create")[-1]["response"]
    assert last["conversation"] == "none"
    assert last["metadata"] == {"turn": "3"}
    said = [(m["role"], m["content"][0]["type"], m["content"][0]["text"]) for m in last["input"]]
    assert said == [
        ("assistant", "output_text", "Hello, is anyone there?"),
        ("user", "input_text", "Yes."),
        ("assistant", "output_text", "And the other one?"),
        ("user", "input_text", "That too."),
    ]


async def test_the_last_words_are_not_streamed(stage: Stage) -> None:
    caller = {"says": ["Thanks, goodbye. END_CALL"]}
    played = await stage.play([[{"say": "Yes."}]], caller)
    assert played.transcript.end_text == "Thanks, goodbye. END_CALL"
    assert len(events(stage.sent("assistant"), "input_audio_buffer.commit")) == 1


@pytest.mark.parametrize(
    ("wire", "rate", "bytes_a_ms"),
    [
        ("pcm16", 24_000, 48),
        ("pcm16", 16_000, 32),
        ("g711_ulaw", 8_000, 8),
        ("g711_alaw", 8_000, 8),
    ],
)
async def test_audio_goes_out_in_chunks_of_exactly_chunk_ms(
    stage: Stage, wire: str, rate: int, bytes_a_ms: int
) -> None:
    await stage.play(
        [[{"say": "Yes."}]],
        {"audio_ms": 130},
        input_format=wire,
        output_format=wire,
        sample_rate_hz=rate,
        chunk_ms=40,
    )
    sizes = [len(chunk) / bytes_a_ms for chunk in appended(stage.sent("assistant"))]
    assert sizes == [40, 40, 40, 10]


@pytest.mark.parametrize(
    ("wire", "rate", "silence", "bytes_a_ms"),
    [("pcm16", 24_000, 0x00, 48), ("g711_ulaw", 8_000, 0xFF, 8), ("g711_alaw", 8_000, 0xD5, 8)],
)
async def test_short_audio_is_padded_with_the_formats_own_silence(
    stage: Stage, wire: str, rate: int, silence: int, bytes_a_ms: int
) -> None:
    await stage.play(
        [[{"say": "Yes."}]],
        {"audio_ms": 30},
        input_format=wire,
        output_format=wire,
        sample_rate_hz=rate,
    )
    data = b"".join(appended(stage.sent("assistant")))
    assert len(data) == 100 * bytes_a_ms
    assert set(data[30 * bytes_a_ms :]) == {silence}
    assert silence not in data[: 30 * bytes_a_ms]


async def test_audio_is_written_as_pcm16_mono_also_from_g711(stage: Stage) -> None:
    played = await stage.play(
        [[{"say": "Yes."}]],
        {"audio_ms": 200},
        input_format="g711_ulaw",
        output_format="pcm16",
        sample_rate_hz=24_000,
    )
    turn = played.transcript.turns[0]
    assert turn.user_audio_path == "audio/sim_test/turn_01_user.wav"
    assert turn.assistant_audio_path == "audio/sim_test/turn_01_assistant.wav"
    folder = stage.folder / "run"
    assert wav_info(folder / turn.user_audio_path) == (1, 2, 8_000, 1_600)
    assert wav_info(folder / turn.assistant_audio_path) == (1, 2, 24_000, 2_880)
    assert (turn.user_audio_ms, turn.assistant_audio_ms) == (200, 120)


async def test_a_tool_call_is_answered_and_followed_up(stage: Stage) -> None:
    turns = [[{"calls": [ORDER]}, {"say": "It is on its way."}]]
    mocks = [{"name": "find_order", "output": {"status": "shipped", "when": "übermorgen"}}]
    played = await stage.play(turns, tool_mocks=mocks)
    (turn,) = played.transcript.turns
    assert turn.assistant_text == "It is on its way."
    assert [(c.name, c.arguments) for c in turn.tool_calls] == [("find_order", {"order": "ORD-7"})]
    (output,) = turn.tool_outputs
    assert output.output == {"status": "shipped", "when": "übermorgen"}
    assert output.mocked
    assert turn.usage.output_tokens == 14
    (item,) = (e["item"] for e in events(stage.sent("assistant"), "conversation.item.create"))
    assert (item["type"], item["call_id"]) == ("function_call_output", turn.tool_calls[0].call_id)
    assert json.loads(item["output"]) == output.output


async def test_several_calls_of_one_response_get_one_follow_up(stage: Stage) -> None:
    calls = [{"name": "a", "call_id": "c1"}, {"name": "b", "call_id": "c2"}, ORDER]
    played = await stage.play([[{"say": "One moment.", "calls": calls}, {"say": "Done."}]])
    kinds = [
        e["type"]
        for e in stage.sent("assistant")
        if e["type"] in ("response.create", "conversation.item.create")
    ]
    created = "conversation.item.create"
    assert kinds == ["response.create", created, created, created, "response.create"]
    assert [output.name for output in played.transcript.turns[0].tool_outputs] == [
        "a",
        "b",
        "find_order",
    ]
    assert played.transcript.turns[0].assistant_text == "One moment. Done."


async def test_a_call_without_a_mock_is_answered_as_unsupported_and_marked(stage: Stage) -> None:
    played = await stage.play([[{"calls": [ORDER]}, {"say": "I cannot look that up."}]])
    (output,) = played.transcript.turns[0].tool_outputs
    assert (output.output, output.mocked) == (UNSUPPORTED, False)
    (item,) = (e["item"] for e in events(stage.sent("assistant"), "conversation.item.create"))
    assert json.loads(item["output"]) == UNSUPPORTED
    assert played.error is None


async def test_arguments_that_are_no_json_are_kept_as_they_came(stage: Stage) -> None:
    call = {"name": "find_order", "arguments": '{"order": '}
    mocks = [{"name": "find_order", "output": "?"}]
    played = await stage.play([[{"calls": [call]}, {"say": "Sorry."}]], tool_mocks=mocks)
    (made,) = played.transcript.turns[0].tool_calls
    assert (made.arguments, made.raw_arguments) == (None, '{"order": ')
    assert played.error is None


async def test_a_model_that_calls_tools_for_ever_is_stopped(stage: Stage) -> None:
    played = await stage.play([[{"calls": [ORDER]}]])
    assert isinstance(played.error, InfraError)
    assert played.error.failure_stage == "tool_loop"
    assert not played.error.retryable
    (turn,) = played.transcript.turns
    assert len(turn.tool_calls) == MAX_RESPONSES_PER_TURN
    assert turn.failure is not None
    assert turn.failure.stage == "tool_loop"


async def test_a_mocks_delay_is_waited_for(stage: Stage) -> None:
    mocks = [{"name": "find_order", "output": 1, "delay_ms": 150}]
    turns = [[{"calls": [ORDER]}, {"say": "Done."}]]
    played = await stage.play(turns, tool_mocks=mocks)
    first_audio = played.transcript.turns[0].latencies.first_audio
    assert first_audio is not None
    assert first_audio >= 150


async def test_sequences_of_outputs_go_on_over_turns(stage: Stage) -> None:
    step = [{"calls": [ORDER]}, {"say": "Done."}]
    mocks = [{"name": "find_order", "outputs": ["first", "second"]}]
    caller = {"says": ["Again?", "And again?"]}
    played = await stage.play([step, step, step], caller, tool_mocks=mocks)
    outputs = [turn.tool_outputs[0].output for turn in played.transcript.turns]
    assert outputs == ["first", "second", "second"]


async def test_a_caller_that_says_something_else_first_invalidates_the_simulation(
    stage: Stage,
) -> None:
    played = await stage.play([[{"say": "Yes."}]], {"first": "Hi there."})
    assert isinstance(played.error, InvalidSimulation)
    assert "'Hello, is anyone there?'" in str(played.error)
    assert "'Hi there.'" in str(played.error)
    assert played.transcript.turns == ()
    assert played.transcript.ended_by == "failure"
    assert played.transcript.failure is not None
    assert played.transcript.failure.stage == "simulation_execution"


async def test_spelling_of_the_first_turn_does_not_matter(stage: Stage) -> None:
    played = await stage.play([[{"say": "Yes."}]], {"first": "hello is anyone, there"})
    assert played.error is None


@pytest.mark.parametrize("script", [{"audio_ms": 0}, {"audio_ms": 0, "first": "Something"}])
async def test_a_caller_without_audio_invalidates_the_simulation(
    stage: Stage, script: dict[str, Any]
) -> None:
    played = await stage.play([[{"say": "Yes."}]], script)
    assert isinstance(played.error, InvalidSimulation)


@pytest.mark.parametrize(
    ("trouble", "stage_name", "error_type"),
    [
        ({"status": "failed"}, "response_status", "ResponseFailed"),
        ({"status": "incomplete"}, "response_status", "ResponseFailed"),
        ({"status": "cancelled"}, "response_status", "ResponseFailed"),
        ({"fault": "close"}, "response_missing_done", "ConnectionFailed"),
        ({"fault": "error"}, "response_error", "ResponseFailed"),
        ({"fault": "stall"}, "response_timeout", "ResponseTimeout"),
    ],
)
async def test_a_turn_that_breaks_costs_no_earlier_turn(
    stage: Stage, trouble: dict[str, Any], stage_name: str, error_type: str
) -> None:
    turns = [[{"say": "Yes."}], [{"say": "Well,", **trouble}]]
    played = await stage.play(turns, CALLER, response_timeout=0.3)
    transcript = played.transcript
    assert transcript.ended_by == "failure"
    assert transcript.failure is not None
    assert (transcript.failure.stage, transcript.failure.error_type) == (stage_name, error_type)
    first, second = transcript.turns
    assert (first.assistant_text, first.failure) == ("Yes.", None)
    assert second.failure == transcript.failure
    assert second.user_text == "And the other one?"
    assert second.user_audio_path is not None
    assert (stage.folder / "run" / second.user_audio_path).is_file()


@pytest.mark.parametrize("kind", ["refuse", "early", "stall", "garbage", "binary", "error"])
async def test_a_server_that_is_none_is_a_failure_of_the_infrastructure(
    stage: Stage, kind: str
) -> None:
    url = stage.server.fault(kind)
    played = await stage.play([[{"say": "Yes."}]], url=url, response_timeout=0.4)
    assert isinstance(played.error, InfraError)
    assert played.transcript.turns == ()
    assert played.transcript.failure is not None
    assert played.transcript.assistant_model == f"{stage.model}-assistant"


async def test_latencies_count_from_the_request(stage: Stage) -> None:
    played = await stage.play([[{"say": "Yes.", "delay_ms": 80}]])
    latencies = played.transcript.turns[0].latencies
    assert latencies.first_audio is not None
    assert latencies.response_done is not None
    assert latencies.first_text is not None
    assert latencies.first_audio_after_speech is not None
    assert 80 <= latencies.first_audio <= latencies.response_done
    assert latencies.first_audio_after_speech >= latencies.first_audio


async def test_real_time_takes_as_long_as_the_speech(stage: Stage) -> None:
    played = await stage.play([[{"say": "Yes."}]], {"audio_ms": 300}, real_time=True)
    turn = played.transcript.turns[0]
    assert turn.user_ended_ms - turn.user_started_ms == pytest.approx(300, abs=60)
    assert played.transcript.schedule_error is not None
    assert played.transcript.schedule_error.p50_ms <= played.transcript.schedule_error.max_ms


async def test_without_real_time_there_is_no_schedule_to_miss(stage: Stage) -> None:
    played = await stage.play([[{"say": "Yes."}]], {"audio_ms": 3_000})
    turn = played.transcript.turns[0]
    assert turn.user_ended_ms - turn.user_started_ms < 1_500
    assert played.transcript.schedule_error is None


async def test_turns_are_told_as_they_end_the_broken_one_too(stage: Stage) -> None:
    told: list[Turn] = []
    turns = [[{"say": "Yes."}], [{"fault": "error"}]]
    played = await stage.play(turns, CALLER, on_turn=told.append)
    assert tuple(told) == played.transcript.turns
    assert [turn.failure is None for turn in told] == [True, False]


async def test_the_event_log_has_both_directions_of_both_sessions(stage: Stage) -> None:
    played = await stage.play([[{"say": "Yes."}]], CALLER)
    assert played.transcript.event_log_path == "events/sim_test.jsonl"
    lines = (stage.folder / "run" / "events" / "sim_test.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["event_index"] for row in rows] == list(range(len(rows)))
    sent = {"session.update", "response.create"}
    received = {"session.updated", "response.done"}
    for source in ("assistant", "simulator"):
        assert {r["type"] for r in rows if r["source"] == source} > sent | received
    asked = [r["turn_index"] for r in rows if r["type"] == "response.create"]
    assert asked == [1, 1, 2, 2, 3]


async def until(holds: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(5):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.02)


async def test_cancelling_closes_both_sessions(stage: Stage) -> None:
    task = asyncio.create_task(stage.play([[{"say": "Yes.", "delay_ms": 5_000}]]))
    caller = f"{stage.model}-caller"
    await until(lambda: any(events(s, "response.create") for s in stage.server.received(caller)))
    assert stage.server.open() == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: stage.server.open() == 0)
