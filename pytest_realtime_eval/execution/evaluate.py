"""From a simulation to its record: play, grade, decide the outcome."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_realtime_eval.conversation.files import ConversationFiles
from pytest_realtime_eval.conversation.loop import Endpoints, Played, failure_of, play
from pytest_realtime_eval.conversation.tools import ToolMocks
from pytest_realtime_eval.graders import conversation_outcome, grade
from pytest_realtime_eval.reports.conversation import conversation_text
from pytest_realtime_eval.reports.files import write_text
from pytest_realtime_eval.schemas.results import SimulationRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.schemas.transcript import Turn


@dataclass(frozen=True)
class SimulationJob:
    """All that a conversation and its grading need, and nothing of pytest.

    Attributes:
        nodeid: pytest's id of the item.
        path: The simulation file, relative to the rootdir.
        name: Names the conversation's files.
        folder: The run's folder.
    """

    nodeid: str
    path: str
    name: str
    setup: ConversationSetup
    folder: Path

    async def play(
        self,
        endpoints: Endpoints,
        tools: ToolMocks | None = None,
        on_turn: Callable[[Turn], None] | None = None,
    ) -> Played:
        """Play the conversation; without ``tools`` the simulation's own mocks answer."""
        files = ConversationFiles(self.folder, self.name)
        mocks = tools or ToolMocks(self.setup.simulation.tool_mocks)
        played = await play(self.setup, endpoints, mocks, files, on_turn)
        await asyncio.to_thread(write_text, files.text, conversation_text(played.transcript))
        return played

    def record(self, **fields: object) -> SimulationRecord:
        """Return a record of this job with what is known before it is run."""
        simulation = self.setup.simulation
        known: dict[str, object] = {
            "nodeid": self.nodeid,
            "path": self.path,
            "simulation_id": simulation.simulation_id,
            "scenario": simulation.scenario,
            "tags": tuple(simulation.tags),
            "assistant_model": self.setup.assistant_model or "",
            "simulator_model": self.setup.simulator_model or "",
            "setup": self.setup.describe(),
            "expected_tool_calls": tuple(
                call.model_dump(exclude={"metadata"}) for call in simulation.expected_tool_call
            ),
        }
        return SimulationRecord.model_validate(known | fields)


async def evaluate(
    job: SimulationJob,
    endpoints: Endpoints,
    tools: ToolMocks,
    judge: Judge | None,
    on_turn: Callable[[Turn], None] | None = None,
) -> SimulationRecord:
    """Play a simulation, grade its transcript, and return its record."""
    return await record_of(job, await job.play(endpoints, tools, on_turn), judge)


async def record_of(job: SimulationJob, played: Played, judge: Judge | None) -> SimulationRecord:
    """Grade a conversation that was played, and return its record."""
    transcript = played.transcript
    simulation = job.setup.simulation
    verdicts = () if played.error else await grade(transcript, simulation, judge)
    outcome, reason = conversation_outcome(transcript, verdicts)
    return job.record(
        outcome=outcome,
        reason=reason,
        assistant_model=transcript.assistant_model,
        simulator_model=transcript.simulator_model,
        transcript=transcript,
        verdicts=verdicts,
        started_at=transcript.started_at,
        duration_ms=transcript.duration_ms,
        failure=failure_of(played.error) if played.error else None,
    )
