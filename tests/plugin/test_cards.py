"""Run cards of real runs: written, verified, compared, shown, posted."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.cli import main
from pytest_realtime_eval.schemas.run_card import RunCard, SimulationCard

if TYPE_CHECKING:
    from tests.plugin.conftest import ChatServer, Leaderboard, Suite

GREETINGS = (("hello", "hola"), ("bye", "adiós"), ("thanks", "gracias"), ("yes", "sí"))
EMBEDDED = Path(__file__).parents[2] / "evals" / "datasets" / "everyday_en_es.json"


@pytest.fixture
def greetings(suite: Suite, chat: ChatServer) -> Suite:
    """A suite with a dataset, half of which is translated exactly."""
    suite.dataset("greetings", *GREETINGS)
    chat.answers = {source: [reference] for source, reference in GREETINGS[:2]}
    return suite


def card_of(suite: Suite, name: str, *arguments: str) -> dict[str, Any]:
    """Run the suite under a name, and return the card of its dataset."""
    assert suite.run(f"--eval-run-name={name}", *arguments).ret == 0
    path = suite.root / "results" / name / "run_cards" / "greetings.json"
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card


def timeless(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if "latency" not in name}


def test_cards_of_a_run_hold(greetings: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    greetings.simulation("sim_a")
    assert greetings.run().ret == 0
    RunCard.model_validate(greetings.card("greetings"))
    SimulationCard.model_validate(greetings.card("simulations"))
    dataset = str(greetings.root / "evals" / "greetings.json")
    where = str(greetings.folder)
    assert main(["verify", where, "--dataset", dataset, "--root", str(greetings.root)]) == 0
    assert "does not hold" not in capsys.readouterr().out
    assert main(["show", where]) == 0
    out = capsys.readouterr().out
    assert "exact_match_rate     0.5 [" in out
    assert "model_slug           vendor/tiny" in out


def test_a_changed_score_is_told(greetings: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert greetings.run().ret == 0
    path = greetings.folder / "run_cards" / "greetings.json"
    path.write_text(path.read_text().replace('"exact_matches": 2', '"exact_matches": 3', 1))
    assert main(["verify", str(path)]) == 1
    out = capsys.readouterr().out
    assert "scores.exact_matches is 3, but results give 2" in out
    assert "the card was changed after hashing" in out


def test_another_dataset_is_told(greetings: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert greetings.run().ret == 0
    dataset = greetings.dataset("greetings", *GREETINGS[:3], ("no", "no"))
    assert main(["verify", str(greetings.folder), "--dataset", str(dataset)]) == 1
    assert "sha256" in capsys.readouterr().out


@pytest.mark.parametrize("workers", ["-n2", pytest.param("-n8", marks=pytest.mark.slow)], ids=str)
def test_the_same_setup_has_the_same_fingerprint_however_it_runs(
    greetings: Suite, workers: str
) -> None:
    cards = []
    for name, mode in {"one": ("-n0",), "again": (), "several": (workers,)}.items():
        greetings.mode = mode
        cards.append(card_of(greetings, name))
    assert len({card["fingerprint"]["hash"] for card in cards}) == 1
    assert len({json.dumps(timeless(card["scores"])) for card in cards}) == 1
    assert len({card["run_card_hash"] for card in cards}) == 3
    assert len({card["run_id"] for card in cards}) == 3
    assert [row["entry_id"] for row in cards[2]["results"]] == [
        f"greetings-{n}" for n in (1, 2, 3, 4)
    ]


def test_the_fingerprint_differs_with_each_of_its_inputs(
    greetings: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    greetings.write("prompt.md", "Translate.")
    cards = {
        "": card_of(greetings, "same"),
        "condition": card_of(greetings, "condition", "--eval-condition=few-shot"),
        "temperature": card_of(greetings, "temperature", "--eval-temperature=0"),
        "model_slug": card_of(greetings, "model", "--eval-model=vendor/other"),
        "system_prompt_sha256": card_of(greetings, "prompt", "--eval-system-prompt-file=prompt.md"),
    }
    with monkeypatch.context() as patch:
        patch.setattr("pytest_realtime_eval.run_card.build.harness_version", lambda: "9.9.9")
        cards["harness_version"] = card_of(greetings, "harness")
    greetings.dataset("greetings", *GREETINGS[:3], ("yes", "que sí"))
    cards["dataset_sha256"] = card_of(greetings, "dataset")
    assert len({card["fingerprint"]["hash"] for card in cards.values()}) == 7
    same = cards.pop("")["fingerprint"]["components"]
    assert same.keys() == cards.keys()
    for name, card in cards.items():
        components = card["fingerprint"]["components"]
        assert {key for key in same if same[key] != components[key]} == {name}


def test_what_does_not_shape_a_run_is_no_part_of_its_fingerprint(greetings: Suite) -> None:
    cards = [
        card_of(greetings, "one"),
        card_of(greetings, "two", "--eval-batch-size=2", "--eval-threshold=pass_rate>=0"),
    ]
    assert cards[0]["fingerprint"] == cards[1]["fingerprint"]


def registered(suite: Suite, board: Leaderboard, name: str = "greetings") -> None:
    content = (suite.root / "evals" / f"{name}.json").read_bytes()
    board.registry[name] = hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("mode", [(), pytest.param(("-n2",), marks=pytest.mark.slow)], ids=" ".join)
def test_cards_are_posted_after_the_run(
    greetings: Suite,
    leaderboard: Leaderboard,
    mode: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered(greetings, leaderboard)
    greetings.simulation("sim_a")
    greetings.mode = mode
    monkeypatch.setenv("REALTIME_EVAL_LEADERBOARD_TOKEN", "s3cret")
    result = greetings.run("--eval-submit")
    assert result.ret == 0
    assert leaderboard.taken == [greetings.card("greetings")]
    assert leaderboard.requests[0]["headers"]["Authorization"] == "Bearer s3cret"
    result.stdout.fnmatch_lines(["submitted *greetings.json to http://*: accepted as #1"])
    assert "s3cret" not in result.stdout.str()


def test_a_refused_card_stays_with_the_command_that_posts_it(
    greetings: Suite, leaderboard: Leaderboard, capsys: pytest.CaptureFixture[str]
) -> None:
    greetings.dataset("known", ("hello", "hola"))
    registered(greetings, leaderboard, "known")
    greetings.ini["eval_results_dir"] = "my results"
    result = greetings.run("--eval-submit")
    result.assert_outcomes(passed=5)
    assert result.ret == 1
    assert [card["dataset"]["id"] for card in leaderboard.taken] == ["known"]
    result.stdout.fnmatch_lines(
        ["NOT SUBMITTED *greetings.json: *answered 422: the dataset greetings is not registered"]
    )
    (line,) = [line for line in result.outlines if "submit it later with: " in line]
    program, *arguments = shlex.split(line.partition("with: ")[2])
    assert program == "realtime-eval"
    capsys.readouterr()
    assert main(arguments) == 1
    assert "the dataset greetings is not registered" in capsys.readouterr().err
    registered(greetings, leaderboard)
    assert main(arguments) == 0
    assert "taken by" in capsys.readouterr().out
    assert leaderboard.taken[-1] == json.loads(Path(arguments[1]).read_text(encoding="utf-8"))


def test_a_broken_card_is_not_posted(
    greetings: Suite, leaderboard: Leaderboard, capsys: pytest.CaptureFixture[str]
) -> None:
    registered(greetings, leaderboard)
    assert greetings.run().ret == 0
    path = greetings.folder / "run_cards" / "greetings.json"
    path.write_text(path.read_text().replace('"baseline"', '"better"', 1))
    url = greetings.ini["eval_leaderboard_url"]
    assert main(["submit", str(path), "--leaderboard-url", url]) == 1
    assert "run_card_hash" in capsys.readouterr().err
    assert leaderboard.requests == []


def test_a_run_without_datasets_says_that_nothing_is_posted(
    suite: Suite, leaderboard: Leaderboard
) -> None:
    suite.simulation("sim_a")
    result = suite.run("--eval-submit")
    assert result.ret == 0
    assert leaderboard.requests == []
    result.stdout.fnmatch_lines(["nothing submitted: leaderboards take the cards of datasets,*"])


def test_a_part_of_a_dataset_is_not_posted(greetings: Suite, leaderboard: Leaderboard) -> None:
    registered(greetings, leaderboard)
    result = greetings.run("--eval-submit", "--eval-max-examples=2")
    assert result.ret == 1
    assert leaderboard.requests == []
    result.stdout.fnmatch_lines(["*scores.total is 2, but the dataset has 4 entries*"])


def test_translate_is_pytest_under_the_source_documents_names(
    greetings: Suite,
    chat: ChatServer,
    leaderboard: Leaderboard,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    registered(greetings, leaderboard)
    greetings.arguments()
    monkeypatch.chdir(greetings.root)
    script = greetings.write(
        "fst.py", "import sys\nfor w in sys.stdin: print(w.strip(), 'x', sep='\\t', flush=True)\n"
    )
    analyzer = shlex.join([sys.executable, str(script)])
    flags = ["--dataset=evals/greetings.json", "--model=vendor/small", "--condition=coached-v3"]
    flags += ["--temperature=0.1", "--batch-size=2", f"--fst-analyzer={analyzer}", "--submit"]
    status = main(["translate", *flags, "--", "-p", "no:cacheprovider", "-p", "no:randomly"])
    assert status == 0, capfd.readouterr().out
    card = greetings.card("greetings")
    assert leaderboard.taken == [card]
    assert (card["model_slug"], card["condition"]) == ("vendor/small", "coached-v3")
    assert (card["config"]["temperature"], card["config"]["batch_size"]) == (0.1, 2)
    assert card["scores"]["fst_acceptance_rate"] == 1.0
    assert {request["body"]["model"] for request in chat.requests} == {"vendor/small"}


@pytest.mark.slow
def test_the_shipped_dataset_is_translated_by_the_embedded_endpoint(suite: Suite) -> None:
    suite.write("evals/everyday.json", EMBEDDED.read_text(encoding="utf-8"))
    suite.mode = ("-n2",)
    result = suite.run("--eval-model=embedded")
    assert result.ret == 0
    result.assert_outcomes(passed=44)
    card = suite.card("everyday-en-es")
    assert (card["model_slug"], card["config"]["api_provider"]) == ("embedded", "embedded")
    assert set(card["scores"]["by_difficulty"]) == {"1", "2", "3"}
    assert len(card["scores"]["by_provenance"]) == 2
    assert main(["verify", str(suite.folder), "--dataset", str(EMBEDDED)]) == 0
