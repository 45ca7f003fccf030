from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.compare.comparison import compare
from pytest_realtime_eval.compare.side import load_side, side_of_run
from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.reports.files import write_json
from pytest_realtime_eval.run_card.build import CardFacts, build_dataset_card, build_simulation_card
from pytest_realtime_eval.schemas.dataset import load_dataset
from pytest_realtime_eval.schemas.results import EntryRecord, SimulationRecord, Verdict
from pytest_realtime_eval.schemas.transcript import Latencies, Transcript, Turn

if TYPE_CHECKING:
    from pathlib import Path


def played(outcome: str = "passed", grade: str = "pass", **changes: Any) -> SimulationRecord:  # noqa: ANN401 - fields of the record
    turns = (Turn(index=1, user_text="Hi", latencies=Latencies(first_audio=300, first_text=200)),)
    transcript = Transcript(
        simulation_id="sim",
        assistant_model="one",
        simulator_model="two",
        turns=turns,
        ended_by="end_call",
        started_at="2026-11-21T12:00:00Z",
        duration_ms=1000,
    )
    verdicts = (
        Verdict(
            grader_id="polite",
            type="llm_as_judge",
            turn_index=1,
            status=grade,
            fingerprint="f" * 64,
            model="judge-1",
        ),
        Verdict(grader_id="other", type="mentions", status="ungraded"),
    )
    values: dict[str, Any] = {
        "nodeid": "evals/sim.json::sim",
        "path": "evals/sim.json",
        "outcome": outcome,
        "simulation_id": "sim",
        "assistant_model": "one",
        "simulator_model": "two",
        "transcript": transcript,
        "verdicts": verdicts,
        "cost_usd": 0.5,
    }
    return SimulationRecord.model_validate(values | changes)


@pytest.fixture
def cards(tmp_path: Path) -> tuple[Path, Path]:
    """A dataset's card and a suite's."""
    data = {
        "dataset": {"id": "market", "version": "1", "language_pair": "en-es"},
        "entries": [
            {"id": 1, "source": "one", "reference": "uno"},
            {"id": 2, "source": "two", "reference": "dos"},
        ],
    }
    write_json(tmp_path / "market.json", data)
    dataset = load_dataset(tmp_path / "market.json")
    records = [
        EntryRecord(
            nodeid=e.id,
            path="market.json",
            outcome="passed",
            dataset_id="market",
            entry_id=e.id,
            source=e.source,
            reference=e.reference,
            predicted=e.reference,
            latency_seconds=0.5,
            cost_usd=0.25,
        )
        for e in dataset.entries
    ]
    facts = CardFacts("embedded", started_at="2026-11-21T10:00:00+00:00", system_prompt="Do.")
    suite = build_simulation_card([played()], facts, {"evals/sim.json": "a" * 64}, {"sim": "Be."})
    write_json(tmp_path / "cards" / "market.json", build_dataset_card(dataset, records, facts))
    write_json(tmp_path / "cards" / "simulations.json", suite)
    return tmp_path / "cards" / "market.json", tmp_path / "cards" / "simulations.json"


def test_a_card_and_the_run_that_it_is_of_are_the_same_side(cards: tuple[Path, Path]) -> None:
    card = json.loads(cards[1].read_text())
    run = side_of_run("run", [played()], [card])
    found = compare(load_side(cards[1]), run)
    assert found.shared == 1
    assert (found.warnings, found.outcomes, found.regressions) == ((), (), ())
    assert [(c.before, c.after) for c in found.costs] == [(0.5, 0.5)]
    assert [(r.what, r.before, r.after) for r in found.rates] == [("pass", 1, 1), ("polite", 1, 1)]


def test_a_datasets_card_holds_its_entries(cards: tuple[Path, Path]) -> None:
    side = load_side(cards[0])
    item = side.items["market", "2"]
    assert (item.hypothesis, item.reference, item.latencies) == (
        "dos",
        "dos",
        {"translation": (500.0,)},
    )
    assert side.setups["market"]["model_slug"] == "embedded"


def test_a_folder_of_cards_without_records_is_a_side(
    cards: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    cards[0].parent.rename(tmp_path / "run" / "run_cards")
    side = load_side(tmp_path / "run")
    assert side.name == "run"
    assert {group for group, _ in side.items} == {"market", "simulations"}


def test_another_judge_is_told() -> None:
    other = played()
    judged = other.verdicts[0].model_copy(update={"fingerprint": "0" * 64, "model": "judge-2"})
    after = side_of_run("B", [other.model_copy(update={"verdicts": (judged,)})])
    (warning,) = compare(side_of_run("A", [played()]), after).warnings
    assert warning == "judge of polite differs: judge-1 ffffffff before, judge-2 00000000 now (sim)"


def test_skipped_items_are_no_part_of_a_side() -> None:
    assert side_of_run("A", [played(outcome="skipped", transcript=None, verdicts=())]).items == {}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("[]", "must hold a run card"),
        ("{}", "is no run card"),
        ('{"results": [{}]}', "is no run card"),
        ("no", "is not valid JSON"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(content)
    with pytest.raises(FileError, match=what):
        load_side(path)


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is no run"):
        load_side(tmp_path)
