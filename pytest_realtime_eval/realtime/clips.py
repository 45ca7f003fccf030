"""Recorded audio on disk: a file for each clip, named by the hash of what is in it.

PCM16 is kept as FLAC, which needs a quarter of the room for synthetic speech and about
half for a telephone's. G.711 is kept as WAV in its own law: a way through linear samples
would not bring back its two zeros.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.exceptions import CassetteError
from pytest_realtime_eval.realtime.audio import AudioFormat

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Clip", "read_clip", "write_clip"]

#: Format tags of WAV (RFC 2361).
_TAGS: Final = {AudioFormat.G711_ALAW: 6, AudioFormat.G711_ULAW: 7}
_LAWS: Final = {tag: law for law, tag in _TAGS.items()}
#: RIFF, ``fmt`` of 18 bytes, ``fact``, ``data``: what a WAV that is no PCM begins with.
_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHHH4sII4sI")
_NAME_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Clip:
    """Audio as it was on the wire.

    Attributes:
        data: Whole samples, mono.
    """

    format: AudioFormat
    rate_hz: int
    data: bytes

    @property
    def name(self) -> str:
        """The start of the SHA-256 over format, rate and samples."""
        head = f"{self.format.value} {self.rate_hz}\n".encode()
        return hashlib.sha256(head + self.data).hexdigest()[:_NAME_LENGTH]


def write_clip(folder: Path, clip: Clip) -> Path:
    """Write a clip and return its file; one that is there already stays as it is."""
    suffix = "flac" if clip.format is AudioFormat.PCM16 else "wav"
    path = folder / f"{clip.name}.{suffix}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (_write_flac if suffix == "flac" else _write_law)(path, clip)
    return path


def read_clip(folder: Path, name: str) -> Clip:
    """Read the clip of that name.

    Raises:
        CassetteError: It is missing, unreadable, or not what its name says.
    """
    path = next((p for s in ("flac", "wav") if (p := folder / f"{name}.{s}").is_file()), None)
    if path is None:
        raise CassetteError(f"{folder / name}.flac: the recorded audio is missing")
    try:
        clip = _read_flac(path) if path.suffix == ".flac" else _read_law(path)
    except (OSError, RuntimeError, ValueError, LookupError, struct.error) as error:
        raise CassetteError(f"{path}: the recorded audio cannot be read: {error}") from error
    if clip.name != name:
        raise CassetteError(f"{path}: this is not the audio that was recorded under this name")
    return clip


def _write_flac(path: Path, clip: Clip) -> None:
    import numpy as np
    import soundfile  # type: ignore[import-untyped]  # publishes no types

    samples = np.frombuffer(clip.data, "<i2")
    soundfile.write(path, samples, clip.rate_hz, format="FLAC", subtype="PCM_16")


def _read_flac(path: Path) -> Clip:
    import soundfile

    samples, rate = soundfile.read(path, dtype="int16")
    return Clip(AudioFormat.PCM16, rate, samples.astype("<i2").tobytes())


def _write_law(path: Path, clip: Clip) -> None:
    size, rate = len(clip.data), clip.rate_hz
    form = (b"fmt ", 18, _TAGS[clip.format], 1, rate, rate, 1, 8, 0)
    riff = (b"RIFF", _HEADER.size - 8 + size + size % 2, b"WAVE")
    header = _HEADER.pack(*riff, *form, b"fact", 4, size, b"data", size)
    # Chunks of RIFF begin at even places.
    path.write_bytes(header + clip.data + b"\0" * (size % 2))


def _read_law(path: Path) -> Clip:
    content = path.read_bytes()
    fields = _HEADER.unpack_from(content)
    tag, rate, size = fields[5], fields[7], fields[-1]
    return Clip(_LAWS[tag], rate, content[_HEADER.size : _HEADER.size + size])
