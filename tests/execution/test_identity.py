from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.execution.identity import RunIdentity, check_writable, new_run
from pytest_realtime_eval.options import Options


def options(root: Path, **command_line: object) -> Options:
    return Options(root, command_line=command_line)


def test_a_run_is_named_by_its_utc_time_and_makes_no_folder(tmp_path: Path) -> None:
    run = new_run(options(tmp_path))
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z", run.run_id)
    assert run.folder == str(tmp_path / "results" / run.run_id)
    assert not (tmp_path / "results").exists()
    started = datetime.fromisoformat(run.started_at)
    assert datetime.now(UTC) - started < timedelta(seconds=10)
    assert run.started_at.endswith("Z")
    assert UUID(run.uid).version == 4
    assert run.controller_pid == os.getpid()


def test_a_run_named_is_that_folder(tmp_path: Path) -> None:
    run = new_run(options(tmp_path, run_name="friday 2", results_dir="out/runs"))
    assert run.folder == str(tmp_path / "out" / "runs" / "friday 2")


def test_runs_of_one_moment_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frozen(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Frozen:  # noqa: ARG003 - the signature of datetime's
            return cls(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)

    monkeypatch.setattr("pytest_realtime_eval.execution.identity.datetime", Frozen)
    first = new_run(options(tmp_path))
    assert first.run_id == "20260102T030405.678Z"
    Path(first.folder).mkdir(parents=True)
    second = new_run(options(tmp_path))
    assert second.run_id == f"20260102T030405.678Z-{os.getpid()}"


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "a\\b", ".hidden", "con", "a" * 121, "dot.", "\0"]
)
def test_a_name_that_is_no_folders_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="--eval-run-name"):
        new_run(options(tmp_path, run_name=name))


def test_a_run_that_exists_is_never_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "friday"
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_text("{}\n")
    with pytest.raises(ConfigurationError, match="'friday' exists"):
        new_run(options(tmp_path, run_name="friday"))


def test_an_identity_travels_as_json(tmp_path: Path) -> None:
    run = new_run(options(tmp_path))
    assert RunIdentity(**json.loads(json.dumps(run.to_json()))) == run


def test_a_folder_that_can_be_made_is_writable_and_is_not_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b" / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(ConfigurationError, match=r"results is no folder"):
        check_writable(tmp_path / "results" / "run")


def test_a_folder_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        check_writable(tmp_path / "results")
