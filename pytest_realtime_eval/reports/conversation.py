"""conversations/<simulation_id>.txt: a conversation to read, line by line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_realtime_eval.reports.files import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_realtime_eval.schemas.transcript import Transcript, Turn


def conversation_text(transcript: Transcript) -> str:
    """Return lines such as ``TURN 1 USER: …``, in the format of existing viewers."""
    return "".join(f"{line}\n" for line in _lines(transcript))


def write_conversation(transcript: Transcript, folder: Path) -> Path:
    """Write the conversation below the run's ``folder``; returns the file's path."""
    path = folder / "conversations" / f"{transcript.simulation_id}.txt"
    write_text(path, conversation_text(transcript))
    return path


def _lines(transcript: Transcript) -> Iterator[str]:
    for turn in transcript.turns:
        yield from _turn_lines(turn)
    after = len(transcript.turns) + 1
    if transcript.end_text:
        yield f"TURN {after} USER: {_one_line(transcript.end_text)}"
    failure = transcript.failure
    if failure and not any(turn.failure for turn in transcript.turns):
        yield f"TURN {after} FAILED: {failure.stage}: {_one_line(failure.message)}"


def _turn_lines(turn: Turn) -> Iterator[str]:
    start = f"TURN {turn.index}"
    yield f"{start} USER: {_one_line(turn.user_text)}"
    yield f"{start} ASSISTANT: {_one_line(turn.assistant_text)}"
    for call in turn.tool_calls:
        yield f"{start} TOOL_CALL: {_json(call.model_dump())}"
    for output in turn.tool_outputs:
        yield f"{start} TOOL_OUTPUT: {_json(output.model_dump(exclude={'mocked'}))}"
    if turn.failure:
        yield f"{start} FAILED: {turn.failure.stage}: {_one_line(turn.failure.message)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
