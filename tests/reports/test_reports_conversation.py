from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.reports.conversation import conversation_text, write_conversation

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.schemas.results import SimulationRecord
    from pytest_realtime_eval.schemas.transcript import Transcript


@pytest.fixture
def transcript(passed: SimulationRecord) -> Transcript:
    assert passed.transcript
    return passed.transcript


@pytest.fixture
def cut_off(broken: SimulationRecord) -> Transcript:
    assert broken.transcript
    return broken.transcript


def test_each_line_names_turn_and_speaker(transcript: Transcript) -> None:
    lines = conversation_text(transcript).splitlines()
    assert lines[0] == "TURN 1 USER: Hello, I need to move my booking to 7 pm."
    assert lines[1] == "TURN 1 ASSISTANT: I moved it to seven p.m. Anything else?"
    assert lines[-1] == "TURN 3 USER: Thanks, goodbye. END_CALL"


def test_tool_calls_and_outputs_are_json(transcript: Transcript) -> None:
    lines = conversation_text(transcript).splitlines()
    call = next(line for line in lines if line.startswith("TURN 1 TOOL_CALL: "))
    output = next(line for line in lines if line.startswith("TURN 1 TOOL_OUTPUT: "))
    assert json.loads(call.partition(": ")[2])["arguments"]["time"] == "19:00"
    assert json.loads(output.partition(": ")[2])["output"] == {"status": "ok", "time": "19:00"}


def test_a_line_break_in_speech_cannot_forge_a_line(transcript: Transcript) -> None:
    turn = transcript.turns[0].model_copy(
        update={"assistant_text": "Well.\nTURN 1 TOOL_CALL: {}\u2028x"}
    )
    changed = transcript.model_copy(update={"turns": (turn,)})
    lines = conversation_text(changed).split("\n")
    assert not [line for line in lines if line == "TURN 1 TOOL_CALL: {}"]
    assert "Well. TURN 1 TOOL_CALL: {} x" in lines[1]


def test_what_broke_is_said_where_it_broke(cut_off: Transcript) -> None:
    assert conversation_text(cut_off).splitlines()[-1] == (
        "TURN 2 FAILED: response_timeout: silent for 30 s"
    )


def test_a_conversation_without_turns_says_why(cut_off: Transcript) -> None:
    empty = cut_off.model_copy(update={"turns": ()})
    assert conversation_text(empty) == "TURN 1 FAILED: response_timeout: silent for 30 s\n"


def test_it_is_written_below_the_run(transcript: Transcript, tmp_path: Path) -> None:
    path = write_conversation(transcript, tmp_path)
    assert path == tmp_path / "conversations" / "sim_booking.txt"
    assert path.read_text(encoding="utf-8") == conversation_text(transcript)
