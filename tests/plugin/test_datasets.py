"""Datasets as pytest items: what is collected, who translates, what bad input says."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import ChatServer, Suite

DATA = Path(__file__).parents[1] / "data"
GREETINGS = (("hello", "hola"), ("bye", "adiós"), ("thanks", "gracias"))
SHAPES = ["evals/shape1.json::1", "evals/shape1.json::2", "evals/shape1.json::3"]
SHAPES += ["evals/shape2.json::10", "evals/shape2.json::11"]
SHAPES += [f"evals/shape3.json::m_00{n}" for n in (1, 2, 3)]


@pytest.fixture
def shapes(suite: Suite) -> Suite:
    """A suite with a dataset in each of the three shapes."""
    shutil.copytree(DATA / "datasets", suite.root / "evals")
    return suite


def collected(suite: Suite, *arguments: str) -> list[str]:
    """Return the ids of what a run would run."""
    result = suite.run("--collect-only", "-q", "--strict-markers", *arguments)
    return [line for line in result.outlines if "::" in line]


def test_the_three_shapes_are_collected(shapes: Suite) -> None:
    assert collected(shapes) == SHAPES
    assert not (shapes.root / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("-k", "m_002"), SHAPES[6:7]),
        (("-m", "dataset"), SHAPES),
        (("-m", "kitchen-dev-v1"), SHAPES[:3]),
        (("-k", "kitchen-dev-v1"), SHAPES[:3]),
        (("-m", "easy or hard"), [SHAPES[0], SHAPES[2]]),
        (("-m", "textbook"), SHAPES[2:3]),
        (("-m", "market-eng-deu-dev and handmade and 1"), SHAPES[5:7]),
        (("-k", "phrasebook"), SHAPES[7:]),
        (("evals/shape2.json::11",), SHAPES[4:5]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_entries_are_found_by_what_the_dataset_says_of_them(
    shapes: Suite, arguments: tuple[str, ...], found: list[str]
) -> None:
    assert collected(shapes, *arguments) == found


def test_max_examples_are_of_each_file_and_of_what_k_left(shapes: Suite) -> None:
    assert collected(shapes, "--eval-max-examples=2") == [*SHAPES[:2], *SHAPES[3:7]]
    assert collected(shapes, "--eval-max-examples=1", "-m", "hard or 3") == [SHAPES[2], SHAPES[7]]


def test_a_slug_is_asked_over_http(each_mode: Suite, chat: ChatServer) -> None:
    each_mode.dataset("greetings", *GREETINGS)
    chat.answers = {"hello": ["Hola"], "bye": [(429, "1"), "adiós"]}
    arguments = ("--eval-temperature=0.7", "--eval-max-tokens=99", "--eval-condition=few-shot")
    result = each_mode.run(*arguments)
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    assert sorted(chat.asked()) == ["bye", "bye", "hello", "thanks"]
    for request in chat.requests:
        body = request["body"]
        assert request["path"] == "/v1/chat/completions"
        assert (body["model"], body["temperature"]) == ("vendor/tiny", 0.7)
        assert 99 in (body.get("max_tokens"), body.get("max_completion_tokens"))
        assert "from English to Spanish" in body["messages"][0]["content"]
    hello = each_mode.entries()["greetings-1"]
    assert (hello["predicted"], hello["exact_match"]) == ("Hola", True)
    assert (hello["model_id"], hello["cost_usd"]) == ("tiny-2026-11-01", 0.25)
    used = {"prompt_tokens": 11, "completion_tokens": 7, "reasoning_tokens": 2, "cached_tokens": 3}
    assert hello["usage"] == used
    card = each_mode.card("greetings")
    assert (card["model_slug"], card["model_id"]) == ("vendor/tiny", "tiny-2026-11-01")
    assert (card["condition"], card["config"]["temperature"]) == ("few-shot", 0.7)
    assert (card["config"]["max_tokens"], card["config"]["batch_size"]) == (99, 5)
    assert card["config"]["api_provider"] == chat.url.removeprefix("http://")
    assert card["system_prompt_used"] == chat.requests[0]["body"]["messages"][0]["content"]
    totals = {**{name: 3 * count for name, count in used.items()}, "total_cost_usd": 0.75}
    assert totals.items() <= card["totals"].items()
    assert card["scores"]["exact_matches"] == 2


def test_a_prompt_of_a_file_is_sent_and_is_in_the_card(suite: Suite, chat: ChatServer) -> None:
    suite.dataset("greetings", *GREETINGS)
    suite.write("prompt.md", "Translate into Río de la Plata Spanish.\n")
    assert suite.run("--eval-system-prompt-file=prompt.md").ret == 0
    sent = {request["body"]["messages"][0]["content"] for request in chat.requests}
    assert sent == {"Translate into Río de la Plata Spanish."}
    assert suite.card("greetings")["system_prompt_used"] == sent.pop()


def test_a_realtime_model_translates_nothing(suite: Suite, chat: ChatServer) -> None:
    suite.dataset("greetings", *GREETINGS)
    suite.simulation("sim_a", assistant={"system_prompt": "{}"})
    suite.run("--eval-model=gpt-realtime-mini")
    assert {request["body"]["model"] for request in chat.requests} == {"openai/gpt-4o"}
    assert suite.card("simulations")["model_slug"] == "gpt-realtime-mini"


def test_what_a_run_of_a_dataset_leaves(suite: Suite, chat: ChatServer) -> None:
    suite.dataset("greetings", *GREETINGS)
    chat.answers = {"hello": ["hola"], "thanks": [400]}
    suite.run().assert_outcomes(passed=2, errors=1)
    with (suite.folder / "results.csv").open(encoding="utf-8", newline="") as file:
        hello, bye, thanks = csv.DictReader(file)
    told = {"kind": "entry", "dataset_id": "greetings", "entry_id": "greetings-1"}
    told |= {"source": "hello", "reference": "hola", "predicted": "hola", "exact_match": "True"}
    told |= {"entry_chrf": "100.0", "status": "ok", "prompt_tokens": "11", "difficulty": "1"}
    assert told.items() <= hello.items()
    assert (bye["predicted"], bye["exact_match"], bye["cost_usd"]) == ("BYE", "False", "0.25")
    assert (thanks["status"], thanks["failure_stage"]) == ("failed", "response_error")
    assert "no luck" in thanks["error_message"]
    summary = suite.summary()
    assert (summary["entries"], summary["exact_matches"], summary["infra_errors"]) == (3, 1, 1)
    assert summary["chrf_plus_plus"] == summary["greetings_chrf_plus_plus"]
    assert summary["chrf_plus_plus_interval_low"] <= summary["chrf_plus_plus"]
    assert summary["total_prompt_tokens"] == 22
    assert summary["total_cost_usd"] is None, "nobody knows what the refused request cost"
    assert summary["by_difficulty_1_total"] == 3


def test_the_terminal_shows_the_interval(suite: Suite, chat: ChatServer) -> None:
    suite.dataset("greetings", *GREETINGS)
    chat.answers = {source: [reference] for source, reference in GREETINGS}
    result = suite.run()
    result.stdout.fnmatch_lines(["greetings * 3 *100.0 [[]100.0-100.0] *100*%*$0.75*0"])


@pytest.mark.parametrize(
    ("answer", "stage", "words"),
    [
        ((503, "999"), "response_error", "no luck"),
        ("", "empty_output", "vendor/tiny answered nothing"),
        ("  \n", "empty_output", "vendor/tiny answered nothing"),
    ],
    ids=["busy for long", "nothing", "white space"],
)
def test_an_entry_without_an_answer_is_an_infra_error_and_the_rest_goes_on(
    suite: Suite, chat: ChatServer, answer: str | tuple[int, str], stage: str, words: str
) -> None:
    suite.dataset("greetings", *GREETINGS)
    chat.answers = {"bye": [answer]}
    result = suite.run()
    result.assert_outcomes(passed=2, errors=1)
    assert result.ret == 1
    bye = suite.entries()["greetings-2"]
    assert (bye["outcome"], bye["failure"]["stage"]) == ("infra_error", stage)
    assert words in bye["reason"]
    row = suite.card("greetings")["results"][1]
    assert (row["predicted"], row["exact_match"], row["entry_chrf"]) == ("", False, 0.0)
    assert words in row["error"]
    result.stdout.fnmatch_lines(["infra_errors<=0 *1 *MISSED *default"])


@pytest.mark.slow
def test_a_silent_server_is_asked_again_and_then_given_up(suite: Suite, chat: ChatServer) -> None:
    suite.dataset("greetings", GREETINGS[0])
    chat.delay_s = 0.4
    assert suite.run("--eval-response-timeout=0.1").ret == 1
    assert suite.entries()["greetings-1"]["failure"]["stage"] == "response_timeout"
    assert len(chat.requests) == 5


def test_a_wrong_key_stops_the_run_with_one_message(suite: Suite, chat: ChatServer) -> None:
    suite.dataset("greetings", *GREETINGS * 20)
    chat.answers = {source: [401] for source, _ in GREETINGS}
    chat.delay_s = 0.1
    result = suite.run("--eval-batch-size=2")
    assert result.ret not in (0, 5)
    assert len(chat.requests) < 60
    result.stdout.fnmatch_lines(["*401*"])


@pytest.mark.parametrize("size", [1, 3])
def test_batch_size_is_how_many_entries_are_in_flight(
    suite: Suite, chat: ChatServer, size: int
) -> None:
    suite.dataset("greetings", *GREETINGS * 3)
    chat.delay_s = 0.1
    suite.run(f"--eval-batch-size={size}").assert_outcomes(passed=9)
    assert chat.most_in_flight == size
    assert suite.card("greetings")["config"]["batch_size"] == size


UPPER = "import sys\nfor line in sys.stdin:\n    print(line.strip().upper(), flush=True)\n"
DIES = "import sys\nsys.exit('no dictionary for this pair')\n"


def test_a_program_translates(suite: Suite) -> None:
    suite.dataset("greetings", *GREETINGS)
    suite.write("upper.py", UPPER)
    result = suite.run(f"--eval-model=command:{sys.executable} upper.py")
    result.assert_outcomes(passed=3)
    assert suite.entries()["greetings-3"]["predicted"] == "THANKS"
    card = suite.card("greetings")
    assert card["config"]["api_provider"] == "command"
    assert card["totals"]["total_cost_usd"] is None


def test_a_program_that_fails_is_quoted(suite: Suite) -> None:
    suite.dataset("greetings", *GREETINGS)
    suite.write("dies.py", DIES)
    result = suite.run(f"--eval-model=command:{sys.executable} dies.py")
    assert result.ret == 1
    assert "no dictionary for this pair" in suite.entries()["greetings-1"]["reason"]


FUNCTIONS = """
def plain(text: str) -> str:
    return text.upper()

