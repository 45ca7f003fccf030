"""Projects whose endpoint breaks, and what must be true of the run that they leave."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
import threading
import time
import wave
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.request import urlopen

import pytest

from pytest_realtime_eval.run_card.verify import verify
from pytest_realtime_eval.schemas.results import SimulationRecord, parse_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Marks the processes of a run in their environment.
MARK: Final = "REALTIME_EVAL_TEST_PROJECT"
ROOT: Final = Path(__file__).parents[2]
MATRIX: Final = Path(__file__).parent / "matrix.csv"

INI: Final = """
[pytest]
addopts = -p no:randomly -p no:cacheprovider
asyncio_default_fixture_loop_scope = function
filterwarnings = error
eval_skip_plots = true
eval_response_timeout = 1
eval_retries = 0
eval_endpoint = {url}
"""
SAYS_YES: Final = {"id": "says_yes", "type": "mentions", "values": ["yes"]}
CALLS: Final = {"id": "calls", "type": "tool_call_args"}
#: What the environment may say of credentials and endpoints, which no inner run is to see.
_ENVIRONMENT: Final = (
    "OPENAI_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "OPENAI_BASE_URL",
    "CI",
    "GITHUB_ACTIONS",
)


@dataclass(frozen=True)
class Row:
    """A row of ``matrix.csv``: a fault, and what must come of it.

    Attributes:
        model: Names the fault to ``servers/faulty.py``; for the judge's faults the judge's.
        stage: The expected ``failure_stage``.
        turns: Turns that the record keeps, the one that broke included.
        exit: pytest's exit status.
        slow: Whether only ``-m slow`` plays it.
        options: Further arguments of the run.
    """

    group: str
    fault: str
    model: str
    outcome: str
    stage: str
    turns: int
    exit: int
    slow: bool
    options: tuple[str, ...]

    @classmethod
    def of(cls, cells: dict[str, str]) -> Row:
        """Return the row that the file's cells say."""
        numbers = {name: int(cells[name] or 0) for name in ("turns", "exit")}
        others = {"options": tuple(cells["options"].split()), "slow": bool(cells["slow"])}
        return cls(**(cells | numbers | others))  # type: ignore[arg-type]  # by name


