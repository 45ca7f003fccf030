"""A conversation in time: when each clip is heard, how loud it is, and the call as one WAV."""

from __future__ import annotations

import math
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.realtime.audio import read_wav
from pytest_realtime_eval.reports.files import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_realtime_eval.schemas.transcript import Transcript, Turn

Speaker = Literal["user", "assistant"]

#: A waveform has a bar for so many milliseconds, and never more bars than `_MOST_BARS`.
_BAR_MS: Final = 60
_MOST_BARS: Final = 200
#: Bars are this high at most, from the middle up.
BAR_HEIGHT: Final = 20


@dataclass(frozen=True)
class Clip:
    """A stretch of speech in the call.

    Attributes:
        start_ms, end_ms: In the call as it is heard, from its beginning.
        path: The WAV, relative to the run's folder.
    """

    turn_index: int
    speaker: Speaker
    start_ms: float
    end_ms: float
    path: str


@dataclass(frozen=True)
class Mark:
    """A tool call or a verdict at a moment of the call."""

    turn_index: int | None
    at_ms: float


@dataclass(frozen=True)
class Timeline:
    """The call as it is heard.

    Speech lasts as long as its audio, whatever the pace at which it was sent; the
    silences between are the measured ones. Of tool calls the order is known and that
    they came before the answer, not the moment: they stand evenly in that silence.
    """

    clips: tuple[Clip, ...]
    tool_marks: tuple[Mark, ...]
    turn_ends: dict[int, float]
    duration_ms: float

    def share(self, at_ms: float) -> float:
        """Return a moment as a percentage of the call, rounded for a drawing."""
        return round(100 * at_ms / self.duration_ms, 2) if self.duration_ms else 0.0

    def ticks(self) -> list[tuple[float, str]]:
        """Return the axis: percentage and label, at most ten of them at round seconds."""
        total = self.duration_ms / 1000
        steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
        step = next((step for step in steps if total / step <= 10), 1200)
        moments = [step * number for number in range(math.floor(total / step) + 1)]
        return [(self.share(1000 * moment), f"{moment:g} s") for moment in moments]


def timeline(transcript: Transcript) -> Timeline:
    """Lay a conversation out in time."""
    clips: list[Clip] = []
    marks: list[Mark] = []
    ends: dict[int, float] = {}
    heard = measured = 0.0
    for turn in transcript.turns:
        start = heard + (max(0.0, turn.user_started_ms - measured) if clips else 0.0)
        spoken, answer = start + turn.user_audio_ms, _answer_delay(turn)
        if turn.user_audio_path:
            clips.append(Clip(turn.index, "user", start, spoken, turn.user_audio_path))
        heard = spoken + answer
        marks += _tool_marks(turn, spoken, answer)
        if turn.assistant_audio_path:
            start, heard = heard, heard + turn.assistant_audio_ms
            clips.append(Clip(turn.index, "assistant", start, heard, turn.assistant_audio_path))
        ends[turn.index] = heard
        measured = max(turn.user_ended_ms, turn.assistant_ended_ms or 0.0)
    return Timeline(tuple(clips), tuple(marks), ends, heard)


def _answer_delay(turn: Turn) -> float:
    answered = turn.assistant_started_ms
    return 0.0 if answered is None else max(0.0, answered - turn.user_ended_ms)


def _tool_marks(turn: Turn, spoken: float, answer: float) -> list[Mark]:
    parts = len(turn.tool_calls) + 1
    return [Mark(turn.index, spoken + answer * part / parts) for part in range(1, parts)]


# --- audio --------------------------------------------------------------------------------


def read_samples(path: Path) -> tuple[NDArray[np.int16], int]:
    """Return a WAV's samples and rate (Hz); no samples and 0 when it cannot be read."""
    try:
        pcm16, rate_hz = read_wav(path)
    except FileError:
        return np.zeros(0, np.int16), 0
    return np.frombuffer(pcm16[: len(pcm16) // 2 * 2], "<i2"), rate_hz


def waveform(samples: NDArray[np.int16], rate_hz: int) -> tuple[int, str]:
    """Return the count of bars and an SVG path that draws them one unit apart.

    The path stands in a box of height ``2 * BAR_HEIGHT``. Bars are peaks on a square
    root, so that quiet speech is seen, too.
    """
    if not len(samples) or not rate_hz:
        return 0, ""
    wanted = math.ceil(len(samples) / rate_hz * 1000 / _BAR_MS)
    count = max(1, min(_MOST_BARS, wanted, len(samples)))
    edges = np.linspace(0, len(samples), count, endpoint=False).astype(int)
    peaks = np.maximum.reduceat(np.abs(samples.astype(np.int32)), edges) / 32768
    heights = np.maximum(1, np.round(np.sqrt(peaks) * BAR_HEIGHT)).astype(int)
    return count, _bars([int(height) for height in heights])


def _bars(heights: Sequence[int]) -> str:
    """Draw bars with relative moves, which are shorter than absolute ones."""
    path, bottom = "M-.5 0", 0
    for height in heights:
        top = BAR_HEIGHT - height
        move = top - bottom
        path += f"m1{'' if move < 0 else ' '}{move}v{2 * height}"
        bottom = BAR_HEIGHT + height
    return path


def write_stereo(timeline: Timeline, folder: Path, path: Path) -> bool:
    """Write the whole call: the caller left, the assistant right.

    Clips of another rate than the highest are resampled. Returns false, and writes
    nothing, when no clip could be read.
    """
    heard = [(clip, *read_samples(folder / clip.path)) for clip in timeline.clips]
    rate = max((rate for _, _, rate in heard), default=0)
    if not rate:
        return False
    ends = [round(clip.end_ms * rate / 1000) for clip in timeline.clips]
    call = np.zeros((max(ends) + rate // 10, 2), "<i2")
    for clip, samples, own_rate in heard:
        if own_rate:
            _place(call, clip, _resampled(samples, own_rate, rate), rate)
    with replacing(path) as file, wave.open(file, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        wav.writeframes(call.data)
    return True


def _resampled(samples: NDArray[np.int16], rate_hz: int, wanted_hz: int) -> NDArray[np.int16]:
    if rate_hz == wanted_hz:
        return samples
    import soxr

    resampled: NDArray[np.int16] = soxr.resample(samples, rate_hz, wanted_hz)
    return resampled


def _place(call: NDArray[np.int16], clip: Clip, samples: NDArray[np.int16], rate: int) -> None:
    start = round(clip.start_ms * rate / 1000)
    end = min(start + len(samples), len(call))
    call[start:end, 0 if clip.speaker == "user" else 1] = samples[: end - start]
