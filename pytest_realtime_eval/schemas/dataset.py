"""Datasets: sources and references to translate, in the three shapes that are in use.

The shapes differ in their header (``dataset`` or ``corpus_id``) and in how an entry spells
its keys (``index`` or ``id``, ``source_text`` or ``source``, ``target_expected`` or
``reference``). Entries are plain dataclasses checked in one pass, since a dataset of ten
thousand entries is read at every collection.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import ConfigurationError, FileError
from pytest_realtime_eval.schemas.document import parse_json, read_bytes
from pytest_realtime_eval.schemas.simulation import safe_name
from pytest_realtime_eval.thresholds import parse_thresholds

if TYPE_CHECKING:
    from pathlib import Path

#: Problems that one message lists; a file in the wrong shape has one for each entry.
_SHOWN_PROBLEMS: Final = 10
_PAIR: Final = re.compile(r"^\s*(\w+)\s*(?:[→↔>\u2013\-_/:]|->)\s*(\w+)\s*$")
_CORE_KEYS: Final = frozenset(
    {"id", "index", "source", "source_text", "reference", "target_expected", "difficulty"}
)


class _UnusableError(Exception):
    """What is wrong with an entry; collected, so that one message tells all."""


@dataclass(slots=True)
class Entry:
    """One source and its reference.

    Attributes:
        id: Unique in its dataset; the item's name in pytest.
        difficulty: A label such as ``easy`` or ``3``; empty when the file has none.
        provenance: Where it comes from; an object's ``source_name``; empty when unknown.
        metadata: All other keys of the entry, as the file has them.
        written_id, written_difficulty: As the file spells them, numbers included; run
            cards repeat them so.
    """

    id: str
    source: str
    reference: str
    difficulty: str
    provenance: str
    metadata: dict[str, Any]
    written_id: str | int
    written_difficulty: str | int | float | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset file.

    Attributes:
        language_pair: As the file writes it, or ``source→target``.
        source_language, target_language: Names where the file has them, else codes.
        sha256: Of the file's bytes.
        thresholds: What the dataset, or each of its entries, must reach.
    """

    path: Path
    id: str
    version: str
    language_pair: str
    source_language: str
    target_language: str
    sha256: str
    entries: tuple[Entry, ...]
    header: dict[str, Any] = field(repr=False)
    thresholds: tuple[str, ...] = ()

    def entry(self, entry_id: str) -> Entry:
        """Return the entry with this id.

        Raises:
            KeyError: There is none.
        """
        for entry in self.entries:
            if entry.id == entry_id:
                return entry
        raise KeyError(entry_id)


def may_be_dataset(content: bytes) -> bool:
    """Tell from a JSON file's bytes, without parsing them, whether it could be a dataset."""
    return b'"entries"' in content


def is_dataset(data: object) -> bool:
    """Tell whether parsed JSON is meant to be a dataset, valid or not."""
    return isinstance(data, Mapping) and "entries" in data


def load_dataset(path: Path) -> Dataset:
    """Read and check a dataset file.

    Raises:
        FileError: It cannot be read, or does not fit one of the three shapes; names the
            entry. Several problems stand in one message.
    """
    content = read_bytes(path)
    return parse_dataset(parse_json(content, path), content, path)


def parse_dataset(data: object, content: bytes, path: Path) -> Dataset:
    """Check the parsed JSON of the file at ``path``, whose bytes are ``content``.

    Raises:
        FileError: As `load_dataset`.
    """
    if not isinstance(data, Mapping):
        raise FileError(path, "must hold a JSON object", "$")
    header = _header(data, path)
    source_code, target_code, names = _languages(header.get("language_pair"), path)
    source = _text(header.get("source_language")) or names[0] or source_code
    target = _text(header.get("target_language")) or names[1] or target_code
    return Dataset(
        path=path,
        id=_dataset_id(header, path),
        version=_text(header.get("version")),
        language_pair=_pair_label(header.get("language_pair"), source, target),
        source_language=source,
        target_language=target,
        sha256=hashlib.sha256(content).hexdigest(),
        entries=_entries(data, header, path),
        header=header,
        thresholds=_thresholds(data.get("thresholds", header.get("thresholds")), path),
    )


def _thresholds(value: object, path: Path) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise FileError(
            path, "must be a list of conditions such as 'chrf_plus_plus>=40'", "$.thresholds"
        )
    try:
        parse_thresholds(value)
    except ConfigurationError as error:
        raise FileError(path, str(error), "$.thresholds") from error
    return tuple(value)


def _header(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if "corpus_id" in data:
        return {key: value for key, value in data.items() if key != "entries"}
    header = data.get("dataset")
    if isinstance(header, Mapping):
        return dict(header)
    problem = "needs a 'dataset' object with an 'id', or a 'corpus_id', beside its 'entries'"
    raise FileError(path, problem, "$.dataset" if "dataset" in data else "$")


def _dataset_id(header: Mapping[str, Any], path: Path) -> str:
    place = "$.corpus_id" if "corpus_id" in header else "$.dataset.id"
    name = _text(header.get("corpus_id") or header.get("id"))
    if not name:
        raise FileError(path, "is required and missing", place)
    try:
        return safe_name(name)
    except ValueError as error:
        raise FileError(path, f"{error} (it is {name!r})", place) from error


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, dict | list | bool) else str(value)