def rows() -> list[Row]:
    """Return the matrix."""
    with MATRIX.open(encoding="utf-8", newline="") as file:
        return [Row.of(cells) for cells in csv.DictReader(file)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Hand a test that asks for ``row`` those of its group: the test's name without ``test_``."""
    if "row" in metafunc.fixturenames:
        group = metafunc.function.__name__.removeprefix("test_")
        mine = [
            pytest.param(row, id=row.fault, marks=[pytest.mark.slow] if row.slow else [])
            for row in rows()
            if row.group == group
        ]
        metafunc.parametrize("row", mine)


def eventually(holds: Callable[[], object], seconds: float) -> bool:
    """Wait until something holds, at most that long; return whether it does."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(held)


@dataclass(frozen=True)
class FaultyServer:
    """The server of ``servers/faulty.py``, in a process of its own."""

    url: str
    base_url: str
    pid: int

    def counts(self) -> dict[str, Any]:
        """Return how many sessions are open, and when each model made its handshakes."""
        address = self.url.replace("ws://", "http://").removesuffix("/v1/realtime")
        with urlopen(f"{address}/counts", timeout=10) as response:  # noqa: S310 - http
            counts: dict[str, Any] = json.load(response)
        return counts

    def handshakes(self, model: str) -> list[float]:
        """Return when a model made its handshakes, in seconds of `time.monotonic`."""
        times: list[float] = self.counts()["handshakes"].get(model, [])
        return times

    def open(self) -> int:
        """Return how many sessions are open."""
        return int(self.counts()["open"])

    def all_closed(self) -> bool:
        """Wait a moment for the last session to close."""
        return eventually(lambda: not self.open(), 5)


@pytest.fixture(scope="session")
def faulty_server() -> Iterator[FaultyServer]:
    """A server whose models name faults, shared by the session."""
    command = [sys.executable, "-m", "tests.servers.faulty"]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        # Leaving closes the pipes, which ends the server, and waits for it.
        assert process.stdout is not None
        yield FaultyServer(**json.loads(process.stdout.readline()))


@dataclass
class Project:
    """A project with evals, whose endpoint is the faulty server.

    Attributes:
        ini: Further lines of the ini, by name.
    """

    pytester: pytest.Pytester
    server: FaultyServer
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

    def simulation(self, name: str, model: str = "whole", **changes: object) -> Path:
        """Write a simulation of two turns that passes unless its model breaks."""
        data: dict[str, object] = {
            "assistant": {"model": model, "tools": [LOOK_UP]},
            "simulator": {"model": "caller", "system_prompt": "You call."},
            "turns": {"fixed_first_user_turn": "Is it?", "max_turns": 4},
            "tool_mocks": [{"name": "look_up", "output": {"found": True}}],
            "graders": {"trace_level": [SAYS_YES]},
        }
        return self.write(f"evals/{name}.json", data | changes)

    def prepare(self) -> None:
        """Write the ini."""
        lines = "".join(f"{name} = {value}\n" for name, value in self.ini.items())
        self.write("pytest.ini", INI.format(url=self.server.url) + lines)

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest on the project, in this process."""
        self.prepare()
        return self.pytester.runpytest_inprocess(*arguments)

    def run_apart(self, *arguments: str, timeout: float = 60) -> pytest.RunResult:
        """Run pytest on the project in a process of its own."""
        self.prepare()
        return self.pytester.runpytest_subprocess(*arguments, timeout=timeout)

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start pytest on the project as a shell would: in a process group of its own.

        Its output goes to the file ``output``; it is killed if a test leaves it running.
        """
        self.prepare()
        command = [sys.executable, "-m", "pytest", *arguments]
        environ = os.environ | {MARK: str(self.root)}
        with (
            (self.root / "output").open("wb") as output,
            subprocess.Popen(  # noqa: S603 - pytest
                command,
                cwd=self.root,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environ,
                process_group=0,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def running(self) -> list[int]:
        """Return the processes that the started pytest has left, whoever their parent is."""
        mark = f"{MARK}={self.root}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def all_ended(self, seconds: float = 10) -> bool:
        """Wait for the processes of the started pytest to end."""
        return eventually(lambda: not self.running(), seconds)

    def kept(self) -> list[str]:
        """Return the simulations whose whole records are on disk by now."""
        files = list(self.root.glob("results/*/records.jsonl"))
        lines = files[0].read_text(encoding="utf-8").splitlines(keepends=True) if files else []
        return [json.loads(line)["simulation_id"] for line in lines if line.endswith("\n")]

    @property
    def output(self) -> str:
        """What the started pytest has printed."""
        return (self.root / "output").read_text(encoding="utf-8", errors="replace")

    @property
    def folder(self) -> Path:
        """The folder of the only run there was."""
        (folder,) = (self.root / "results").iterdir()
        return folder

    def records(self) -> dict[str, SimulationRecord]:
        """Return the records of the only run by simulation; each line is whole, none is twice."""
        lines = (self.folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
        records = [parse_record(json.loads(line)) for line in lines]
        by_id = {r.simulation_id: r for r in records if isinstance(r, SimulationRecord)}
        assert len(by_id) == len(records), "a simulation was recorded twice"
        return by_id


LOOK_UP: Final = {
    "type": "function",
    "name": "look_up",
    "description": "Look something up.",
    "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}},
}


class Inspection:
    """What a run left, looked at file by file."""

    def __init__(self, project: Project) -> None:
        self.folder = project.folder
        self.records = project.records()

    def table(self) -> list[dict[str, str]]:
        """Return the rows of ``results.csv``, which has all the simulations."""
        with (self.folder / "results.csv").open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file, strict=True))
        assert {row["simulation_id"] for row in found} == set(self.records)
        return found

    def is_readable(self) -> None:
        """Every file can be read by whoever reads such files."""
        table = self.table()
        summary = _strict_json(self.folder / "summary.json")
        assert summary["total_rows"] == len(table)
        broken = {r["simulation_id"] for r in table if r["status"] == "failed"}
        assert summary["failed_simulations"] == len(broken)
        self._cards_hold()
        self._page_is_whole()
        for log in (self.folder / "events").glob("*.jsonl"):
            _whole_lines(log)
        for path in (self.folder / "audio").rglob("*.wav"):
            with wave.open(str(path)) as wav:
                assert wav.getnframes() > 0
        assert list(self.folder.rglob("*.tmp")) == []

    def _cards_hold(self) -> None:
        card = _strict_json(self.folder / "run_cards" / "simulations.json")
        assert verify(card).problems == ()
        assert len(card["results"]) == len(self.records)

    def _page_is_whole(self) -> None:
        page = (self.folder / "report.html").read_text(encoding="utf-8")
        assert page.rstrip().endswith("</html>")
        HTMLParser().feed(page)
        assert all(name in page for name in self.records)

    def is_whole(self, name: str) -> None:
        """A simulation that nothing happened to was played, graded and kept to the end."""
        record = self.records[name]
        assert (record.outcome, record.failure) == ("passed", None)
        assert record.transcript is not None
        assert record.transcript.ended_by == "end_call"
        assert [turn.user_text for turn in record.transcript.turns] == ["Is it?", "That is right."]
        assert [turn.assistant_text for turn in record.transcript.turns] == ["Yes, certainly."] * 2
        for turn in record.transcript.turns:
            for path, ms in (
                (turn.user_audio_path, turn.user_audio_ms),
                (turn.assistant_audio_path, turn.assistant_audio_ms),
            ):
                with wave.open(str(self.folder / str(path))) as wav:
                    assert wav.getnframes() == ms * wav.getframerate() / 1000
        events = _whole_lines(self.folder / "events" / f"{name}.jsonl")
        assert [event["event_index"] for event in events] == list(range(len(events)))
        assert {event["source"] for event in events} == {"assistant", "simulator"}
        assert sum(event["type"] == "response.done" for event in events) == 5
        text = (self.folder / "conversations" / f"{name}.txt").read_text(encoding="utf-8")
        assert text.count("TURN") == 5  # the last one says END_CALL
        mine = [row for row in self.table() if row["simulation_id"] == name]
        assert [(row["turn_index"], row["status"]) for row in mine] == [("1", "ok"), ("2", "ok")]
        assert mine[-1]["says_yes_grade"] == "1"


def _strict_json(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{path.name} holds {constant}")

    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    return data


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="session")
def inspection() -> type[Inspection]:
    """How to look at what a run left."""
    return Inspection


@pytest.fixture(scope="session")
def _imported(faulty_server: FaultyServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Import all that a run imports.

    An inner run in this process forgets what it imported, and numpy and pandas cannot be
    imported twice. A plain run imports them for good.
    """
    root = tmp_path_factory.mktemp("imported")
    simulation = {
        "turns": {"fixed_first_user_turn": "Is it?"},
        "graders": {"trace_level": [SAYS_YES]},
    }
    (root / "sim_a.json").write_text(json.dumps(simulation))
    ini = INI.format(url=faulty_server.url).replace("true", "false") + "eval_paths = .\n"
    (root / "pytest.ini").write_text(ini)
    plain = ("-p", "no:xdist", "-p", "no:rerunfailures", "-p", "no:timeout")
    pytest.main(["--rootdir", str(root), "-c", str(root / "pytest.ini"), *plain, str(root)])


@pytest.fixture
def project(
    pytester: pytest.Pytester,
    faulty_server: FaultyServer,
    monkeypatch: pytest.MonkeyPatch,
    _imported: None,
) -> Iterator[Project]:
    """A project without evals yet; when the test is over nothing of its runs is left running."""
    for name in _ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    before = set(threading.enumerate())
    yield Project(pytester, faulty_server)
    left = {t.name for t in set(threading.enumerate()) - before if t.is_alive()}
    assert {name for name in left if "run_server" not in name} == set()  # pytest-rerunfailures' own
    assert faulty_server.all_closed()


@pytest.fixture(name="eventually", scope="session")
def _eventually() -> Callable[[Callable[[], object], float], bool]:
    """Wait until something holds."""
    return eventually