async def waiting(text: str, system_prompt: str) -> str:
    assert "English to Spanish" in system_prompt
    return text.upper()

def batch(texts: list[str]) -> list[str]:
    assert len(texts) <= 2
    return [text.upper() for text in texts]

def breaks(text):
    if text == "bye":
        raise LookupError("no such word")
    return text.upper()
"""


@pytest.mark.parametrize("name", ["plain", "waiting", "batch"])
def test_a_function_translates(suite: Suite, name: str) -> None:
    suite.dataset("greetings", *GREETINGS)
    suite.write("own_models.py", FUNCTIONS)
    suite.run(f"--eval-model=callable:own_models:{name}", "--eval-batch-size=2").assert_outcomes(
        passed=3
    )
    assert suite.entries()["greetings-3"]["predicted"] == "THANKS"
    assert suite.card("greetings")["model_slug"] == f"callable:own_models:{name}"


def test_a_function_that_raises_costs_its_entry(suite: Suite) -> None:
    suite.dataset("greetings", *GREETINGS)
    suite.write("own_models.py", FUNCTIONS)
    suite.run("--eval-model=callable:own_models:breaks").assert_outcomes(passed=2, errors=1)
    assert "LookupError: no such word" in suite.entries()["greetings-2"]["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--eval-model=callable:nowhere:f",), "`callable:nowhere:f` cannot be imported"),
        (("--eval-model=callable:json:nothing",), "`callable:json:nothing` is not there"),
        (("--eval-model=command:no-such-program",), "no-such-program"),
        (("--eval-model=vendor/tiny",), "needs OPENROUTER_API_KEY or OPENAI_"),
        (("--eval-fst-analyzer=./missing",), "the FST analyser ./missing was not found"),
        (("--eval-fst-analyzer=./pytest.ini",), "cannot be executed: Permission denied"),
        (("--eval-fst-analyzer=broken.hfstol",), "is not an HFST optimised-lookup file"),
        (("--eval-price-file=broken.hfstol",), "is not valid JSON"),
        (("--eval-threshold=entry_chr>=3",), "did you mean 'entry_chrf'"),
    ],
)
def test_a_setting_that_no_entry_can_do_without_stops_with_one_message(
    suite: Suite, arguments: tuple[str, ...], message: str
) -> None:
    suite.dataset("greetings", *GREETINGS * 5)
    suite.write("own_models.py", FUNCTIONS)
    suite.write("broken.hfstol", "no transducer")
    suite.ini["eval_model"] = "callable:own_models:plain"
    result = suite.run(*arguments)
    assert result.ret not in (0, 1, 3, 5)
    text = result.stdout.str()
    assert message in " ".join(text.split())
    assert "Traceback" not in text
    assert ".py:" not in text
    assert len(suite.entries()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--eval-threshold=chrf",), "'chrf' (command line) is not a name of summary.json, one of"),
        (
            ("--eval-system-prompt-file=no.md",),
            "--eval-assistant-system-prompt-file: no file *no.md",
        ),
        (("--eval-system-prompt-file=latin.md",), "latin.md, byte 1: is not UTF-8"),
        (("--eval-price-file=no.json",), "--eval-price-file: no file *no.json"),
        (("--eval-temperature=hot",), "--eval-temperature: 'hot' must be a number"),
        (("--eval-batch-size=0",), "--eval-batch-size: '0' must be 1 or more"),
    ],
)
def test_a_setting_that_is_none_is_a_usage_error(
    suite: Suite, arguments: tuple[str, ...], message: str
) -> None:
    suite.dataset("greetings", *GREETINGS)
    (suite.root / "latin.md").write_bytes("sí".encode("latin-1"))
    result = suite.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{message}*"])


FST = """
import sys
for line in sys.stdin:
    word = line.strip()
    if word == {deadly!r}:
        sys.exit("the lexicon is gone")
    print(word, word + "+N" if word in {known} else "+?", sep="\\t", end="\\n\\n", flush=True)
