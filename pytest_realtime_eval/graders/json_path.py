"""The part of JSON path (RFC 9535) that looks values up: no filters, no recursion.

``$`` is the whole value; ``.name`` and ``['name']`` enter an object, ``[0]`` and ``[-1]``
a list; ``.*`` and ``[*]`` enter all values of either.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find", "parse"]

_STEP: Final = re.compile(
    r"""\.(?P<name>[^\W\d][\w-]*) | \[\s*'(?P<single>[^']*)'\s*\] | \[\s*"(?P<double>[^"]*)"\s*\]
    | \[\s*(?P<index>-?\d+)\s*\] | (?P<all>\.\*|\[\s*\*\s*\])""",
    re.VERBOSE,
)

Step = str | int | None


def parse(path: str) -> list[Step]:
    """Return the steps of a path: a key, an index, or ``None`` for all.

    Raises:
        ConfigurationError: It is none, or more than this part of JSON path.
    """
    if not path.startswith("$"):
        raise ConfigurationError(f"the JSON path {path!r} must start with '$'")
    steps: list[Step] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise ConfigurationError(
                f"the JSON path {path!r} cannot be read from {path[at:]!r} on: steps are "
                ".name, ['name'], [0], [-1], .* and [*]"
            )
        steps.append(_step(found))
        at = found.end()
    return steps


def _step(found: re.Match[str]) -> Step:
    if found["all"]:
        return None
    if found["index"]:
        return int(found["index"])
    return found["name"] or found["single"] or found["double"] or ""


def find(path: str, value: object) -> list[Any]:
    """Return all values at ``path``; none when it leads nowhere."""
    found: list[Any] = [value]
    for step in parse(path):
        found = [inner for outer in found for inner in _enter(outer, step)]
    return found


def _enter(value: object, step: Step) -> Iterator[Any]:
    if isinstance(value, dict):
        if step is None:
            yield from value.values()
        elif isinstance(step, str) and step in value:
            yield value[step]
    elif isinstance(value, list):
        if step is None:
            yield from value
        elif isinstance(step, int) and -len(value) <= step < len(value):
            yield value[step]
