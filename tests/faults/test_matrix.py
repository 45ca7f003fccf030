"""The fault matrix: every row of ``matrix.csv`` happens to one of two simulations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Inspection, Project, Row

pytestmark = pytest.mark.timeout(60)

#: What a run of these conversations may take, s; its time-outs are of 1 s.
PATIENCE: Final = 15.0
#: Exit status of a run that stopped early, since every other item would fail the same way.
STOPPED: Final = 2

JUDGE: Final = """
import pytest
from pytest_realtime_eval.graders.judge import Judge
from pytest_realtime_eval.text.client import ChatCompletions, Retries, TextClient

@pytest.fixture(scope="session")
def judge():
    retries = Retries(attempts=2, first_wait_s=0.05)
    dialect = ChatCompletions("{base_url}", "sk-test-key-of-the-judge")
    return Judge(TextClient(dialect, timeout_s=0.5, retries=retries), "judge-good")
"""


def name_of(row: Row) -> str:
    """Return an id that comes first; last where the run stops at it, so that the other ends."""
    return "sim_z_broken" if row.exit == STOPPED else "sim_a_broken"


def check(
    project: Project, inspection: type[Inspection], row: Row, result: pytest.RunResult
) -> None:
    """Hold a run against its row: outcome, exit status, and all that the other item left."""
    assert result.ret == row.exit
    assert result.duration < PATIENCE
    left = inspection(project)
    broken = left.records[name_of(row)]
    assert broken.outcome == row.outcome
    assert len(broken.transcript.turns if broken.transcript else ()) == row.turns
    stages = {r["failure_stage"] for r in left.table() if r["simulation_id"] == name_of(row)}
    assert stages - {""} == {row.stage} - {""}
    left.is_readable()
    left.is_whole("sim_whole")
    assert set(left.records) == {name_of(row), "sim_whole"}
    said = result.stdout.str() + result.stderr.str()
    assert "Traceback" not in said
    assert "INTERNAL" not in said


def test_endpoint(project: Project, inspection: type[Inspection], row: Row) -> None:
    tools = {"expected_tool_call": {"name": "look_up", "arguments": {"id": 7}}}
    graders = {
        "trace_level": [{"id": "says_yes", "type": "mentions", "values": ["yes"]}],
        "turn_level": [{"id": "calls", "type": "tool_call_args"}],
    }
    changes = {**tools, "graders": graders} if row.model == "bad_arguments" else {}
    if row.model == "nothing":
        every_turn = {"id": "every_turn", "type": "mentions", "values": ["yes"]}
        changes = {"graders": {"turn_level": [every_turn]}}
    project.simulation(name_of(row), f"{row.model}~1", **changes)
    project.simulation("sim_whole")
    check(project, inspection, row, project.run(*row.options))
    assert not project.records()[name_of(row)].attempts, "what lasts was tried again"


def test_recovery(project: Project, inspection: type[Inspection], row: Row) -> None:
    model = f"{row.model}~{project.root.name}"
    project.simulation(name_of(row), model)
    project.simulation("sim_whole")
    check(project, inspection, row, project.run(*row.options))
    attempts = project.records()[name_of(row)].attempts
    assert [(a.number, a.outcome) for a in attempts] == [(1, "infra_error"), (2, "passed")]
    first, second = project.server.handshakes(model)
    assert 1.0 <= second - first < 3.0  # what Retry-After says, and a bit of chance


def test_caller(project: Project, inspection: type[Inspection], row: Row) -> None:
    simulator = {"model": row.model, "system_prompt": "You call."}
    project.simulation(name_of(row), simulator=simulator)
    project.simulation("sim_whole")
    check(project, inspection, row, project.run(*row.options))


def test_judge(project: Project, inspection: type[Inspection], row: Row) -> None:
    project.write("conftest.py", JUDGE.format(base_url=project.server.base_url))
    polite = {"id": "polite", "criteria": "The assistant is polite.", "model": row.model}
    project.simulation(name_of(row), graders={"trace_level": [polite]})
    project.simulation("sim_whole")
    check(project, inspection, row, project.run(*row.options))


def test_a_judge_that_answers_is_heard(project: Project) -> None:
    # Else the rows above would prove nothing.
    project.write("conftest.py", JUDGE.format(base_url=project.server.base_url))
    project.simulation(
        "sim_judged", graders={"trace_level": [{"id": "polite", "criteria": "It is polite."}]}
    )
    assert project.run().ret == 0
    assert project.records()["sim_judged"].verdicts[0].status == "pass"
