from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.schemas.tools import validate_tools

PATH = Path("tools.json")
PARAMETERS = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "find_it-2",
    "description": "Finds it.",
    "parameters": PARAMETERS,
}


def test_a_tool_is_kept_as_it_is() -> None:
    assert validate_tools([TOOL], PATH) == (TOOL,)


def test_the_nested_form_and_a_file_of_tools_are_taken_too() -> None:
    nested = {"type": "function", "function": {k: v for k, v in TOOL.items() if k != "type"}}
    assert validate_tools({"tools": [nested]}, PATH) == (TOOL,)


def test_what_may_be_left_out_is_filled_in() -> None:
    (tool,) = validate_tools([{"name": "ping"}], PATH)
    assert tool == {
        "type": "function",
        "name": "ping",
        "parameters": {"type": "object", "properties": {}},
    }


@pytest.mark.parametrize(
    ("tools", "place", "message"),
    [
        ({}, "$", "must hold a list"),
        ("find", "$", "must hold a list"),
        ({"tools": {}}, "$.tools", "must hold a list"),
        ([1], "$[0]", "must be an object"),
        ([{}], "$[0].name", "is required"),
        ([{"name": "two words"}], "$[0].name", "letters, digits"),
        ([{"name": "a" * 65}], "$[0].name", "at most 64"),
        ([{"name": "a\n"}], "$[0].name", "letters, digits"),
        ([{"name": "a", "type": "mcp"}], "$[0]", "only tools of type 'function' (it is 'mcp')"),
        ([{"name": "a", "params": {}}], "$[0].params", "unknown key 'params'"),
        ([{"name": "a"}, {"name": "b"}, {"name": "a"}], "$[2].name", "'a' stands twice"),
        ([{"name": "a", "parameters": []}], "$[0].parameters", '"type": "object"'),
        ([{"name": "a", "parameters": {"type": "string"}}], "$[0].parameters", '"type": "object"'),
        (
            [{"name": "a", "parameters": {"type": "object", "properties": {"b": {"type": "int"}}}}],
            "$[0].parameters.properties.b.type",
            "is no valid JSON schema",
        ),
        (
            [{"name": "a", "parameters": {"type": "object", "required": ["b"]}}],
            "$[0].parameters.required",
            "requires 'b', which it does not define",
        ),
        ([{"function": {"name": ""}}], "$[0].function.name", "is required"),
    ],
)
def test_a_tool_that_is_none_is_named(tools: object, place: str, message: str) -> None:
    with pytest.raises(FileError) as caught:
        validate_tools(tools, PATH)
    assert caught.value.place == place
    assert message in caught.value.problem
