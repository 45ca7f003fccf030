from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_realtime_eval.reports import files


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "summary.json"
    files.write_json(path, {"a": 1})
    files.write_json(path, {"b": "ü"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": "ü"}
    assert [child.name for child in path.parent.iterdir()] == ["summary.json"]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.csv"
    files.write_text(path, "old")

    def full(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "summary.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_lone_surrogates_do_not_lose_the_file(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "half \ud83d of a pair")
    assert (tmp_path / "a.txt").read_bytes() == b"half \\ud83d of a pair"


def test_others_may_read_the_file(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "")
    assert (tmp_path / "a.txt").stat().st_mode & 0o044 == 0o044
