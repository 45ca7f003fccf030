"""The simulation file, ``sim_*.json``: one scripted situation.

The keys are those of existing suites of this field; what this project adds is
optional: ``tags``, ``thresholds``, the dynamic tool mocks, ``allow_repeat``, and the
deterministic graders beside ``tool_call``, ``tool_call_args`` and ``llm_as_judge``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from pytest_realtime_eval.exceptions import ConfigurationError, FileError
from pytest_realtime_eval.schemas.document import Document, read_json, validate
from pytest_realtime_eval.thresholds import parse_thresholds

if TYPE_CHECKING:
    from pathlib import Path

AudioFormat = Literal["pcm16", "g711_ulaw", "g711_alaw"]

#: Names that Windows reserves, whatever the extension.
_RESERVED: Final = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")
_SAFE: Final = re.compile(r"^[^\W_][\w.\- ]*$")


def safe_name(name: str) -> str:
    """Return ``name`` if it can name a file inside a folder on every system.

    Raises:
        ValueError: It has separators, is reserved, too long, or starts with a dot.
    """
    if len(name) > 120:
        raise ValueError("is longer than 120 characters, and it names files")
    if not _SAFE.fullmatch(name) or name.endswith((".", " ")) or _RESERVED.match(name):
        raise ValueError(
            "names files, so it must start with a letter or digit and go on with letters, "
            "digits, '_', '-', '.' or spaces; no path separators, no reserved names"
        )
    return name


SafeName = Annotated[str, AfterValidator(safe_name)]


class AssistantSpec(Document):
    """The assistant under test. Prompt and tools stand here or in files of their own."""

    model: str | None = None
    voice: str | None = None
    system_prompt_file: str | None = None
    system_prompt: str | None = None
    tools_file: str | None = None
    tools: list[dict[str, Any]] | None = None


class SimulatorSpec(Document):
    """The simulated user: persona, rules, and when to say ``END_CALL``."""

    system_prompt: str | None = None
    system_prompt_file: str | None = None
    model: str | None = None
    voice: str | None = None


class AudioSpec(Document):
    """The audio on the wire; ``None`` is filled in by options and defaults."""

    input_format: AudioFormat | None = None
    output_format: AudioFormat | None = None
    sample_rate_hz: PositiveInt | None = None
    chunk_ms: PositiveInt | None = None
    real_time: bool | None = None


class TurnsSpec(Document):
    """How the conversation starts and when it ends at the latest."""

    fixed_first_user_turn: Annotated[str, Field(min_length=1)]
    max_turns: PositiveInt | None = None


class ToolMock(Document):
    """What a tool returns when the assistant calls it.

    Attributes:
        name: The tool.
        output: What it returns.
        when: This mock answers only calls whose arguments contain these.
        outputs: Outputs of the first, second, … call; the last one repeats.
        error: The call fails with this message instead of returning an output.
        delay_ms: How long the tool takes.
    """

    name: Annotated[str, Field(min_length=1)]
    output: Any = None
    when: dict[str, Any] | None = None
    outputs: Annotated[list[Any], Field(min_length=1)] | None = None
    error: str | None = None
    delay_ms: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _returns_one_thing(self) -> ToolMock:
        given = {"output", "outputs", "error"} & self.model_fields_set
        if len(given) != 1:
            raise ValueError("needs exactly one of 'output', 'outputs' and 'error'")
        return self


class ExpectedToolCall(Document):
    """A call that the assistant is expected to make.

    ``allow_repeat`` accepts that the same call is made more than once.
    """

    name: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] = {}
    allow_repeat: bool = False


def _as_list(value: object) -> object:
    """Turn the format's three spellings of expected calls into a list."""
    if value is None or value == {} or value == "":
        return []
    if isinstance(value, dict):
        return [] if not value.get("name") and not value.get("arguments") else [value]
    return value


class _Grader(Document):
    id: SafeName
    criteria: str = ""
    model: str | None = None


class ToolCallGrader(_Grader):
    """The calls of the conversation are the expected ones, with their counts, in any order."""

    type: Literal["tool_call"]


class ToolCallArgsGrader(_Grader):
    """Every expected call was made with the expected arguments."""

    type: Literal["tool_call_args"]


class JudgeGrader(_Grader):
    """A language model decides whether ``criteria`` is met."""

    type: Literal["llm_as_judge"] = "llm_as_judge"
    criteria: Annotated[str, Field(min_length=1)]


