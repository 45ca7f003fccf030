"""What CI gates on: thresholds over the whole run, and the exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import ChatServer, Suite

GREETINGS = (("hello", "hola"), ("bye", "adiós"), ("thanks", "gracias"), ("yes", "sí"))


@pytest.fixture
def translated(suite: Suite, chat: ChatServer) -> Suite:
    """A suite with a dataset, three of whose four entries are translated exactly."""
    suite.dataset("greetings", *GREETINGS)
    chat.answers = {source: [reference] for source, reference in GREETINGS[:3]}
    return suite


def held(suite: Suite) -> dict[str, bool]:
    """Return what summary.json says of each threshold."""
    return {each["threshold"]: each["met"] for each in suite.summary()["thresholds"]}


def test_a_run_without_thresholds_holds_those_of_errors(translated: Suite) -> None:
    result = translated.run()
    result.assert_outcomes(passed=4)
    assert result.ret == 0, "a translation below its reference is a score, not a failure"
    assert held(translated) == {"infra_errors<=0": True, "judge_errors<=0": True}


@pytest.mark.parametrize(
    ("expression", "met"),
    [
        ("exact_match_rate>=0.75", True),
        ("exact_match_rate>0.75", False),
        ("chrf_plus_plus>=101", False),
        ("greetings_exact_matches==3", True),
        ("total_cost_usd<=1", True),
        ("total_cost_usd<0.5", False),
        ("latency_seconds_p95<30", True),
        ("by_difficulty_1_exact_match_rate<0.5", False),
        ("latency_first_audio_ms_p95<=1000", False),
    ],
)
def test_a_missed_threshold_makes_1_though_every_item_passed(
    translated: Suite, expression: str, met: bool
) -> None:
    result = translated.run("--eval-threshold", expression)
    result.assert_outcomes(passed=4)
    assert result.ret == (0 if met else 1)
    assert held(translated)[expression] is met
    result.stdout.fnmatch_lines([f"{expression} * {'met' if met else 'MISSED'} *command line"])


@pytest.mark.parametrize("mode", [("-n2",), ("-n0",)], ids=" ".join)
def test_the_gate_sees_every_workers_results(translated: Suite, mode: tuple[str, ...]) -> None:
    translated.mode = mode
    result = translated.run(
        "--eval-threshold=exact_match_rate==0.75", "--eval-threshold=entries>=5"
    )
    result.assert_outcomes(passed=4)
    assert result.ret == 1
    assert held(translated)["exact_match_rate==0.75"]
    result.stdout.fnmatch_lines(["entries>=5 *4 *MISSED *command line"])


def test_thresholds_stand_in_ini_file_and_command_line(suite: Suite, chat: ChatServer) -> None:
    chat.answers = {"hello": ["hola"]}
    suite.dataset("good", GREETINGS[0], changes={"thresholds": ["chrf_plus_plus>=90"]})
    suite.dataset("bad", GREETINGS[1], changes={"thresholds": ["chrf_plus_plus>=90"]})
    suite.simulation("sim_a", thresholds=["turns<=1", "pass_rate>=1"])
    suite.ini["eval_thresholds"] = "\n    entries>=2\n    simulations>=7\n"
    result = suite.run("--eval-threshold=simulations>=1")
    assert result.ret == 1
    checks = {
        (each["place"], each["threshold"]): each["met"] for each in suite.summary()["thresholds"]
    }
    assert checks == {
        ("command line", "simulations>=1"): True,
        ("ini", "entries>=2"): True,
        ("default", "infra_errors<=0"): True,
        ("default", "judge_errors<=0"): True,
        ("good", "chrf_plus_plus>=90"): True,
        ("bad", "chrf_plus_plus>=90"): False,
        ("sim_a", "turns<=1"): True,
        ("sim_a", "pass_rate>=1"): True,
    }
    result.stdout.fnmatch_lines(["chrf_plus_plus>=90 *MISSED *bad"])


ENTRY = "--eval-threshold=exact_match>=1"


def test_an_entry_below_its_own_threshold_fails(translated: Suite) -> None:
    result = translated.run(ENTRY)
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == 1
    assert translated.entries()["greetings-4"]["outcome"] == "failed"
    result.stdout.fnmatch_lines(["*exact_match>=1: not met, it is 0*"])
    assert translated.summary()["pass_rate"] == 0.75


def test_entry_thresholds_of_a_file_are_its_own(suite: Suite, chat: ChatServer) -> None:
    chat.answers = {"hello": ["hola"]}
    suite.dataset("strict", *GREETINGS[:2], changes={"thresholds": ["entry_chrf>=90"]})
    suite.dataset("mild", *GREETINGS[:2])
    suite.run().assert_outcomes(passed=3, failed=1)
    assert suite.entries()["strict-2"]["outcome"] == "failed"


@pytest.mark.parametrize("mode", [(), pytest.param(("-n2",), marks=pytest.mark.slow)], ids=" ".join)
def test_a_met_pass_rate_tolerates_what_failed_and_names_it(
    translated: Suite, mode: tuple[str, ...]
) -> None:
    translated.mode = mode
    result = translated.run(ENTRY, "--eval-threshold=pass_rate>=0.7")
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["tolerated, since pass_rate is met: *::greetings-4"])


def test_a_missed_pass_rate_tolerates_nothing(translated: Suite) -> None:
    result = translated.run(ENTRY, "--eval-threshold=pass_rate>=0.8")
    assert result.ret == 1
    assert "tolerated" not in result.stdout.str()


def test_infra_errors_are_not_tolerated_with_a_pass_rate(
    translated: Suite, chat: ChatServer
) -> None:
    chat.answers["yes"] = [400]
    result = translated.run(ENTRY, "--eval-threshold=pass_rate>=0.5")
    result.assert_outcomes(passed=3, errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["infra_errors<=0 *1 *MISSED *default"])


def test_infra_errors_are_tolerated_by_name_when_the_user_says_so(
    translated: Suite, chat: ChatServer
) -> None:
    chat.answers["yes"] = [400]
    limits = ("--eval-threshold=pass_rate>=0.5", "--eval-threshold=infra_errors<=1")
    result = translated.run(ENTRY, *limits)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["tolerated, *::greetings-4"])
    assert held(translated)["infra_errors<=1"]


def test_a_limit_of_infra_errors_alone_tolerates_no_item(
    translated: Suite, chat: ChatServer
) -> None:
    chat.answers["yes"] = [400]
    assert translated.run("--eval-threshold=infra_errors<=1").ret == 1


OTHER_FAILURES = {
    "test": "def test_other():\n    assert 0\n",
    "fixture": (
        "import pytest\n@pytest.fixture\ndef broken():\n    raise KeyError('x')\n"
        "def test_other(broken):\n    pass\n"
    ),
    "module": "import no_such_module\n",
    "teardown": (
        "import pytest\n@pytest.fixture\ndef broken():\n    yield\n    raise KeyError('x')\n"
        "def test_other(broken):\n    pass\n"
    ),
}


@pytest.mark.parametrize("name", OTHER_FAILURES)
def test_what_is_no_eval_fails_the_session_whatever_the_pass_rate(
    translated: Suite, name: str
) -> None:
    translated.write("test_other.py", OTHER_FAILURES[name])
    more = ("--continue-on-collection-errors",) if name == "module" else ()
    result = translated.run(ENTRY, "--eval-threshold=pass_rate>=0", *more)
    assert result.ret == 1
    assert "tolerated" not in result.stdout.str()


def test_a_broken_file_is_not_tolerated(translated: Suite) -> None:
    translated.write("evals/broken.json", '{"entries": [')
    result = translated.run(ENTRY, "--eval-threshold=pass_rate>=0")
    assert result.ret == 1


@pytest.mark.parametrize(
    ("expression", "near", "mode"),
    [
        ("pas_rate>=1", "did you mean 'pass_rate'", "-n0"),
        ("goal_completion_mean>=1", "names nothing in the summary", "-n0"),
        ("chrf>=1", "'chrf_plus_plus'", "-n0"),
        ("endpoint>=1", "thresholds compare numbers", "-n0"),
        pytest.param("pas_rate>=1", "'pass_rate'", "-n2", marks=pytest.mark.slow),
    ],
)
def test_a_name_that_no_run_has_is_a_usage_error_before_anything_is_paid(
    translated: Suite, chat: ChatServer, expression: str, near: str, mode: str
) -> None:
    translated.mode = (mode,)
    result = translated.run("--eval-threshold", expression, "--eval-threshold=pass_rate>=0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = result.stderr.str().strip().splitlines()
    assert line.startswith(f"ERROR: the threshold {expression} ")
    assert near in line
    assert chat.requests == []
    assert not (translated.root / "results").exists()


@pytest.mark.parametrize(
    ("expression", "near"),
    [
        ("tone_grade_mean>=1", "names nothing in the summary"),
        ("greting_chrf_plus_plus>=1", "'greetings_chrf_plus_plus'"),
    ],
)
def test_a_name_that_this_run_does_not_have_is_a_usage_error_at_its_end(
    translated: Suite, expression: str, near: str
) -> None:
    result = translated.run("--eval-threshold", expression)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stdout.str()
    assert near in text
    assert "ERROR: the threshold" in text
    assert (translated.folder / "summary.json").is_file()


OWN_METRIC = """
from pytest_realtime_eval import Metric

