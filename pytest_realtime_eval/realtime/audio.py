"""Audio on the wire: PCM16 and both G.711 laws, resampling, chunks, padding, WAV.

Audio is ``bytes`` everywhere, mono. "PCM16" is signed 16-bit little-endian; "wire" is
whatever an `AudioFormat` says. Rates are in Hz, durations in milliseconds.
"""

from __future__ import annotations

import enum
import functools
import wave
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import soxr

from pytest_realtime_eval.exceptions import ConfigurationError, FileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Int16 = NDArray[np.int16]
    UInt8 = NDArray[np.uint8]

__all__ = [
    "G711_RATE_HZ",
    "AudioFormat",
    "chunks",
    "decode",
    "duration_ms",
    "encode",
    "pad",
    "read_wav",
    "resample",
    "write_wav",
]

#: The rate that ITU-T G.711 fixes.
G711_RATE_HZ: Final = 8000


class AudioFormat(enum.StrEnum):
    """An encoding of the wire; the values are those of simulation files and options."""

    PCM16 = "pcm16"
    G711_ULAW = "g711_ulaw"
    G711_ALAW = "g711_alaw"

    @property
    def bytes_per_sample(self) -> int:
        """2 for PCM16, 1 for G.711."""
        return 2 if self is AudioFormat.PCM16 else 1

    @property
    def silence(self) -> bytes:
        """One byte of silence: the code of the smallest positive amplitude."""
        return _SILENCE[self]

    @property
    def mime(self) -> str:
        """The name in a GA session: ``audio/pcm``, ``audio/pcmu`` or ``audio/pcma``."""
        return _MIME[self]

    def wire(self, sample_rate: int) -> dict[str, Any]:
        """Return the GA session's format object; G.711 has no rate field."""
        if self is AudioFormat.PCM16:
            return {"type": self.mime, "rate": sample_rate}
        return {"type": self.mime}

    @classmethod
    def from_wire(cls, name: str) -> AudioFormat | None:
        """Return the format of that GA or beta name, ``None`` for an unknown one."""
        return _BY_NAME.get(name)


_SILENCE: Final = {
    AudioFormat.PCM16: b"\x00",
    AudioFormat.G711_ULAW: b"\xff",
    AudioFormat.G711_ALAW: b"\xd5",
}
_MIME: Final = {
    AudioFormat.PCM16: "audio/pcm",
    AudioFormat.G711_ULAW: "audio/pcmu",
    AudioFormat.G711_ALAW: "audio/pcma",
}
_BY_NAME: Final = {name: fmt for fmt in AudioFormat for name in (fmt.value, fmt.mime)}


def encode(pcm16: bytes, fmt: AudioFormat) -> bytes:
    """Turn PCM16 into the wire format, at the same rate.

    Raises:
        ValueError: ``pcm16`` holds half a sample.
    """
    if fmt is AudioFormat.PCM16:
        _samples(pcm16)
        return pcm16
    codes: UInt8 = _encode_table(fmt)[_samples(pcm16).view(np.uint16)]
    return codes.tobytes()


def decode(data: bytes, fmt: AudioFormat) -> bytes:
    """Turn wire audio into PCM16, at the same rate.

    Raises:
        ValueError: PCM16 data holds half a sample.
    """
    if fmt is AudioFormat.PCM16:
        _samples(data)
        return data
    samples: Int16 = _decode_table(fmt)[np.frombuffer(data, np.uint8)]
    return samples.tobytes()


def resample(pcm16: bytes, from_hz: int, to_hz: int) -> bytes:
    """Change the rate of PCM16 audio. CPU-bound: about 8 ms for a minute."""
    if from_hz == to_hz or not pcm16:
        return pcm16
    samples: Int16 = soxr.resample(_samples(pcm16), from_hz, to_hz)
    return samples.astype("<i2", copy=False).tobytes()


def chunks(data: bytes, fmt: AudioFormat, rate: int, chunk_ms: int) -> Iterator[bytes]:
    """Cut wire audio into pieces of exactly ``chunk_ms``; the last one may be short.

    Raises:
        ConfigurationError: ``chunk_ms`` is no whole number of samples at this rate.
    """
    size = chunk_bytes(fmt, rate, chunk_ms)
    return (data[start : start + size] for start in range(0, len(data), size))


def chunk_bytes(fmt: AudioFormat, rate: int, chunk_ms: int) -> int:
    """Return the bytes of one chunk.

    Raises:
        ConfigurationError: ``chunk_ms`` is no whole number of samples at this rate.
    """
    samples, rest = divmod(rate * chunk_ms, 1000)
    if rest or samples < 1:
        raise ConfigurationError(
            f"chunk_ms {chunk_ms} is no whole number of samples at {rate} Hz; "
            "choose another chunk_ms or sample_rate_hz"
        )
    return samples * fmt.bytes_per_sample


