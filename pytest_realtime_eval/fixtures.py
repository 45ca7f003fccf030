"""The fixtures. Override any of them in a ``conftest.py``; the JSON items use the override."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from pytest_realtime_eval.exceptions import BudgetReached, RealtimeEvalError
from pytest_realtime_eval.items import PLAYED_KEY, RUNNER_KEY, SimulationItem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from pytest_realtime_eval.conversation.loop import Endpoints
    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.conversation.tools import ToolMocks
    from pytest_realtime_eval.execution.translate import Translator
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.realtime.session import Session
    from pytest_realtime_eval.schemas.simulation import Simulation
    from pytest_realtime_eval.schemas.transcript import Transcript

_SESSION_FIXTURES: Final = ("assistant_session", "simulator_session")


@pytest.fixture(scope="session")
def realtime_endpoints(pytestconfig: pytest.Config) -> Endpoints:
    """Where sessions are opened: ``assistant`` and ``simulator``, each an `Endpoint`."""
    return pytestconfig.stash[RUNNER_KEY].endpoints()


@pytest.fixture(scope="session")
def judge(pytestconfig: pytest.Config) -> Judge | None:
    """The judge of ``llm_as_judge`` graders; ``None`` leaves them ungraded."""
    return pytestconfig.stash[RUNNER_KEY].judge()


@pytest.fixture(scope="session")
def translator(pytestconfig: pytest.Config) -> Translator:
    """The model that translates the entries of datasets, and how it is asked."""
    return pytestconfig.stash[RUNNER_KEY].translator()


@pytest.fixture
def conversation_setup(request: pytest.FixtureRequest) -> ConversationSetup:
    """A simulation with every setting decided.

    Of a JSON item it is the item's own; a Python test names the file with the mark
    ``@pytest.mark.simulation("sim_booking.json")``.
    """
    if isinstance(request.node, SimulationItem):
        return request.node.conversation
    mark = request.node.get_closest_marker("simulation")
    if mark is None or not mark.args:
        pytest.fail(
            "this fixture needs a mark that names the simulation's file: "
            '@pytest.mark.simulation("sim_booking.json")',
            pytrace=False,
        )
    return _resolve(request, mark.args[0])


@pytest.fixture
def simulation(conversation_setup: ConversationSetup) -> Simulation:
    """The simulation file, validated."""
    return conversation_setup.simulation


@pytest.fixture
def tool_mocks(simulation: Simulation) -> ToolMocks:
    """What the tools answer: the simulation's own mocks."""
    from pytest_realtime_eval.conversation.tools import ToolMocks

    return ToolMocks(simulation.tool_mocks)


@pytest_asyncio.fixture
async def _session_lease(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Leave to open the sessions that a test asks for, all at once: no test waits for half."""
    runner = request.config.stash[RUNNER_KEY]
    if runner.cassettes.replay:
        pytest.skip("a session that a test opens by itself is not recorded, and this is a replay")
    wanted = sum(name in request.fixturenames for name in _SESSION_FIXTURES) or 1
    try:
        lease = await runner.run_in_loop(runner.limits.start_sessions, wanted)
    except BudgetReached as error:
        pytest.skip(str(error))
    yield
    await runner.run_in_loop(runner.limits.end_sessions, lease)


@pytest_asyncio.fixture
async def assistant_session(
    conversation_setup: ConversationSetup, realtime_endpoints: Endpoints, _session_lease: None
) -> AsyncIterator[Session]:
    """An open session of the assistant under test, configured as the simulation says."""
    from pytest_realtime_eval.conversation.loop import assistant_session

    async with assistant_session(conversation_setup, realtime_endpoints) as session:
        yield session


@pytest_asyncio.fixture
async def simulator_session(
    conversation_setup: ConversationSetup, realtime_endpoints: Endpoints, _session_lease: None
) -> AsyncIterator[Session]:
    """An open session of the simulated user, configured as the simulation says."""
    from pytest_realtime_eval.conversation.loop import simulator_session

    async with simulator_session(conversation_setup, realtime_endpoints) as session:
        yield session


@pytest.fixture
def run_simulation(
    request: pytest.FixtureRequest, realtime_endpoints: Endpoints
) -> Callable[..., Awaitable[Transcript]]:
    """Let Python tests play simulations.

    ``await run_simulation("sim_booking.json")`` takes the file (beside the test, or under
    the eval folders) and, if wanted, ``tool_mocks`` in place of the simulation's own, and
    returns the transcript. What was played lands in the run's folder and tables; a
    conversation that breaks raises what broke it.
    """
    runner = request.config.stash[RUNNER_KEY]

    async def run(path: str | Path, tool_mocks: ToolMocks | None = None) -> Transcript:
        from pytest_realtime_eval.execution.evaluate import play_only

        setup = _resolve(request, path)
        records = request.node.stash.setdefault(PLAYED_KEY, [])
        name = _file_name(request.node.name, setup.simulation.simulation_id, len(records))
        job = runner.simulation_job(request.node.nodeid, name, setup)
        record, found = await runner.run_in_loop(play_only, job, realtime_endpoints, tool_mocks)
        records.append(record)
        if isinstance(found, BudgetReached):
            pytest.skip(str(found))
        if isinstance(found, RealtimeEvalError):
            raise found
        return found

    return run


def _file_name(test: str, simulation_id: str, played_before: int) -> str:
    """Name the files of a conversation that a Python test plays."""
    words = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{test}.{simulation_id}").strip("-")
    return words[:100] + (f"-{played_before + 1}" if played_before else "")


def _resolve(request: pytest.FixtureRequest, name: str | Path) -> ConversationSetup:
    from pytest_realtime_eval.conversation.setup import resolve
    from pytest_realtime_eval.schemas.simulation import load_simulation

    path = _find(request, name)
    return resolve(load_simulation(path), path, request.config.stash[RUNNER_KEY].options)


def _find(request: pytest.FixtureRequest, name: str | Path) -> Path:
    """Return the file that a test names: beside the test, or under the eval folders."""
    options = request.config.stash[RUNNER_KEY].options
    folders = [request.path.parent, options.rootdir, *options.paths]
    folders += [folder / "simulations" for folder in options.paths]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    pytest.fail(f"no simulation file {str(name)!r}; looked in {looked}", pytrace=False)
