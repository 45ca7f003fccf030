"""A project with a run in its results folder, made without playing anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.cli import main
from pytest_realtime_eval.realtime.audio import write_wav
from pytest_realtime_eval.reports.run_info import RunInfo
from pytest_realtime_eval.reports.stored import described, store
from pytest_realtime_eval.run_card.build import CardFacts
from pytest_realtime_eval.schemas.dataset import load_dataset
from pytest_realtime_eval.schemas.results import AnyRecord, EntryRecord, SimulationRecord, Verdict
from pytest_realtime_eval.schemas.transcript import Latencies, Transcript, Turn
from pytest_realtime_eval.thresholds import parse_thresholds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "EVAL_JUDGE_API_KEY", "OPENROUTER_API_KEY")


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def _simulation(name: str) -> dict[str, Any]:
    return {
        "simulation_id": name,
        "turns": {"fixed_first_user_turn": "Hello, is there a table?"},
        "graders": {
            "trace_level": [
                {"id": "says_table", "type": "mentions", "values": ["table"]},
                {"id": "polite", "criteria": "The assistant is polite.", "model": "named-1"},
            ]
        },
    }


def _record(name: str) -> SimulationRecord:
    folder = f"audio/{name}"
    turn = Turn(
        index=1,
        user_text="Hello, is there a table?",
        assistant_text="Yes, there is a table.",
        latencies=Latencies(first_audio=300.0, first_text=250.0, response_done=500.0),
        user_audio_path=f"{folder}/turn_01_user.wav",
        assistant_audio_path=f"{folder}/turn_01_assistant.wav",
        user_ended_ms=1000,
        assistant_started_ms=1300,
        assistant_ended_ms=2300,
        user_audio_ms=1000,
        assistant_audio_ms=1000,
    )
    transcript = Transcript(
        simulation_id=name,
        assistant_model="embedded-agent",
        simulator_model="embedded-caller",
        turns=(turn,),
        ended_by="max_turns",
        event_log_path=f"events/{name}.jsonl",
        started_at="2026-11-21T12:00:05Z",
        duration_ms=2500,
    )
    return SimulationRecord(
        nodeid=f"evals/{name}.json::{name}",
        path=f"evals/{name}.json",
        outcome="passed",
        simulation_id=name,
        assistant_model="embedded-agent",
        simulator_model="embedded-caller",
        setup={"instructions": "Be kind.", "files": {f"evals/{name}.json": "0" * 64}},
        started_at="2026-11-21T12:00:05Z",
        duration_ms=2500,
        cost_usd=0.0,
        transcript=transcript,
        verdicts=(Verdict(grader_id="says_table", type="mentions", status="pass"),),
    )


class Project:
    """A project's folder; ``realtime-eval`` runs inside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("sim_one", "sim_two"):
            _write(root / "evals" / f"{name}.json", _simulation(name))
        words = {"one": "uno", "two": "dos", "three": "tres"}
        entries = [{"id": e, "source": e, "reference": r} for e, r in words.items()]
        header = {"id": "numbers", "version": "1", "language_pair": "en-es"}
        _write(root / "evals" / "numbers.json", {"dataset": header, "entries": entries})

    def records(self) -> list[AnyRecord]:
        """Return two simulations and three entries, all passed."""
        dataset = load_dataset(self.root / "evals" / "numbers.json")
        entries = [
            EntryRecord(
                nodeid=f"evals/numbers.json::{entry.id}",
                path="evals/numbers.json",
                outcome="passed",
                dataset_id="numbers",
                entry_id=entry.id,
                source=entry.source,
                reference=entry.reference,
                predicted=entry.reference,
                exact_match=True,
                entry_chrf=100.0,
                latency_seconds=0.1,
                cost_usd=0.0,
            )
            for entry in dataset.entries
        ]
        return [_record("sim_one"), _record("sim_two"), *entries]

    def run(
        self,
        name: str,
        records: list[AnyRecord] | None = None,
        *,
        thresholds: str = "",
        **card: Any,  # noqa: ANN401 - facts of the card
    ) -> Path:
        """Write a run's records and files, as a run that was killed leaves them."""
        folder = self.root / "results" / name
        used = self.records() if records is None else records
        folder.mkdir(parents=True)
        lines = [json.dumps(record.model_dump(mode="json")) + "\n" for record in used]
        (folder / "records.jsonl").write_text("".join(lines), encoding="utf-8")
        info = RunInfo(
            name,
            folder,
            run_name=name,
            started_at="2026-11-21T12:00:00+00:00",
            endpoint="embedded",
            configuration={"run_name": name, "chunk_ms": 20},
        )
        facts = CardFacts(**({"model_slug": "embedded", "started_at": info.started_at} | card))
        found = parse_thresholds([thresholds], "ini")
        store(described(info, facts, rootdir=self.root, thresholds=found), folder)
        for record in used:
            if isinstance(record, SimulationRecord) and record.transcript:
                self._write_files(folder, record)
        return folder

    def _write_files(self, folder: Path, record: SimulationRecord) -> None:
        name = record.simulation_id
        for side in ("user", "assistant"):
            path = folder / f"audio/{name}/turn_01_{side}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wav(path, b"\1\2" * 24_000, 24_000)
        for path in (folder / f"events/{name}.jsonl", folder / f"conversations/{name}.txt"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(name, encoding="utf-8")

    def __call__(self, *arguments: object) -> int:
        """Run ``realtime-eval``; plots are drawn by `plotted` alone, since they take seconds."""
        makes_plots = arguments[0] in ("report", "regrade", "merge")
        return self.plotted(*arguments, *(["--skip-plots"] if makes_plots else []))

    def plotted(self, *arguments: object) -> int:
        """Run ``realtime-eval`` as it is."""
        return main([str(argument) for argument in arguments])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    return Project(tmp_path)


@pytest.fixture
def read_records() -> Callable[[Path], dict[str, Any]]:
    """Reads a run's records as plain JSON, by node id."""

    def read(folder: Path) -> dict[str, Any]:
        lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
        return {record["nodeid"]: record for record in map(json.loads, lines)}

    return read
