"""The endpoint's voice: text to speech.

:class:`Voice` is the interface. :class:`HibariVoice` speaks with the model of the extra
``embedded``; :class:`ProgramVoice` runs a program that writes WAV to its standard output,
such as ``espeak-ng --stdout``, so that nothing depends on one package.
"""

from __future__ import annotations

import io
import subprocess
import threading
import wave
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import soxr

from pytest_realtime_eval.embedded.spoken import speakable
from pytest_realtime_eval.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["SAMPLE_RATE_HZ", "HibariVoice", "ProgramVoice", "Voice", "pitch_of"]

#: What every voice returns.
SAMPLE_RATE_HZ: Final = 24_000

#: Pitch of the voice names of the Realtime API. Within 0.85 to 1.15 the ear understands
#: the voice as well as the unchanged one.
_LOW_PITCH: Final = 0.9
_LOW_VOICES: Final = frozenset({"ash", "ballad", "cedar", "echo", "onyx", "verse"})


def pitch_of(voice: str) -> float:
    """Return the pitch factor for a voice's name: 0.9 for the low voices, else 1.0."""
    return _LOW_PITCH if voice.lower() in _LOW_VOICES else 1.0


class Voice(Protocol):
    """Something that speaks."""

    def speak(self, text: str, pitch: float = 1.0) -> bytes:
        """Return ``text`` as mono PCM16 (little endian) at 24 kHz.

        The same text and pitch give the same bytes. Text without anything to say gives
        none. Called from several threads.

        Raises:
            ConfigurationError: The voice is not installed or does not work.
        """
        ...


class HibariVoice:
    """hibari-tts, its bundled voice; a second voice comes from changing the pitch."""

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._model: Any = None  # hibari has no type information

    def speak(self, text: str, pitch: float = 1.0) -> bytes:
        """Return the speech; see :meth:`Voice.speak`."""
        # Slower speech, played faster: the pitch changes and the tempo does not.
        # The seed fixes the noise component: the bytes repeat.
        samples = self._loaded()(speakable(text), speed=1.0 / pitch, seed=0)
        return _pcm16(_resampled(samples, SAMPLE_RATE_HZ * pitch))

    def _loaded(self) -> Any:  # noqa: ANN401 - hibari has no type information
        with self._loading:
            if self._model is None:
                try:
                    from hibari import Hibari
                except ImportError as error:
                    raise ConfigurationError(
                        "the embedded endpoint's voice is not installed: "
                        'pip install "pytest-realtime-eval[embedded]"'
                    ) from error
                # Never `voice=`: other voices would be downloaded.
                self._model = Hibari(threads=1)
                # The pronunciation tables load on first use, the model for words that are
                # in none of them included: once, and not in two threads at a time.
                self._model.phonemize("a word and a zorvex")
        return self._model


class ProgramVoice:
    """A program that reads text on standard input and writes a WAV file to standard output."""

    def __init__(self, command: Sequence[str], timeout: float = 30.0) -> None:
        self._command = list(command)
        self._timeout = timeout

    def speak(self, text: str, pitch: float = 1.0) -> bytes:
        """Return the speech; see :meth:`Voice.speak`."""
        if not (spoken := speakable(text)):
            return b""
        samples, rate = _read_wav(self._run(spoken), self._command)
        return _pcm16(_resampled(samples, rate * pitch))

    def _run(self, text: str) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - the command is the user's own
                self._command,
                input=text.encode(),
                capture_output=True,
                timeout=self._timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigurationError(f"voice program {self._command[0]!r}: {error}") from error
        if done.returncode:
            raise ConfigurationError(
                f"voice program {self._command[0]!r} ended with status {done.returncode}: "
                f"{done.stderr.decode(errors='replace').strip()}"
            )
        return done.stdout


def _read_wav(data: bytes, command: Sequence[str]) -> tuple[NDArray[np.float32], int]:
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            # Programs that write to a pipe do not know the length: take all that is there.
            frames = file.readframes(len(data))
    except (wave.Error, EOFError) as error:
        raise ConfigurationError(f"voice program {command[0]!r} wrote no WAV: {error}") from error
    if (channels, width) != (1, 2):
        raise ConfigurationError(
            f"voice program {command[0]!r} wrote {channels} channels of {width} bytes; "
            "mono with 16 bits is needed"
        )
    samples = np.frombuffer(frames[: len(frames) // 2 * 2], "<i2").astype(np.float32)
    return samples / np.float32(32768), rate


def _resampled(samples: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    if rate == SAMPLE_RATE_HZ or not len(samples):
        return samples
    resampled: NDArray[np.float32] = soxr.resample(samples, rate, SAMPLE_RATE_HZ)
    return resampled


def _pcm16(samples: NDArray[np.float32]) -> bytes:
    return (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
