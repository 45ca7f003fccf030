from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_realtime_eval.run_card.build import (
    CardFacts,
    build_dataset_card,
    build_simulation_card,
)
from pytest_realtime_eval.schemas.dataset import Dataset, load_dataset
from pytest_realtime_eval.schemas.results import (
    EntryRecord,
    EntryUsage,
    SimulationRecord,
    Verdict,
)
from pytest_realtime_eval.schemas.transcript import (
    Failure,
    Latencies,
    ToolCall,
    Transcript,
    Turn,
    Usage,
)

DATA = Path(__file__).parents[1] / "data" / "datasets"

FACTS = CardFacts(
    model_slug="openai/gpt-4o",
    started_at="2026-11-21T10:00:00Z",
    elapsed_seconds=12.3456,
    system_prompt="Translate from English into Spanish.",
    temperature=0.3,
    config={"api_provider": "openai", "max_tokens": 512, "batch_size": 5, "concurrency": 5},
    run_id="0f7b8a52-6d0c-4f51-9c55-0a6f6f1f2a10",
)


def entry_record(dataset: Dataset, index: int, predicted: str, **changes: Any) -> EntryRecord:  # noqa: ANN401 - any field
    entry = dataset.entries[index]
    values: dict[str, Any] = {
        "nodeid": f"set.json::{entry.id}",
        "path": "set.json",
        "outcome": "passed",
        "dataset_id": dataset.id,
        "entry_id": entry.id,
        "source": entry.source,
        "reference": entry.reference,
        "predicted": predicted,
        "latency_seconds": 1.0 + index,
        "usage": EntryUsage(prompt_tokens=100, completion_tokens=10, reasoning_tokens=4),
        "cost_usd": 0.001,
        "model_id": "gpt-4o-2024-08-06",
    }
    return EntryRecord(**values | changes)


RecordMaker = Callable[..., EntryRecord]


@pytest.fixture
def dataset() -> Dataset:
    return load_dataset(DATA / "shape1.json")


@pytest.fixture
def make_record(dataset: Dataset) -> RecordMaker:
    def make(index: int, predicted: str, **changes: Any) -> EntryRecord:  # noqa: ANN401 - any field
        return entry_record(dataset, index, predicted, **changes)

    return make


@pytest.fixture
def facts() -> CardFacts:
    return FACTS


@pytest.fixture
def records(dataset: Dataset) -> list[EntryRecord]:
    return [
        entry_record(dataset, 0, "la sopa está caliente."),
        entry_record(dataset, 1, "¿Dónde son los platos?"),
        entry_record(dataset, 2, "Lo habría cocinado si lo hubieras pedido."),
    ]


@pytest.fixture
def card(dataset: Dataset, records: list[EntryRecord]) -> dict[str, Any]:
    return build_dataset_card(dataset, records, FACTS)


def simulation_record(name: str, **changes: Any) -> SimulationRecord:  # noqa: ANN401 - any field
    turn = Turn(
        index=1,
        user_text="I want to book a table.",
        assistant_text="For when?",
        tool_calls=(ToolCall(name="find", arguments={"n": 2}, raw_arguments="{}", call_id="c"),),
        latencies=Latencies(first_audio=312.5, response_done=1200.0),
        usage=Usage(input_tokens=50, output_tokens=20, cached_tokens=5),
        simulator_usage=Usage(input_tokens=10, output_tokens=7),
    )
    values: dict[str, Any] = {
        "nodeid": f"{name}.json::{name}",
        "path": f"{name}.json",
        "outcome": "passed",
        "simulation_id": name,
        "assistant_model": "gpt-realtime",
        "simulator_model": "gpt-realtime-mini",
        "duration_ms": 4200.0,
        "transcript": Transcript(
            simulation_id=name,
            assistant_model="gpt-realtime",
            simulator_model="gpt-realtime-mini",
            turns=(turn,),
            ended_by="end_call",
            started_at="2026-11-21T10:00:00Z",
            duration_ms=4200.0,
        ),
        "verdicts": (
            Verdict(grader_id="books", type="tool_call", status="pass", rationale="called"),
            Verdict(grader_id="polite", type="llm_as_judge", turn_index=1, status="ungraded"),
        ),
    }
    return SimulationRecord(**values | changes)


@pytest.fixture
def simulations() -> list[SimulationRecord]:
    failing = Verdict(grader_id="books", type="tool_call", status="fail", rationale="not called")
    broken = Failure(stage="connection", error_type="ConnectionFailed", message="refused")
    return [
        simulation_record("sim_table"),
        simulation_record("sim_cancel", outcome="failed", verdicts=(failing,)),
        simulation_record(
            "sim_down", outcome="infra_error", failure=broken, transcript=None, verdicts=()
        ),
    ]


@pytest.fixture
def suite(tmp_path: Path) -> dict[str, str]:
    """Write the files of a suite and return their hashes."""
    from pytest_realtime_eval.run_card.build import hash_files

    paths = [tmp_path / name for name in ("sim_table.json", "prompt.txt", "tools.json")]
    for path in paths:
        path.write_text(path.name)
    return hash_files(paths, tmp_path)


@pytest.fixture
def simulation_card(
    simulations: list[SimulationRecord], suite: dict[str, str], facts: CardFacts
) -> dict[str, Any]:
    prompts = {record.simulation_id: "You book tables." for record in simulations}
    facts = CardFacts(model_slug="", started_at=facts.started_at, run_id=facts.run_id)
    return build_simulation_card(simulations, facts, suite, prompts)
