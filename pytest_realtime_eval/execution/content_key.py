"""What shaped an item, as plain JSON, and the hash of it.

A record, or a recording, stands for an item only while its content key is the same. The
content is divided by what it shapes, since a recorded conversation outlives a changed
grader, and a verdict does not.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.conversation.user import RULES, SAY_EXACTLY
from pytest_realtime_eval.differences import differences
from pytest_realtime_eval.graders.judge import PROMPTS
from pytest_realtime_eval.schemas.simulation import JudgeGrader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.schemas.dataset import Dataset, Entry

__all__ = [
    "changes",
    "content_key",
    "conversation_content",
    "entry_content",
    "entry_key",
    "grading_content",
    "judge_content",
    "request_content",
    "simulation_key",
]

Content = dict[str, Any]

#: Of `ConversationSetup.describe`: what models are told and how audio is sent. Pace is not
#: among it: it decides when something is said, not what.
_DESCRIBED: Final = (
    "assistant_model",
    "simulator_model",
    "assistant_voice",
    "simulator_voice",
    "instructions",
    "input_format",
    "output_format",
    "sample_rate_hz",
    "chunk_ms",
    "max_turns",
)


def content_key(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain JSON, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs, a sentence each: the field, and both values."""
    found = []
    for difference in differences(before, after):
        was, now = difference.shown()
        found.append(f"{difference.path.removeprefix('$.')} was {was} and is {now}")
    return found


def conversation_content(setup: ConversationSetup) -> Content:
    """Return all that shapes what is said in a conversation."""
    simulation, described = setup.simulation, setup.describe()
    return {
        **{name: described[name] for name in _DESCRIBED},
        "persona": setup.persona,
        "tools": list(setup.tools),
        "first_user_turn": simulation.turns.fixed_first_user_turn,
        "tool_mocks": [_plain(mock) for mock in simulation.tool_mocks],
        # The harness's own words to the simulated user are part of what was said.
        "harness_prompts": _digest(RULES, SAY_EXACTLY),
    }


def judge_content(setup: ConversationSetup, judge: Mapping[str, Any] | None) -> Content:
    """Return all that shapes what a judge is asked, beside the conversation.

    Args:
        setup: The conversation's.
        judge: The judge's settings: ``model``, and ``overrides`` if it replaces the
            models that graders name; ``None`` without a judge.
    """
    if judge is None:
        return {"model": None}
    graders = {
        grader.id: {
            "level": level,
            "model": judge["model"] if judge.get("overrides") else grader.model or judge["model"],
            "criteria": grader.criteria,
        }
        for level, grader in _graders(setup)
        if isinstance(grader, JudgeGrader)
    }
    return {
        "model": judge["model"],
        "scenario": setup.simulation.scenario,
        "graders": graders,
        "harness_prompts": _digest(*PROMPTS.values()),
    }


def grading_content(setup: ConversationSetup) -> Content:
    """Return what deterministic graders and thresholds ask for."""
    simulation = setup.simulation
    return {
        "expected_tool_call": [_plain(call) for call in simulation.expected_tool_call],
        "graders": [
            {"level": level, **_plain(grader)}
            for level, grader in _graders(setup)
            if not isinstance(grader, JudgeGrader)
        ],
        "thresholds": list(simulation.thresholds),
    }


def simulation_key(
    setup: ConversationSetup, judge: Mapping[str, Any] | None, endpoint: str = ""
) -> str:
    """Return the key of a simulation's result.

    Args:
        setup: The simulation, with every setting decided.
        judge: As in `judge_content`.
        endpoint: Where the sessions are opened.
    """
    return content_key(
        {
            "endpoint": endpoint,
            "conversation": conversation_content(setup),
            "real_time": setup.real_time,
            "judge": judge_content(setup, judge),
            "grading": grading_content(setup),
        }
    )


def request_content(
    text: str, system: str, model: str, temperature: float | None, max_tokens: int | None
) -> Content:
    """Return all that shapes a translation."""
    return {
        "model": model,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "system": system,
        "text": text,
    }


def entry_content(dataset: Dataset, entry: Entry, request: Mapping[str, Any]) -> Content:
    """Return what shapes an entry's result: its request, and what it is scored against."""
    return {
        "dataset": dataset.id,
        "entry": entry.id,
        "request": dict(request),
        "reference": entry.reference,
        "thresholds": list(dataset.thresholds),
    }


def entry_key(dataset: Dataset, entry: Entry, request: Mapping[str, Any]) -> str:
    """Return the key of an entry's result; ``request`` as `request_content` has it."""
    return content_key(entry_content(dataset, entry, request))


def _graders(setup: ConversationSetup) -> Iterator[tuple[str, Any]]:
    specs = setup.simulation.graders
    yield from (("turn", grader) for grader in specs.turn_level)
    yield from (("trace", grader) for grader in specs.trace_level)


def _plain(model: BaseModel) -> Content:
    """Return a part of a simulation without what users note for themselves."""
    return model.model_dump(mode="json", exclude={"metadata"}, exclude_defaults=True)


def _digest(*texts: str) -> str:
    return content_key({"texts": texts})[:16]
