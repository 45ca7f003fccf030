from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import CassetteError
from pytest_realtime_eval.realtime.audio import AudioFormat
from pytest_realtime_eval.realtime.clips import Clip, read_clip, write_clip

if TYPE_CHECKING:
    from pathlib import Path

LAWS = (AudioFormat.G711_ULAW, AudioFormat.G711_ALAW)


@given(st.binary(min_size=1, max_size=400), st.sampled_from([8_000, 16_000, 24_000, 48_000]))
def test_pcm_comes_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, half: bytes, rate: int
) -> None:
    folder = tmp_path_factory.mktemp("clips")
    clip = Clip(AudioFormat.PCM16, rate, half * 2)
    assert write_clip(folder, clip).suffix == ".flac"
    assert read_clip(folder, clip.name) == clip


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("data", [bytes(range(256)), b"\x7f\xff\x7f"])
def test_both_laws_come_back_byte_by_byte(tmp_path: Path, law: AudioFormat, data: bytes) -> None:
    clip = Clip(law, 8_000, data)
    path = write_clip(tmp_path, clip)
    assert path.suffix == ".wav"
    assert path.stat().st_size % 2 == 0
    assert read_clip(tmp_path, clip.name) == clip


@pytest.mark.parametrize("law", LAWS)
def test_a_law_is_a_wav_that_others_can_play(tmp_path: Path, law: AudioFormat) -> None:
    soundfile = pytest.importorskip("soundfile")
    path = write_clip(tmp_path, Clip(law, 8_000, law.silence * 80))
    samples, rate = soundfile.read(path, dtype="int16")
    assert (len(samples), rate) == (80, 8_000)
    assert abs(int(samples[0])) <= 8


def test_the_name_tells_samples_rate_and_format_apart() -> None:
    clips = [
        Clip(AudioFormat.PCM16, 24_000, b"\1\0"),
        Clip(AudioFormat.PCM16, 8_000, b"\1\0"),
        Clip(AudioFormat.G711_ULAW, 8_000, b"\1\0"),
        Clip(AudioFormat.PCM16, 24_000, b"\2\0"),
    ]
    assert len({clip.name for clip in clips}) == 4


def test_missing_audio_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match=r"0123456789abcdef\.flac: .* missing"):
        read_clip(tmp_path, "0123456789abcdef")


def test_other_audio_under_the_name_is_found_out(tmp_path: Path) -> None:
    one = Clip(AudioFormat.PCM16, 24_000, b"\1\0" * 50)
    other = write_clip(tmp_path, Clip(AudioFormat.PCM16, 24_000, b"\2\0" * 50))
    other.rename(tmp_path / f"{one.name}.flac")
    with pytest.raises(CassetteError, match="not the audio that was recorded"):
        read_clip(tmp_path, one.name)


@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_damaged_audio_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"0123456789abcdef.{suffix}").write_bytes(b"RIFF")
    with pytest.raises(CassetteError, match=f"0123456789abcdef.{suffix}: .* cannot be read"):
        read_clip(tmp_path, "0123456789abcdef")
