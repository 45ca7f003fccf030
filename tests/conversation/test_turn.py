from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.conversation.files import ConversationFiles
from pytest_realtime_eval.conversation.turn import TurnInProgress, Wire
from pytest_realtime_eval.conversation.user import Utterance
from pytest_realtime_eval.realtime.audio import AudioFormat
from pytest_realtime_eval.realtime.protocol import Response
from pytest_realtime_eval.schemas.transcript import Failure, Latencies, ToolCall, Turn, Usage

if TYPE_CHECKING:
    from pathlib import Path

PCM = Wire(AudioFormat.PCM16, 24_000)
ULAW = Wire(AudioFormat.G711_ULAW, 8_000)
CALL = ToolCall(name="find", arguments={}, raw_arguments="{}", call_id="c1")


def response(**changes: object) -> Response:
    values = {
        "id": "r",
        "status": "completed",
        "status_details": None,
        "audio": b"\0" * 4800,
        "transcript": "Yes.",
        "text": "",
        "function_calls": (),
        "usage": Usage(output_tokens=3),
        "metadata": None,
        "requested_at": 10.0,
        "first_audio_at": 10.2,
        "last_audio_at": 10.4,
        "first_text_at": 10.1,
        "done_at": 10.5,
    }
    return Response(**(values | changes))  # type: ignore[arg-type]  # checked by the dataclass's use


def in_progress(*responses: Response) -> TurnInProgress:
    return TurnInProgress(
        index=3,
        utterance=Utterance("Hello", b"", Usage(output_tokens=5)),
        started=8.0,
        input=ULAW,
        output=PCM,
        spoken=b"\xff" * 800,
        speech_started=9.0,
        speech_ended=9.1,
        responses=list(responses),
    )


async def finished(
    turn: TurnInProgress, files: ConversationFiles, failure: Failure | None = None
) -> Turn:
    await turn.save(files)
    return turn.as_turn(files, failure)


@pytest.fixture
def files(tmp_path: Path) -> ConversationFiles:
    return ConversationFiles(tmp_path, "sim_x")


@pytest.mark.asyncio
async def test_a_turn_sums_up_its_responses(files: ConversationFiles) -> None:
    calls = response(audio=b"", transcript="", function_calls=(CALL,), first_audio_at=None)
    answer = response(requested_at=11.0, first_audio_at=11.25, first_text_at=11.2, done_at=11.5)
    turn = await finished(in_progress(calls, answer), files)
    assert (turn.index, turn.user_text, turn.assistant_text) == (3, "Hello", "Yes.")
    assert turn.tool_calls == (CALL,)
    assert turn.usage.output_tokens == 6
    assert turn.simulator_usage.output_tokens == 5
    assert turn.latencies == Latencies(
        first_audio=1250.0, first_text=100.0, response_done=1500.0, first_audio_after_speech=2150.0
    )
    assert (turn.user_started_ms, turn.user_ended_ms) == (1000, 1100)
    assert (turn.assistant_started_ms, turn.assistant_ended_ms) == (3250, 3500)
    assert (turn.user_audio_ms, turn.assistant_audio_ms) == (100, 100)


@pytest.mark.asyncio
async def test_a_turn_that_broke_before_any_answer_keeps_what_the_user_said(
    files: ConversationFiles,
) -> None:
    failure = Failure(stage="connection", error_type="ConnectionFailed", message="gone")
    turn = await finished(in_progress(), files, failure)
    assert turn.failure == failure
    assert turn.latencies == Latencies()
    assert turn.assistant_audio_path is None
    assert turn.assistant_started_ms is None
    assert turn.user_audio_path == "audio/sim_x/turn_03_user.wav"
    with wave.open(str(files.folder / turn.user_audio_path)) as wav:
        assert (wav.getframerate(), wav.getsampwidth(), wav.getnframes()) == (8_000, 2, 800)


@pytest.mark.asyncio
async def test_an_answer_in_writing_counts_as_what_was_said(files: ConversationFiles) -> None:
    written = response(audio=b"", transcript="", text=" In writing. ")
    turn = await finished(in_progress(written), files)
    assert turn.assistant_text == "In writing."
    assert turn.assistant_audio_path is None


@pytest.mark.asyncio
async def test_audio_that_could_not_be_written_has_no_path(files: ConversationFiles) -> None:
    (files.folder / "audio").write_text("a file where the folder should be")
    turn = in_progress(response())
    with pytest.raises(OSError, match="audio"):
        await turn.save(files)
    kept = turn.as_turn(files)
    assert (kept.user_audio_path, kept.assistant_audio_path) == (None, None)
    assert (kept.assistant_text, kept.user_audio_ms) == ("Yes.", 100)


def test_audio_of_another_form_is_converted() -> None:
    silence = b"\0\0" * 2400
    assert len(ULAW.convert(silence, PCM)) == 800
    assert set(ULAW.convert(silence, PCM)) <= {0xFF, 0x7F}  # both are zero
    assert PCM.convert(silence, PCM) is silence


def test_files_of_a_second_attempt_keep_the_first_ones_event_log(tmp_path: Path) -> None:
    first, second = (ConversationFiles(tmp_path, "s", attempt) for attempt in (1, 2))
    assert first.event_log == tmp_path / "events" / "s.jsonl"
    assert second.event_log == tmp_path / "events" / "s.attempt-2.jsonl"
    assert second.relative(second.audio(12, "user")) == "audio/s/turn_12_user.wav"