class ToolOutputReference(Document):
    """A value inside a tool's output: ``{"tool": "find_booking", "path": "$.time"}``."""

    tool: str
    path: str = "$"


class _Words(_Grader):
    values: list[str | int | float] = []
    from_tool_output: list[ToolOutputReference] = []

    @model_validator(mode="after")
    def _names_something(self) -> _Words:
        if not self.values and not self.from_tool_output:
            raise ValueError("needs 'values' or 'from_tool_output'")
        return self


class MentionsGrader(_Words):
    """The assistant says these values, in whichever way they are spoken."""

    type: Literal["mentions"]


class NotMentionsGrader(_Words):
    """The assistant says none of these values."""

    type: Literal["not_mentions"]


class MaxLatencyGrader(_Grader):
    """A latency stays at or below a limit."""

    type: Literal["max_latency_ms"]
    limit_ms: PositiveFloat
    metric: Literal["first_audio", "first_text", "response_done", "first_audio_after_speech"] = (
        "first_audio"
    )


class ToolOrderGrader(_Grader):
    """These tools are called in this order; others may stand between them."""

    type: Literal["tool_order"]
    tools: Annotated[list[str], Field(min_length=1)]


class EndsCallGrader(_Grader):
    """The simulated user ends the call before ``max_turns`` does."""

    type: Literal["ends_call"]


_GRADERS: Final = {
    "tool_call",
    "tool_call_args",
    "llm_as_judge",
    "mentions",
    "not_mentions",
    "max_latency_ms",
    "tool_order",
    "ends_call",
}


def _grader_type(value: object) -> str | None:
    kind = value.get("type", "llm_as_judge") if isinstance(value, dict) else None
    kind = kind if isinstance(value, dict) else getattr(value, "type", None)
    return f"@{kind}" if isinstance(kind, str) and kind in _GRADERS else None


GraderSpec = Annotated[
    Annotated[ToolCallGrader, Tag("@tool_call")]
    | Annotated[ToolCallArgsGrader, Tag("@tool_call_args")]
    | Annotated[JudgeGrader, Tag("@llm_as_judge")]
    | Annotated[MentionsGrader, Tag("@mentions")]
    | Annotated[NotMentionsGrader, Tag("@not_mentions")]
    | Annotated[MaxLatencyGrader, Tag("@max_latency_ms")]
    | Annotated[ToolOrderGrader, Tag("@tool_order")]
    | Annotated[EndsCallGrader, Tag("@ends_call")],
    Discriminator(
        _grader_type,
        custom_error_type="grader_type",
        custom_error_message="'type' must be one of " + ", ".join(sorted(_GRADERS)),
    ),
]


class GradersSpec(Document):
    """Graders that look at each turn, and graders that look at the whole conversation."""

    turn_level: list[GraderSpec] = []
    trace_level: list[GraderSpec] = []

    @model_validator(mode="after")
    def _ids_are_unique(self) -> GradersSpec:
        ids = [grader.id for grader in (*self.turn_level, *self.trace_level)]
        for grader_id in ids:
            if ids.count(grader_id) > 1:
                raise ValueError(f"the grader id {grader_id!r} stands twice; ids name columns")
        return self


def _check_thresholds(texts: list[str]) -> list[str]:
    try:
        parse_thresholds(texts)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return texts


class Simulation(Document):
    """One scripted situation, as its file says it. Options and defaults come later."""

    simulation_id: SafeName
    scenario: str = ""
    assistant: AssistantSpec = AssistantSpec()
    simulator: SimulatorSpec = SimulatorSpec()
    audio: AudioSpec = AudioSpec()
    turns: TurnsSpec
    tool_mocks: list[ToolMock] = []
    expected_tool_call: Annotated[list[ExpectedToolCall], BeforeValidator(_as_list)] = []
    graders: GradersSpec = GradersSpec()
    tags: list[str] = []
    thresholds: Annotated[list[str], AfterValidator(_check_thresholds)] = []


def load_simulation(path: Path) -> Simulation:
    """Read and validate a simulation file; its id defaults to the file's stem.

    Raises:
        FileError: It cannot be read or does not fit the schema.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise FileError(path, "must hold a JSON object", "$")
    return validate(Simulation, {"simulation_id": path.stem, **data}, path)
