"""Conversations against the scripted server."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.conversation.files import ConversationFiles
from pytest_realtime_eval.conversation.loop import Endpoints, Played, play
from pytest_realtime_eval.conversation.setup import ConversationSetup, resolve
from pytest_realtime_eval.conversation.tools import ToolMocks
from pytest_realtime_eval.options import Options
from pytest_realtime_eval.realtime.endpoint import url_endpoint
from pytest_realtime_eval.schemas.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_realtime_eval.schemas.transcript import Turn
    from tests.conftest import ScriptedServer

_COUNT = itertools.count(1)


@dataclass(frozen=True)
class Stage:
    """Plays scripts, each under model names of its own."""

    server: ScriptedServer
    folder: Path
    model: str

    def setup(
        self, turns: list[Any], caller: dict[str, Any] | None = None, **changes: object
    ) -> ConversationSetup:
        """Return a conversation in which assistant and caller follow a script."""
        simulation = Simulation.model_validate(
            {
                "simulation_id": "sim_test",
                "assistant": {"system_prompt": json.dumps({"turns": turns})},
                "simulator": {"system_prompt": json.dumps(caller or {})},
                "turns": {"fixed_first_user_turn": "Hello, is anyone there?"},
                "tool_mocks": changes.pop("tool_mocks", []),
            }
        )
        path = self.folder / "sim_test.json"
        path.write_text("{}")
        setup = resolve(simulation, path, Options(self.folder))
        values: dict[str, Any] = {
            "assistant_model": f"{self.model}-assistant",
            "simulator_model": f"{self.model}-caller",
            "response_timeout": 5.0,
            "max_turns": 4,
        }
        return replace(setup, **(values | changes))

    async def play(
        self,
        turns: list[Any],
        caller: dict[str, Any] | None = None,
        *,
        url: str = "",
        on_turn: Callable[[Turn], None] | None = None,
        **changes: object,
    ) -> Played:
        """Play a script to its end."""
        setup = self.setup(turns, caller, **changes)
        endpoint = url_endpoint(url or self.server.url, {})
        mocks = ToolMocks(setup.simulation.tool_mocks)
        return await play(setup, Endpoints(endpoint, endpoint), mocks, self.files, on_turn)

    @property
    def files(self) -> ConversationFiles:
        """Where the conversation's files go."""
        return ConversationFiles(self.folder / "run", "sim_test")

    def sent(self, role: str) -> list[dict[str, Any]]:
        """Return the events that the one session of a role has sent."""
        sessions = self.server.received(f"{self.model}-{role}")
        assert len(sessions) == 1
        return list(sessions[0])


@pytest.fixture
def stage(scripted_server: ScriptedServer, tmp_path: Path) -> Stage:
    return Stage(scripted_server, tmp_path, f"stage-{next(_COUNT)}")
