"""What users override, and Python tests."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Suite

JUDGED = {"trace_level": [{"id": "polite", "criteria": "The assistant is polite."}]}
CALLS: list[Any] = [
    [{"calls": [{"name": "find", "arguments": {"order": "A"}}]}, {"say": "Yes.", "delay_ms": 200}]
]

JUDGE = """
import pytest
from pytest_realtime_eval.graders.judge import Judge
from pytest_realtime_eval.text.request import TextReply

class Client:
    async def ask(self, request):
        return TextReply('{"rationale": "so said the stub", "applicable": true, "grade": GRADE}')

@pytest.fixture(scope="SCOPE")
def judge():
    return Judge(Client(), "stub-model")
"""

MOCKS = {
    "function": """
import pytest

@pytest.fixture
def tool_mocks(tool_mocks, simulation):
    return tool_mocks.with_function("find", lambda args: {"of": simulation.simulation_id, **args})
""",
    "session": """
import pytest
from pytest_realtime_eval.conversation.tools import ToolMocks

@pytest.fixture(scope="session")
def tool_mocks():
    return ToolMocks().with_function("find", lambda args: {"of": "all", **args})
""",
}


def outputs(record: dict[str, Any]) -> list[Any]:
    return [o["output"] for turn in record["transcript"]["turns"] for o in turn["tool_outputs"]]


@pytest.mark.parametrize("scope", ["session", "function"])
@pytest.mark.parametrize(("grade", "outcome"), [(1, "passed"), (0, "failed")])
def test_a_judge_of_a_conftest_grades_the_json_items(
    suite: Suite, scope: str, grade: int, outcome: str
) -> None:
    suite.simulation("sim_a", graders=JUDGED)
    suite.write("evals/conftest.py", JUDGE.replace("SCOPE", scope).replace("GRADE", str(grade)))
    result = suite.run()
    assert suite.outcomes() == {"sim_a": outcome}
    (verdict,) = suite.records()["sim_a"]["verdicts"]
    assert (verdict["rationale"], verdict["model"]) == ("so said the stub", "stub-model")
    assert result.ret == (0 if grade else 1)


@pytest.mark.parametrize("scope", ["session", "function"])
def test_tool_mocks_of_a_conftest_answer_the_json_items(suite: Suite, scope: str) -> None:
    for name in ("sim_a", "sim_b", "sim_c"):
        suite.simulation(name, CALLS, tool_mocks=[{"name": "find", "output": "static"}])
    suite.write("evals/conftest.py", MOCKS[scope])
    suite.server.most_open()
    suite.run().assert_outcomes(passed=3)
    of = "sim_a" if scope == "function" else "all"
    assert outputs(suite.records()["sim_a"]) == [{"of": of, "order": "A"}]
    # What is made for one item alone cannot be made before its turn.
    assert suite.server.most_open() == (2 if scope == "function" else 6)


def test_an_override_holds_for_its_own_folder(suite: Suite) -> None:
    suite.simulation("sim_a", CALLS, folder="evals/one")
    suite.simulation("sim_b", CALLS, folder="evals/two")
    suite.write("evals/one/conftest.py", MOCKS["session"])
    suite.run().assert_outcomes(passed=2)
    assert outputs(suite.records()["sim_a"]) == [{"of": "all", "order": "A"}]
    assert outputs(suite.records()["sim_b"]) == [{"status": "Unsupported tool"}]


def test_overrides_hold_on_workers(suite: Suite) -> None:
    suite.mode = ("-n2",)
    suite.simulation("sim_a", CALLS)
    suite.simulation("sim_b", CALLS)
    suite.write("evals/conftest.py", MOCKS["function"])
    suite.run().assert_outcomes(passed=2)
    for name, record in suite.records().items():
        assert outputs(record) == [{"of": name, "order": "A"}]


def test_an_endpoint_of_a_conftest_is_where_sessions_are_opened(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.write(
        "conftest.py",
        dedent(f"""
            import pytest
            from pytest_realtime_eval.conversation.loop import Endpoints
            from pytest_realtime_eval.realtime.endpoint import Endpoint

            @pytest.fixture(scope="session")
            def realtime_endpoints():
                endpoint = Endpoint("mine", "{suite.server.url}")
                return Endpoints(endpoint, endpoint)
        """),
    )
    suite.run("--eval-endpoint", "ws://127.0.0.1:9/").assert_outcomes(passed=1)


def test_a_fixture_that_breaks_is_an_error_and_costs_only_its_item(suite: Suite) -> None:
    suite.simulation("sim_a", folder="evals/one")
    suite.simulation("sim_b")
    suite.write("evals/one/conftest.py", MOCKS["session"].replace("ToolMocks()", "(1 / 0)"))
    result = suite.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ZeroDivisionError*"])
    assert suite.outcomes() == {"sim_a": "infra_error", "sim_b": "passed"}


def test_a_function_of_a_mock_that_raises_costs_only_its_item(suite: Suite) -> None:
    suite.simulation("sim_a", CALLS)
    suite.simulation("sim_b")
    raising = MOCKS["session"].replace('{"of": "all", **args}', 'args["missing"]')
    suite.write("evals/conftest.py", raising)
    result = suite.run()
    assert result.ret == 1
    outcomes = suite.outcomes()
    assert outcomes["sim_b"] == "passed"
    assert outcomes["sim_a"] != "passed"
    result.stdout.fnmatch_lines(["*missing*"])


def test_autouse_fixtures_of_a_conftest_are_used(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.write(
        "evals/conftest.py",
        dedent("""
            import pytest

            @pytest.fixture(autouse=True)
            def noted(request):
                with open("noted.txt", "a") as file:
                    file.write(request.node.name)
        """),
    )
    suite.run().assert_outcomes(passed=1)
    assert (suite.root / "noted.txt").read_text() == "sim_a"


PYTHON = """
import pytest