class Length(Metric):
    name = "length_ratio"
    signature = "v1"

    def statistics(self, hypothesis, reference):
        return [len(hypothesis), len(reference)]

    def score(self, totals):
        return 100 * totals[0] / totals[1]

def pytest_realtime_eval_metrics(registry):
    registry.register(Length)
"""


def test_every_number_of_a_summary_can_be_a_threshold(translated: Suite) -> None:
    translated.write("conftest.py", OWN_METRIC)
    translated.simulation("sim_a")
    assert translated.run().ret == 0
    summary = translated.summary()
    names = [n for n, value in summary.items() if isinstance(value, int | float | None)]
    assert {"greetings_length_ratio", "says_yes_grade_mean", "regressions"} <= set(names)
    assert len(names) > 90
    names.remove("fst_accepted")  # as a threshold it is each entry's
    translated.ini["eval_thresholds"] = "".join(f"\n    {name}>=0" for name in names)
    assert translated.run().ret in (0, 1)
    assert translated.run("--eval-threshold=length_ration>=0").ret == 4


def test_two_datasets_have_their_scores_under_their_names(suite: Suite, chat: ChatServer) -> None:
    chat.answers = {"hello": ["hola"]}
    suite.dataset("one", GREETINGS[0])
    suite.dataset("two", GREETINGS[1])
    result = suite.run("--eval-threshold=exact_match_rate>=1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    # The bare name holds for each of them.
    result.stdout.fnmatch_lines(
        ["one_exact_match_rate>=1 *met*", "two_exact_match_rate>=1 *MISSED*"]
    )
    # Not the only run any more, so its summary is not looked at.
    assert suite.run("--eval-threshold=one_exact_match_rate>=1").ret == 0
    assert suite.run("--eval-threshold=two_exact_match_rate>=1").ret == 1


def test_judge_errors_are_not_tolerated(suite: Suite, chat: ChatServer) -> None:
    suite.simulation("sim_a")
    judged = {"trace_level": [{"id": "polite", "criteria": "The assistant is polite."}]}
    suite.simulation("sim_b", graders=judged)
    judge = (f"--eval-judge-base-url={chat.url}/v1", "--eval-judge-model=tiny")
    result = suite.run(*judge, "--eval-threshold=pass_rate>=0")
    assert result.ret == 1
    assert suite.outcomes() == {"sim_a": "passed", "sim_b": "judge_error"}
    result.stdout.fnmatch_lines(["judge_errors<=0 *1 *MISSED *default"])
    assert suite.card("simulations")["config"]["judge"] == "tiny"
    assert suite.card("simulations")["totals"]["prompt_tokens"] >= 11


def test_the_first_failure_that_stops_the_run_is_not_tolerated(translated: Suite) -> None:
    result = translated.run("--eval-threshold=exact_match<0", "-x", "--eval-threshold=pass_rate>=0")
    result.assert_outcomes(failed=1)
    assert result.ret not in (0, 5)
