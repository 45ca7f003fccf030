"""Every bad input: one message that names file and place; the other items run; nothing lost."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Suite

GOOD: dict[str, Any] = {"turns": {"fixed_first_user_turn": "Is it?"}}


def with_tools(*tools: object) -> dict[str, Any]:
    return {**GOOD, "assistant": {"tools": list(tools)}}


BAD_SIMULATIONS = {
    "no json": ("{", ", line 1 column 2: is not valid JSON"),
    "no object": ([], ", $: must hold a JSON object"),
    "two keys": ('{"a": 1, "a": 2}', ": *'a' stands twice"),
    "unknown key": (
        {**GOOD, "gradrs": {}},
        "$.gradrs: unknown key 'gradrs'; did you mean 'graders'",
    ),
    "unknown key inside": (
        {"turns": {"fixed_first_user_turn": "a", "max_turn": 3}},
        "$.turns.max_turn: unknown key 'max_turn'; did you mean 'max_turns'",
    ),
    "wrong type": ({**GOOD, "audio": {"chunk_ms": "fast"}}, "$.audio.chunk_ms: *'fast'"),
    "missing first turn": ({"turns": {}}, "$.turns.fixed_first_user_turn: is required and missing"),
    "empty first turn": (
        {"turns": {"fixed_first_user_turn": ""}},
        "$.turns.fixed_first_user_turn:",
    ),
    "missing turns": ({}, "$.turns: is required and missing"),
    "missing prompt file": (
        {**GOOD, "assistant": {"system_prompt_file": "nowhere.md"}},
        "$.assistant.system_prompt_file: no file 'nowhere.md'; looked in",
    ),
    "missing tools file": (
        {**GOOD, "assistant": {"tools_file": "nowhere.json"}},
        "$.assistant.tools_file: no file 'nowhere.json'; looked in",
    ),
    "tool without a name": (
        with_tools({"type": "function"}),
        "$.assistant.tools[[]0].name: is required",
    ),
    "tool with no schema": (
        with_tools(
            {"name": "a", "parameters": {"type": "object", "properties": {"b": {"type": 3}}}}
        ),
        "$.assistant.tools[[]0].parameters.properties.b*: is no valid JSON schema",
    ),
    "same tool twice": (
        with_tools({"name": "a"}, {"name": "a"}),
        "$.assistant.tools[[]1].name: *twice",
    ),
    "path separators": ({**GOOD, "simulation_id": "../a"}, "$.simulation_id: *no path separators"),
    "id that another has": (
        {**GOOD, "simulation_id": "sim_good"},
        "'sim_good' is the id of *sim_good.json too",
    ),
    "unsupported format": (
        {**GOOD, "audio": {"input_format": "mp3"}},
        "$.audio.input_format: *'pcm16'*'mp3'",
    ),
    "unsupported rate": (
        {**GOOD, "audio": {"sample_rate_hz": 11_025}},
        "$.audio.sample_rate_hz: pcm16 needs 8000 or 16000 or 24000 or 48000 (it is 11025)",
    ),
    "rate of G.711": (
        {
            **GOOD,
            "audio": {
                "input_format": "g711_ulaw",
                "output_format": "g711_ulaw",
                "sample_rate_hz": 24_000,
            },
        },
        "$.audio.sample_rate_hz: g711_ulaw needs 8000 (it is 24000)",
    ),
    "unknown grader type": (
        {**GOOD, "graders": {"turn_level": [{"id": "a", "type": "vibes"}]}},
        "$.graders.turn_level[[]0]: 'type' must be one of*mentions",
    ),
    "same grader twice": (
        {**GOOD, "graders": {"trace_level": [{"id": "a", "type": "ends_call"}] * 2}},
        "$.graders: *'a' stands twice",
    ),
    "mock with two outputs": (
        {**GOOD, "tool_mocks": [{"name": "a", "output": 1, "error": "b"}]},
        "$.tool_mocks[[]0]: needs exactly one of",
    ),
}


@pytest.mark.parametrize("name", BAD_SIMULATIONS)
def test_a_bad_simulation_costs_only_itself(suite: Suite, name: str) -> None:
    content, message = BAD_SIMULATIONS[name]
    suite.simulation("sim_good")
    # Whose id it is, is settled in pytest's order.
    file = "sim_bad" if name != "id that another has" else "sim_other_bad"
    suite.write(f"evals/{file}.json", content)
    result = suite.run()
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"/*/evals/sim_*bad.json*{message}*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*.py:[0-9]*: *")
    assert suite.outcomes()["sim_good"] == "passed"


@pytest.mark.parametrize("mode", [("-n2",), ("-p", "no:xdist")], ids=" ".join)
def test_several_bad_files_of_every_kind(suite: Suite, mode: tuple[str, ...]) -> None:
    suite.mode = mode
    suite.simulation("sim_good")
    suite.write("evals/sim_bad.json", "{")
    suite.write("evals/sim_worse.json", {})
    suite.index("sim_gone,gone.json", "sim_good,sim_good.json")
    result = suite.run()
    result.assert_outcomes(passed=1, errors=3)
    assert result.ret == 1
    for message in (
        "*sim_bad.json, line 1*",
        "*sim_worse.json, $.turns: *",
        "*index.csv, row 2: *gone*",
    ):
        result.stdout.fnmatch_lines([message])
    assert suite.outcomes()["sim_good"] == "passed"


BAD_ROWS = {
    "missing file": ("sim_b,gone.json,,,", "row 3: no file 'gone.json' beside the index"),
    "no id": (",sim_good.json,,,", "row 3: has no simulation_id"),
    "no path": ("sim_b,,,,", "row 3: has no simulation_path"),
    "enabled": (
        "sim_b,sim_good.json,perhaps,,",
        "row 3: 'enabled' must be true or false*'perhaps'",
    ),
    "max turns": (
        "sim_b,sim_good.json,,,-1",
        "row 3: 'max_turns_override' must be a whole number*'-1'",
    ),
    "twice": ("sim_good,sim_good.json,,,", "row 3: 'sim_good' stands twice"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_costs_only_itself(suite: Suite, name: str) -> None:
    row, message = BAD_ROWS[name]
    suite.simulation("sim_good", caller={"says": ["Really?"] * 9})
    suite.index("sim_good,sim_good.json,,,2", row, more=",enabled,notes,max_turns_override")
    result = suite.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*evals/index.csv, {message}*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert len(suite.records()["sim_good"]["transcript"]["turns"]) == 2


def test_an_index_that_is_no_csv_costs_only_itself(suite: Suite) -> None:
    suite.simulation("sim_good")
    suite.write("evals/index.csv", 'simulation_id,simulation_path\n"a,b\n')
    result = suite.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*evals/index.csv: is no readable CSV: *"])


FAULTS = {
    "refuse": ("connection", "*403*"),
    "early": ("connection", "*"),
    "stall": ("connection", "*did not answer session.update within 1 s*"),
    "garbage": ("protocol", "*no JSON*"),
    "binary": ("protocol", "*binary*"),
    "error": ("response_error", "*this server is out of order*"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_url_that_is_no_endpoint_is_an_infra_error(suite: Suite, kind: str) -> None:
    stage, message = FAULTS[kind]
    suite.simulation("sim_a")
    url = suite.server.fault(kind)
    result = suite.run("--eval-endpoint", url, "--eval-response-timeout", "1", *_once(suite))
    assert result.ret in (1, 2)  # wrong credentials stop the run
    result.stdout.no_fnmatch_line("*Traceback*")
    record = suite.records()["sim_a"]
    assert record["outcome"] == "infra_error"
    assert record["failure"]["stage"] == stage
    result.stdout.fnmatch_lines([message])


def _once(suite: Suite) -> tuple[str, ...]:
    """Return the option that switches retries off, once there are retries."""
    result = suite.run("--help")
    return ("--eval-retries", "0") if "--eval-retries" in result.stdout.str() else ()


def test_a_url_where_nobody_listens_is_an_infra_error(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_b")
    result = suite.run("--eval-endpoint", "ws://127.0.0.1:9/", *_once(suite))
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*ws://127.0.0.1:9/ could not be reached*"])
    assert suite.outcomes() == {"sim_a": "infra_error", "sim_b": "infra_error"}
    assert suite.summary()["failed_simulations"] == 2


def test_one_conversation_that_breaks_leaves_the_others(suite: Suite) -> None:
    suite.simulation("sim_a", [[{"say": "Yes."}], [{"fault": "close"}]], caller={"says": ["And?"]})
    suite.simulation("sim_b")
    suite.simulation("sim_c", caller={"first": "Something else"})
    result = suite.run(*_once(suite))
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*1011*"])
    assert suite.outcomes() == {
        "sim_a": "infra_error",
        "sim_b": "passed",
        "sim_c": "invalid_simulation",
    }
    turns = suite.records()["sim_a"]["transcript"]["turns"]
    assert [turn["assistant_text"] for turn in turns] == ["Yes.", ""]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--eval-chunk-ms", "0", "*--eval-chunk-ms: '0' must be 1 or more*"),
        ("--eval-chunk-ms", "fast", "*--eval-chunk-ms: 'fast' must be a number*"),
        (
            "--eval-endpoint",
            "http://x",
            "*--eval-endpoint: 'http://x' must be auto, embedded, openai*",
        ),
        ("--eval-input-audio-format", "mp3", "*must be one of pcm16, g711_ulaw, g711_alaw*"),
        ("--eval-response-timeout", "nan", "*--eval-response-timeout: 'nan' must be above 0*"),
        ("--eval-run-name", "../out", "*--eval-run-name: '../out' names files*"),
        ("--eval-data-csv", "gone.csv", "*--eval-data-csv*gone.csv*"),
    ],
)
def test_a_bad_option_is_a_usage_error(suite: Suite, option: str, value: str, message: str) -> None:
    suite.simulation("sim_a")
    result = suite.run(option, value)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert "Traceback" not in result.stderr.str()


def test_a_bad_ini_setting_is_named(suite: Suite) -> None:
    suite.ini["eval_real_time"] = "perhaps"
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ini setting eval_real_time: 'perhaps' must be true or false*"])


def test_without_key_and_extra_the_error_names_both_ways_out(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_realtime_eval.embedded.process.missing_extra", lambda: "hibari_tts")
    suite.simulation("sim_a")
    result = suite.run("--eval-endpoint", "auto")
    both = result.stdout.str() + result.stderr.str()
    assert "OPENAI_API_KEY" in both
    assert "pytest-realtime-eval[embedded]" in both
    assert result.ret != 0


def test_a_results_folder_that_is_a_file_is_refused_before_anything_is_played(suite: Suite) -> None:
    suite.simulation("sim_unwritable")
    suite.write("results", "a file")
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    both = result.stdout.str() + result.stderr.str()
    assert "--eval-results-dir" in both
    assert "results is no folder" in both
    assert suite.server.received("model-sim_unwritable") == []


def test_a_results_folder_without_permission_is_refused(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = os.access
    monkeypatch.setattr("os.access", lambda path, mode: mode == os.R_OK and allowed(path, mode))
    suite.simulation("sim_a")
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "cannot be written to" in result.stdout.str() + result.stderr.str()


def test_a_run_name_that_exists_is_refused_and_the_run_kept(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.run("--eval-run-name", "friday").assert_outcomes(passed=1)
    before = (suite.folder / "records.jsonl").read_text()
    result = suite.run("--eval-run-name", "friday")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a run named 'friday' exists*"])
    assert (suite.folder / "records.jsonl").read_text() == before


def test_credentials_of_the_url_and_the_environment_show_up_nowhere(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-12345")
    suite.simulation("sim_a")
    url = suite.server.fault("error").replace("127", "user:hunter2hunter2@127", 1)
    result = suite.run("-v", "--eval-endpoint", url, *_once(suite))
    shown = result.stdout.str() + result.stderr.str()
    kept = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in suite.folder.rglob("*")
        if path.is_file()
    )
    for secret in ("sk-very-secret-12345", "hunter2hunter2"):
        assert secret not in shown
        assert secret not in kept
    assert json.loads((suite.folder / "summary.json").read_text())
