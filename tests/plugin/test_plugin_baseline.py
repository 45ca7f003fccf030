from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Suite

FAILS = {"trace_level": [{"id": "says_yes", "type": "mentions", "values": ["never said"]}]}


@pytest.fixture
def before(suite: Suite) -> Suite:
    """A suite with a run named ``before``, in which all passed."""
    suite.simulation("sim_a")
    suite.simulation("sim_b")
    suite.run("--eval-run-name=before").assert_outcomes(passed=2)
    return suite


def summary(suite: Suite, run: str) -> dict[str, Any]:
    path = suite.root / "results" / run / "summary.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_run_keeps_what_it_was(before: Suite) -> None:
    stored = json.loads((before.root / "results" / "before" / "run.json").read_text())
    assert stored["run_id"] == "before"
    assert stored["rootdir"] == "../.."
    assert stored["elapsed_seconds"] > 0
    assert str(before.root) not in json.dumps(stored)


def test_without_a_baseline_regressions_are_not_measured(before: Suite) -> None:
    found = summary(before, "before")
    assert (found["baseline"], found["regressions"]) == ("", None)


def test_a_regression_fails_a_run_that_tolerates_failures(before: Suite) -> None:
    before.simulation("sim_b", graders=FAILS)
    tolerant = ("--eval-threshold=pass_rate>=0.5", "--eval-baseline=before")
    assert before.run("--eval-run-name=one", *tolerant).ret == 0
    result = before.run("--eval-run-name=two", *tolerant, "--eval-threshold=regressions<=0")
    assert result.ret == 1
    assert summary(before, "two")["regressions"] == 1
    result.stdout.fnmatch_lines(
        [
            "two against before: 1 regression, 0 improvements; 2 items in both",
            "  warning: simulations: evals/sim_b.json changed",
            "simulations/sim_b*passed*failed*▼ worse",
            "regressions<=0*1*MISSED*",
        ]
    )


def test_the_same_again_is_no_regression(before: Suite) -> None:
    named = ("--eval-baseline=results/before", "--eval-run-name=after")
    result = before.run(*named, "--eval-threshold=regressions<=0")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["after against before: 0 regressions, 0 improvements; 2 items*"])


def test_the_report_page_shows_what_changed(before: Suite) -> None:
    before.simulation("sim_b", graders=FAILS)
    before.ini["eval_baseline"] = "before"
    ini = before.arguments()
    path = before.root / "pytest.ini"
    path.write_text(path.read_text().replace("eval_skip_report = true\n", ""))
    before.pytester.runpytest_inprocess(*ini, "--eval-run-name=after")
    page = (before.root / "results" / "after" / "report.html").read_text(encoding="utf-8")
    assert "Against before" in page
    assert "simulations/sim_b" in page
    assert "▼ worse" in page


@pytest.mark.parametrize(
    ("baseline", "what"),
    [
        ("nothing", "*--eval-baseline: no run and no run card 'nothing'*"),
        ("evals/sim_a.json", "*is no run card*"),
    ],
)
def test_a_baseline_that_cannot_be_used_stops_the_run_before_it_begins(
    baseline: str, what: str, before: Suite
) -> None:
    result = before.run(f"--eval-baseline={baseline}", "--eval-run-name=after")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([what])
    assert not (before.root / "results" / "after").exists()


def test_a_job_summary_holds_the_comparison(before: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    before.simulation("sim_b", graders=FAILS)
    path = before.root / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    before.run("--eval-baseline=before", "--eval-run-name=after")
    assert "| simulations/sim\\_b | passed | failed |" in path.read_text(encoding="utf-8")
