from __future__ import annotations

import itertools
import re
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.reports.timeline import (
    BAR_HEIGHT,
    Timeline,
    read_samples,
    timeline,
    waveform,
    write_stereo,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_realtime_eval.schemas.results import SimulationRecord


def line_of(record: SimulationRecord) -> Timeline:
    assert record.transcript
    return timeline(record.transcript)


def test_speech_lasts_as_its_audio_and_silences_as_measured(passed: SimulationRecord) -> None:
    spans = [(clip.speaker, clip.start_ms, clip.end_ms) for clip in line_of(passed).clips]
    assert spans == [
        ("user", 0.0, 2000.0),
        ("assistant", 2400.0, 5400.0),
        ("user", 6000.0, 8000.0),
        ("assistant", 8400.0, 11400.0),
    ]


def test_audio_that_was_sent_faster_than_it_lasts_does_not_overlap(
    passed: SimulationRecord,
) -> None:
    assert passed.transcript
    hurried = tuple(
        turn.model_copy(
            update={
                "user_started_ms": 100.0 * turn.index,
                "user_ended_ms": 100.0 * turn.index + 10,
                "assistant_started_ms": 100.0 * turn.index + 40,
                "assistant_ended_ms": 100.0 * turn.index + 60,
            }
        )
        for turn in passed.transcript.turns
    )
    clips = timeline(passed.transcript.model_copy(update={"turns": hurried})).clips
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(clips))
    assert clips[1].start_ms - clips[0].end_ms == 30
    assert clips[2].start_ms - clips[1].end_ms == 40


def test_a_caller_who_starts_before_the_answer_is_done_is_heard_after_it(
    passed: SimulationRecord,
) -> None:
    assert passed.transcript
    first, second = passed.transcript.turns
    early = second.model_copy(update={"user_started_ms": 5000.0, "user_ended_ms": 7000.0})
    clips = timeline(passed.transcript.model_copy(update={"turns": (first, early)})).clips
    assert clips[2].start_ms == clips[1].end_ms == 5400.0


def test_tool_calls_stand_between_question_and_answer(passed: SimulationRecord) -> None:
    (mark,) = line_of(passed).tool_marks
    assert mark.turn_index == 1
    assert 2000 < mark.at_ms < 2400


def test_a_turn_without_an_answer_ends_with_the_question(broken: SimulationRecord) -> None:
    line = line_of(broken)
    assert [clip.speaker for clip in line.clips] == ["user", "assistant", "user"]
    assert line.turn_ends[2] == line.duration_ms == 8000.0


@given(st.floats(0.001, 7200))
def test_the_axis_has_few_round_ticks_within_the_call(seconds: float) -> None:
    ticks = Timeline((), (), {}, seconds * 1000).ticks()
    assert 1 <= len(ticks) <= 12
    assert ticks[0] == (0.0, "0 s")
    assert all(0 <= at <= 100 for at, _ in ticks)


def heights(path: str) -> list[int]:
    return [int(found) // 2 for found in re.findall(r"v(\d+)", path)]


def test_a_waveform_follows_the_loudness() -> None:
    quiet, loud = np.full(24_000, 100, np.int16), np.full(24_000, 30_000, np.int16)
    count, path = waveform(np.concatenate([quiet, loud]), 24_000)
    drawn = heights(path)
    assert count == len(drawn) == 34
    assert max(drawn[:16]) <= 2
    assert min(drawn[18:]) >= 18


@given(st.lists(st.integers(-32768, 32767), max_size=400))
def test_bars_stay_in_their_box(samples: list[int]) -> None:
    count, path = waveform(np.array(samples, np.int16), 8000)
    assert len(heights(path)) == count
    assert all(1 <= height <= BAR_HEIGHT for height in heights(path))
    at = 0
    for move, down in re.findall(r"m1 ?(-?\d+)v(\d+)", path):
        at += int(move)
        assert at + int(down) // 2 == BAR_HEIGHT
        at += int(down)


def test_a_long_clip_has_a_bounded_waveform() -> None:
    count, path = waveform(np.zeros(24_000 * 600, np.int16), 24_000)
    assert count == 200
    assert len(path) < 2500


def read_stereo(path: Path) -> tuple[NDArray[np.int16], int]:
    with wave.open(str(path), "rb") as wav:
        assert wav.getnchannels() == 2
        frames = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
        return frames.reshape(-1, 2), wav.getframerate()


def test_the_caller_is_left_and_the_assistant_right(
    passed: SimulationRecord,
    write_audio: Callable[[list[Any], Path], None],
    tmp_path: Path,
) -> None:
    write_audio([passed], tmp_path)
    assert write_stereo(line_of(passed), tmp_path, tmp_path / "call.wav")
    call, rate = read_stereo(tmp_path / "call.wav")
    loudness = np.abs(call.astype(int)).reshape(-1, rate // 10, 2).max(axis=1)
    assert loudness[2:18, 0].min() > 0
    assert loudness[2:18, 1].max() == 0
    assert loudness[26:52, 0].max() == 0
    assert loudness[26:52, 1].min() > 0
    assert len(call) / rate == pytest.approx(11.5)


def test_clips_of_two_rates_keep_their_length(
    passed: SimulationRecord,
    write_audio: Callable[[list[Any], Path], None],
    tmp_path: Path,
) -> None:
    write_audio([passed], tmp_path)
    user = tmp_path / "audio/sim_booking/turn_01_user.wav"
    with wave.open(str(user), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(8000)
        wav.writeframes(np.full(16_000, 9000, "<i2").tobytes())
    write_stereo(line_of(passed), tmp_path, tmp_path / "call.wav")
    call, rate = read_stereo(tmp_path / "call.wav")
    assert rate == 24_000
    left = np.flatnonzero(np.abs(call[: 3 * rate, 0]) > 4000)
    assert left[-1] / rate == pytest.approx(2.0, abs=0.01)


def test_without_audio_nothing_is_written(passed: SimulationRecord, tmp_path: Path) -> None:
    assert not write_stereo(line_of(passed), tmp_path, tmp_path / "call.wav")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_wav_is_silence(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF but not really")
    samples, rate = read_samples(tmp_path / "a.wav")
    assert (len(samples), rate) == (0, 0)
    assert waveform(samples, rate) == (0, "")
