"""What every schema shares: strict keys, free extensions, errors that name the place."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pytest_realtime_eval.exceptions import FileError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails


class Record(BaseModel):
    """A frozen value that the project itself makes and reads back."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Document(BaseModel):
    """An object in a file that users write.

    Unknown keys are errors, so that a misspelt key never goes unnoticed. ``x-…`` keys,
    ``$schema`` and ``metadata`` are free for users and for their editors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metadata: Any = None

    @model_validator(mode="before")
    @classmethod
    def _drop_free_keys(cls, data: Any) -> Any:  # noqa: ANN401 - raw JSON
        if not isinstance(data, Mapping):
            return data
        return {k: v for k, v in data.items() if not str(k).startswith(("x-", "$schema"))}


DocumentT = TypeVar("DocumentT", bound=BaseModel)


def read_json(path: Path) -> Any:  # noqa: ANN401 - raw JSON
    """Parse a JSON file.

    Raises:
        FileError: It cannot be read, is not UTF-8, or is not JSON; with line and column.
    """
    return parse_json(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Return the file's bytes.

    Raises:
        FileError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from error


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have names none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_text(path: Path) -> str:
    """Return the file's text.

    Raises:
        FileError: It cannot be read, or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(path, f"is not UTF-8 ({error.reason})", f"byte {error.start}") from error


def parse_json(content: bytes, path: Path) -> Any:  # noqa: ANN401 - raw JSON
    """Parse the bytes of the JSON file at ``path``; errors as in `read_json`."""
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_refuse_duplicate_keys,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise FileError(path, f"is not UTF-8 ({error.reason})", f"byte {error.start}") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise FileError(path, f"is not valid JSON: {error.msg}", place) from error
    except RecursionError as error:
        raise FileError(path, "is nested too deeply to be read") from error
    except ValueError as error:
        raise FileError(path, f"is not valid JSON: {error}") from error


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def validate(model: type[DocumentT], data: object, path: Path) -> DocumentT:
    """Validate parsed JSON against a schema.

    Raises:
        FileError: It does not fit; names the file, the JSON path and, for an unknown
            key, the nearest known one. Several problems stand in one message.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_describe(model, details) for details in error.errors(include_url=False)]
        (place, problem), *rest = problems
        also = "".join(f"\n  also {where}: {what}" for where, what in rest)
        raise FileError(path, problem + also, place) from error


def _describe(model: type[BaseModel], details: ErrorDetails) -> tuple[str, str]:
    place = json_path(details["loc"])
    if details["type"] == "extra_forbidden":
        key = str(details["loc"][-1])
        near = difflib.get_close_matches(key, _known_keys(model, details["loc"][:-1]), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; `x-…` keys and `metadata` are free"
        return place, f"unknown key {key!r}{hint}"
    if details["type"] == "missing":
        return place, "is required and missing"
    message = details["msg"].removeprefix("Value error, ")
    given = details["input"]
    shown = "" if isinstance(given, dict | list) else f" (it is {_shorten(repr(given))})"
    return place, f"{message}{shown}"


def _shorten(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def json_path(location: tuple[int | str, ...]) -> str:
    """Write a pydantic location as a JSON path: ``$.graders.turn_level[0].id``.

    Tags of discriminated unions (marked with ``@``) are no part of the file.
    """
    path = "$"
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith("@"):
            path += f".{part}"
    return path


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the object at ``location`` may have."""
    models = [model]
    for part in location:
        if isinstance(part, int) or part.startswith("@"):
            continue
        models = [
            nested
            for owner in models
            if part in owner.model_fields
            for nested in _models_in(owner.model_fields[part].annotation)
        ]
    return sorted({key for owner in models for key in owner.model_fields})


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
