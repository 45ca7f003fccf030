"""What clients send: the Realtime API's client events, validated.

A wrong event becomes a :exc:`RequestError`, which the session answers with an ``error``
event in the API's own words and codes, so that a mistake which the real service would
reject is rejected here too.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
)

from pytest_realtime_eval.realtime.audio import AudioFormat

__all__ = [
    "Append",
    "Clear",
    "ClientEvent",
    "Commit",
    "ItemCreate",
    "ItemDelete",
    "ItemRetrieve",
    "ItemTruncate",
    "RequestError",
    "ResponseCancel",
    "ResponseCreate",
    "ResponseParameters",
    "SessionConfig",
    "SessionUpdate",
    "audio_format",
    "check",
    "merge",
    "parse",
]


class RequestError(Exception):
    """A client's event cannot be carried out.

    Attributes:
        code: The API's error code.
        param: JSON path of the offending value.
        event_id: The client's own id of the event, if it gave one.
    """

    def __init__(
        self, code: str, message: str, param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.event_id = event_id


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PcmFormat(_Part):
    """16-bit linear samples, little endian. The real service takes 24,000 Hz only."""

    type: Literal["audio/pcm"]
    rate: Annotated[int, Field(ge=8_000, le=48_000)] = 24_000


class G711Format(_Part):
    """G.711 in either law, 8,000 Hz."""

    type: Literal["audio/pcmu", "audio/pcma"]

    @property
    def rate(self) -> int:
        """The law's own rate."""
        return 8_000


WireFormat = Annotated[PcmFormat | G711Format, Field(discriminator="type")]


class Transcription(_Part):
    """Asks for the transcript of user audio as an event of its own."""

    model: str | None = None
    language: str | None = None
    prompt: str | None = None


class _TurnDetection(_Part):
    create_response: bool = True
    interrupt_response: bool = True


class ServerVad(_TurnDetection):
    """Turns end after a silence of that length."""

    type: Literal["server_vad"]
    threshold: Annotated[float, Field(ge=0, le=1, strict=False)] = 0.5
    prefix_padding_ms: Annotated[int, Field(ge=0)] = 300
    silence_duration_ms: Annotated[int, Field(ge=0)] = 500
    idle_timeout_ms: Annotated[int, Field(ge=0)] | None = None


class SemanticVad(_TurnDetection):
    """Turns end after a silence too: only its length depends on the eagerness."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"

    @property
    def silence_duration_ms(self) -> int:
        """The length of that silence."""
        return {"low": 1_200, "high": 400}.get(self.eagerness, 800)

    @property
    def prefix_padding_ms(self) -> int:
        """How much of what was before the speech belongs to it."""
        return 300


class InputAudio(_Part):
    """Audio from the client. Unlike the real service's, turn detection is off at first."""

    format: WireFormat = PcmFormat(type="audio/pcm")
    noise_reduction: dict[str, Any] | None = None
    transcription: Transcription | None = None
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] | None = None


class VoiceId(_Part):
    """A voice of one's own; here it is spoken by the usual one."""

    id: str


class OutputAudio(_Part):
    """Audio to the client."""

    format: WireFormat = PcmFormat(type="audio/pcm")
    voice: Annotated[str, Field(min_length=1)] | VoiceId | None = None
    speed: Annotated[float, Field(ge=0.25, le=1.5, strict=False)] = 1.0

    @property
    def voice_name(self) -> str | None:
        """The voice's name or id."""
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice


class SessionAudio(_Part):
    """Both directions."""

    input: InputAudio = InputAudio()
    output: OutputAudio = OutputAudio()


class FunctionTool(_Part):
    """A function that the agent may call."""

    type: Literal["function"]
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class FunctionChoice(_Part):
    """The one function to call."""

    type: Literal["function"]
    name: str


Modalities = Annotated[list[Literal["text", "audio"]], Field(min_length=1, max_length=1)]
ToolChoice = Literal["auto", "none", "required"] | FunctionChoice
MaxTokens = Literal["inf"] | Annotated[int, Field(ge=1, le=4096)]


