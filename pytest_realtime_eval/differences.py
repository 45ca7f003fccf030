"""Where two JSON values differ, in words short enough for a message."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Characters of a value that a message shows.
_SHOWN: Final = 100
#: Characters shown before the place where two long texts part.
_LEAD: Final = 30


class Missing:
    """Stands for a field that one side does not have."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two JSON values differ.

    Attributes:
        path: JSON path, such as ``$.response.instructions``.
        before, after: The two values there; `MISSING` where a side has none.
    """

    path: str
    before: Any
    after: Any

    def shown(self) -> tuple[str, str]:
        """Return both values, cut to the part in which they differ."""
        before, after = _text(self.before), _text(self.after)
        same = next(
            (i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]),
            min(len(before), len(after)),
        )
        start = max(0, same - _LEAD) if max(len(before), len(after)) > _SHOWN else 0
        return _window(before, start), _window(after, start)


def _text(value: object) -> str:
    if isinstance(value, Missing):
        return repr(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _window(text: str, start: int) -> str:
    head = "…" if start else ""
    tail = "…" if len(text) > start + _SHOWN else ""
    return f"{head}{text[start : start + _SHOWN]}{tail}"


def differences(before: object, after: object, path: str = "$") -> Iterator[Difference]:
    """Yield where two JSON values differ, in the order of the first one's fields."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from differences(
                before.get(key, MISSING), after.get(key, MISSING), f"{path}.{key}"
            )
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            yield from differences(_item(before, index), _item(after, index), f"{path}[{index}]")
    elif before is not after and (
        before != after or isinstance(before, bool) != isinstance(after, bool)
    ):
        yield Difference(path, before, after)


def _item(values: list[Any], index: int) -> object:
    return values[index] if index < len(values) else MISSING
