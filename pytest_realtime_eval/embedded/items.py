"""A session's conversation: its items in order, with their audio and what was heard in it."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_realtime_eval.embedded.requests import RequestError
from pytest_realtime_eval.embedded.usage import (
    input_audio_tokens,
    output_audio_tokens,
    text_tokens,
)
from pytest_realtime_eval.realtime.audio import decode, duration_ms

if TYPE_CHECKING:
    import asyncio

    from pytest_realtime_eval.realtime.audio import AudioFormat

__all__ = ["Clip", "Conversation", "Item", "new_id"]


def new_id(prefix: str) -> str:
    """Return an id such as ``item_2f…``."""
    return f"{prefix}_{secrets.token_hex(10)}"


@dataclass(frozen=True)
class Clip:
    """Audio as it stood on the wire."""

    data: bytes
    format: AudioFormat
    rate_hz: int

    @property
    def milliseconds(self) -> float:
        """How long it lasts."""
        return duration_ms(self.data, self.format, self.rate_hz)

    @property
    def pcm16(self) -> bytes:
        """It as linear samples, at the same rate."""
        return decode(self.data, self.format)


@dataclass
class Item:
    """One item.

    Attributes:
        data: The item as clients see it, without audio.
        clips: The audio of its content parts, by their index.
        hearing: What the ear makes of user audio, by content index.
    """

    data: dict[str, Any]
    clips: dict[int, Clip] = field(default_factory=dict)
    hearing: dict[int, asyncio.Task[str]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.data["id"])

    async def understood(self) -> dict[str, Any]:
        """Return the item with the transcript of everything that was heard."""
        if not self.hearing:
            return self.data
        content = [dict(part) for part in self.data["content"]]
        for index, heard in self.hearing.items():
            content[index]["transcript"] = await heard
        return {**self.data, "content": content}

    def with_audio(self) -> dict[str, Any]:
        """Return the item with its audio, as ``conversation.item.retrieve`` asks for it."""
        if not self.clips:
            return self.data
        content = [dict(part) for part in self.data["content"]]
        for index, clip in self.clips.items():
            content[index]["audio"] = base64.b64encode(clip.data).decode()
        return {**self.data, "content": content}

    def tokens(self) -> tuple[int, int]:
        """Return the text and audio tokens that it costs as input."""
        if self.data["type"] != "message":
            spoken = f"{self.data.get('name', '')}{self.data.get('arguments', '')}"
            return text_tokens(spoken or str(self.data.get("output", ""))), 0
        count = output_audio_tokens if self.data["role"] == "assistant" else input_audio_tokens
        audio = sum(count(clip.milliseconds) for clip in self.clips.values())
        written = (part.get("text") or "" for part in self.data["content"])
        return sum(text_tokens(text) for text in written), audio


class Conversation:
    """The items that responses build on, in order."""

    def __init__(self) -> None:
        self.id = new_id("conv")
        self._items: dict[str, Item] = {}
        self._order: list[str] = []

    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator of items
        return iter([self._items[item_id] for item_id in self._order])

    @property
    def last_id(self) -> str | None:
        """The id of the newest item."""
        return self._order[-1] if self._order else None

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Insert an item; return the id of the one before it.

        Args:
            item: The new item.
            after: The id of the item before it; ``"root"`` for the beginning, ``None``
                for the end.

        Raises:
            RequestError: There is no item ``after``, or the id is taken.
        """
        if item.id in self._items:
            message = f"Error adding item: an item with the ID '{item.id}' already exists."
            raise RequestError("item_create_duplicate_item_id", message, "item.id")
        place = self._place(after)
        self._items[item.id] = item
        self._order.insert(place, item.id)
        return self._order[place - 1] if place else None

    def before(self, item_id: str) -> str | None:
        """Return the id of the item before this one."""
        place = self._order.index(item_id)
        return self._order[place - 1] if place else None

    def get(self, item_id: str, purpose: str) -> Item:
        """Return the item of that id.

        Raises:
            RequestError: There is none; its code names the ``purpose``.
        """
        if item_id not in self._items:
            raise RequestError(
                f"item_{purpose}_invalid_item_id",
                f"Error handling the item: the item with the ID '{item_id}' does not exist.",
                "item_id",
            )
        return self._items[item_id]

    def has(self, item_id: str) -> bool:
        """Whether the item is (still) there."""
        return item_id in self._items

    def remove(self, item_id: str) -> None:
        """Delete an item.

        Raises:
            RequestError: There is none of that id.
        """
        self.get(item_id, "delete")
        del self._items[item_id]
        self._order.remove(item_id)

    def has_call(self, call_id: str) -> bool:
        """Whether the assistant made that call."""
        return any(
            item.data["type"] == "function_call" and item.data.get("call_id") == call_id
            for item in self
        )

    def _place(self, after: str | None) -> int:
        if after is None:
            return len(self._order)
        if after == "root":
            return 0
        if after not in self._items:
            message = f"Previous item with ID '{after}' not found in conversation."
            raise RequestError("item_create_invalid_previous_item_id", message, "previous_item_id")
        return self._order.index(after) + 1
