from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sacrebleu.metrics.chrf import CHRF

from pytest_realtime_eval.exceptions import CardError
from pytest_realtime_eval.metrics.exact import ExactMatch
from pytest_realtime_eval.metrics.registry import default_metrics
from pytest_realtime_eval.run_card.build import (
    CardFacts,
    build_dataset_card,
    build_simulation_card,
    hash_files,
    joint_prompt,
    write_card,
)
from pytest_realtime_eval.run_card.hashing import card_hash
from pytest_realtime_eval.schemas.results import EntryRecord, EntryUsage, SimulationRecord
from pytest_realtime_eval.schemas.run_card import RunCard, SimulationCard
from pytest_realtime_eval.schemas.transcript import Failure

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.schemas.dataset import Dataset

MakeRecord = Callable[..., EntryRecord]
LOST = Failure(stage="response_timeout", error_type="ResponseTimeout", message="silent for 45 s")


def test_the_card_has_the_formats_fields(card: dict[str, Any], dataset: Dataset) -> None:
    RunCard.model_validate(card)
    assert card["dataset"] == {
        "id": "kitchen-dev-v1",
        "version": "1.0",
        "language_pair": "EN→ES",
        "sha256": dataset.sha256,
        "entry_count": 3,
    }
    assert card["model_slug"] == "openai/gpt-4o"
    assert card["model_id"] == "gpt-4o-2024-08-06"
    assert card["condition"] == "baseline"
    assert card["config"]["temperature"] == 0.3
    assert card["config"]["batch_size"] == 5
    assert card["config"]["bootstrap"]["seed"] == 12345
    assert card["config"]["metrics"]["chrf_plus_plus"].startswith("nrefs:1")
    assert card["timestamp"] == "2026-11-21T10:00:00Z"
    assert card["elapsed_seconds"] == 12.346


def test_a_card_that_does_not_fit_the_schema_is_not_made(
    dataset: Dataset, records: list[EntryRecord], facts: CardFacts
) -> None:
    with pytest.raises(CardError, match=r"of kitchen-dev-v1 does not fit.*\$\.timestamp: "):
        build_dataset_card(dataset, records, replace(facts, started_at="yesterday"))


def test_the_hash_is_the_formats_own_recipe(card: dict[str, Any]) -> None:
    text = json.dumps(card | {"run_card_hash": ""}, sort_keys=True, ensure_ascii=False)
    assert card["run_card_hash"] == hashlib.sha256(text.encode()).hexdigest()


def test_the_fingerprint_is_the_formats_own_recipe(card: dict[str, Any], dataset: Dataset) -> None:
    prompt = hashlib.sha256(b"Translate from English into Spanish.").hexdigest()
    components = {
        "dataset_sha256": dataset.sha256,
        "model_slug": "openai/gpt-4o",
        "condition": "baseline",
        "system_prompt_sha256": prompt,
        "temperature": 0.3,
        "harness_version": card["harness_version"],
    }
    text = json.dumps(components, sort_keys=True, ensure_ascii=False)
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert card["fingerprint"] == {"hash": expected, "components": components}
    assert card["system_prompt_sha256"] == prompt


def test_outputs_and_times_are_no_part_of_the_fingerprint(
    card: dict[str, Any], dataset: Dataset, make_record: MakeRecord, facts: CardFacts
) -> None:
    later = replace(facts, started_at="2027-01-01T00:00:00Z", elapsed_seconds=1.0)
    other = build_dataset_card(dataset, [make_record(0, "otra cosa")], later)
    assert other["fingerprint"] == card["fingerprint"]
    assert other["run_card_hash"] != card["run_card_hash"]
    warmer = build_dataset_card(dataset, [make_record(0, "x")], replace(facts, temperature=0.4))
    assert warmer["fingerprint"]["hash"] != card["fingerprint"]["hash"]


def test_scores(card: dict[str, Any]) -> None:
    scores = card["scores"]
    hypotheses = [row["predicted"] for row in card["results"]]
    references = [row["reference"] for row in card["results"]]
    expected = CHRF(word_order=2).corpus_score(hypotheses, [references]).score
    assert scores["chrf_plus_plus"] == pytest.approx(expected, abs=1e-6)
    assert (scores["total"], scores["exact_matches"], scores["errors"]) == (3, 1, 0)
    assert scores["exact_match_rate"] == 0.333333
    assert scores["fst_accepted"] is None
    assert scores["fst_acceptance_rate"] is None
    assert scores["avg_latency_seconds"] == 2.0
    assert scores["median_latency_seconds"] == 2.0
    assert scores["p95_latency_seconds"] == 2.9
    low, high = scores["chrf_plus_plus_interval"]
    assert low <= scores["chrf_plus_plus"] <= high
    assert scores["bleu"] > 0


