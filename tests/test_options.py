from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.options import OPTIONS, Options, read_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Read = Callable[..., Options]

#: The names of the issue that asked for the options.
NAMES = """
    endpoint assistant-model model simulator-model judge-model judge-base-url
    assistant-system-prompt-file system-prompt-file assistant-tools-file tools-file
    simulator-system-prompt data-csv results-dir run-name chunk-ms sample-rate-hz
    input-audio-format output-audio-format real-time max-turns max-examples response-timeout
    skip-plots
""".split()  # noqa: SIM905 - reads better


@pytest.fixture
def read(pytester: pytest.Pytester) -> Read:
    """Return a function from ini lines and arguments to options."""

    def read(*arguments: str, ini: str = "") -> Options:
        pytester.makeini(f"[pytest]\nasyncio_default_fixture_loop_scope = function\n{ini}")
        return read_options(pytester.parseconfig(*arguments))

    return read


def test_every_option_carries_the_prefix_and_has_a_word_of_help(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_inprocess("--help", "-p", "no:randomly").stdout.str()
    for name in NAMES:
        assert f"--eval-{name}" in shown
        assert f"--{name}=" not in shown.replace(f"--eval-{name}", "")
    assert all(option.help for option in OPTIONS)


def test_every_option_has_an_ini_setting_of_its_name(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_inprocess("--help", "-p", "no:randomly").stdout.str()
    for option in OPTIONS:
        name = "thresholds" if option.key == "threshold" else option.key
        assert f"eval_{name} (" in shown


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        ("--eval-chunk-ms=40", "chunk_ms", 40),
        ("--eval-response-timeout=2.5", "response_timeout", 2.5),
        ("--eval-real-time", "real_time", True),
        ("--eval-input-audio-format=g711_alaw", "input_audio_format", "g711_alaw"),
        ("--eval-system-prompt-file=a.md", "assistant_system_prompt_file", "a.md"),
        ("--eval-assistant-system-prompt-file=a.md", "assistant_system_prompt_file", "a.md"),
        ("--eval-tools-file=a.json", "assistant_tools_file", "a.json"),
        ("--eval-assistant-tools-file=a.json", "assistant_tools_file", "a.json"),
        ("--eval-endpoint=wss://host/v1", "endpoint", "wss://host/v1"),
    ],
)
def test_the_command_line_is_converted(read: Read, argument: str, key: str, value: object) -> None:
    assert read(argument).get(key) == value
    assert key in read(argument).command_line


def test_defaults(read: Read) -> None:
    options = read()
    expected = {
        "endpoint": "auto",
        "chunk_ms": 20,
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "sample_rate_hz": None,
        "real_time": False,
        "max_turns": None,
        "results_dir": "results",
        "concurrency": 8,
        "response_timeout": 45.0,
        "skip_plots": False,
    }
    assert {key: options.get(key) for key in expected} == expected
    assert (options.command_line, options.ini) == ({}, {})


def test_the_command_line_beats_the_ini(read: Read) -> None:
    ini = "eval_chunk_ms = 60\neval_max_turns = 5\neval_real_time = yes"
    options = read("--eval-chunk-ms=40", ini=ini)
    assert [options.get(key) for key in ("chunk_ms", "max_turns", "real_time")] == [40, 5, True]


def test_a_switch_of_the_ini_can_be_off(read: Read) -> None:
    assert read(ini="eval_skip_plots = off").get("skip_plots") is False


@given(st.lists(st.none() | st.integers(1, 9), min_size=4, max_size=4))
def test_the_first_layer_that_says_something_holds(layers: list[int | None]) -> None:
    line, index, file, ini = layers
    given_line = {} if line is None else {"max_turns": line}
    given_ini = {} if ini is None else {"max_turns": ini}
    options = Options(rootdir=None, command_line=given_line, ini=given_ini)  # type: ignore[arg-type]  # not needed
    expected = next((layer for layer in layers if layer is not None), None)
    assert options.get("max_turns", index, file) == expected


@pytest.mark.parametrize("value", [False, 0, ""])
def test_a_layer_that_says_no_says_something(tmp_path: Path, value: object) -> None:
    options = Options(tmp_path, ini={"real_time": True})
    assert options.get("real_time", value) == value


@pytest.mark.parametrize("model", ["gpt-realtime", "gpt-realtime-2025-08-28"])
def test_model_is_an_alias_for_realtime_models(read: Read, model: str) -> None:
    assert read(f"--eval-model={model}").assistant_model == model
    assert read(ini=f"eval_model = {model}").ini_assistant_model == model
    assert read(f"--eval-model={model}", "--eval-assistant-model=own").assistant_model == "own"


@pytest.mark.parametrize("model", ["openai/gpt-4o", "command:cat", "callable:a.b:c", "embedded"])
def test_text_models_name_no_realtime_model(read: Read, model: str) -> None:
    assert read(f"--eval-model={model}").assistant_model is None
    assert read(f"--eval-model={model}").get("model") == model


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--eval-chunk-ms=-1", "--eval-chunk-ms: '-1' must be 1 or more"),
        ("--eval-chunk-ms=2.5", "--eval-chunk-ms: '2.5' must be a number"),
        ("--eval-max-turns=0", "--eval-max-turns: '0' must be 1 or more"),
        ("--eval-response-timeout=inf", "--eval-response-timeout: 'inf' must be above 0"),
        ("--eval-response-timeout=0", "--eval-response-timeout: '0' must be above 0"),
        ("--eval-endpoint=azure", "--eval-endpoint: 'azure' must be auto, embedded, openai, or a"),
        ("--eval-output-audio-format=opus", "must be one of pcm16, g711_ulaw, g711_alaw"),
    ],
)
def test_a_value_that_does_not_fit_is_named(read: Read, argument: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(argument)
    assert message in str(caught.value)


def test_an_ini_value_that_does_not_fit_is_named(read: Read) -> None:
    with pytest.raises(ConfigurationError, match="ini setting eval_chunk_ms: 'x' must be a number"):
        read(ini="eval_chunk_ms = x")


def test_paths_start_at_the_rootdir(read: Read, pytester: pytest.Pytester) -> None:
    options = read("--eval-data-csv=a/b.csv", ini="eval_paths = voice more/calls")
    assert options.path("data_csv") == pytester.path / "a/b.csv"
    assert options.path("price_file") is None
    assert options.paths == (pytester.path / "voice", pytester.path / "more/calls")
    assert read().paths == (pytester.path / "evals",)


def test_thresholds_repeat_and_stand_in_lines(read: Read) -> None:
    assert read("--eval-threshold=a>=1", "--eval-threshold=b>=2").get("threshold") == (
        "a>=1",
        "b>=2",
    )
    assert read(ini="eval_thresholds =\n    a>=1\n    b>=2").get("threshold") == ("a>=1", "b>=2")