"""


@pytest.fixture
def spoken(suite: Suite, chat: ChatServer) -> Suite:
    """A suite whose entries are translated as: el gato, una sopa."""
    suite.dataset("food", ("cat", "el gato"), ("soup", "la sopa"))
    chat.answers = {"cat": ["El gato, ¡el gato!".lower()], "soup": ["una sopa"]}
    return suite


def analyzer(suite: Suite, deadly: str = "") -> str:
    """Return the command of an analyser."""
    known = ["el", "gato", "sopa"]
    script = suite.write("fst.py", FST.format(known=known, deadly=deadly))
    return f"--eval-fst-analyzer={sys.executable} {script}"


@pytest.mark.parametrize("kind", ["program", "hfstol"])
def test_fst_acceptance(spoken: Suite, kind: str) -> None:
    hfstol = f"--eval-fst-analyzer={DATA / 'fst' / 'kitchen.hfstol'}"
    result = spoken.run(analyzer(spoken) if kind == "program" else hfstol)
    result.assert_outcomes(passed=2)
    entries = spoken.entries()
    assert entries["food-1"]["fst_accepted"] is True
    assert entries["food-2"]["fst_accepted"] is False
    assert entries["food-2"]["fst_analysis"]["una"] == []
    scores = spoken.card("food")["scores"]
    assert (scores["fst_accepted"], scores["fst_acceptance_rate"]) == (1, 0.5)
    assert spoken.summary()["fst_acceptance_rate"] == 0.5
    result.stdout.fnmatch_lines(["food *50*%*"])


def test_a_dead_analyser_is_an_error_and_no_score_of_zero(spoken: Suite) -> None:
    result = spoken.run(analyzer(spoken, deadly="una"))
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 1
    soup = spoken.entries()["food-2"]
    assert (soup["outcome"], soup["failure"]["stage"]) == ("infra_error", "fst_analyzer")
    assert "the lexicon is gone" in soup["reason"]
    assert soup["fst_accepted"] is None
    scores = spoken.card("food")["scores"]
    assert (scores["fst_accepted"], scores["fst_acceptance_rate"]) == (None, None)
    assert soup["predicted"] == "una sopa", "what was paid for is kept"


METRIC = """
from pytest_realtime_eval.metrics.base import Metric

