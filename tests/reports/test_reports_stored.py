from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.reports.stored import (
    described,
    kept_records,
    load_run,
    read_records,
    store,
    untaken_records,
)
from pytest_realtime_eval.run_card.build import CardFacts
from pytest_realtime_eval.schemas.transcript import Failure
from pytest_realtime_eval.thresholds import parse_threshold

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.reports.run_info import RunInfo


def write_lines(path: Path, *records: Any) -> Path:  # noqa: ANN401 - records of both kinds
    lines = [json.dumps(record.model_dump(mode="json")) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def folder(records: list[Any], info: RunInfo) -> Path:
    write_lines(info.folder / "records.jsonl", *records)
    facts = CardFacts("embedded", condition="warm", temperature=0.5, config={"batch_size": 3})
    threshold = parse_threshold("pass_rate>=0.5", "ini")
    rootdir = info.folder.parent
    store(described(info, facts, rootdir=rootdir, thresholds=[threshold]), info.folder)
    return info.folder


def test_a_run_is_read_back_as_it_was(folder: Path, records: list[Any], info: RunInfo) -> None:
    run = load_run(folder)
    assert list(run.records) == records
    assert run.rootdir == folder.parent
    again = run.info()
    assert (again.run_id, again.endpoint, again.configuration) == (
        info.run_id,
        info.endpoint,
        info.configuration,
    )
    settings = run.settings()
    assert settings.facts.condition == "warm"
    assert settings.facts.config == {"batch_size": 3}
    assert [(str(t), t.place) for t in settings.thresholds] == [("pass_rate>=0.5", "ini")]


def test_run_json_names_no_place_of_this_machine(folder: Path, tmp_path: Path) -> None:
    assert str(tmp_path) not in (folder / "run.json").read_text(encoding="utf-8")


def test_a_folder_that_was_moved_can_be_told_its_rootdir(folder: Path, tmp_path: Path) -> None:
    assert load_run(folder, tmp_path / "elsewhere").rootdir == tmp_path / "elsewhere"


def test_the_last_record_of_an_item_counts(tmp_path: Path, records: list[Any]) -> None:
    first, second = records[:2]
    again = first.model_copy(update={"reason": "the second time"})
    path = write_lines(tmp_path / "records.jsonl", first, second, again)
    assert read_records(path) == [again, second]


def test_a_python_test_may_play_a_simulation_several_times(
    tmp_path: Path, records: list[Any]
) -> None:
    played = next(r for r in records if r.kind == "simulation" and r.transcript)
    one = played.model_copy(update={"nodeid": "evals/test_calls.py::test_two"})
    two = one.model_copy(update={"simulation_id": "again"})
    assert read_records(write_lines(tmp_path / "records.jsonl", one, two)) == [one, two]


def test_a_line_that_a_killed_run_left_half_is_left_out(tmp_path: Path, records: list[Any]) -> None:
    path = write_lines(tmp_path / "records.jsonl", *records[:2])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    assert read_records(path) == records[:2]
    path.write_bytes(whole[:-1])
    assert read_records(path) == records[:2]


@pytest.mark.parametrize("line", ["{]", '{"kind": "entry"}', "[]"])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, records: list[Any], line: str) -> None:
    path = write_lines(tmp_path / "records.jsonl", records[0])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(FileError, match="line 2"):
        read_records(path)


def test_what_is_no_run_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(FileError, match="is no run's folder"):
        load_run(tmp_path / "nothing")
    (folder / "run.json").unlink()
    with pytest.raises(FileError, match=r"holds no run\.json"):
        load_run(folder)


# --- journals ---------------------------------------------------------------------------


def at(record: Any, second: int, **changes: object) -> Any:  # noqa: ANN401 - of both kinds
    """Return the record of an attempt that began at that second."""
    return record.model_copy(update={"started_at": f"2026-11-21T12:00:{second:02}Z", **changes})


def crashed(record: Any) -> Any:  # noqa: ANN401 - of both kinds
    failure = Failure(stage="worker_crash", error_type="WorkerCrash", message="it died")
    return record.model_copy(
        update={"started_at": "", "outcome": "infra_error", "failure": failure}
    )


def test_what_only_a_journal_holds_belongs_to_the_run(folder: Path, records: list[Any]) -> None:
    write_lines(folder / "records.jsonl", *records[:2])
    write_lines(folder / "journal-gw0.jsonl", records[0], records[2])
    write_lines(folder / "journal-gw1.left.jsonl", records[1], records[3])
    assert list(load_run(folder).records) == records[:4]
    assert list(untaken_records(folder)) == [records[2].nodeid, records[3].nodeid]


@pytest.mark.parametrize(
    ("reported", "journalled", "counts"),
    [
        ([1], [1], 1),
        ([1], [1, 2], 2),
        ([2], [1, 2], 2),
        ([2], [1], 2),  # the run was resumed, and its records written anew
        ([1, 2], [1, 2], 2),
        ([], [2, 1], 2),
        ([0], [1], 0),  # skipped at its turn
        ([1, 0], [1], 0),
    ],
)
def test_of_several_attempts_the_last_one_counts(
    tmp_path: Path, records: list[Any], reported: list[int], journalled: list[int], counts: int
) -> None:
    skipped = records[0].model_copy(update={"started_at": "", "outcome": "skipped"})
    attempts = [skipped, at(records[0], 1, outcome="failed"), at(records[0], 2, outcome="passed")]
    write_lines(tmp_path / "records.jsonl", *(attempts[n] for n in reported))
    write_lines(tmp_path / "journal-main.jsonl", *(attempts[n] for n in journalled))
    assert kept_records(tmp_path) == [attempts[counts]]


def test_what_a_worker_had_ended_counts_for_more_than_its_death(
    tmp_path: Path, records: list[Any]
) -> None:
    first, second = at(records[0], 1), at(records[0], 2)
    write_lines(tmp_path / "records.jsonl", crashed(first), records[1])
    write_lines(tmp_path / "journal-gw0.left.jsonl", first)
    assert kept_records(tmp_path) == [first, records[1]]
    # Its rerun died: the attempt before it, which was reported, is not brought back.
    write_lines(tmp_path / "records.jsonl", first, crashed(second))
    assert kept_records(tmp_path) == [crashed(second)]


def test_what_is_not_whole_in_a_journal_is_left_out(tmp_path: Path, records: list[Any]) -> None:
    write_lines(tmp_path / "records.jsonl")
    path = write_lines(tmp_path / "journal-main.jsonl", records[0])
    outside = records[1].model_copy(update={"simulation_id": "../../outside"})
    lines = [b'{"nodeid": "cut off in the mid\n', outside.model_dump_json().encode() + b"\n"]
    line = records[2].model_dump_json().encode()
    path.write_bytes(path.read_bytes() + b"".join(lines) + line[:-20])
    assert kept_records(tmp_path) == [records[0]]
    path.write_bytes(path.read_bytes() + line[-20:])
    assert kept_records(tmp_path) == [records[0], records[2]]
