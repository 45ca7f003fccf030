from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.execution.journal import Journal, Legacy, hand_over, remove_journals
from pytest_realtime_eval.reports.files import LineFile
from pytest_realtime_eval.schemas.results import EntryRecord, SimulationRecord, parse_record
from pytest_realtime_eval.schemas.transcript import Transcript, Turn

if TYPE_CHECKING:
    from pathlib import Path


def entry(name: str = "e1", **changes: Any) -> EntryRecord:  # noqa: ANN401 - fields of the record
    fields = {
        "nodeid": f"d.json::{name}",
        "path": "d.json",
        "outcome": "passed",
        "started_at": "2026-11-21T12:00:00.000+00:00",
        "dataset_id": "d",
        "entry_id": name,
        "source": "A sentence of the usual length, which somebody has to translate.",
        "reference": "Ein Satz von üblicher Länge, den jemand zu übersetzen hat.",
        "predicted": "Ein Satz der üblichen Länge, den jemand übersetzen muss.",
        "scores": {"entry_chrf": 61.5, "exact_match": 0.0},
    }
    return EntryRecord.model_validate(fields | changes)


def conversation(outcome: str, turns: int) -> SimulationRecord:
    said = "What was said. " * 20
    talk = tuple(Turn(index=n, user_text=said, assistant_text=said) for n in range(1, turns + 1))
    transcript = Transcript(
        simulation_id="sim_a",
        assistant_model="model",
        simulator_model="caller",
        turns=talk,
        ended_by="max_turns",
        started_at="2026-11-21T12:00:00.000Z",
        duration_ms=2500,
    )
    fields = {"nodeid": "sim_a.json::sim_a", "path": "sim_a.json", "simulation_id": "sim_a"}
    return SimulationRecord.model_validate(
        {**fields, "outcome": outcome, "transcript": transcript.model_dump()}
    )


def kept(folder: Path, worker: str = "main") -> list[Any]:
    path = folder / f"journal-{worker}.jsonl"
    if not path.exists():
        return []
    return [parse_record(json.loads(line)) for line in path.read_text().splitlines()]


def test_a_record_is_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", "gw3")
    journal.append(entry())
    journal.append(conversation("failed", 2))
    assert kept(tmp_path / "run", "gw3") == [entry(), conversation("failed", 2)]
    journal.close()
    journal.close()


@pytest.mark.parametrize(
    ("record", "is_kept"),
    [
        (conversation("infra_error", 0), False),
        (conversation("infra_error", 1), True),
        (conversation("judge_error", 2), True),
        (conversation("ungraded", 0), True),
        (entry(outcome="infra_error"), False),
        (entry(outcome="skipped"), False),
        (entry(outcome="failed"), True),
    ],
)
def test_what_came_to_nothing_is_not_kept(tmp_path: Path, record: Any, *, is_kept: bool) -> None:  # noqa: ANN401 - of both kinds
    journal = Journal(tmp_path, "main")
    journal.append(record)
    journal.close()
    assert kept(tmp_path) == ([record] if is_kept else [])


def test_a_disk_that_is_full_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: LineFile, _text: str) -> None:
        raise OSError(28, "No space left on device")

    journal = Journal(tmp_path, "main")
    with monkeypatch.context() as patched:
        patched.setattr(LineFile, "append", full)
        journal.append(entry("e1"))
    journal.append(entry("e2"))
    journal.close()
    assert kept(tmp_path) == [entry("e2")]


def test_a_folder_that_cannot_be_made_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    journal = Journal(tmp_path / "run", "main")
    journal.append(entry())
    journal.close()


def test_text_that_is_no_unicode_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "main")
    journal.append(entry(predicted="half an emoji \ud83d"))
    journal.close()
    assert kept(tmp_path)[0].predicted.startswith("half an emoji ")


def test_what_a_dead_worker_left_is_found_once(tmp_path: Path) -> None:
    for worker, name in (("gw0", "e0"), ("gw1", "e1")):
        journal = Journal(tmp_path, worker)
        journal.append(entry(name))
        journal.close()
    reported = tmp_path / "records.jsonl"
    reported.write_text("")
    legacy = Legacy(tmp_path)
    assert legacy.get("d.json::e0") is None  # gw0 may still report it
    hand_over(tmp_path, "gw0")
    hand_over(tmp_path, "gw7")  # it had ended nothing
    assert legacy.get("d.json::e0") == entry("e0")
    legacy.drop("d.json::e0")
    assert legacy.get("d.json::e0") is None
    reported.write_text(entry("e0").model_dump_json() + "\n")
    assert Legacy(tmp_path).get("d.json::e0") is None
    remove_journals(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]


def test_keeping_costs_an_entry_little_and_holds_no_chunk_up(tmp_path: Path) -> None:
    journal, record, long = Journal(tmp_path, "main"), entry(), conversation("passed", 100)
    assert len(long.model_dump_json()) > 60_000
    try:
        assert quickest(lambda: journal.append(record), 200) < 60e-6
        assert quickest(lambda: journal.append(long), 1) < 10e-3
    finally:
        journal.close()


def quickest(do: Any, times: int) -> float:  # noqa: ANN401 - any callable
    """Return the seconds of a call, in the best of several rounds."""
    found = []
    for _ in range(10):
        began = time.perf_counter()
        for _ in range(times):
            do()
        found.append((time.perf_counter() - began) / times)
    return min(found)