@pytest.mark.asyncio
async def test_a_call(run_simulation):
    transcript = await run_simulation("sim_a.json")
    assert transcript.turns[0].assistant_text == "Yes, it is."

@pytest.mark.asyncio
async def test_that_fails(run_simulation):
    transcript = await run_simulation("sim_a.json")
    assert transcript.turns[0].assistant_text == "Nothing of the kind"

@pytest.mark.asyncio
async def test_two_calls(run_simulation, tool_mocks_of_mine):
    await run_simulation("sim_a.json")
    second = await run_simulation("simulations/sim_calls.json", tool_mocks=tool_mocks_of_mine)
    assert second.turns[0].tool_outputs[0].output == "mine"

@pytest.fixture
def tool_mocks_of_mine():
    from pytest_realtime_eval.conversation.tools import ToolMocks
    return ToolMocks().with_function("find", lambda arguments: "mine")
"""


def test_python_tests_play_simulations_that_land_in_the_run(suite: Suite) -> None:
    suite.simulation("sim_a", folder="lib")
    suite.simulation("sim_calls", CALLS, folder="evals/simulations")
    suite.write("lib/test_calls.py", PYTHON)
    result = suite.run("lib")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*Nothing of the kind*"])
    lines = (suite.folder / "records.jsonl").read_text().splitlines()
    assert len(lines) == 4
    assert len(list((suite.folder / "events").iterdir())) == 4
    assert len(list((suite.folder / "conversations").iterdir())) == 4
    assert suite.summary()["total_rows"] == 4


def test_a_python_test_gets_what_broke_its_conversation(suite: Suite) -> None:
    suite.simulation("sim_a", [[{"fault": "error"}]], folder="lib")
    suite.write(
        "lib/test_calls.py",
        dedent("""
            import pytest
            from pytest_realtime_eval.exceptions import ResponseFailed

            @pytest.mark.asyncio
            async def test_a_call(run_simulation):
                with pytest.raises(ResponseFailed, match="scripted trouble"):
                    await run_simulation("sim_a.json")
        """),
    )
    suite.run("lib").assert_outcomes(passed=1)
    (record,) = suite.records().values()
    assert (record["outcome"], record["failure"]["stage"]) == ("infra_error", "response_error")


def test_a_simulation_that_is_nowhere_is_said_without_a_traceback(suite: Suite) -> None:
    suite.write(
        "lib/test_calls.py",
        dedent("""
            import pytest

            @pytest.mark.asyncio
            async def test_a_call(run_simulation):
                await run_simulation("sim_gone.json")

            def test_no_mark(simulation):
                pass
        """),
    )
    result = suite.run("lib")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["no simulation file 'sim_gone.json'; looked in */lib, *"])
    result.stdout.fnmatch_lines(["this fixture needs a mark that names the simulation's file:*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_sessions_and_simulation_are_fixtures(suite: Suite) -> None:
    suite.simulation("sim_a", folder="lib")
    suite.write(
        "lib/test_sessions.py",
        dedent("""
            import pytest

            pytestmark = [pytest.mark.asyncio, pytest.mark.simulation("sim_a.json")]

            async def test_assistant(assistant_session, simulation, realtime_endpoints, judge):
                assert simulation.simulation_id == "sim_a"
                assert judge is None
                assert realtime_endpoints.assistant.url.startswith("ws://")
                assert assistant_session.model == "model-sim_a"
                silence = b"\\0" * 9600
                await assistant_session.append(silence, chunk_ms=20, real_time=False)
                assert await assistant_session.commit() == "item_1"
                response = await assistant_session.respond()
                assert response.transcript == "Yes, it is."

            async def test_simulator(simulator_session, tool_mocks):
                response = await simulator_session.respond(
                    conversation="none", instructions="nothing else:\\nHi", metadata={"turn": "1"}
                )
                assert response.transcript == "Hi"
        """),
    )
    suite.run("lib", "--strict-markers").assert_outcomes(passed=2)


def test_fixtures_are_listed_with_what_they_are(suite: Suite) -> None:
    result = suite.run("--fixtures")
    listed = result.stdout.str()
    for name in ("realtime_endpoints", "judge", "simulation", "tool_mocks", "run_simulation"):
        assert name in listed
    assert "no docstring available" not in listed.partition("realtime_endpoints")[2][:200]
