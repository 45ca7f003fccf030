"""What a recording must not hold: credentials, and ids that a server gave.

Ids become names by kind and number (``resp_2``), so that two recordings of the same
conversation differ where the conversation does.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_realtime_eval.realtime.events import Event

__all__ = ["Pseudonyms", "redact", "redact_text"]

#: Keys and bearer tokens as they stand in texts. A digit is asked for, since what people
#: say must come through unchanged. Keys of no known form are known by their endpoint.
_CREDENTIAL: Final = re.compile(
    r"\b[spre]k-(?=[\w-]*\d)[\w-]{16,}|\bBearer\s+(?=\S*\d)[\w.~+/\-]{16,}=*", re.IGNORECASE
)
_SECRET_KEYS: Final = frozenset({"client_secret", "authorization", "api_key", "api-key"})
#: Differ with every session and mean nothing to whoever replays it.
_DROPPED: Final = frozenset({"event_id", "expires_at"})
#: Hold what users wrote; an "id" in there is theirs.
_OPAQUE: Final = frozenset({"metadata", "tools", "arguments", "output_schema"})
_PREFIX: Final = re.compile(r"([A-Za-z]+)_")


def redact_text(text: str) -> str:
    """Replace what looks like a credential."""
    return _CREDENTIAL.sub("***", text)


def redact(value: Any, clean: Callable[[str], str] = redact_text) -> Any:  # noqa: ANN401 - any JSON value
    """Return JSON with the credentials taken out of its texts."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {
            k: "***" if k.lower() in _SECRET_KEYS and v else redact(v, clean)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [redact(item, clean) for item in value]
    return value


class Pseudonyms:
    """The names that one session's ids are given, in the order in which they turn up."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._originals: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def of(self, identifier: str, kind: str = "id") -> str:
        """Return the name of an id, the same each time."""
        if identifier not in self._names:
            found = _PREFIX.match(identifier)
            prefix = found[1].lower() if found else kind
            self._counts[prefix] += 1
            name = f"{prefix}_{self._counts[prefix]}"
            self._names[identifier], self._originals[name] = name, identifier
        return self._names[identifier]

    def scrub(self, event: Event) -> Event:
        """Return a server's event under the names."""
        scrubbed: Event = self._walk(event, self.of)
        return scrubbed

    def known(self, event: Event) -> Event:
        """Return an event of ours in which the ids that the server gave have their names."""
        named: Event = self._walk(event, lambda value, _kind: self._names.get(value, value))
        return named

    def name_calls(self, event: Event) -> Event:
        """Return a server's event in which only the ids of function calls have their names.

        Only those reach a transcript: with them renamed while it is recorded, a replay
        leaves the same one.
        """
        named: Event = _calls(event, self.of)
        return named

    def restore_calls(self, event: Event) -> Event:
        """Return an event of ours with the call ids that the server gave."""
        restored: Event = _calls(event, lambda value, _kind: self._originals.get(value, value))
        return restored

    def _walk(self, value: Any, rename: Callable[[str, str], str]) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, list):
            return [self._walk(item, rename) for item in value]
        if not isinstance(value, dict):
            return value
        renamed = {}
        for key, held in value.items():
            if key in _OPAQUE:
                renamed[key] = held
            elif key not in _DROPPED:
                is_id = isinstance(held, str) and held and (key == "id" or key.endswith("_id"))
                kind = key.removesuffix("_id")
                renamed[key] = rename(held, kind) if is_id else self._walk(held, rename)
        return renamed


def _calls(value: Any, rename: Callable[[str, str], str]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_calls(item, rename) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: rename(held, "call")
        if key == "call_id" and isinstance(held, str) and held
        else held
        if key in _OPAQUE
        else _calls(held, rename)
        for key, held in value.items()
    }
