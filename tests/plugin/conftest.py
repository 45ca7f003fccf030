"""Suites of evals that inner pytest runs collect and play against the scripted server."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import ScriptedServer

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
eval_skip_plots = true
eval_skip_report = true
eval_response_timeout = 5
eval_endpoint = {url}
"""

PASSES = {"trace_level": [{"id": "says_yes", "type": "mentions", "values": ["yes"]}]}
FAILS = {"trace_level": [{"id": "says_no", "type": "mentions", "values": ["never said"]}]}
JUDGED = {"trace_level": [{"id": "polite", "criteria": "The assistant is polite."}]}


@dataclass
class Suite:
    """A project with evals.

    Attributes:
        mode: Arguments of every run.
        in_process: Runs pytest in this process; else in one of its own.
        cache, random, reruns: Keep pytest's cache, pytest-randomly, pytest-rerunfailures;
            the last leaves a thread behind in every run that could have workers.
        ini: Lines of the ini, by name.
    """

    pytester: pytest.Pytester
    server: ScriptedServer
    mode: tuple[str, ...] = ()
    in_process: bool = True
    cache: bool = False
    random: bool = False
    reruns: bool = False
    ini: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.pytester.path

    def write(self, name: str, content: object) -> Path:
        """Write a file: text as it is, all else as JSON."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, indent=2)
        path.write_text(text, encoding="utf-8")
        return path

    def simulation(
        self,
        name: str,
        turns: list[Any] | None = None,
        *,
        folder: str = "evals",
        caller: dict[str, Any] | None = None,
        file: str = "",
        **changes: object,
    ) -> Path:
        """Write a simulation, played as its script says; one turn that passes by default."""
        script = {"turns": turns or [[{"say": "Yes, it is."}]]}
        data = {
            "assistant": {"system_prompt": json.dumps(script), "model": f"model-{name}"},
            "simulator": {"system_prompt": json.dumps(caller or {})},
            "turns": {"fixed_first_user_turn": "Is it?", "max_turns": 3},
            "graders": PASSES,
        }
        return self.write(f"{folder}/{file or name}.json", data | changes)

    def index(self, *rows: str, name: str = "evals/index.csv", more: str = "") -> Path:
        """Write an index."""
        return self.write(name, "\n".join([f"simulation_id,simulation_path{more}", *rows]) + "\n")

    def arguments(self, *arguments: str) -> list[str]:
        """Write the ini, and return a run's arguments."""
        lines = "".join(f"{name} = {value}\n" for name, value in self.ini.items())
        self.write("pytest.ini", INI.format(url=self.server.url) + lines)
        without = [] if self.cache else ["-p", "no:cacheprovider"]
        without += [] if self.random else ["-p", "no:randomly"]
        without += [] if self.reruns else ["-p", "no:rerunfailures"]
        return [*without, *self.mode, *arguments]

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest on the project."""
        given = self.arguments(*arguments)
        if self.in_process:
            return self.pytester.runpytest_inprocess(*given)
        return self.pytester.runpytest_subprocess(*given, timeout=60)

    @property
    def folder(self) -> Path:
        """The folder of the only run there was."""
        (folder,) = (self.root / "results").iterdir()
        return folder

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the records of the only run, by simulation id."""
        lines = (self.folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        by_id = {record["simulation_id"]: record for record in records}
        assert len(by_id) == len(records), "a simulation was recorded twice"
        return by_id

    def outcomes(self) -> dict[str, str]:
        """Return the outcomes that the only run recorded."""
        return {name: record["outcome"] for name, record in self.records().items()}

    def summary(self) -> dict[str, Any]:
        """Return the only run's summary."""
        data: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return data


@pytest.fixture(scope="session")
def _imported(scripted_server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Import all that a run imports.

    An inner run in this process forgets what it imported, and numpy and pandas cannot be
    imported twice. A plain run imports them for good.
    """
    root = tmp_path_factory.mktemp("imported")
    simulation = {"turns": {"fixed_first_user_turn": "Is it?"}, "graders": PASSES}
    (root / "sim_a.json").write_text(json.dumps(simulation))
    (root / "index.csv").write_text("simulation_id,simulation_path,enabled\nsim_a,sim_a.json,1\n")
    ini = INI.format(url=scripted_server.url).replace("true", "false") + "eval_paths = .\n"
    (root / "pytest.ini").write_text(ini)
    plain = ("-p", "no:xdist", "-p", "no:rerunfailures", "-p", "no:timeout")
    pytest.main(["--rootdir", str(root), "-c", str(root / "pytest.ini"), *plain, str(root)])


@pytest.fixture
def suite(
    pytester: pytest.Pytester,
    scripted_server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    _imported: None,
) -> Suite:
    """A project without evals yet, run in this process."""
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "OPENAI_BASE_URL", "CI"):
        monkeypatch.delenv(name, raising=False)
    return Suite(pytester, scripted_server)


@pytest.fixture(params=[(), ("-n0",), ("-n2",), ("-p", "no:xdist")], ids=" ".join)
def each_mode(request: pytest.FixtureRequest, suite: Suite) -> Suite:
    """The suite, run without xdist's options, in one process, in two, and without xdist."""
    suite.mode = request.param
    return suite


@pytest.fixture(autouse=True)
def _nothing_stays_running(scripted_server: ScriptedServer) -> Iterator[None]:
    """After every test: no thread and no process of the inner run, no session on the server."""
    threads, processes = set(threading.enumerate()), _children()
    yield
    left = {t.name for t in set(threading.enumerate()) - threads if t.is_alive()}
    assert {name for name in left if "run_server" not in name} == set()  # pytest-rerunfailures' own
    assert _children() <= processes
    for _ in range(40):
        if not scripted_server.open():
            return
        time.sleep(0.05)
    pytest.fail("a session stayed open")


def _children() -> set[str]:
    """Return the ids of this process's children, where the system tells."""
    lists = Path("/proc/self/task").glob("*/children")
    return {pid for children in lists for pid in children.read_text().split()}
