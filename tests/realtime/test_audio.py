from __future__ import annotations

import struct
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import ConfigurationError, FileError
from pytest_realtime_eval.realtime import audio
from pytest_realtime_eval.realtime.audio import AudioFormat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ULAW, ALAW, PCM16 = AudioFormat.G711_ULAW, AudioFormat.G711_ALAW, AudioFormat.PCM16


# An independent implementation of ITU-T G.711: one sample at a time, by the segment
# tables of the Recommendation, without any of the arithmetic of the code under test.


def reference_ulaw_encode(sample: int) -> int:
    """Search the decision values of table 2: segment ends 31, 95, 223, … 8159."""
    magnitude = min((sample if sample >= 0 else -sample - 1) // 4, 8158)
    lower, step, number = 0, 2, 0
    # The first interval of segment 1 is half as wide as the others.
    if magnitude >= 1:
        lower, number = 1, 1
        while True:
            if magnitude < lower + step:
                break
            lower += step
            number += 1
            if number % 16 == 0:
                step *= 2
    code = 127 - number
    return code | 0x80 if sample >= 0 else code


def reference_alaw_encode(sample: int) -> int:
    """Count the intervals of table 1: 32 of width 1, then 16 of each doubled width."""
    magnitude = (sample if sample >= 0 else -sample - 1) // 16
    lower, step, number = 0, 1, 0
    while magnitude >= lower + step:
        lower += step
        number += 1
        if number >= 32 and number % 16 == 0:
            step *= 2
    code = number ^ 0x55
    return code | 0x80 if sample >= 0 else code


def reference_decode(encode: Callable[[int], int], unit: int) -> dict[int, int]:
    """Return each code's value: the middle of the interval that is encoded as it."""
    intervals: dict[int, list[int]] = {}
    for sample in range(0, 32768, unit):
        intervals.setdefault(encode(sample), []).append(sample)
    return {code: (min(found) + max(found) + unit) // 2 for code, found in intervals.items()}


EVERY_SAMPLE = struct.pack("<65536h", *range(-32768, 32768))


@pytest.mark.parametrize(
    ("fmt", "reference"), [(ULAW, reference_ulaw_encode), (ALAW, reference_alaw_encode)]
)
def test_every_sample_encodes_as_the_reference_does(
    fmt: AudioFormat, reference: Callable[[int], int]
) -> None:
    expected = bytes(reference(sample) for sample in range(-32768, 32768))
    assert audio.encode(EVERY_SAMPLE, fmt) == expected


def samples(pcm16: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(pcm16) // 2}h", pcm16))


def test_every_alaw_code_decodes_to_the_middle_of_its_interval() -> None:
    middles = reference_decode(reference_alaw_encode, 16)
    decoded = samples(audio.decode(bytes(range(256)), ALAW))
    assert len(middles) == 128
    assert all(decoded[code] == value for code, value in middles.items())
    assert all(decoded[code & 0x7F] == -value for code, value in middles.items())


def test_every_ulaw_code_decodes_to_the_value_of_table_2() -> None:
    # Table 2's output values: 0, 2, 4, … 30, then 33, 37, … in 14 bits.
    values = [(2 * (number % 16) + 33) * 2 ** (number // 16) - 33 for number in range(128)]
    assert values[:3] == [0, 2, 4]
    assert values[16:18] == [33, 37]
    assert values[127] == 8031
    decoded = samples(audio.decode(bytes(range(256)), ULAW))
    assert [decoded[0xFF - number] for number in range(128)] == [4 * v for v in values]
    assert [decoded[0x7F - number] for number in range(128)] == [-4 * v for v in values]


@pytest.mark.parametrize("fmt", [ULAW, ALAW])
def test_decoding_and_encoding_again_changes_no_code(fmt: AudioFormat) -> None:
    codes = bytes(range(256))
    again = audio.encode(audio.decode(codes, fmt), fmt)
    # Mu-law has two zeros; the negative one comes back as the positive one.
    assert again == (codes.replace(b"\x7f", b"\xff") if fmt is ULAW else codes)


@pytest.mark.parametrize("fmt", list(AudioFormat))
def test_silence_decodes_to_the_smallest_amplitude(fmt: AudioFormat) -> None:
    silence = audio.decode(fmt.silence * fmt.bytes_per_sample, fmt)
    assert abs(samples(silence)[0]) == (8 if fmt is ALAW else 0)


@pytest.mark.parametrize("convert", [audio.encode, audio.decode])
def test_half_a_sample_is_refused(convert: Callable[[bytes, AudioFormat], bytes]) -> None:
    with pytest.raises(ValueError, match="3 bytes are no whole number"):
        convert(b"abc", PCM16)


def test_wire_objects_are_those_of_the_ga_session() -> None:
    assert PCM16.wire(24000) == {"type": "audio/pcm", "rate": 24000}
    assert ULAW.wire(8000) == {"type": "audio/pcmu"}
    assert ALAW.wire(8000) == {"type": "audio/pcma"}


@pytest.mark.parametrize("fmt", list(AudioFormat))
def test_formats_are_found_by_ga_and_beta_name(fmt: AudioFormat) -> None:
    assert AudioFormat.from_wire(fmt.mime) is fmt
    assert AudioFormat.from_wire(fmt.value) is fmt
    assert AudioFormat.from_wire("audio/opus") is None


@given(
    data=st.binary(max_size=3000).map(lambda raw: raw[: len(raw) // 2 * 2]),
    fmt=st.sampled_from(list(AudioFormat)),
    rate=st.sampled_from([8000, 16000, 22050, 24000, 48000]),
    chunk_ms=st.sampled_from([10, 20, 40, 100]),
)
def test_chunks_are_exact_and_lose_nothing(
    data: bytes, fmt: AudioFormat, rate: int, chunk_ms: int
) -> None:
    assume(rate * chunk_ms % 1000 == 0)
    pieces = list(audio.chunks(data, fmt, rate, chunk_ms))
    assert b"".join(pieces) == data
    assert all(audio.duration_ms(piece, fmt, rate) == chunk_ms for piece in pieces[:-1])
    assert all(len(piece) % fmt.bytes_per_sample == 0 for piece in pieces)
    assert all(pieces)


@pytest.mark.parametrize(("rate", "chunk_ms"), [(22050, 15), (11025, 20), (8000, 0)])
def test_a_chunk_of_broken_samples_is_refused(rate: int, chunk_ms: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"chunk_ms {chunk_ms}.*{rate} Hz"):
        list(audio.chunks(b"\0" * 10, PCM16, rate, chunk_ms))


@pytest.mark.parametrize("fmt", list(AudioFormat))
@given(length=st.integers(0, 4000))
def test_padding_reaches_the_minimum_and_keeps_the_speech(fmt: AudioFormat, length: int) -> None:
    data = b"\x01" * (length * fmt.bytes_per_sample)
    padded = audio.pad(data, fmt, 24000)
    assert audio.duration_ms(padded, fmt, 24000) == max(100, length / 24)
    assert padded.startswith(data)
    assert set(padded[len(data) :]) <= set(fmt.silence)


def test_resampling_keeps_a_tone_and_its_length() -> None:
    time = np.arange(24000) / 24000
    tone = (np.sin(2 * np.pi * 440 * time) * 10000).astype("<i2").tobytes()
    lower = audio.resample(tone, 24000, 16000)
    assert abs(len(lower) - 32000) <= 4
    heard = np.frombuffer(lower, "<i2")[1000:15000].astype(float)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert abs(np.argmax(spectrum) * 16000 / len(heard) - 440) < 2
    assert abs(heard.max() - 10000) < 200


def test_resampling_to_the_same_rate_returns_the_same_audio() -> None:
    assert audio.resample(b"\1\2", 8000, 8000) == b"\1\2"
    assert audio.resample(b"", 8000, 16000) == b""


def test_wav_files_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio.write_wav(path, b"\1\2\3\4", 16000)
    assert audio.read_wav(path) == (b"\1\2\3\4", 16000)


def test_a_file_that_is_no_mono_wav_is_named(tmp_path: Path) -> None:
    stereo, text, cut = tmp_path / "stereo.wav", tmp_path / "text.wav", tmp_path / "cut.wav"
    with stereo.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(8000)
    text.write_text("not audio at all")
    cut.write_bytes(b"RIFF")
    for path, problem in [(stereo, "mono"), (text, "no WAV"), (cut, "no WAV")]:
        with pytest.raises(FileError, match=f"{path.name}.*{problem}"):
            audio.read_wav(path)
    with pytest.raises(FileError, match="cannot be read"):
        audio.read_wav(tmp_path / "missing.wav")