class Length(Metric):
    name = "length_ratio"
    signature = "characters|version:1"

    def statistics(self, hypothesis, reference):
        return (float(len(hypothesis)), float(len(reference)))

    def score(self, totals):
        return float(totals[0] / totals[1])

def pytest_realtime_eval_metrics(registry):
    registry.register(Length)
"""


@pytest.mark.parametrize("mode", [(), ("-n2",)], ids=" ".join)
def test_a_users_metric_lands_in_table_thresholds_and_card(
    suite: Suite, chat: ChatServer, mode: tuple[str, ...]
) -> None:
    suite.mode = mode
    suite.dataset("greetings", *GREETINGS)
    chat.answers = {"hello": ["holahola"]}
    suite.write("conftest.py", METRIC)
    result = suite.run("--eval-threshold=length_ratio>=9")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["dataset * length_ratio *", "greetings * 1.062 *"])
    result.stdout.fnmatch_lines(["length_ratio>=9 *MISSED *command line"])
    with (suite.folder / "results.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["score_length_ratio"] == "2.0"
    card = suite.card("greetings")
    ratio = round((8 + 3 + 6) / (4 + 5 + 7), 6)
    assert card["scores"]["length_ratio"] == card["scores"]["by_difficulty"]["1"]["length_ratio"]
    assert card["scores"]["length_ratio"] == suite.summary()["length_ratio"] == ratio
    assert card["config"]["metrics"]["length_ratio"] == "characters|version:1"
    assert card["results"][0]["scores"]["length_ratio"] == 2.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "length_ratio"', 'name = "bleu"', "the metric name 'bleu' is taken"),
        ("totals[0]", "{}[7]", "the metric 'length_ratio' failed: KeyError: 7"),
    ],
)
@pytest.mark.usefixtures("chat")
def test_a_users_metric_that_is_none(suite: Suite, old: str, new: str, message: str) -> None:
    suite.dataset("greetings", *GREETINGS)
    suite.write("conftest.py", METRIC.replace(old, new))
    result = suite.run()
    assert result.ret not in (0, 5)
    assert message in result.stdout.str()


def entry(**changes: object) -> dict[str, Any]:
    return {"id": "a", "source": "hello", "reference": "hola"} | changes


def whole(*entries: object, **changes: object) -> dict[str, Any]:
    return {"dataset": {"id": "bad"}, "entries": list(entries)} | changes


BAD_DATASETS = {
    "broken JSON": ('{"entries": [', ", line 1 column 14: is not valid JSON"),
    "duplicate ids": (whole(entry(), entry()), "$.entries[[]1] (id 'a'): *'a' is taken by *[[]0]"),
    "wrong entry_count": (
        whole(entry(), entry_count=3),
        "$.entry_count: says 3, but there are 1 entries",
    ),
    "empty reference": (
        whole(entry(reference=" ")),
        "$.entries[[]0] (id 'a'): 'reference' is empty",
    ),
    "missing source": (
        whole({"id": "a", "reference": "hola"}),
        "$.entries[[]0] (id 'a'): 'source' (or 'source_text') is missing",
    ),
    "no entries": (whole(), "$.entries: holds no entries"),
    "unknown shape": ({"entries": [entry()]}, "$: needs a 'dataset' object with an 'id', or a"),
    "entries that are no list": ({"dataset": {"id": "b"}, "entries": 3}, "$.entries: must be a"),
    "not UTF-8": (b'{"dataset": {"id": "b"}, "entries": ["\xff"]}', ", byte *: is not UTF-8"),
    "bad threshold": (whole(entry(), thresholds=["chrf"]), "$.thresholds: the threshold 'chrf'"),
    "id that another has": (
        {"dataset": {"id": "good"}, "entries": [entry()]},
        "dataset id: 'good' is the id of *good.json too",
    ),
    "id that leaves the folder": (
        {"dataset": {"id": "../b"}, "entries": [entry()]},
        "$.dataset.id: *separators",
    ),
}


@pytest.mark.usefixtures("chat")
@pytest.mark.parametrize("name", BAD_DATASETS)
def test_a_bad_dataset_costs_only_itself(suite: Suite, name: str) -> None:
    content, message = BAD_DATASETS[name]
    suite.dataset("good", *GREETINGS)
    path = suite.write("evals/z.json", "")
    path.write_bytes(content if isinstance(content, bytes) else as_text(content).encode())
    result = suite.run()
    result.assert_outcomes(passed=3, errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [f"/*/evals/z.json{message}*" if message[0] == "," else f"/*/evals/z.json, {message}*"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*.py:[0-9]*: *")
    assert len(suite.entries()) == 3


def as_text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content)


def test_an_entry_whose_worker_dies_is_recorded_as_an_entry(suite: Suite) -> None:
    suite.dataset("greetings", *GREETINGS)
    suite.write(
        "own_models.py",
        "import os, time\ndef f(text):\n    time.sleep(0.3)\n"
        "    return text if text != 'bye' else os._exit(3)\n",
    )
    suite.mode = ("-n1",)
    result = suite.run("--eval-model=callable:own_models:f", "--eval-batch-size=1")
    assert result.ret == 1
    outcomes = {name: record["outcome"] for name, record in suite.entries().items()}
    assert len(outcomes) == 3
    dead = [record for record in suite.entries().values() if record["outcome"] == "infra_error"]
    assert [record["failure"]["stage"] for record in dead] == ["worker_crash"]
    assert suite.card("greetings")["scores"]["errors"] == 1