def test_groups_are_scored_as_corpora_of_their_own(card: dict[str, Any]) -> None:
    scores = card["scores"]
    assert list(scores["by_difficulty"]) == ["easy", "hard", "medium"]
    assert scores["by_difficulty"]["easy"]["chrf_plus_plus"] < 100.0
    assert scores["by_difficulty"]["easy"]["exact_matches"] == 1
    handmade = scores["by_provenance"]["handmade"]
    assert handmade["total"] == 2
    rows = [row for row in card["results"] if row["provenance"] == "handmade"]
    expected = CHRF(word_order=2).corpus_score(
        [row["predicted"] for row in rows], [[row["reference"] for row in rows]]
    )
    assert handmade["chrf_plus_plus"] == pytest.approx(expected.score, abs=1e-6)


def test_rows_carry_the_datasets_own_spelling(card: dict[str, Any]) -> None:
    first = card["results"][0]
    assert first["entry_id"] == 1
    assert first["difficulty"] == "easy"
    assert first["exact_match"] is True
    assert first["error"] is None
    sentence = CHRF(word_order=2).sentence_score(first["predicted"], [first["reference"]])
    assert first["entry_chrf"] == pytest.approx(sentence.score, abs=1e-6)


def test_a_failed_entry_counts_as_an_empty_hypothesis(
    dataset: Dataset, make_record: MakeRecord, facts: CardFacts
) -> None:
    perfect = [make_record(index, entry.reference) for index, entry in enumerate(dataset.entries)]
    lost = make_record(2, "half an ans", outcome="infra_error", failure=LOST, cost_usd=None)
    card = build_dataset_card(dataset, [*perfect[:2], lost], facts)
    references = [entry.reference for entry in dataset.entries]
    expected = CHRF(word_order=2).corpus_score([*references[:2], ""], [references]).score
    assert card["scores"]["chrf_plus_plus"] == pytest.approx(expected, abs=1e-6)
    assert card["scores"]["exact_match_rate"] == 0.666667
    assert card["scores"]["errors"] == 1
    row = card["results"][2]
    assert (row["predicted"], row["entry_chrf"], row["exact_match"]) == ("", 0.0, False)
    assert row["error"] == "response_timeout: silent for 45 s"
    assert card["totals"]["total_cost_usd"] == 0.002, "what failed had nothing to charge"


def test_a_broken_analyser_costs_no_translation_its_score(
    dataset: Dataset, make_record: MakeRecord, facts: CardFacts
) -> None:
    broken = Failure(stage="fst_analyzer", error_type="InfraError", message="it hung")
    records = [
        make_record(0, dataset.entries[0].reference, fst_accepted=True, fst_analysis={"La": ["D"]}),
        make_record(1, dataset.entries[1].reference, outcome="infra_error", failure=broken),
    ]
    scores = build_dataset_card(dataset, records, facts)["scores"]
    assert scores["exact_match_rate"] == 1.0
    assert scores["errors"] == 1
    assert scores["fst_acceptance_rate"] is None, "not 0.5: the second was never analysed"


def test_fst_acceptance_counts_failed_entries_as_not_accepted(
    dataset: Dataset, make_record: MakeRecord, facts: CardFacts
) -> None:
    records = [
        make_record(0, "La sopa", fst_accepted=True, fst_analysis={"La": ["la+D"], "sopa": ["s"]}),
        make_record(1, "Xyz", fst_accepted=False, fst_analysis={"Xyz": []}),
        make_record(2, "", outcome="infra_error", failure=LOST),
    ]
    card = build_dataset_card(dataset, records, facts)
    assert card["scores"]["fst_accepted"] == 1
    assert card["scores"]["fst_acceptance_rate"] == 0.333333
    assert card["results"][0]["fst_analysis"] == ["la+D", "s"]
    assert card["results"][1]["fst_analysis"] == []


@pytest.mark.parametrize(("costs", "total"), [((0.1, 0.2, 0.3), 0.6), ((0.1, None, 0.3), None)])
def test_an_unknown_cost_makes_the_total_unknown(
    dataset: Dataset,
    make_record: MakeRecord,
    facts: CardFacts,
    costs: tuple[float | None, ...],
    total: float | None,
) -> None:
    records = [make_record(index, "x", cost_usd=cost) for index, cost in enumerate(costs)]
    totals = build_dataset_card(dataset, records, facts)["totals"]
    assert totals["total_cost_usd"] == total
    assert totals["cost_per_entry_usd"] == (total and 0.2)
    assert (totals["prompt_tokens"], totals["reasoning_tokens"]) == (300, 12)
    assert totals["reasoning_ratio"] == 0.4


