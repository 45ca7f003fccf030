from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_realtime_eval.metrics.exact import ExactMatch
from pytest_realtime_eval.metrics.registry import default_metrics
from pytest_realtime_eval.run_card.build import build_dataset_card
from pytest_realtime_eval.run_card.hashing import card_hash, fingerprint_hash, sealed
from pytest_realtime_eval.run_card.verify import verify
from pytest_realtime_eval.schemas.dataset import load_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.run_card.build import CardFacts
    from pytest_realtime_eval.schemas.dataset import Dataset
    from pytest_realtime_eval.schemas.results import EntryRecord

Card = dict[str, Any]
Change = Callable[[Card], None]
Location = tuple[str | int, ...]

shared_card = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def leaves(value: Any, place: Location = ()) -> Iterator[Location]:  # noqa: ANN401 - JSON
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        if isinstance(child, dict | list) and child:
            yield from leaves(child, (*place, key))
        else:
            yield (*place, key)


def parent_of(card: Card, place: Location) -> Any:  # noqa: ANN401 - JSON
    value: Any = card
    for key in place[:-1]:
        value = value[key]
    return value


def changed(card: Card, change: Change) -> Card:
    """Change a copy and hash it again, as a careful forger would."""
    forged = copy.deepcopy(card)
    change(forged)
    return sealed(forged)


def put(*path: str | int, value: object) -> Change:
    def change(card: Card) -> None:
        parent_of(card, path)[path[-1]] = value

    return change


def test_a_built_card_holds(card: Card, dataset: Dataset) -> None:
    result = verify(card, dataset)
    assert result.problems == ()
    assert result.notes == ()
    assert result.refusals == ()
    assert result.convention == "empty"


def test_a_built_suites_card_holds(simulation_card: Card, tmp_path: Path) -> None:
    result = verify(simulation_card, root=tmp_path)
    assert result.problems == ()
    assert result.notes == ()


def test_the_other_hash_convention_holds_and_is_named(card: Card, dataset: Dataset) -> None:
    other = card | {"run_card_hash": card_hash(card, "omitted")}
    result = verify(other, dataset)
    assert result.holds
    assert result.convention == "omitted"
    assert any("left out" in note for note in result.notes)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-5, 5),
    st.text(max_size=4),
    st.just([]),
    st.just({}),
)


@given(data=st.data())
@shared_card
def test_every_change_of_a_single_field_is_caught(
    data: st.DataObject, card: Card, simulation_card: Card
) -> None:
    original = data.draw(st.sampled_from([card, simulation_card]))
    place = data.draw(st.sampled_from(list(leaves(original))))
    value = data.draw(values)
    tampered = copy.deepcopy(original)
    parent_of(tampered, place)[place[-1]] = value
    same = json.dumps(tampered, sort_keys=True) == json.dumps(original, sort_keys=True)
    result = verify(tampered)
    assert result.holds is same
    assert same or result.convention is None


@given(data=st.data())
@shared_card
def test_every_removal_and_addition_of_a_field_is_caught(data: st.DataObject, card: Card) -> None:
    place = data.draw(st.sampled_from(list(leaves(card))))
    removed = copy.deepcopy(card)
    del parent_of(removed, place)[place[-1]]
    assert not verify(removed).holds
    added = copy.deepcopy(card)
    target = parent_of(added, place)
    if isinstance(target, dict):
        target["sneaked"] = data.draw(values)
    else:
        target.append(data.draw(values))
    assert not verify(added).holds


