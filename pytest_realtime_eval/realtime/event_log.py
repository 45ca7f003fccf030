"""The event log: every event in both directions, one JSON object a line.

Lines are collected on the event loop and written by a thread, a batch at a time: the
disk never stands in the way of a chunk's deadline, and memory holds a batch, not a
conversation.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, Final, Self

from pytest_realtime_eval.exceptions import StorageFailed

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from pytest_realtime_eval.realtime.events import Event

__all__ = ["LONGEST_STRING", "EventLog", "EventSource"]

#: Characters of a string that are kept.
LONGEST_STRING: Final = 400
#: Characters collected before a batch is written.
_BATCH: Final = 128 * 1024
#: How long a line waits for its batch at most, s: what a killed process loses.
_FLUSH_AFTER: Final = 1.0
#: Keys whose values are credentials wherever they stand.
_SECRET_KEYS: Final = frozenset({"client_secret"})

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)


class EventLog:
    """An event log that the sessions of one conversation share.

    Use it as an asynchronous context manager: leaving it writes what is left and closes
    the file.

    Attributes:
        path: JSON lines with ``type, source, turn_index, event_index, event_time_ms,
            event``; the index rises over all sources.
        turn_index: Set by the conversation; stands on every line from then on.
        started_at: Clock reading (`time.perf_counter`, s) from which ``event_time_ms`` counts.
    """

    def __init__(self, path: Path, *, started_at: float | None = None) -> None:
        self.path = path
        self.turn_index = 0
        self.started_at = time.perf_counter() if started_at is None else started_at
        self._event_index = 0
        self._lines: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        # Whether a batch became due while the last one was still being written.
        self._due = False
        self._file = _LineFile(path)
        self._closed = False

    def source(self, name: str) -> EventSource:
        """Return the view of one session, which puts ``name`` on its lines."""
        return EventSource(self, name)

    def write(self, source: str, kind: str, event_json: str, at: float) -> None:
        """Add a line; ``event_json`` is the event, already cut, as JSON without newlines."""
        if self._closed:
            return
        time_ms = (at - self.started_at) * 1000
        line = (
            f'{{"type":{_ENCODER.encode(kind)},"source":"{source}",'
            f'"turn_index":{self.turn_index},"event_index":{self._event_index},'
            f'"event_time_ms":{time_ms:.3f},"event":{event_json}}}\n'
        )
        self._event_index += 1
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _BATCH:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_AFTER, self._flush)

    async def aclose(self) -> None:
        """Write what is left and close the file; idempotent. See `failure`."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await asyncio.get_running_loop().run_in_executor(None, self._finish, self._take())

    @property
    def failure(self) -> StorageFailed | None:
        """Why the log is incomplete, if it is; whole lines stand in the file.

        It is not raised: what a conversation cost is worth more than its log.
        """
        error = self._file.error
        if error is None:
            return None
        problem = f"the event log is incomplete: {error.strerror or error}"
        return StorageFailed(OSError(error.errno, problem, str(self.path)))

    def _finish(self, lines: list[str]) -> None:
        self._file.write(lines)
        self._file.close()

    def _take(self) -> list[str]:
        lines, self._lines, self._size = self._lines, [], 0
        return lines

    def _flush(self) -> None:
        """Hand the batch to a thread, one batch at a time, so that lines keep their order."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed:
            return
        if self._writing is not None:
            self._due = True
            return
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(None, self._file.write, self._take())
        self._writing.add_done_callback(self._written)

    def _written(self, _done: asyncio.Future[None]) -> None:
        self._writing = None
        # Only then: handing each line that came meanwhile to a thread cost more than writing it.
        if self._due:
            self._due = False
            self._flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class EventSource:
    """One session's view of the log."""

    def __init__(self, log: EventLog, name: str) -> None:
        self._log = log
        self._name = name

    def sent_audio(self, audio_base64: bytes, at: float) -> None:
        """Log ``input_audio_buffer.append`` without building the event."""
        kept = audio_base64[:LONGEST_STRING].decode("ascii")
        audio = kept + _left_out(len(audio_base64) - len(kept))
        event = f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}'
        self._log.write(self._name, "input_audio_buffer.append", event, at)

    def event(self, event: Event, at: float, raw: str | None = None) -> None:
        """Log an event; ``raw`` is the text that it was parsed from.

        Short text goes in as it came: nothing in it can be too long.
        """
        line = _cut_delta(event, raw) if raw is not None and len(raw) > LONGEST_STRING else raw
        if line is None or "\n" in line or "\r" in line or "_secret" in line:
            line = _cut_json(event)
        self._log.write(self._name, event["type"], line, at)


class _LineFile:
    """A file that holds whole lines whatever happens; used by one thread at a time.

    Attributes:
        error: The first one; nothing is written after it.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._path = path
        self._descriptor: int | None = None
        self._length = 0

    def write(self, lines: list[str]) -> None:
        """Append the lines, all of them or none."""
        if self.error is not None:
            return
        # A lone surrogate has no UTF-8; its escape is valid inside a JSON string.
        data = "".join(lines).encode("utf-8", "backslashreplace")
        try:
            self._append(data)
        except OSError as error:
            self.error = error
            self._drop_partial()

    def close(self) -> None:
        if self._descriptor is None:
            return
        try:
            os.close(self._descriptor)
        except OSError as error:
            self.error = self.error or error
        self._descriptor = None

    def _append(self, data: bytes) -> None:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self._path, flags, 0o644)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._length += len(data)

    def _drop_partial(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._length)


def _cut_delta(event: Event, raw: str) -> str | None:
    """Cut the one long string of an audio delta out of its text; ``None`` if it is not alone.

    This spares half of all lines from being encoded again: 7 µs each.
    """
    delta = event.get("delta")
    if not isinstance(delta, str) or len(raw) - len(delta) > LONGEST_STRING:
        return None
    left_out = len(delta) - LONGEST_STRING
    start = raw.find('"', raw.find('"delta":') + len('"delta":')) + 1
    end = start + len(delta)
    # Without escapes the text holds the string as it is, if it is the string.
    if left_out <= 0 or "\\" in raw or raw[start:end] != delta:
        return None
    return f"{raw[: start + LONGEST_STRING]}{_left_out(left_out)}{raw[end:]}"


def _cut_json(event: Event) -> str:
    try:
        return _ENCODER.encode(_cut(event))
    except RecursionError:
        return '{"type":"harness.unloggable","reason":"nested too deeply"}'


def _cut(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value with long strings cut and credentials blanked."""
    if isinstance(value, str):
        if len(value) <= LONGEST_STRING:
            return value
        return value[:LONGEST_STRING] + _left_out(len(value) - LONGEST_STRING)
    if isinstance(value, dict):
        return {k: "***" if k in _SECRET_KEYS and v else _cut(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    return value


def _left_out(count: int) -> str:
    return f"… [{count} more characters]" if count > 0 else ""