def _languages(pair: object, path: Path) -> tuple[str, str, tuple[str, str]]:
    """Return the codes of source and target, and their names if the pair holds them."""
    if isinstance(pair, Mapping):
        names = (_text(pair.get("source_name")), _text(pair.get("target_name")))
        return _text(pair.get("source")), _text(pair.get("target")), names
    if pair is not None and not isinstance(pair, str):
        raise FileError(path, "must be a string or an object", "$.language_pair")
    match = _PAIR.match(pair or "")
    return (match[1], match[2], ("", "")) if match else ("", "", ("", ""))


def _pair_label(pair: object, source: str, target: str) -> str:
    if isinstance(pair, str):
        return pair
    if isinstance(pair, Mapping):
        source = _text(pair.get("source")) or source
        target = _text(pair.get("target")) or target
    return f"{source}→{target}" if source and target else ""


def _entries(data: Mapping[str, Any], header: Mapping[str, Any], path: Path) -> tuple[Entry, ...]:
    raw = data.get("entries")
    if not isinstance(raw, list):
        raise FileError(path, "must be a list", "$.entries")
    if not raw:
        raise FileError(path, "holds no entries", "$.entries")
    problems: list[tuple[str, str]] = []
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    for index, item in enumerate(raw):
        try:
            entry = _entry(item)
        except _UnusableError as error:
            problems.append((_place(index, item), str(error)))
            continue
        if (first := seen.setdefault(entry.id, index)) != index:
            problem = f"the id {entry.id!r} is taken by $.entries[{first}]"
            problems.append((_place(index, item), problem))
        entries.append(entry)
    _check_count(data, header, len(raw), problems)
    _raise_problems(problems, path)
    return tuple(entries)


def _entry(item: object) -> Entry:
    """Check one entry.

    Raises:
        _UnusableError: What is wrong with it.
    """
    if not isinstance(item, dict):
        raise _UnusableError("must be a JSON object")
    written_id = item["id"] if "id" in item else item.get("index")
    entry_id = _entry_id(written_id)
    difficulty = item.get("difficulty")
    provenance = item.get("provenance")
    return Entry(
        id=entry_id,
        source=_sentence(item, "source", "source_text"),
        reference=_sentence(item, "reference", "target_expected"),
        difficulty=_label(difficulty, "difficulty"),
        provenance=_label(
            provenance.get("source_name") if isinstance(provenance, dict) else provenance,
            "provenance",
        ),
        metadata={key: item[key] for key in item if key not in _CORE_KEYS},
        written_id=written_id if isinstance(written_id, int) else entry_id,
        written_difficulty=difficulty,
    )


def _entry_id(value: object) -> str:
    if value is None:
        raise _UnusableError("needs an 'id' or an 'index'")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _UnusableError(f"'id' must be a string or a whole number (it is {value!r})")
    text = str(value)
    if not text.strip() or not text.isprintable():
        raise _UnusableError(f"'id' must be printable and not empty (it is {text!r})")
    return text


def _sentence(item: dict[str, Any], key: str, other: str) -> str:
    value = item[key] if key in item else item.get(other)
    if not isinstance(value, str):
        was = "missing" if value is None else f"not a string ({value!r:.80})"
        raise _UnusableError(f"'{key}' (or '{other}') is {was}")
    if not value.strip():
        raise _UnusableError(f"'{key if key in item else other}' is empty")
    if not value.isascii():
        _refuse_surrogates(value, key)
    return value


def _refuse_surrogates(value: str, key: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _UnusableError(f"{key!r} holds half a surrogate pair, which is no text") from error


def _label(value: object, key: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        raise _UnusableError(f"{key!r} must be a string or a number (it is {value!r:.80})")
    return str(value)


def _place(index: int, item: object) -> str:
    name = item.get("id", item.get("index")) if isinstance(item, dict) else None
    return f"$.entries[{index}]" + (f" (id {name!r:.60})" if name is not None else "")


def _check_count(
    data: Mapping[str, Any],
    header: Mapping[str, Any],
    count: int,
    problems: list[tuple[str, str]],
) -> None:
    declared = data.get("entry_count", header.get("entry_count"))
    if declared is not None and declared != count:
        problems.append(("$.entry_count", f"says {declared!r}, but there are {count} entries"))


def _raise_problems(problems: list[tuple[str, str]], path: Path) -> None:
    if not problems:
        return
    (place, problem), *rest = problems
    also = "".join(f"\n  also {where}: {what}" for where, what in rest[: _SHOWN_PROBLEMS - 1])
    more = len(rest) - _SHOWN_PROBLEMS + 1
    also += f"\n  and {more} more" if more > 0 else ""
    raise FileError(path, problem + also, place)
