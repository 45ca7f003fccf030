"""Many conversations in real time at once, in one process: all that each leaves is whole."""

from __future__ import annotations

import csv
import json
import wave
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import CannedServer
    from tests.plugin.conftest import Suite

CROWD = 64
TURNS = 2
USER_MS = 3000
ASSISTANT_MS = 2500


def wav_ms(path: Path, channels: int = 1) -> float:
    with wave.open(str(path)) as wav:
        assert wav.getnchannels() == channels
        lasts: float = wav.getnframes() * 1000 / wav.getframerate()
    return lasts


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_64_conversations_in_real_time_leave_everything(
    suite: Suite, canned_server: Callable[..., CannedServer]
) -> None:
    server = canned_server(
        turns=TURNS, user_ms=[USER_MS], assistant_ms=[ASSISTANT_MS], latency_ms=100
    )
    names = [f"sim_{number:02}" for number in range(CROWD)]
    for name in names:
        suite.simulation(
            name,
            assistant={"system_prompt": "You answer the telephone."},
            simulator={"system_prompt": "You call."},
            graders={"trace_level": [{"id": "hung_up", "type": "ends_call"}]},
        )
    result = suite.run(
        *("-o", "eval_skip_report=false", "--eval-real-time"),
        *(f"--eval-endpoint={server.url}", f"--eval-concurrency={CROWD}"),
    )
    assert result.ret == 0
    folder, records = suite.folder, suite.records()
    assert sorted(records) == names
    table = (folder / "results.csv").read_text("utf-8")
    rows = list(csv.DictReader(table.splitlines()))
    for name in names:
        turns = records[name]["transcript"]["turns"]
        assert [turn["user_audio_ms"] for turn in turns] == [USER_MS] * TURNS
        assert len([row for row in rows if row["simulation_id"] == name]) == TURNS
        for number in range(1, TURNS + 1):
            audio = folder / "audio" / name
            assert wav_ms(audio / f"turn_{number:02}_user.wav") == USER_MS
            assert wav_ms(audio / f"turn_{number:02}_assistant.wav") == ASSISTANT_MS
        assert wav_ms(audio / "call.wav", channels=2) >= TURNS * (USER_MS + ASSISTANT_MS)
        assert (folder / "conversations" / f"{name}.txt").stat().st_size
        lines = (folder / "events" / f"{name}.jsonl").read_text("utf-8").splitlines()
        kinds = [json.loads(line)["type"] for line in lines]
        assert kinds.count("input_audio_buffer.append") == TURNS * USER_MS // 20
        assert kinds.count("response.done") == 2 * TURNS + 1
        # All at once, and each paced: nobody waited for another.
        assert records[name]["transcript"]["schedule_error"]["p99_ms"] < USER_MS
    longest = max(record["duration_ms"] for record in records.values())
    assert suite.summary()["elapsed_seconds"] * 1000 < 2 * longest
    assert name in (folder / "report.html").read_text("utf-8")
