"""JSON Schemas of the formats, for editors that complete and check while one types.

Those of simulations, records and run cards come from the pydantic models; the ones of
datasets and tools are written by hand, beside the checks that they describe. A schema can
be stricter than the loader (``"20"`` is no number to it), never more lenient on keys.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, TypeAdapter

from pytest_realtime_eval.schemas import simulation as sim
from pytest_realtime_eval.schemas.results import AnyRecord
from pytest_realtime_eval.schemas.run_card import RunCard, SimulationCard

if TYPE_CHECKING:
    from collections.abc import Callable

Schema = dict[str, Any]

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
#: Keys that `schemas.document.Document` leaves to users and their editors.
_FREE_KEYS: Final[Schema] = {"^(x-|\\$schema)": {}}

#: What editors show of a key; by model, for those that its docstring does not explain.
_EXPLAINED: Final[dict[type[BaseModel], dict[str, str]]] = {
    sim.Simulation: {
        "simulation_id": "The item's name in pytest, and of its files; default: the file's stem.",
        "scenario": "What the user is trying to do, in a sentence.",
        "tool_mocks": "What the tools return when the assistant calls them.",
        "expected_tool_call": "The call that is expected, or a list; empty or absent: none.",
        "tags": "Marks of the item: pytest -m TAG.",
        "thresholds": "What this simulation must reach, such as 'latency_first_audio_ms_p95<=900'.",
    },
    sim.AssistantSpec: {
        "model": "The realtime model under test.",
        "system_prompt_file": "Looked up beside the simulation, then below the rootdir and evals/.",
        "system_prompt": "In place of a file.",
        "tools_file": "Function tools: looked up as the prompt is.",
        "tools": "Function tools, in place of a file.",
    },
    sim.SimulatorSpec: {
        "system_prompt": "Persona, facts, rules, and when to say END_CALL.",
        "model": "The realtime model that plays the user.",
    },
    sim.AudioSpec: {
        "sample_rate_hz": "24000; 8000 for G.711.",
        "chunk_ms": "Length of the chunks that user audio is sent in; default 20.",
        "real_time": "Send audio at the pace of speech.",
    },
    sim.TurnsSpec: {
        "fixed_first_user_turn": "What the user says first, word for word.",
        "max_turns": "Turns at most; default 1.",
    },
}
_ATTRIBUTE: Final = re.compile(r"^    (?P<names>\w+(?:, \w+)*): (?P<text>.+(?:\n {8}.+)*)", re.M)


def simulation_schema() -> Schema:
    """Return the schema of ``sim_*.json``."""
    schema = _of_model(sim.Simulation)
    schema["required"].remove("simulation_id")
    defs, properties = schema["$defs"], schema["properties"]
    properties["$schema"] = {"type": "string", "description": "This schema, for editors."}
    call = {"$ref": "#/$defs/ExpectedToolCall"}
    properties["expected_tool_call"] |= {
        "anyOf": [
            call,
            {"type": "array", "items": call},
            {"type": "object", "maxProperties": 0},
            {"enum": [None, ""]},
        ]
    }
    for key in ("type", "items"):
        properties["expected_tool_call"].pop(key, None)
    defs["ToolMock"]["oneOf"] = _one_required("output", "outputs", "error")
    for name in ("MentionsGrader", "NotMentionsGrader"):
        defs[name]["anyOf"] = _one_required("values", "from_tool_output")
    return _titled(schema, "Simulation")


def _one_required(*names: str) -> list[Schema]:
    return [{"required": [name]} for name in names]


def _of_model(model: type[BaseModel]) -> Schema:
    schema = model.model_json_schema()
    parts = {model.__name__: schema, **schema.get("$defs", {})}
    for name, part in parts.items():
        if owner := getattr(sim, name, None):
            _explain(part, owner)
    return schema


def _explain(part: Schema, model: type[BaseModel]) -> None:
    """Say what each key is for, and let users' own keys in."""
    documentation = inspect.getdoc(model) or ""
    part["description"] = documentation.partition("\n\nAttributes:")[0].replace("``", "'")
    known = {**_attributes(documentation), **_EXPLAINED.get(model, {})}
    for name, value in part.get("properties", {}).items():
        value.pop("title", None)
        if name in known:
            value["description"] = known[name]
    part.get("properties", {}).get("metadata", {}).update(description="Free for users.")
    if part.get("additionalProperties") is False:
        part["patternProperties"] = _FREE_KEYS


def _attributes(documentation: str) -> dict[str, str]:
    """Return what a Google-style docstring says of its attributes."""
    section = documentation.partition("\n\nAttributes:\n")[2]
    return {
        name: " ".join(found["text"].split()).replace("``", "'")
        for found in _ATTRIBUTE.finditer(section)
        for name in found["names"].split(", ")
    }


