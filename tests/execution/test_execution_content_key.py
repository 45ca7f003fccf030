from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.conversation.setup import ConversationSetup, resolve
from pytest_realtime_eval.execution.content_key import (
    changes,
    content_key,
    conversation_content,
    grading_content,
    judge_content,
    simulation_key,
)
from pytest_realtime_eval.options import Options
from pytest_realtime_eval.schemas.simulation import load_simulation

if TYPE_CHECKING:
    from pathlib import Path

SIMULATION = {
    "scenario": "A guest books.",
    "assistant": {"system_prompt": "Be brief.", "model": "gpt-realtime"},
    "simulator": {"system_prompt": "You are Tom."},
    "turns": {"fixed_first_user_turn": "Hello.", "max_turns": 2},
    "tool_mocks": [{"name": "book", "output": {"ok": True}}],
    "expected_tool_call": {"name": "book", "arguments": {}},
    "graders": {
        "turn_level": [{"id": "polite", "criteria": "Is polite.", "model": "judge-a"}],
        "trace_level": [{"id": "says", "type": "mentions", "values": ["yes"]}],
    },
    "tags": ["booking"],
}
JUDGE = {"model": "judge-b"}


def setup_of(
    folder: Path, change: dict[str, Any] | None = None, **options: object
) -> ConversationSetup:
    path = folder / "sim_a.json"
    path.write_text(json.dumps(SIMULATION | (change or {})))
    return resolve(load_simulation(path), path, Options(folder, command_line=options))


def test_the_key_does_not_depend_on_the_order_of_keys() -> None:
    assert content_key({"a": 1, "b": {"c": 2, "d": 3}}) == content_key(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert content_key({"a": 1}) != content_key({"a": 2})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"assistant": {"system_prompt": "Be long.", "model": "gpt-realtime"}}, "instructions"),
        ({"assistant": {"system_prompt": "Be brief.", "model": "other"}}, "assistant_model"),
        ({"simulator": {"system_prompt": "You are Ann."}}, "persona"),
        ({"turns": {"fixed_first_user_turn": "Hi.", "max_turns": 2}}, "first_user_turn"),
        ({"turns": {"fixed_first_user_turn": "Hello.", "max_turns": 3}}, "max_turns"),
        ({"tool_mocks": [{"name": "book", "output": {"ok": False}}]}, "tool_mocks[0].output.ok"),
        ({"audio": {"chunk_ms": 40}}, "chunk_ms"),
    ],
)
def test_what_shapes_the_conversation_is_named(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    before = conversation_content(setup_of(tmp_path))
    (changed,) = changes(before, conversation_content(setup_of(tmp_path, change)))
    assert changed.startswith(f"{field} was ")


@pytest.mark.parametrize(
    "change",
    [
        {"tags": ["other"]},
        {"metadata": {"owner": "me"}},
        {"audio": {"real_time": True}},
        {"expected_tool_call": {}},
        {"graders": {}},
    ],
)
def test_what_does_not_shape_the_conversation_is_not_part_of_it(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    before = conversation_content(setup_of(tmp_path))
    assert conversation_content(setup_of(tmp_path, change)) == before


def test_a_result_depends_on_grading_judge_pace_and_endpoint_too(tmp_path: Path) -> None:
    key = simulation_key(setup_of(tmp_path), JUDGE, "openai")
    others = [
        simulation_key(setup_of(tmp_path, {"expected_tool_call": {}}), JUDGE, "openai"),
        simulation_key(setup_of(tmp_path, real_time=True), JUDGE, "openai"),
        simulation_key(setup_of(tmp_path), {"model": "judge-c"}, "openai"),
        simulation_key(setup_of(tmp_path), None, "openai"),
        simulation_key(setup_of(tmp_path), JUDGE, "embedded"),
    ]
    assert len({key, *others}) == 6
    assert simulation_key(setup_of(tmp_path, {"tags": []}), JUDGE, "openai") == key


def test_a_grader_is_judged_by_its_own_model_unless_that_is_overridden(tmp_path: Path) -> None:
    setup = setup_of(tmp_path)
    assert judge_content(setup, JUDGE)["graders"]["polite"]["model"] == "judge-a"
    overriding = judge_content(setup, {"model": "judge-b", "overrides": True})
    assert overriding["graders"]["polite"]["model"] == "judge-b"


def test_a_criterion_belongs_to_the_judge_and_a_rule_does_not(tmp_path: Path) -> None:
    plain = setup_of(tmp_path)
    assert list(judge_content(plain, JUDGE)["graders"]) == ["polite"]
    assert [grader["id"] for grader in grading_content(plain)["graders"]] == ["says"]
