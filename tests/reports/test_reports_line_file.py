from __future__ import annotations

import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.reports.files import LineFile

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_are_there_as_soon_as_they_are_appended(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "new" / "lines")
    file.append("one\n")
    file.append("two: ö\n")
    assert (tmp_path / "new" / "lines").read_text(encoding="utf-8") == "one\ntwo: ö\n"
    file.close()
    file.close()


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("old\n")
    file = LineFile(tmp_path / "lines")
    file.append("new\n")
    file.close()
    assert (tmp_path / "lines").read_text() == "old\nnew\n"


def test_a_torn_surrogate_is_escaped(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "lines")
    file.append('{"text": "\ud800"}\n')
    file.close()
    assert (tmp_path / "lines").read_text() == '{"text": "\\ud800"}\n'


PROGRAM = f"""
import resource, signal, sys
from pathlib import Path
from pytest_realtime_eval.reports.files import LineFile

resource.setrlimit(resource.RLIMIT_FSIZE, (100, {resource.RLIM_INFINITY}))
file = LineFile(Path(sys.argv[1]))
file.append("a" * 59 + chr(10))
try:
    file.append("b" * 59 + chr(10))
except OSError as error:
    print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, ({resource.RLIM_INFINITY},) * 2)
file.append("c" * 59 + chr(10))
"""


def test_a_line_that_does_not_fit_leaves_no_half(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "lines")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert said.stdout.split() == ["27"]  # EFBIG
    lines = (tmp_path / "lines").read_text().splitlines()
    assert lines == ["a" * 59, "c" * 59]


def test_a_place_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        LineFile(tmp_path / "file" / "lines")
