from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.schemas.dataset import load_dataset, parse_dataset
from pytest_realtime_eval.schemas.json_schema import (
    SCHEMAS,
    dataset_schema,
    simulation_schema,
    tools_schema,
)
from pytest_realtime_eval.schemas.simulation import Simulation
from pytest_realtime_eval.schemas.tools import validate_tools

ROOT = Path(__file__).parents[2]
SIMULATION: dict[str, Any] = {
    "simulation_id": "sim_x",
    "turns": {"fixed_first_user_turn": "Hello"},
    "tool_mocks": [{"name": "t", "output": None}],
    "expected_tool_call": {"name": "t", "arguments": {"a": 1}},
    "graders": {"turn_level": [{"id": "g", "criteria": "It is kind."}]},
}
DATASET: dict[str, Any] = {
    "dataset": {"id": "d"},
    "entries": [{"id": "1", "source": "one", "reference": "uno"}],
}


def files(pattern: str) -> list[Path]:
    found = sorted(ROOT.glob(pattern))
    assert found
    return found


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name]())


def test_what_is_shipped_fits() -> None:
    for schema, pattern in (
        (simulation_schema(), "evals/simulations/sim_*.json"),
        (dataset_schema(), "evals/datasets/*.json"),
        (dataset_schema(), "tests/data/datasets/*.json"),
        (tools_schema(), "evals/tools/*.json"),
    ):
        validator = Draft202012Validator(schema)
        for path in files(pattern):
            validator.validate(json.loads(path.read_text(encoding="utf-8")))


def changed(base: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    data = copy.deepcopy(base)
    at: Any = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("$schema",), "../schemas/simulation.schema.json"),
        (("x-owner",), {"team": "voice"}),
        (("turns", "x-note"), "free"),
        (("metadata",), [1, 2]),
        (("expected_tool_call",), {}),
        (("expected_tool_call",), None),
        (("expected_tool_call",), [{"name": "t"}]),
        (("graders", "turn_level", 0, "type"), "llm_as_judge"),
        (("audio",), {"input_format": "g711_ulaw", "sample_rate_hz": 8000}),
        (("tool_mocks", 0), {"name": "t", "error": "broken", "delay_ms": 5}),
    ],
)
def test_what_the_loader_takes_fits(path: tuple[Any, ...], value: object) -> None:
    data = changed(SIMULATION, path, value)
    Simulation.model_validate(data)
    Draft202012Validator(simulation_schema()).validate(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tagz",), []),
        (("turns", "max_turn"), 3),
        (("turns", "max_turns"), 0),
        (("turns",), {}),
        (("audio",), {"input_format": "mp3"}),
        (("tool_mocks", 0), {"name": "t", "output": 1, "error": "both"}),
        (("tool_mocks", 0), {"name": "t"}),
        (("graders", "turn_level", 0), {"id": "g", "type": "mentions"}),
        (("graders", "turn_level", 0), {"id": "g", "type": "unheard_of"}),
        (("expected_tool_call",), {"name": "t", "argument": {}}),
    ],
)
def test_what_the_loader_refuses_does_not_fit(path: tuple[Any, ...], value: object) -> None:
    data = changed(SIMULATION, path, value)
    with pytest.raises(ValueError, match="validation error"):
        Simulation.model_validate(data)
    assert not Draft202012Validator(simulation_schema()).is_valid(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("entries",), []),
        (("entries", 0), {"id": "1", "source": "one"}),
        (("entries", 0, "source"), "  "),
        (("entries", 0, "id"), None),
        (("dataset",), {}),
        (("dataset", "language_pair"), 3),
    ],
)
def test_what_is_no_dataset_does_not_fit(path: tuple[Any, ...], value: object) -> None:
    data = changed(DATASET, path, value)
    with pytest.raises(FileError):
        parse_dataset(data, b"", Path("d.json"))
    assert not Draft202012Validator(dataset_schema()).is_valid(data)


@pytest.mark.parametrize("header", [{"dataset": {"id": "d"}}, {"corpus_id": "d"}])
def test_a_dataset_may_name_its_schema(header: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    data = {"$schema": "x.json", **header, "entries": DATASET["entries"]}
    path.write_text(json.dumps(data))
    assert load_dataset(path).id == "d"
    Draft202012Validator(dataset_schema()).validate(data)


@pytest.mark.parametrize(
    "tools",
    [[{"name": "no spaces"}], [{"name": "t", "unknown": 1}], [{"description": "nameless"}], {}],
)
def test_what_is_no_tool_does_not_fit(tools: object) -> None:
    with pytest.raises(FileError):
        validate_tools(tools, Path("t.json"))
    assert not Draft202012Validator(tools_schema()).is_valid(tools)


def test_editors_are_told_what_keys_are_for() -> None:
    schema = simulation_schema()
    assert schema["properties"]["turns"]
    mock = schema["$defs"]["ToolMock"]["properties"]
    assert mock["when"]["description"].startswith("This mock answers only calls")
    turns = schema["$defs"]["TurnsSpec"]["properties"]
    assert "word for word" in turns["fixed_first_user_turn"]["description"]
    for part in schema["$defs"].values():
        assert "Attributes:" not in part["description"]