class SessionConfig(_Part):
    """A session's settings. What the rules of this endpoint have no use for is kept only."""

    type: Literal["realtime"]
    model: str = "embedded"
    instructions: str = ""
    output_modalities: Modalities = ["audio"]
    audio: SessionAudio = SessionAudio()
    tools: list[FunctionTool] = []
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    max_output_tokens: MaxTokens = "inf"
    tracing: Any = None
    prompt: Any = None
    truncation: Any = "auto"
    include: list[str] | None = None
    reasoning: Any = None


class UserContent(_Part):
    """A piece of what a user says."""

    type: Literal["input_text", "input_audio", "input_image"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None
    image_url: str | None = None
    detail: str | None = None


class AssistantContent(_Part):
    """A piece of what an assistant says."""

    type: Literal["output_text", "output_audio", "text"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None


class _Item(_Part):
    id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    object: Literal["realtime.item"] | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class UserMessage(_Item):
    """A message of the user or the system."""

    type: Literal["message"]
    role: Literal["user", "system"]
    content: list[UserContent]


class AssistantMessage(_Item):
    """A message of the assistant."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: list[AssistantContent]


class FunctionCall(_Item):
    """A call that the assistant made."""

    type: Literal["function_call"]
    name: str
    arguments: str
    call_id: str | None = None


class FunctionCallOutput(_Item):
    """What a function returned."""

    type: Literal["function_call_output"]
    call_id: str
    output: str


class ItemReference(_Part):
    """An item of the conversation, named in a response's ``input``."""

    type: Literal["item_reference"]
    id: str


def _item_tag(value: Any) -> str | None:  # noqa: ANN401 - raw JSON
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "message":
        return {"user": "user", "system": "user", "assistant": "assistant"}.get(value.get("role"))
    return kind if kind in ("function_call", "function_call_output", "item_reference") else None


_Messages = (
    Annotated[UserMessage, Tag("user")]
    | Annotated[AssistantMessage, Tag("assistant")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
)
_UNKNOWN_ITEM: Final = {
    "custom_error_type": "item_kind",
    "custom_error_message": "expected an item of the type 'message' with the role 'user', "
    "'assistant' or 'system', of 'function_call' or 'function_call_output'",
}
NewItem = Annotated[_Messages, Discriminator(_item_tag, **_UNKNOWN_ITEM)]
InputItem = Annotated[
    _Messages | Annotated[ItemReference, Tag("item_reference")],
    Discriminator(_item_tag, **_UNKNOWN_ITEM),
]

Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]


class ResponseAudioOutput(_Part):
    """What a response says differently from its session."""

    format: WireFormat | None = None
    voice: Annotated[str, Field(min_length=1)] | VoiceId | None = None


class ResponseAudio(_Part):
    """A response's own audio settings."""

    output: ResponseAudioOutput = ResponseAudioOutput()


class ResponseParameters(_Part):
    """The ``response`` of ``response.create``."""

    conversation: Literal["auto", "none"] = "auto"
    input: list[InputItem] | None = None
    instructions: str | None = None
    metadata: Metadata | None = None
    output_modalities: Modalities | None = None
    audio: ResponseAudio = ResponseAudio()
    tools: list[FunctionTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: MaxTokens | None = None
    prompt: Any = None
    reasoning: Any = None


class _Event(_Part):
    event_id: Annotated[str, Field(max_length=512)] | None = None


class SessionUpdate(_Event):
    """Changes settings; validated again after it was merged into the session's own."""

    type: Literal["session.update"]
    session: dict[str, Any]


def _decoded(value: Any) -> Any:  # noqa: ANN401 - raw JSON
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("expected valid Base64") from error


Base64 = Annotated[bytes, BeforeValidator(_decoded)]


class Append(_Event):
    """Audio for the input buffer."""

    type: Literal["input_audio_buffer.append"]
    audio: Base64


class Commit(_Event):
    """Makes a user message of the input buffer."""

    type: Literal["input_audio_buffer.commit"]


class Clear(_Event):
    """Empties the input buffer."""

    type: Literal["input_audio_buffer.clear"]


class ItemCreate(_Event):
    """Adds an item to the conversation."""

    type: Literal["conversation.item.create"]
    item: NewItem
    previous_item_id: str | None = None


class ItemRetrieve(_Event):
    """Asks for an item with its audio."""

    type: Literal["conversation.item.retrieve"]
    item_id: str


class ItemDelete(_Event):
    """Removes an item."""

    type: Literal["conversation.item.delete"]
    item_id: str


class ItemTruncate(_Event):
    """Cuts what the assistant said to what was played of it."""

    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: int
    audio_end_ms: Annotated[int, Field(ge=0)]


class ResponseCreate(_Event):
    """Asks for a response."""

    type: Literal["response.create"]
    response: ResponseParameters | None = None


class ResponseCancel(_Event):
    """Stops a response."""

    type: Literal["response.cancel"]
    response_id: str | None = None


ClientEvent = (
    SessionUpdate
    | Append
    | Commit
    | Clear
    | ItemCreate
    | ItemRetrieve
    | ItemDelete
    | ItemTruncate
    | ResponseCreate
    | ResponseCancel
)
_EVENTS: Final[dict[str, type[ClientEvent]]] = {
    kind.model_fields["type"].annotation.__args__[0]: kind for kind in ClientEvent.__args__
}

Model = TypeVar("Model", bound=BaseModel)


def parse(text: str) -> ClientEvent:
    """Return the client event in a websocket message.

    Raises:
        RequestError: It is no JSON object, of no known type, or has wrong fields.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise RequestError("invalid_json", f"The event is not valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise RequestError("invalid_type", "The event must be a JSON object.")
    event_id = data.get("event_id") if isinstance(data.get("event_id"), str) else None
    kind = _EVENTS.get(data["type"]) if isinstance(data.get("type"), str) else None
    if kind is None:
        raise _unknown_event(data, event_id)
    return check(kind, data, event_id=event_id)


def _unknown_event(data: dict[str, Any], event_id: str | None) -> RequestError:
    if "type" not in data:
        return RequestError(
            "missing_required_parameter", "Missing required parameter: 'type'.", "type", event_id
        )
    supported = ", ".join(repr(name) for name in sorted(_EVENTS))
    message = f"Invalid value: {data['type']!r}. Supported values are: {supported}."
    return RequestError("invalid_value", message, "type", event_id)


def check(model: type[Model], data: Any, at: str = "", event_id: str | None = None) -> Model:  # noqa: ANN401 - raw JSON
    """Return ``data``, which stands at the path ``at`` of an event, as a ``model``.

    Raises:
        RequestError: It does not fit; the first problem, in the API's words.
    """
    try:
        return TypeAdapter(model).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = _path(first["loc"], data, at)
        code, message = _explain(dict(first), param)
        raise RequestError(code, message, param, event_id) from error


def _path(location: tuple[int | str, ...], data: Any, at: str) -> str:  # noqa: ANN401 - raw JSON
    """Return the JSON path of a pydantic location, without the tags of unions in it."""
    path, node = at, data
    for place, part in enumerate(location):
        known = part in node if isinstance(node, dict) else isinstance(part, int)
        if not known and place < len(location) - 1:
            continue
        if isinstance(node, (dict, list)):
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
            node = node[part] if known else None  # type: ignore[index] # str for dicts, int for lists
    return path.lstrip(".")


def _explain(error: dict[str, Any], param: str) -> tuple[str, str]:
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind == "missing":
        return "missing_required_parameter", f"Missing required parameter: '{param}'."
    if kind == "extra_forbidden":
        return "unknown_parameter", f"Unknown parameter: '{param}'."
    if kind == "literal_error":
        expected = context["expected"].replace(" or ", ", ")
        message = f"Invalid value: {error['input']!r}. Supported values are: {expected}."
        return "invalid_value", message
    code = "invalid_type" if kind.endswith("_type") else "invalid_value"
    return code, f"Invalid value for '{param}': {error['msg']}."


#: Objects that an update replaces whole: merging them would mix two formats or voices.
_WHOLE: Final = frozenset({"format", "transcription", "noise_reduction", "turn_detection", "voice"})


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return ``old`` with what ``new`` says; objects are merged key by key."""
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(old.get(key), dict) and key not in _WHOLE
        merged[key] = merge(old[key], value) if both else value
    return merged


def audio_format(wire: PcmFormat | G711Format) -> AudioFormat:
    """Return the codec of a session's format object."""
    fmt = AudioFormat.from_wire(wire.type)
    if fmt is None:
        raise AssertionError(f"{wire.type} passed the schema and is no audio format")
    return fmt