@given(
    st.recursive(
        values,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["fingerprint", "components", "dataset", "config", "scores", "results", "kind"]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
@settings(deadline=None)
def test_whatever_the_file_holds_verification_answers(anything: object) -> None:
    assert not verify(anything).holds


@given(
    place=st.sampled_from(["scores", "dataset", "config", "results", "fingerprint", "totals"]),
    value=values,
)
@shared_card
def test_a_malformed_block_is_a_problem_and_no_crash(card: Card, place: str, value: object) -> None:
    result = verify(changed(card, put(place, value=value)))
    assert not result.holds


FORGERIES = {
    "a score": (put("scores", "chrf_plus_plus", value=99.0), "scores.chrf_plus_plus is 99.0, but"),
    "a rate": (put("scores", "exact_match_rate", value=0.5), "scores.exact_match_rate is 0.5"),
    "a count": (put("scores", "exact_matches", value=2), "scores.exact_matches is 2"),
    "the total": (put("scores", "total", value=4), "scores.total is 4, but results give 3"),
    "the errors": (put("scores", "errors", value=1), "scores.errors is 1"),
    "bleu": (put("scores", "bleu", value=77.0), "scores.bleu is 77.0"),
    "an interval": (
        put("scores", "chrf_plus_plus_interval", value=[98.0, 99.0]),
        "scores.chrf_plus_plus_interval",
    ),
    "a latency": (put("scores", "p95_latency_seconds", value=0.5), "scores.p95_latency_seconds"),
    "fst": (put("scores", "fst_acceptance_rate", value=1.0), "scores.fst_acceptance_rate is 1.0"),
    "a group": (
        put("scores", "by_difficulty", "easy", "chrf_plus_plus", value=1.0),
        "scores.by_difficulty.easy.chrf_plus_plus",
    ),
    "a group's name": (
        lambda card: card["scores"]["by_provenance"].update(
            gold=card["scores"]["by_provenance"].pop("handmade")
        ),
        "scores.by_provenance: groups",
    ),
    "an output": (put("results", 1, "predicted", value="¿Dónde están los platos?"), "exact_match"),
    "a flag": (put("results", 0, "exact_match", value=False), "results[0] (entry 1).exact_match"),
    "an entry's score": (put("results", 1, "entry_chrf", value=100.0), "entry_chrf is 100.0"),
    "an entry twice": (
        lambda card: card["results"].append(copy.deepcopy(card["results"][0])),
        "the entry stands twice",
    ),
    "an entry gone": (lambda card: card["results"].pop(), "scores.total is 3, but results give 2"),
    "the prompt": (put("system_prompt_used", value="Cheat."), "system_prompt_used hashes to"),
    "the prompt's hash": (put("system_prompt_sha256", value="0" * 64), "system_prompt_sha256"),
    "the model": (put("model_slug", value="other/model"), "components.model_slug"),
    "the condition": (put("condition", value="coached"), "components.condition"),
    "the version": (put("harness_version", value="9"), "components.harness_version"),
    "the temperature": (put("config", "temperature", value=0.9), "config.temperature is 0.9"),
    "the dataset's hash": (put("dataset", "sha256", value="0" * 64), "components.dataset_sha256"),
    "a component": (put("fingerprint", "components", "condition", value="x"), "fingerprint.hash"),
    "a seventh component": (
        put("fingerprint", "components", "mood", value="good"),
        "which are no components",
    ),
    "the fingerprint": (put("fingerprint", "hash", value="0" * 64), "its components give"),
    "the run id": (put("run_id", value="run_1"), "$.run_id"),
    "the time": (put("timestamp", value="yesterday"), "$.timestamp"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_that_was_hashed_again_is_caught_and_named(card: Card, forgery: str) -> None:
    change, message = FORGERIES[forgery]
    result = verify(changed(card, change))
    assert result.convention == "empty", "the forger took care of the hash"
    assert any(message in problem for problem in result.problems), result.problems


def test_a_consistent_fingerprint_of_other_inputs_is_caught(card: Card) -> None:
    def change(forged: Card) -> None:
        components = forged["fingerprint"]["components"]
        components["temperature"] = 0.0
        forged["fingerprint"]["hash"] = fingerprint_hash(components)

    result = verify(changed(card, change))
    (problem,) = result.problems
    assert problem == "fingerprint.components.temperature is 0.0, but config.temperature is 0.3"


def test_the_dataset_at_hand_catches_changed_texts(card: Card, dataset: Dataset) -> None:
    forged = changed(card, put("results", 2, "source", value="Something easier."))
    assert verify(forged).holds
    result = verify(forged, dataset)
    assert any("results[2].source" in problem for problem in result.problems)


def test_an_entry_that_the_dataset_lacks_is_named(card: Card, dataset: Dataset) -> None:
    result = verify(changed(card, put("results", 2, "entry_id", value=33)), dataset)
    assert any("has no entry 33 (the nearest is '3')" in problem for problem in result.problems)


def test_another_dataset_is_noticed(card: Card, tmp_path: Path, dataset: Dataset) -> None:
    copy_path = tmp_path / "copy.json"
    copy_path.write_bytes(dataset.path.read_bytes() + b"\n")
    result = verify(card, load_dataset(copy_path))
    (problem,) = result.problems
    assert problem.startswith("dataset.sha256 is")


def test_without_the_dataset_a_note_says_what_was_not_checked(card: Card) -> None:
    result = verify(card)
    assert result.holds
    assert result.notes == ("the dataset was not at hand, so its hash and texts stand unchecked",)


def test_many_wrong_rows_are_summed_up(card: Card) -> None:
    def change(forged: Card) -> None:
        forged["results"] = [
            {**forged["results"][0], "entry_id": n, "exact_match": False} for n in range(30)
        ]

    problems = verify(changed(card, change)).problems
    assert any(problem == "and 25 more rows do not hold" for problem in problems)


def test_rounded_scores_of_other_harnesses_hold(card: Card, dataset: Dataset) -> None:
    def change(foreign: Card) -> None:
        scores = foreign["scores"]
        for key in ("chrf_plus_plus_interval", "exact_match_rate_interval", "bleu"):
            del scores[key]
        scores["chrf_plus_plus"] = round(scores["chrf_plus_plus"], 2)
        scores["exact_match_rate"] = round(scores["exact_match_rate"], 4)
        scores["p95_latency_seconds"] = round(scores["p95_latency_seconds"], 2)
        foreign["config"] = {"temperature": 0.3}
        for row in foreign["results"]:
            del row["scores"], row["cost_usd"]

    assert verify(changed(card, change), dataset).problems == ()


def test_token_totals_that_differ_are_a_note(card: Card, dataset: Dataset) -> None:
    result = verify(changed(card, put("totals", "prompt_tokens", value=999)), dataset)
    assert result.holds
    assert result.notes == ("totals.prompt_tokens is 999, while the results sum to 300",)


def test_a_partial_run_holds_but_would_be_refused(
    dataset: Dataset, records: list[EntryRecord], facts: CardFacts
) -> None:
    result = verify(build_dataset_card(dataset, records[:2], facts), dataset)
    assert result.holds
    assert result.refusals == ("scores.total is 2, but the dataset has 3 entries",)


def test_a_run_without_any_answer_would_be_refused(
    dataset: Dataset, records: list[EntryRecord], facts: CardFacts
) -> None:
    failed = [record.model_copy(update={"outcome": "infra_error"}) for record in records]
    result = verify(build_dataset_card(dataset, failed, facts), dataset)
    assert result.holds
    assert result.refusals == ("no entry was evaluated",)


def test_a_users_metric_is_recomputed_when_it_is_known(
    dataset: Dataset, records: list[EntryRecord], facts: CardFacts
) -> None:
    class Polite(ExactMatch):
        name = "polite"
        entry_name = "polite"

    metrics = [*default_metrics(), Polite()]
    card = build_dataset_card(dataset, records, facts, metrics)
    forged = changed(card, put("scores", "polite", value=0.9))
    assert any("scores.polite" in problem for problem in verify(forged, metrics=metrics).problems)
    assert "scores of polite were not recomputed" in verify(forged, dataset).notes


def test_another_signature_is_noted(card: Card, dataset: Dataset) -> None:
    forged = changed(card, put("config", "metrics", "bleu", value="tok:none"))
    assert any("bleu was scored as tok:none" in note for note in verify(forged, dataset).notes)


def test_a_card_that_cannot_be_hashed_is_a_problem(card: Card) -> None:
    result = verify(card | {"model_id": "\ud83d", "system_prompt_used": "\ud83d"})
    assert any("half a surrogate pair" in problem for problem in result.problems)


SUITE_FORGERIES = {
    "a pass": (put("scores", "passed", value=2), "scores.passed is 2"),
    "the rate": (put("scores", "pass_rate", value=1.0), "scores.pass_rate is 1.0"),
    "a verdict": (
        put("results", 0, "verdicts", 0, "status", value="pass"),
        "scores.graders.books",
    ),
    "an outcome": (put("results", 0, "outcome", value="passed"), "scores.passed"),
    "a file": (put("dataset", "files", "prompt.txt", value="0" * 64), "dataset.files give"),
}


@pytest.mark.parametrize("forgery", SUITE_FORGERIES)
def test_a_forged_suite_is_caught(simulation_card: Card, forgery: str) -> None:
    change, message = SUITE_FORGERIES[forgery]
    result = verify(changed(simulation_card, change))
    assert any(message in problem for problem in result.problems), result.problems


def test_a_changed_file_of_the_suite_is_named(simulation_card: Card, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Cheat.")
    (tmp_path / "tools.json").unlink()
    result = verify(simulation_card, root=tmp_path)
    (problem,) = result.problems
    assert problem.startswith("dataset.files.prompt.txt is")
    assert any("tools.json is not there" in note for note in result.notes)


def test_a_suites_card_is_for_no_leaderboard(simulation_card: Card) -> None:
    assert any("one of simulations" in text for text in verify(simulation_card).refusals)