def tools_schema() -> Schema:
    """Return the schema of a tools file: a list, or ``{"tools": […]}``."""
    tools = {"type": "array", "items": {"anyOf": [_TOOL, _NESTED_TOOL]}}
    schema: Schema = {
        "description": "Function tools, in the form of the Realtime API's session.tools.",
        "anyOf": [
            tools,
            {"type": "object", "properties": {"tools": tools}, "required": ["tools"]},
        ],
    }
    return _titled(schema, "Tools")


_TOOL: Final[Schema] = {
    "type": "object",
    "properties": {
        "type": {"const": "function"},
        "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        "description": {"type": "string", "description": "Tells the model when to call it."},
        "parameters": {
            "description": "A JSON Schema of the arguments.",
            "type": "object",
            "properties": {"type": {"const": "object"}, "properties": {"type": "object"}},
            "required": ["type"],
        },
        "strict": {"type": "boolean"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
_NESTED_TOOL: Final[Schema] = {
    "type": "object",
    "description": "The nested form of chat completions.",
    "properties": {"type": {"const": "function"}, "function": _TOOL},
    "required": ["function"],
}


def dataset_schema() -> Schema:
    """Return the schema of a dataset, in each of the three shapes that are in use."""
    header = {
        "version": {"type": ["string", "number"]},
        "language_pair": {
            "description": "'en-es', or an object with source and target.",
            "anyOf": [{"type": "string"}, _PAIR],
        },
        "source_language": {"type": "string"},
        "target_language": {"type": "string"},
        "entry_count": {"type": "integer", "minimum": 1},
        "thresholds": _THRESHOLDS,
    }
    name = {"type": "string", "minLength": 1, "maxLength": 120}
    described = {"type": "object", "properties": {"id": name, **header}, "required": ["id"]}
    schema: Schema = {
        "description": "Sources and references to translate.",
        "type": "object",
        "properties": {
            "$schema": {"type": "string", "description": "This schema, for editors."},
            "dataset": described,
            "corpus_id": name,
            **header,
            "entries": {"type": "array", "minItems": 1, "items": _ENTRY},
        },
        "required": ["entries"],
        "anyOf": _one_required("dataset", "corpus_id"),
    }
    return _titled(schema, "Dataset")


_PAIR: Final[Schema] = {
    "type": "object",
    "properties": {
        name: {"type": "string"} for name in ("source", "target", "source_name", "target_name")
    },
}
_THRESHOLDS: Final[Schema] = {
    "description": "What the dataset, or each of its entries, must reach: 'chrf_plus_plus>=40'.",
    "type": "array",
    "items": {"type": "string"},
}
_SENTENCE: Final[Schema] = {"type": "string", "minLength": 1, "pattern": "\\S"}
_ENTRY: Final[Schema] = {
    "type": "object",
    "properties": {
        "id": {"type": ["string", "integer"], "description": "Unique in its dataset."},
        "index": {"type": ["string", "integer"]},
        "source": _SENTENCE,
        "source_text": _SENTENCE,
        "reference": _SENTENCE,
        "target_expected": _SENTENCE,
        "difficulty": {"type": ["string", "number", "null"]},
        "provenance": {
            "description": "Where it comes from; scores are grouped by it.",
            "anyOf": [
                {"type": ["string", "number", "null"]},
                {"type": "object", "properties": {"source_name": {"type": ["string", "null"]}}},
            ],
        },
    },
    "allOf": [
        {"anyOf": _one_required("id", "index")},
        {"anyOf": _one_required("source", "source_text")},
        {"anyOf": _one_required("reference", "target_expected")},
    ],
}


def run_card_schema() -> Schema:
    """Return the schema of run cards, of datasets and of simulation suites."""
    adapter: TypeAdapter[Any] = TypeAdapter(SimulationCard | RunCard)
    return _titled(adapter.json_schema(), "Run card")


def record_schema() -> Schema:
    """Return the schema of a line of records.jsonl."""
    adapter: TypeAdapter[Any] = TypeAdapter(AnyRecord)
    return _titled(adapter.json_schema(mode="serialization"), "Record")


def _titled(schema: Schema, title: str) -> Schema:
    return {"$schema": _DRAFT, **schema, "title": title}


#: The schemas by the name of their format.
SCHEMAS: Final[dict[str, Callable[[], Schema]]] = {
    "simulation": simulation_schema,
    "dataset": dataset_schema,
    "tools": tools_schema,
    "run_card": run_card_schema,
    "record": record_schema,
}
#: Those of files that users write.
WRITTEN: Final = ("simulation", "dataset", "tools")
