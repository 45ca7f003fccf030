"""The transcript: the frozen record of a conversation. Graders read it and nothing else."""

from __future__ import annotations

from typing import Any, Literal

from pytest_realtime_eval.schemas.document import Record


class ToolCall(Record):
    """A function call of the assistant.

    Attributes:
        name: The function.
        arguments: The parsed arguments; ``None`` when they are no JSON object.
        raw_arguments: The arguments as they came.
        call_id: The server's id of the call.
    """

    name: str
    arguments: dict[str, Any] | None
    raw_arguments: str
    call_id: str


class ToolOutput(Record):
    """What a mock answered to a call.

    Attributes:
        output: The JSON value that was sent to the assistant.
        mocked: Whether the simulation has a mock for the tool; an unmocked call was
            answered with ``{"status": "Unsupported tool"}``.
    """

    call_id: str
    name: str
    arguments: dict[str, Any] | None
    output: Any
    mocked: bool = True


class Usage(Record):
    """Tokens, summed over the responses of a turn; audio and text as the server splits them.

    Cached tokens are part of the input tokens. Their split into text and audio stays 0
    where the server does not tell it.
    """

    input_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    cached_tokens: int = 0
    cached_text_tokens: int = 0
    cached_audio_tokens: int = 0
    output_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Add counter by counter."""
        return Usage(
            **{name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields}
        )


class Latencies(Record):
    """Milliseconds; ``None`` where the event never came.

    The first three count from the turn's first ``response.create`` (sent), as the field
    does; ``first_audio_after_speech`` counts from the end of the user's speech.
    """

    first_audio: float | None = None
    first_text: float | None = None
    response_done: float | None = None
    first_audio_after_speech: float | None = None


class Failure(Record):
    """Why a turn or a conversation did not get to its end.

    Attributes:
        fatal: Every other item would fail the same way (wrong credentials).
    """

    stage: str
    error_type: str
    message: str
    fatal: bool = False


class ScheduleError(Record):
    """By how many milliseconds chunks missed their deadlines, and how long the loop lagged."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    loop_lag_max_ms: float = 0.0


class Turn(Record):
    """A user's utterance and all that the assistant did until it was silent again.

    Attributes:
        index: Counts from 1.
        user_text: The simulator's transcript of what it said.
        assistant_text: The assistant's transcript, over all responses of the turn.
        tool_calls: In the order in which they were made.
        user_audio_path: WAV, relative to the run's folder.
        assistant_audio_path: WAV, relative to the run's folder; ``None`` without audio.
        user_started_ms, user_ended_ms: When the user's audio began and ended being sent,
            in ms from the conversation's start; likewise for the assistant's.
        user_audio_ms, assistant_audio_ms: Durations of the audio.
        usage: The assistant's tokens.
        simulator_usage: The simulated user's tokens.
    """

    index: int
    user_text: str
    assistant_text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_outputs: tuple[ToolOutput, ...] = ()
    latencies: Latencies = Latencies()
    usage: Usage = Usage()
    simulator_usage: Usage = Usage()
    user_audio_path: str | None = None
    assistant_audio_path: str | None = None
    user_started_ms: float = 0.0
    user_ended_ms: float = 0.0
    assistant_started_ms: float | None = None
    assistant_ended_ms: float | None = None
    user_audio_ms: float = 0.0
    assistant_audio_ms: float = 0.0
    failure: Failure | None = None


class Transcript(Record):
    """A conversation from the first utterance to its end.

    Attributes:
        ended_by: ``end_call`` (the simulated user hung up), ``max_turns`` or ``failure``.
        end_text: What the simulated user said with ``END_CALL``; it was not streamed.
        failure: What broke the conversation; ``None`` when it came to its end.
        event_log_path: JSON lines, relative to the run's folder.
        started_at: ISO 8601, UTC.
        replay: How a recording was replayed; empty when the conversation was live. At
            full speed nobody had to wait, so the turns have no latencies.
    """

    simulation_id: str
    assistant_model: str
    simulator_model: str
    turns: tuple[Turn, ...] = ()
    ended_by: Literal["end_call", "max_turns", "failure"]
    end_text: str = ""
    failure: Failure | None = None
    event_log_path: str | None = None
    started_at: str
    duration_ms: float
    schedule_error: ScheduleError | None = None
    end_usage: Usage = Usage()
    replay: Literal["", "fast", "recorded"] = ""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """All calls of the conversation in their order."""
        return tuple(call for turn in self.turns for call in turn.tool_calls)