def test_totals_without_usage(dataset: Dataset, make_record: MakeRecord, facts: CardFacts) -> None:
    record = make_record(0, "x", usage=EntryUsage(), cost_usd=None)
    totals = build_dataset_card(dataset, [record], facts)["totals"]
    assert totals["reasoning_ratio"] is None
    assert totals["total_cost_usd"] is None


def test_skipped_entries_are_no_results_and_the_last_record_counts(
    dataset: Dataset, make_record: MakeRecord, facts: CardFacts
) -> None:
    records = [
        make_record(1, "", outcome="skipped"),
        make_record(0, "first try"),
        make_record(0, "second try"),
    ]
    card = build_dataset_card(dataset, records, facts)
    assert [row["predicted"] for row in card["results"]] == ["second try"]
    assert card["scores"]["total"] == 1
    assert card["dataset"]["entry_count"] == 3


def test_no_entry_ran(dataset: Dataset, facts: CardFacts) -> None:
    card = build_dataset_card(dataset, [], facts)
    RunCard.model_validate(card)
    assert card["scores"]["chrf_plus_plus"] is None
    assert "chrf_plus_plus_interval" not in card["scores"]


def test_a_record_of_another_dataset_is_refused(
    dataset: Dataset, make_record: MakeRecord, facts: CardFacts
) -> None:
    with pytest.raises(KeyError, match="has no entry 'nope'"):
        build_dataset_card(dataset, [make_record(0, "x", entry_id="nope")], facts)


def test_a_users_metric_lands_in_scores_groups_and_config(
    dataset: Dataset, records: list[EntryRecord], facts: CardFacts
) -> None:
    class Shouted(ExactMatch):
        name = "shouted"
        entry_name = "shouted"
        signature = "version:1"

        def statistics(self, hypothesis: str, reference: str) -> tuple[float, float]:
            return float(hypothesis.isupper() > reference.isupper()), 1.0

    card = build_dataset_card(dataset, records, facts, [*default_metrics(), Shouted()])
    assert card["scores"]["shouted"] == 0.0
    assert card["scores"]["by_difficulty"]["easy"]["shouted"] == 0.0
    assert card["config"]["metrics"]["shouted"] == "version:1"


def test_the_written_card_holds_when_read_back(card: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run_cards" / "kitchen.json"
    write_card(card, path)
    again = json.loads(path.read_text(encoding="utf-8"))
    assert again == card
    assert card_hash(again) == card["run_card_hash"]
    assert "está" in path.read_text(encoding="utf-8")


def test_the_suites_card(
    simulation_card: dict[str, Any], simulations: list[SimulationRecord], suite: dict[str, str]
) -> None:
    SimulationCard.model_validate(simulation_card)
    assert list(suite) == ["prompt.txt", "sim_table.json", "tools.json"]
    assert suite["prompt.txt"] == hashlib.sha256(b"prompt.txt").hexdigest()
    assert simulation_card["dataset"]["files"] == suite
    assert simulation_card["dataset"]["entry_count"] == len(simulations)
    assert simulation_card["model_slug"] == "gpt-realtime"
    assert simulation_card["system_prompt_used"] == "You book tables."
    scores = simulation_card["scores"]
    assert (scores["total"], scores["passed"], scores["failed"], scores["errors"]) == (3, 1, 1, 1)
    assert scores["infra_errors"] == 1
    assert scores["pass_rate"] == 0.5
    assert scores["graders"]["books"]["grade_mean"] == 0.5
    assert scores["graders"]["polite"]["ungraded"] == 1
    assert scores["graders"]["polite"]["grade_mean"] is None, "ungraded is never a pass"
    assert simulation_card["totals"]["prompt_tokens"] == 120
    assert simulation_card["totals"]["total_cost_usd"] is None


def test_every_file_of_the_suite_is_in_its_fingerprint(
    simulations: list[SimulationRecord], suite: dict[str, str], facts: CardFacts
) -> None:
    hashes = {build_simulation_card(simulations, facts, suite, {})["fingerprint"]["hash"]}
    for name in suite:
        changed = suite | {name: "0" * 64}
        card = build_simulation_card(simulations, facts, changed, {})
        hashes.add(card["fingerprint"]["hash"])
    assert len(hashes) == 1 + len(suite)


def test_a_file_outside_the_root_shows_no_machine_path(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    outside = tmp_path / "prompt.txt"
    outside.write_text("x")
    assert list(hash_files([outside, outside], root)) == ["prompt.txt"]


def test_prompts_that_differ_are_joined_by_id() -> None:
    assert joint_prompt({"a": "same", "b": "same"}) == "same"
    assert json.loads(joint_prompt({"b": "two", "a": "one"})) == {"a": "one", "b": "two"}
    assert joint_prompt({}) == ""
