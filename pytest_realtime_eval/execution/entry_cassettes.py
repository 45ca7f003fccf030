"""Recordings of translations: one file for each dataset, whatever processes write to it.

While it is recorded, lines are appended as translations arrive, so a run that breaks keeps
what it paid for; the last line about an entry counts. When a process is done it puts the
file in order: entries as the dataset has them, each once.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import CassetteError
from pytest_realtime_eval.execution.cassettes import FOLDER, SCHEMA
from pytest_realtime_eval.execution.content_key import changes, content_key, request_content
from pytest_realtime_eval.realtime.scrub import redact
from pytest_realtime_eval.text.cassette import (
    read_lines,
    reply_from,
    reply_json,
    to_line,
    with_prompts,
    write_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from filelock import BaseFileLock

    from pytest_realtime_eval.execution.cassettes import CassetteMode
    from pytest_realtime_eval.schemas.dataset import Dataset, Entry
    from pytest_realtime_eval.text.request import TextReply
    from pytest_realtime_eval.text.sources import TextSource

__all__ = ["DatasetCassette", "DeferredSource", "EntrySource", "Sampling"]

_DATASET: Final = "dataset"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is asked, as far as it shapes what it answers."""

    temperature: float | None
    max_tokens: int | None


class DatasetCassette:
    """The recording of a dataset in this process.

    Args:
        dataset: Its entries' order is the file's.
        path: The dataset's file.
        mode: What is recorded, and what is replayed.
        meeting_place: Where the processes of the run lock each other out, away from users'
            files.
    """

    def __init__(
        self, dataset: Dataset, path: Path, mode: CassetteMode, meeting_place: Path
    ) -> None:
        self.path: Final = path.parent / FOLDER / f"{dataset.id}.jsonl"
        self.mode: Final = mode
        self._dataset = dataset
        self._meeting_place = meeting_place
        self._guard = threading.Lock()
        self._entries: dict[str, dict[str, Any]] | None = None
        self._has_written = False

    def recorded(self, entry_id: str) -> dict[str, Any] | None:
        """Return the recorded request and reply of an entry. Reads the file, once.

        Raises:
            CassetteError: The file is damaged, or of another version.
        """
        with self._guard:
            if self._entries is None:
                self._entries = self._read()
            return self._entries.get(entry_id)

    def keep(self, entry_id: str, request: dict[str, Any], reply: TextReply) -> None:
        """Append a translation."""
        line = {
            "entry": entry_id,
            "content_key": content_key(request),
            **request,
            "reply": reply_json(reply),
        }
        with self._guard, self._lock():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self.path.exists()
            with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                if is_new:
                    file.write(to_line(self._header()))
                file.writelines(map(to_line, with_prompts([line])))
            self._has_written = True

    def put_in_order(self) -> None:
        """Write each entry once and in the dataset's order, if this process wrote any."""
        if not self._has_written:
            return
        order = {entry.id: index for index, entry in enumerate(self._dataset.entries)}
        with self._guard, self._lock():
            # What is no longer in the dataset goes.
            known = [line for id_, line in self._read().items() if id_ in order]
            known.sort(key=lambda line: order[line["entry"]])
            write_lines(self.path, [self._header(), *with_prompts(known)])

    def _header(self) -> dict[str, Any]:
        return {"schema": SCHEMA, _DATASET: self._dataset.id}

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.path.exists():
            return {}
        found = {}
        for line in read_lines(self.path):
            if _DATASET in line and line.get("schema") != SCHEMA:
                raise CassetteError(
                    f"{self.path}: the recording has schema {line.get('schema')}, and this "
                    f"version reads {SCHEMA}; remove it and record it anew"
                )
            if "entry" in line:
                found[line["entry"]] = line
        return found

    def _lock(self) -> BaseFileLock:
        from filelock import FileLock

        self._meeting_place.mkdir(parents=True, exist_ok=True)
        return FileLock(self._meeting_place / "cassettes.lock")


@dataclass(frozen=True, slots=True)
class EntrySource:
    """Translates one entry: from its recording, or by the source, which is recorded."""

    source: TextSource
    cassette: DatasetCassette
    entry: Entry
    sampling: Sampling

    @property
    def slug(self) -> str:
        """What the run card calls the model."""
        return self.source.slug

    @property
    def provider(self) -> str:
        """What the run card calls the provider."""
        return self.source.provider

    async def aclose(self) -> None:
        """Leave the source to whoever made it."""

    async def is_replayed(self, text: str, system: str) -> bool:
        """Return whether the recording answers.

        Raises:
            CassetteError: It should, and cannot.
        """
        mode = self.cassette.mode
        if mode.record == "all":
            return False
        recorded = await asyncio.to_thread(self.cassette.recorded, self.entry.id)
        where = f"{self.cassette.path}, entry {self.entry.id!r}"
        if recorded is None:
            if mode.replay:
                raise CassetteError(
                    f"{where}: there is no recording; --eval-record new records what is missing"
                )
            return False
        request = self._request(text, system)
        changed = changes({name: recorded.get(name) for name in request}, request)
        if changed and mode.record != "new":
            raise CassetteError(
                f"{where}: the recording is of something else: {'; '.join(changed)}. "
                "--eval-record new records anew what no longer fits"
            )
        return not changed

    async def translate(self, text: str, system: str) -> TextReply:
        """Return the recorded translation, or the source's.

        Raises:
            CassetteError: There is no recording that fits, and none is to be made.
            InfraError: None could be had.
        """
        if await self.is_replayed(text, system):
            return await self._replayed()
        reply = await self.source.translate(text, system)
        if reply.text.strip():
            await asyncio.to_thread(
                self.cassette.keep, self.entry.id, self._request(text, system), reply
            )
        return reply

    async def _replayed(self) -> TextReply:
        recorded = self.cassette.recorded(self.entry.id)
        reply = reply_from((recorded or {})["reply"])
        if self.cassette.mode.pace == "recorded":
            await asyncio.sleep(reply.latency_s)
        return replace(reply, replay=self.cassette.mode.pace)

    def _request(self, text: str, system: str) -> dict[str, Any]:
        sampling = self.sampling
        content: dict[str, Any] = redact(
            request_content(text, system, self.slug, sampling.temperature, sampling.max_tokens)
        )
        return content


class DeferredSource:
    """A source that is opened when the first text is to be translated."""

    def __init__(self, slug: str, open_: Callable[[], TextSource]) -> None:
        self.slug: Final = slug
        self._open = open_
        self._guard = threading.Lock()
        self._opened: TextSource | None = None

    @property
    def provider(self) -> str:
        """What the run card calls the provider; as far as the model's name tells."""
        opened = self._opened
        return self.slug.partition("/")[0].partition(":")[0] if opened is None else opened.provider

    async def translate(self, text: str, system: str) -> TextReply:
        """Open the source, if it is not, and let it translate."""
        source = await asyncio.to_thread(self._source)
        return await source.translate(text, system)

    def _source(self) -> TextSource:
        with self._guard:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    async def aclose(self) -> None:
        """Free what was opened."""
        if self._opened is not None:
            await self._opened.aclose()
