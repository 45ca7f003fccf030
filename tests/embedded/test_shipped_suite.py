"""The shipped simulations, played in text, and proof that they can fail.

Agent and caller talk through an ear that loses case and punctuation, as a bad line does;
the simulations' own mocks answer, and their own graders judge.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from pytest_realtime_eval.conversation.tools import ToolMocks
from pytest_realtime_eval.embedded.agent import AgentReply, AgentView, decide
from pytest_realtime_eval.embedded.caller import CallerView, reply
from pytest_realtime_eval.graders import conversation_outcome, grade
from pytest_realtime_eval.schemas.simulation import Simulation, load_simulation
from pytest_realtime_eval.schemas.transcript import (
    Latencies,
    ToolCall,
    ToolOutput,
    Transcript,
    Turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

EVALS = Path(__file__).parents[2] / "evals"
FILES = sorted((EVALS / "simulations").glob("sim_*.json"))
SIMULATIONS = {path.stem: load_simulation(path) for path in FILES}


def bad_line(text: str) -> str:
    """Lose case and punctuation, but not what stands inside a number."""
    return re.sub(r"[^\w\s:'@]", " ", text).lower()


class Play:
    """One simulation, played in text; the attributes can be changed before `transcript`."""

    def __init__(self, simulation_id: str) -> None:
        self.simulation: Simulation = SIMULATIONS[simulation_id]
        spec = self.simulation
        self.instructions = read(spec.assistant.system_prompt_file)
        self.tools = tuple(json.loads(read(spec.assistant.tools_file)))
        self.persona = spec.simulator.system_prompt or ""
        self.ear: Callable[[str], str] = bad_line
        self.agent: Callable[[AgentView], AgentReply] = decide
        self.items: list[dict[str, Any]] = []
        self.turns: list[Turn] = []

    def outcome(self) -> tuple[str, str]:
        verdicts = asyncio.run(grade(self.transcript(), self.simulation, None))
        return conversation_outcome(self._transcript, verdicts)

    def transcript(self) -> Transcript:
        self.answer = ToolMocks(self.simulation.tool_mocks).start()
        ended = False
        for index in range(1, (self.simulation.turns.max_turns or 1) + 1):
            said = self._user(index)
            ended = "END_CALL" in said
            if ended:
                break
            self.turns.append(self._turn(index, said))
        self._transcript = Transcript(
            simulation_id=self.simulation.simulation_id,
            assistant_model="agent",
            simulator_model="caller",
            turns=tuple(self.turns),
            ended_by="end_call" if ended else "max_turns",
            started_at="2026-03-16T12:00:00Z",
            duration_ms=1.0,
        )
        return self._transcript

    def _user(self, index: int) -> str:
        if index == 1:
            return self.simulation.turns.fixed_first_user_turn
        items = tuple(
            message(role, text)
            for turn in self.turns
            for role, text in (("assistant", turn.user_text), ("user", turn.assistant_text))
        )
        return reply(CallerView(self.persona, "", items))

    def _turn(self, index: int, said: str) -> Turn:
        self.items.append(message("user", self.ear(said)))
        texts: list[str] = []
        calls: list[ToolCall] = []
        outputs: list[ToolOutput] = []
        for _ in range(8):
            answer = self.agent(AgentView(self.instructions, self.tools, tuple(self.items)))
            if answer.text:
                texts.append(answer.text)
                self.items.append(message("assistant", answer.text))
            for name, arguments in answer.calls:
                call, output = self._call(name, arguments, f"{index}_{len(calls)}")
                calls.append(call)
                outputs.append(output)
            if not answer.calls:
                break
        return Turn(
            index=index,
            user_text=said,
            assistant_text=" ".join(texts),
            tool_calls=tuple(calls),
            tool_outputs=tuple(outputs),
            latencies=Latencies(first_audio=1.0),
        )

    def _call(
        self, name: str, arguments: dict[str, Any], call_id: str
    ) -> tuple[ToolCall, ToolOutput]:
        raw = json.dumps(arguments)
        call = ToolCall(name=name, arguments=arguments, raw_arguments=raw, call_id=call_id)
        answer = self.answer(call)
        self.items += [
            {"type": "function_call", "name": name, "arguments": raw, "call_id": call_id},
            {
                "type": "function_call_output",
                "call_id": call_id,
                "output": json.dumps(answer.output),
            },
        ]
        output = ToolOutput(
            call_id=call_id,
            name=name,
            arguments=arguments,
            output=answer.output,
            mocked=answer.mocked,
        )
        return call, output


def message(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "text", "text": text}]}


def read(name: str | None) -> str:
    assert name is not None
    return (EVALS / name).read_text(encoding="utf-8")


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize("simulation_id", SIMULATIONS)
def test_every_simulation_passes(simulation_id: str) -> None:
    outcome, reason = Play(simulation_id).outcome()
    assert outcome == "passed", reason


@pytest.mark.parametrize("simulation_id", SIMULATIONS)
def test_every_simulation_passes_on_a_perfect_line(simulation_id: str) -> None:
    play = Play(simulation_id)
    play.ear = str
    assert play.outcome()[0] == "passed"


@pytest.mark.parametrize(
    ("simulation_id", "old", "new"),
    [
        ("sim_booking", "half past seven", "half past eight"),
        ("sim_booking", "for two people", "for three people"),
        ("sim_booking", "- Name: Tom Becker", "- Name: Tom Baker"),
        ("sim_corrected_booking", "make it eight", "make it nine"),
        ("sim_fully_booked", "Then nine", "Then six"),
        ("sim_cancel_booking", "CO-417", "CO-471"),
        ("sim_opening_hours", "And may I bring my dog?", "And is there a vegetarian menu?"),
        ("sim_order_status", "LL-7351", "LL-7315"),
        ("sim_order_unknown", "- Name: Lena Fischer", "- Order number: LL-1111"),
        ("sim_order_cancel", "ordered it by mistake", "have changed my mind"),
        ("sim_order_shipped", "LL-2760", "LL-2761"),
        ("sim_order_refund", "arrived damaged", "never arrived"),
        ("sim_clinic", "at ten fifteen", "at nine forty five"),
        ("sim_clinic", "third of May 1988", "third of March 1988"),
    ],
)
def test_a_caller_with_another_fact_makes_it_fail(simulation_id: str, old: str, new: str) -> None:
    play = Play(simulation_id)
    play.persona = changed(play.persona, old, new)
    play.persona = re.sub(r'Then ask: "And is there.*', "", play.persona)
    assert play.outcome()[0] == "failed"


@pytest.mark.parametrize(
    "simulation_id",
    [
        "sim_booking",
        "sim_corrected_booking",
        "sim_fully_booked",
        "sim_cancel_booking",
        "sim_order_cancel",
        "sim_order_refund",
        "sim_clinic",
    ],
)
def test_an_assistant_that_does_not_ask_to_confirm_fails(simulation_id: str) -> None:
    play = Play(simulation_id)
    play.instructions = re.sub(r".*(?:confirm|agree).*\n", "", play.instructions)
    outcome, reason = play.outcome()
    assert outcome == "failed", reason


@pytest.mark.parametrize("simulation_id", SIMULATIONS)
def test_a_line_that_loses_the_end_of_each_utterance_makes_it_fail(simulation_id: str) -> None:
    play = Play(simulation_id)
    play.ear = lambda text: " ".join(text.split()[: len(text.split()) * 2 // 5])
    assert play.outcome()[0] == "failed"


@pytest.mark.parametrize("simulation_id", sorted(set(SIMULATIONS) - {"sim_order_unknown"}))
def test_an_assistant_that_says_nothing_of_what_came_back_fails(simulation_id: str) -> None:
    play = Play(simulation_id)
    play.agent = _tight_lipped
    assert play.outcome()[0] == "failed"


def _tight_lipped(view: AgentView) -> AgentReply:
    answer = decide(view)
    statements = r"[^.!?]*(?:\.(?!\d)|\.$)\s*"
    return AgentReply(re.sub(statements, "", answer.text) or "All right.", answer.calls)


@pytest.mark.parametrize(
    ("simulation_id", "old"),
    [
        ("sim_cancel_booking", "Use find_booking before"),
        ("sim_order_cancel", "Use get_order before"),
        ("sim_order_shipped", "Use get_order before"),
        ("sim_order_shipped", "If the status is shipped"),
        ("sim_clinic", "Use find_free_times before"),
    ],
)
def test_an_assistant_that_skips_a_rule_of_its_instructions_fails(
    simulation_id: str, old: str
) -> None:
    play = Play(simulation_id)
    assert old in play.instructions
    play.instructions = re.sub(rf".*{old}.*\n", "", play.instructions)
    assert play.outcome()[0] == "failed"


def test_a_tool_that_never_recovers_makes_the_refund_fail() -> None:
    play = Play("sim_order_refund")
    mocks = [mock.model_copy(update={"outputs": [{"error": "down"}]}) for mock in
             play.simulation.tool_mocks]  # fmt: skip
    play.simulation = play.simulation.model_copy(update={"tool_mocks": mocks})
    assert play.outcome()[0] == "failed"


def test_the_suite_is_what_the_documentation_says() -> None:
    specs = list(SIMULATIONS.values())
    assert len(specs) >= 8
    assert len({spec.assistant.tools_file for spec in specs}) >= 2
    assert any(not spec.expected_tool_call for spec in specs)
    assert any(spec.audio.input_format == "g711_ulaw" for spec in specs)
    assert any(mock.outputs for spec in specs for mock in spec.tool_mocks)
    kinds = {g.type for s in specs for g in (*s.graders.turn_level, *s.graders.trace_level)}
    assert len(kinds) == 8


def test_the_index_names_every_simulation() -> None:
    index = pd.read_csv(EVALS / "simulations.csv")
    assert sorted(index["simulation_id"]) == sorted(SIMULATIONS)
    assert {(EVALS / path).resolve() for path in index["simulation_path"]} == set(FILES)
    assert index["enabled"].all()


def test_every_simulation_can_be_graded_without_a_judge() -> None:
    for spec in SIMULATIONS.values():
        kinds = {grader.type for grader in spec.graders.trace_level}
        assert {"tool_call", "tool_call_args", "ends_call", "mentions"} <= kinds
