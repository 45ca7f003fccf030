from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.schemas.simulation import JudgeGrader, load_simulation, safe_name

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.schemas.simulation import Simulation

TURNS = {"turns": {"fixed_first_user_turn": "Hello"}}
#: Every key of the format's table, and nothing more.
WHOLE: dict[str, Any] = {
    "simulation_id": "sim_whole",
    "scenario": "A caller cancels.",
    "assistant": {"model": "m", "voice": "v", "system_prompt_file": "p.md", "tools_file": "t.json"},
    "simulator": {"system_prompt": "You are Tom.", "model": "m", "voice": "v"},
    "audio": {
        "input_format": "g711_ulaw",
        "output_format": "pcm16",
        "sample_rate_hz": 24000,
        "chunk_ms": 20,
        "real_time": True,
    },
    "turns": {"fixed_first_user_turn": "Hello", "max_turns": 4},
    "tool_mocks": [{"name": "cancel", "output": {"status": "ok"}}],
    "expected_tool_call": {"name": "cancel", "arguments": {"order": "A"}},
    "graders": {
        "turn_level": [{"id": "a", "criteria": "Is polite.", "model": "judge"}],
        "trace_level": [
            {"id": "b", "type": "tool_call", "criteria": "", "model": ""},
            {"id": "c", "type": "tool_call_args", "criteria": "x"},
            {"id": "d", "type": "llm_as_judge", "criteria": "Cancels."},
        ],
    },
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sim_file.json"


def load(path: Path, data: object) -> Simulation:
    path.write_text(json.dumps(data))
    return load_simulation(path)


def test_a_file_that_has_all_of_the_format_and_nothing_more_loads(path: Path) -> None:
    simulation = load(path, WHOLE)
    assert simulation.simulation_id == "sim_whole"
    assert simulation.expected_tool_call[0].arguments == {"order": "A"}
    assert isinstance(simulation.graders.turn_level[0], JudgeGrader)
    assert [g.type for g in simulation.graders.trace_level] == [
        "tool_call",
        "tool_call_args",
        "llm_as_judge",
    ]


def test_the_id_defaults_to_the_stem(path: Path) -> None:
    assert load(path, TURNS).simulation_id == "sim_file"


@pytest.mark.parametrize("nothing", [None, {}, "", [], {"name": ""}, {"name": "", "arguments": {}}])
def test_every_spelling_of_no_expected_call(path: Path, nothing: object) -> None:
    assert load(path, {**TURNS, "expected_tool_call": nothing}).expected_tool_call == []


def test_several_expected_calls_are_a_list(path: Path) -> None:
    calls = [{"name": "a"}, {"name": "b", "allow_repeat": True}]
    loaded = load(path, {**TURNS, "expected_tool_call": calls}).expected_tool_call
    assert [(call.name, call.allow_repeat) for call in loaded] == [("a", False), ("b", True)]


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"turns": {}}, "$.turns.fixed_first_user_turn", "is required and missing"),
        ({"turns": {"fixed_first_user_turn": "a", "max_turns": 0}}, "$.turns.max_turns", "greater"),
        ({"audio": {"chunk_ms": 0}}, "$.audio.chunk_ms", "greater than 0"),
        ({"audio": {"input_format": "wav"}}, "$.audio.input_format", "'pcm16'"),
        ({"tool_mocks": [{"name": "a"}]}, "$.tool_mocks[0]", "needs exactly one of"),
        ({"tool_mocks": {"a": 1}}, "$.tool_mocks", "list"),
        ({"expected_tool_call": [{"arguments": {}}]}, "$.expected_tool_call[0].name", "missing"),
        (
            {"expected_tool_call": {"arguments": {"a": 1}}},
            "$.expected_tool_call[0].name",
            "missing",
        ),
        ({"graders": {"turn_level": [{"id": "a"}]}}, "$.graders.turn_level[0].criteria", "missing"),
        ({"graders": {"turn_level": [{"type": "ends_call"}]}}, "$.graders.turn_level[0].id", ""),
        (
            {"graders": {"trace_level": [{"id": "a", "type": "mentions"}]}},
            "$.graders.trace_level[0]",
            "needs 'values' or 'from_tool_output'",
        ),
        (
            {"graders": {"trace_level": [{"id": "a", "type": "mentions", "value": ["b"]}]}},
            "$.graders.trace_level[0].value",
            "did you mean 'values'?",
        ),
        ({"tags": "urgent"}, "$.tags", "list"),
    ],
)
def test_what_does_not_fit_is_named(
    path: Path, change: dict[str, Any], place: str, message: str
) -> None:
    with pytest.raises(FileError) as caught:
        load(path, TURNS | change)
    assert caught.value.place == place
    assert message in caught.value.problem


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\\b", ".hidden", "-x", "_x", "a.", "a ", "con", "NUL.txt", "com1",
     "a\nb", "a\n", "a\0b", "a" * 121, "a:b", "a*", "~"],
)  # fmt: skip
def test_names_that_are_no_files_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names files"):
        safe_name(name)


@pytest.mark.parametrize("name", ["sim_a", "A-1.2", "0", "café", "預約", "two words", "console"])
def test_names_that_are_files_are_taken(name: str) -> None:
    assert safe_name(name) == name


@given(st.text(max_size=30))
def test_a_name_that_is_taken_stays_in_its_folder(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        safe_name(name)
    except ValueError:
        return
    assert (folder / name).resolve().parent == folder.resolve()
    assert not set(name) & set('<>:"/\\|?*\0\n\r\t')


@pytest.mark.parametrize("data", [[], "text", 3, None])
def test_a_file_that_holds_no_object_is_named(path: Path, data: object) -> None:
    with pytest.raises(FileError, match="must hold a JSON object"):
        load(path, data)
