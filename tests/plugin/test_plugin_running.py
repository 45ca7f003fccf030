"""pytest's own options and its common plugins, with conversations that overlap."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Suite

NO: list[Any] = [[{"say": "No."}]]


def slow(ms: int) -> list[Any]:
    return [[{"say": "Yes.", "delay_ms": ms}]]


def rows(suite: Suite) -> list[dict[str, str]]:
    with (suite.folder / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def calls(result: pytest.RunResult) -> dict[str, float]:
    """Return the seconds that ``--durations`` shows, by simulation."""
    found = re.findall(r"([\d.]+)s call +\S+::(\w+)", result.stdout.str())
    # Subtests are listed too, and took no time.
    return {name: float(seconds) for seconds, name in reversed(found)}


def test_a_run_leaves_records_table_summary_logs_audio_and_text(each_mode: Suite) -> None:
    each_mode.simulation("sim_a", caller={"says": ["Really?"]})
    each_mode.simulation("sim_b", NO)
    result = each_mode.run()
    result.assert_outcomes(passed=1, failed=2)  # the item, and the verdict inside it
    assert result.ret == 1
    folder = each_mode.folder
    found = [(r["simulation_id"], r["turn_index"], r["outcome"]) for r in rows(each_mode)]
    expected = [("sim_a", "1", "passed"), ("sim_a", "2", "passed"), ("sim_b", "1", "failed")]
    assert sorted(found) == expected
    summary = each_mode.summary()
    assert (summary["total_rows"], summary["failed_simulations"]) == (3, 0)
    for name in ("sim_a", "sim_b"):
        assert (folder / "events" / f"{name}.jsonl").stat().st_size > 0
        assert (folder / "audio" / name / "turn_01_user.wav").is_file()
    text = (folder / "conversations" / "sim_a.txt").read_text()
    assert "TURN 2 USER: Really?" in text
    assert not (folder / "plots").exists()


def test_conversations_overlap_and_their_durations_are_their_own(suite: Suite) -> None:
    for name in ("sim_a", "sim_b", "sim_c", "sim_d"):
        suite.simulation(name, slow(500))
    suite.server.most_open()
    started = time.perf_counter()
    result = suite.run("--durations=0", "-vv")
    elapsed = time.perf_counter() - started
    result.assert_outcomes(passed=4)
    assert suite.server.most_open() == 8
    assert elapsed < 4 * 0.5
    durations = calls(result)
    assert set(durations) == {"sim_a", "sim_b", "sim_c", "sim_d"}
    assert all(0.5 <= seconds < 1.5 for seconds in durations.values())


def test_concurrency_is_a_limit(suite: Suite) -> None:
    for name in ("sim_a", "sim_b", "sim_c"):
        suite.simulation(name, slow(100))
    suite.server.most_open()
    suite.run("--eval-concurrency=1").assert_outcomes(passed=3)
    assert suite.server.most_open() == 2


def test_a_worker_starts_its_share_ahead(suite: Suite) -> None:
    suite.mode = ("-n2",)
    for name in ("sim_a", "sim_b", "sim_c", "sim_d", "sim_e", "sim_f"):
        suite.simulation(name, slow(400))
    suite.server.most_open()
    suite.run().assert_outcomes(passed=6)
    assert suite.server.most_open() >= 6  # three conversations of one worker at least
    assert len(suite.records()) == 6


def test_a_dist_mode_that_is_named_is_kept(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_b")
    suite.write("evals/test_plain.py", "def test_plain(): pass\n")
    result = suite.run("-n2", "--dist", "each")
    result.assert_outcomes(passed=6)


def test_evals_and_plain_tests_share_the_workers(suite: Suite) -> None:
    suite.mode = ("-n2",)
    suite.simulation("sim_a")
    suite.simulation("sim_b")
    functions = "".join(f"def test_{n}(): pass\n" for n in range(10))
    suite.write("tests/test_plain.py", functions)
    suite.run("evals", "tests").assert_outcomes(passed=12)
    assert suite.outcomes() == {"sim_a": "passed", "sim_b": "passed"}


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_the_first_failure_cancels_what_was_started_ahead(suite: Suite, option: str) -> None:
    suite.simulation("sim_a", NO)
    suite.simulation("sim_b", slow(20_000))
    suite.simulation("sim_c", slow(20_000))
    started = time.perf_counter()
    result = suite.run(option)
    assert time.perf_counter() - started < 5
    assert result.ret == 1
    assert suite.outcomes() == {"sim_a": "failed"}
    assert len(rows(suite)) == 1


def test_maxfail_counts_on(suite: Suite) -> None:
    suite.simulation("sim_a", NO)
    suite.simulation("sim_b", NO)
    suite.simulation("sim_c", slow(20_000))
    suite.run("--maxfail=3")
    assert suite.outcomes() == {"sim_a": "failed", "sim_b": "failed"}


def test_last_failed_first_and_alone(suite: Suite) -> None:
    suite.cache = True
    suite.simulation("sim_a")
    suite.simulation("sim_b", NO)
    suite.run().assert_outcomes(passed=1, failed=2)
    last = suite.run("--lf", "--collect-only", "-q")
    assert [line for line in last.outlines if "::" in line] == ["evals/sim_b.json::sim_b"]
    first = suite.run("--ff", "--collect-only", "-q")
    listed = [line for line in first.outlines if "::" in line]
    assert listed == ["evals/sim_b.json::sim_b", "evals/sim_a.json::sim_a"]


def test_junit_xml_has_the_items_and_is_not_flooded(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_b", NO)
    suite.run("--junitxml=out.xml", "-o", "junit_family=xunit2")
    text = (suite.root / "out.xml").read_text()
    cases = {case.get("name"): case for case in ET.fromstring(text).iter("testcase")}  # noqa: S314 - our own
    assert {"sim_a", "sim_b"} <= set(cases)
    assert cases["sim_a"].find("failure") is None
    failure = cases["sim_b"].find("failure")
    assert failure is not None
    assert "did not say 'yes'" in (failure.text or "") + failure.get("message", "")
    assert len(text) < 6_000
    assert float(cases["sim_a"].get("time", "nan")) < 5


@pytest.mark.parametrize("plugin", ["xdist", "asyncio", "junitxml", "terminal"])
def test_plugins_that_are_missing_are_not_missed(suite: Suite, plugin: str) -> None:
    suite.simulation("sim_a")
    suite.in_process = plugin != "terminal"
    result = suite.run("-p", f"no:{plugin}")
    assert result.ret == 0, result.stdout.str()
    assert suite.outcomes() == {"sim_a": "passed"}


def test_a_rerun_is_a_new_conversation_and_one_result(suite: Suite) -> None:
    suite.reruns = True
    suite.simulation("sim_rerun", NO)
    suite.simulation("sim_b")
    suite.run("--reruns", "2")
    assert len(suite.server.received("model-sim_rerun")) == 3
    assert [(r["simulation_id"], r["outcome"]) for r in rows(suite)] == [
        ("sim_b", "passed"),
        ("sim_rerun", "failed"),
    ]


def test_a_timeout_ends_its_item_and_no_other(suite: Suite) -> None:
    suite.simulation("sim_a", slow(20_000))
    suite.simulation("sim_b")
    started = time.perf_counter()
    result = suite.run("--timeout=1", "--timeout-method=signal")
    assert time.perf_counter() - started < 8
    assert result.ret == 1
    outcomes = suite.outcomes()
    assert outcomes["sim_b"] == "passed"
    assert outcomes["sim_a"] != "passed"
    assert "Timeout" in suite.records()["sim_a"]["reason"]


@pytest.mark.parametrize("seed", ["1", "2"])
def test_random_order_plays_everything_once(suite: Suite, seed: str) -> None:
    suite.random = True
    for name in ("sim_a", "sim_b", "sim_c", "sim_d"):
        suite.simulation(name, slow(100))
    suite.server.most_open()
    suite.run(f"--randomly-seed={seed}").assert_outcomes(passed=4)
    assert suite.server.most_open() == 8
    assert len(suite.records()) == 4


def test_the_debugger_stops_at_a_failure_and_goes_on(suite: Suite) -> None:
    suite.simulation("sim_a", NO)
    suite.simulation("sim_b")
    command = [sys.executable, "-m", "pytest", *suite.arguments("--pdb", "-p", "no:xdist")]
    result = suite.pytester.run(*command, stdin=b"c\nc\nc\n", timeout=40)
    result.stdout.fnmatch_lines(["*entering PDB*"])
    assert suite.outcomes() == {"sim_a": "failed", "sim_b": "passed"}


def test_control_c_keeps_what_was_played_and_leaves_nothing_running(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_b", slow(30_000))
    command = [sys.executable, "-m", "pytest", *suite.arguments("-p", "no:xdist")]
    with subprocess.Popen(  # noqa: S603 - pytest
        command, cwd=suite.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for _ in range(400):
            if any(f.read_text() for f in suite.root.glob("results/*/records.jsonl")):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "KeyboardInterrupt" in output
    assert suite.outcomes()["sim_a"] == "passed"
    assert rows(suite)[0]["simulation_id"] == "sim_a"


def test_control_c_amid_the_tables_says_how_to_make_them(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.write(
        "conftest.py",
        """
        from pytest_realtime_eval.reports import assemble

        def interrupted(*args):
            raise KeyboardInterrupt

        assemble.write_csv = interrupted
        """.replace("\n        ", "\n"),
    )
    suite.in_process = False
    result = suite.run("--eval-run-name=stopped")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["ERROR: *tables could not be written: interrupted"])
    result.stdout.fnmatch_lines(["*`realtime-eval report results/stopped` makes the rest."])
    assert suite.outcomes() == {"sim_a": "passed"}


def test_a_worker_that_dies_costs_its_item_and_no_other(suite: Suite) -> None:
    suite.mode = ("-n2",)
    for name in ("sim_a", "sim_b", "sim_c", "sim_d", "sim_e"):
        suite.simulation(name, slow(200))
    suite.simulation("sim_crash", folder="evals/dies")
    suite.write(
        "evals/dies/conftest.py",
        """
        import os, pytest

        @pytest.fixture
        def tool_mocks():
            os._exit(3)
        """.replace("\n        ", "\n"),
    )
    result = suite.run()
    assert result.ret == 1
    outcomes = suite.outcomes()
    assert outcomes.pop("sim_crash") == "infra_error"
    assert set(outcomes) == {"sim_a", "sim_b", "sim_c", "sim_d", "sim_e"}
    assert set(outcomes.values()) == {"passed"}
    assert suite.records()["sim_crash"]["failure"]["stage"] == "worker_crash"
    assert len(rows(suite)) == 6


def test_the_header_says_endpoint_models_judge_and_folder(suite: Suite) -> None:
    suite.simulation("sim_a")
    result = suite.run("--eval-model", "gpt-x", "--eval-simulator-model", "gpt-y")
    result.stdout.fnmatch_lines(
        [
            f"evals: endpoint {suite.server.url}",
            "evals: assistant gpt-x, simulator gpt-y, judge none*",
            "evals: results in results*",
        ]
    )


def test_an_item_with_nothing_to_grade_is_a_skip_that_says_why(suite: Suite) -> None:
    suite.simulation("sim_a", graders={})
    judged = {"trace_level": [{"id": "polite", "criteria": "Is polite."}]}
    suite.simulation("sim_b", graders=judged)
    result = suite.run("-rs")
    assert result.ret == 0
    assert result.parseoutcomes().get("passed", 0) == 0
    assert suite.outcomes() == {"sim_a": "ungraded", "sim_b": "ungraded"}
    result.stdout.fnmatch_lines(["*no grader had anything to grade*"])
    result.stdout.fnmatch_lines(["*no judge is configured*"])


def test_skip_and_xfail_of_a_conftest_are_kept_and_cost_no_conversation(suite: Suite) -> None:
    suite.simulation("sim_skipped", slow(50))
    suite.simulation("sim_expected", NO)
    suite.simulation("sim_b")
    suite.write(
        "conftest.py",
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                if item.name == "sim_skipped":
                    item.add_marker(pytest.mark.skip(reason="too dear"))
                if item.name == "sim_expected":
                    item.add_marker(pytest.mark.xfail(reason="known"))
        """.replace("\n        ", "\n"),
    )
    result = suite.run("-rsx")
    result.stdout.fnmatch_lines(["*too dear*"])
    assert suite.server.received("model-sim_skipped") == []
    assert suite.outcomes()["sim_b"] == "passed"
    assert suite.outcomes()["sim_skipped"] == "skipped"
