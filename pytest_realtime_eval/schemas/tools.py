"""Function tools, in the form of the Realtime API's ``session.tools``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import FileError

if TYPE_CHECKING:
    from pathlib import Path

#: https://platform.openai.com/docs/api-reference/realtime-sessions: function names.
_NAME: Final = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_KEYS: Final = {"type", "name", "description", "parameters", "strict"}


def validate_tools(data: object, path: Path, place: str = "$") -> tuple[dict[str, Any], ...]:
    """Return the tools if each is a valid function schema.

    The nested form of chat completions, ``{"type": "function", "function": {…}}``, and a
    file of the form ``{"tools": […]}`` are accepted too.

    Raises:
        FileError: One is not; names the file and the JSON path.
    """
    if isinstance(data, dict) and "tools" in data:
        data, place = data["tools"], f"{place}.tools"
    if not isinstance(data, list):
        raise FileError(path, "must hold a list of function tools", place)
    tools = tuple(_validate_tool(tool, path, f"{place}[{i}]") for i, tool in enumerate(data))
    names = [tool["name"] for tool in tools]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise FileError(path, f"a tool named {name!r} stands twice", f"{place}[{i}].name")
    return tools


def _validate_tool(tool: object, path: Path, place: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise FileError(path, "a tool must be an object", place)
    if isinstance(tool.get("function"), dict):
        tool, place = (
            {"type": tool.get("type", "function"), **tool["function"]},
            f"{place}.function",
        )
    if tool.get("type", "function") != "function":
        raise FileError(path, f"only tools of type 'function' (it is {tool['type']!r})", place)
    if not isinstance(tool.get("name"), str) or not _NAME.fullmatch(tool["name"]):
        problem = "is required: letters, digits, '_' and '-', at most 64 characters"
        raise FileError(path, problem, f"{place}.name")
    for key in tool.keys() - _KEYS:
        raise FileError(path, f"unknown key {key!r} of a function tool", f"{place}.{key}")
    parameters = tool.get("parameters", {"type": "object", "properties": {}})
    _check_parameters(parameters, path, f"{place}.parameters")
    return {**tool, "type": "function", "parameters": parameters}


def _check_parameters(schema: object, path: Path, place: str) -> None:
    from jsonschema import Draft202012Validator, SchemaError

    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise FileError(path, 'must be a JSON schema with "type": "object"', place)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
        problem = f"is no valid JSON schema: {error.message}"
        raise FileError(path, problem, place + where) from error
    missing = [
        name for name in schema.get("required", []) if name not in schema.get("properties", {})
    ]
    if missing:
        raise FileError(
            path, f"requires {missing[0]!r}, which it does not define", f"{place}.required"
        )
