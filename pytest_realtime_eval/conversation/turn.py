"""A turn while it is played, and the `Turn` that it becomes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_realtime_eval.realtime import audio
from pytest_realtime_eval.schemas.transcript import Failure, Latencies, ToolCall, Turn, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_realtime_eval.conversation.files import ConversationFiles
    from pytest_realtime_eval.conversation.user import Utterance
    from pytest_realtime_eval.realtime.protocol import Response
    from pytest_realtime_eval.schemas.transcript import ToolOutput


@dataclass(frozen=True)
class Wire:
    """Format and rate (Hz) of a session's audio."""

    format: audio.AudioFormat
    rate_hz: int

    def duration_ms(self, data: bytes) -> float:
        """Return the length of audio in this form, in ms."""
        return audio.duration_ms(data, self.format, self.rate_hz)

    def convert(self, data: bytes, other: Wire) -> bytes:
        """Return audio that came in another form in this one."""
        if other == self:
            return data
        pcm16 = audio.decode(data, other.format)
        return audio.encode(audio.resample(pcm16, other.rate_hz, self.rate_hz), self.format)

    def write_wav(self, path: Path, data: bytes) -> None:
        """Write audio in this form as a PCM16 mono WAV."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            audio.write_wav(path, audio.decode(data, self.format), self.rate_hz)
        except OSError:
            # Half a file is of no use to anybody, and its room may be.
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise


@dataclass
class TurnInProgress:
    """What was said in a turn so far. Clock readings are in seconds.

    Attributes:
        started: The conversation's start.
        spoken: The user's audio as it was streamed, padding included.
        saved: Whether the audio was written.
    """

    index: int
    utterance: Utterance
    started: float
    input: Wire
    output: Wire
    spoken: bytes = b""
    speech_started: float = 0.0
    speech_ended: float = 0.0
    responses: list[Response] = field(default_factory=list)
    tool_outputs: list[ToolOutput] = field(default_factory=list)
    saved: bool = False

    async def save(self, files: ConversationFiles) -> None:
        """Write the turn's audio, off the loop.

        Raises:
            OSError: It could not be written.
        """
        user_path = files.audio(self.index, "user")
        assistant_path = files.audio(self.index, "assistant")
        await asyncio.to_thread(self._write, user_path, assistant_path)
        self.saved = True

    def as_turn(self, files: ConversationFiles, failure: Failure | None = None) -> Turn:
        """Return the turn as it stands."""
        answer = self._answer()
        user_path = files.relative(files.audio(self.index, "user"))
        assistant_path = files.relative(files.audio(self.index, "assistant"))
        return Turn(
            index=self.index,
            user_text=self.utterance.text,
            assistant_text=" ".join(filter(None, map(_said, self.responses))),
            tool_calls=self._tool_calls(),
            tool_outputs=tuple(self.tool_outputs),
            latencies=self._latencies(),
            usage=sum((response.usage for response in self.responses), Usage()),
            simulator_usage=self.utterance.usage,
            user_audio_path=user_path if self.saved and self.spoken else None,
            assistant_audio_path=assistant_path if self.saved and answer else None,
            user_started_ms=self._ms(self.speech_started),
            user_ended_ms=self._ms(self.speech_ended),
            assistant_started_ms=self._optional_ms(self._first_audio()),
            assistant_ended_ms=self._optional_ms(self._done()),
            user_audio_ms=self.input.duration_ms(self.spoken),
            assistant_audio_ms=self.output.duration_ms(answer),
            failure=failure,
        )

    def _answer(self) -> bytes:
        return b"".join(response.audio for response in self.responses)

    def _write(self, user_path: Path, assistant_path: Path) -> None:
        if self.spoken:
            self.input.write_wav(user_path, self.spoken)
        if answer := self._answer():
            self.output.write_wav(assistant_path, answer)

    def _tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(call for response in self.responses for call in response.function_calls)

    def _latencies(self) -> Latencies:
        if not self.responses:
            return Latencies()
        asked, first_audio = self.responses[0].requested_at, self._first_audio()
        first_text = _first(response.first_text_at for response in self.responses)
        return Latencies(
            first_audio=_between(asked, first_audio),
            first_text=_between(asked, first_text),
            response_done=_between(asked, self._done()),
            first_audio_after_speech=_between(self.speech_ended, first_audio),
        )

    def _first_audio(self) -> float | None:
        return _first(response.first_audio_at for response in self.responses)

    def _done(self) -> float | None:
        return self.responses[-1].done_at if self.responses else None

    def _ms(self, reading: float) -> float:
        return round((reading - self.started) * 1000, 3) if reading else 0.0

    def _optional_ms(self, reading: float | None) -> float | None:
        return None if reading is None else self._ms(reading)


def _said(response: Response) -> str:
    return (response.transcript or response.text).strip()


def _first(readings: Iterable[float | None]) -> float | None:
    return next((reading for reading in readings if reading is not None), None)


def _between(start: float, end: float | None) -> float | None:
    return None if end is None else round((end - start) * 1000, 3)
