"""Writing whole files or none: what a reader finds is never half of a table."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX: Final = ".tmp"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, as `replacing` does."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` that replaces it at the end, unless an error comes first.

    Its folder is made when it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=_SUFFIX)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        # mkstemp makes files that only their owner reads; results are there to be shared.
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove what `write_bytes` leaves in a folder, and below, when its process is killed."""
    for beside in folder.rglob(f".*{_SUFFIX}"):
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 as `write_bytes` does; lone surrogates, which models send, are escaped."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, value: object) -> None:
    """Write indented JSON; ``ValueError`` when it holds NaN or an infinity."""
    # A card of many entries as one text would take more memory than all their records.
    pieces = json.JSONEncoder(ensure_ascii=False, indent=2, allow_nan=False).iterencode(value)
    with (
        replacing(path) as file,
        TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="\n") as text,
    ):
        text.writelines(pieces)
        text.write("\n")


class LineFile:
    """A file to which whole lines are appended, or none: a full disk leaves no half of one.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._length = self._file.tell()

    def append(self, text: str) -> None:
        """Append lines, as `write_text` writes them.

        Raises:
            OSError: They could not be written; the file is as it was.
        """
        data = memoryview(text.encode("utf-8", errors="backslashreplace"))
        rest = data
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self._length)
            raise
        self._length += len(data)

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()