def pad(data: bytes, fmt: AudioFormat, rate: int, minimum_ms: int = 100) -> bytes:
    """Append the format's silence until the audio lasts ``minimum_ms``."""
    samples = -(-rate * minimum_ms // 1000)
    return data + fmt.silence * (samples * fmt.bytes_per_sample - len(data))


def duration_ms(data: bytes, fmt: AudioFormat, rate: int) -> float:
    """Return how long wire audio lasts."""
    return len(data) / fmt.bytes_per_sample * 1000 / rate


def write_wav(path: Path, pcm16: bytes, rate: int) -> None:
    """Write mono PCM16 audio.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        wav.writeframes(pcm16)


def read_wav(path: Path) -> tuple[bytes, int]:
    """Read mono PCM16 audio; return it and its rate.

    Raises:
        FileError: It cannot be read, or is no mono 16-bit WAV.
    """
    try:
        with path.open("rb") as file, wave.open(file, "rb") as wav:
            if (wav.getnchannels(), wav.getsampwidth()) != (1, 2):
                raise FileError(path, "must be mono 16-bit PCM")
            return wav.readframes(wav.getnframes()), wav.getframerate()
    except (wave.Error, EOFError, RuntimeError) as error:  # the last where a chunk lies
        raise FileError(path, f"is no WAV file ({error or 'it ends too early'})") from error
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from error


def _samples(pcm16: bytes) -> Int16:
    if len(pcm16) % 2:
        raise ValueError(f"{len(pcm16)} bytes are no whole number of 16-bit samples")
    return np.frombuffer(pcm16, "<i2")


@functools.cache
def _encode_table(fmt: AudioFormat) -> UInt8:
    """Return the code of each sample, indexed by the sample's unsigned 16 bits."""
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    return _ulaw_codes(samples) if fmt is AudioFormat.G711_ULAW else _alaw_codes(samples)


@functools.cache
def _decode_table(fmt: AudioFormat) -> Int16:
    """Return the sample of each of the 256 codes."""
    codes = np.arange(256, dtype=np.int32)
    return _ulaw_samples(codes) if fmt is AudioFormat.G711_ULAW else _alaw_samples(codes)


# The laws below are those of ITU-T G.711, with negative samples folded by one's
# complement as the ITU's software tools (G.191) do. Segment borders are powers of two,
# so the segment is a count of borders passed: no logarithm, whose rounding is wrong on
# hundreds of values.

_ULAW_BIAS: Final = 33


def _fold(samples: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.where(samples < 0, ~samples, samples)


def _segment(magnitude: NDArray[np.int32], first_border: int) -> NDArray[np.int64]:
    borders = first_border << np.arange(7)
    return np.searchsorted(borders, magnitude, side="right")


def _ulaw_codes(samples: NDArray[np.int32]) -> UInt8:
    magnitude = np.minimum((_fold(samples) >> 2) + _ULAW_BIAS, 0x1FFF)
    segment = _segment(magnitude, 64)
    code = (segment << 4) | (magnitude >> (segment + 1)) & 0x0F
    codes: UInt8 = (~code & 0x7F | np.where(samples < 0, 0, 0x80)).astype(np.uint8)
    return codes


def _ulaw_samples(codes: NDArray[np.int32]) -> Int16:
    inverted = ~codes & 0x7F
    segment, step = inverted >> 4, inverted & 0x0F
    magnitude = (((2 * step + _ULAW_BIAS) << segment) - _ULAW_BIAS) << 2
    return np.where(codes < 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_codes(samples: NDArray[np.int32]) -> UInt8:
    magnitude = _fold(samples) >> 4
    segment = _segment(magnitude, 16)
    code = (segment << 4) | (magnitude >> np.maximum(segment - 1, 0)) & 0x0F
    codes: UInt8 = ((code | np.where(samples < 0, 0, 0x80)) ^ 0x55).astype(np.uint8)
    return codes


def _alaw_samples(codes: NDArray[np.int32]) -> Int16:
    toggled = codes ^ 0x55
    segment, step = (toggled & 0x7F) >> 4, toggled & 0x0F
    leading = np.where(segment > 0, 0x10, 0)
    magnitude = (((leading + step) << 4) + 8) << np.maximum(segment - 1, 0)
    samples: Int16 = np.where(codes < 0x80, -magnitude, magnitude).astype(np.int16)
    return samples
