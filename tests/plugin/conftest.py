"""Suites of evals that inner pytest runs collect and play against the scripted server."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

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
#: Status, headers and JSON.
Answer = tuple[int, dict[str, str], object]

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

    def dataset(
        self, name: str, *entries: tuple[str, str], changes: dict[str, Any] | None = None
    ) -> Path:
        """Write a dataset of sources and references; its entries are ``<name>-1`` and so on."""
        listed = [
            {"id": f"{name}-{n}", "source": source, "reference": reference, "difficulty": 1}
            for n, (source, reference) in enumerate(entries, start=1)
        ]
        header = {"id": name, "version": "1.0", "language_pair": "en-es"}
        header |= {"source_language": "English", "target_language": "Spanish"}
        data = {"dataset": header, "entries": listed}
        return self.write(f"evals/{name}.json", data | (changes or {}))

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

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the records of the only run's dataset entries, by entry id."""
        lines = (self.folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
        records = [record for line in lines if (record := json.loads(line))["kind"] == "entry"]
        by_id = {record["entry_id"]: record for record in records}
        assert len(by_id) == len(records), "an entry was recorded twice"
        return by_id

    def card(self, name: str) -> dict[str, Any]:
        """Return a run card of the only run."""
        path = self.folder / "run_cards" / f"{name}.json"
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return data

    def outcomes(self) -> dict[str, str]:
        """Return the outcomes that the only run recorded."""
        return {name: record["outcome"] for name, record in self.records().items()}

    def summary(self) -> dict[str, Any]:
        """Return the only run's summary."""
        data: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return data


@dataclass
class LoopbackServer:
    """An HTTP server in this process.

    Attributes:
        requests: What came, in its order: ``{"path", "headers", "body"}``.
        most_in_flight: Requests that were answered at the same time, at most.
    """

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, request: dict[str, Any]) -> Answer:
        """Count a request, and answer it."""
        with self.lock:
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return self.answer(request["body"])
        finally:
            with self.lock:
                self.in_flight -= 1

    def answer(self, body: dict[str, Any]) -> Answer:
        """Return status, headers and JSON."""
        raise NotImplementedError

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Serve on a port that the system chooses."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                request = {"path": self.path, "headers": dict(self.headers), "body": body}
                status, headers, data = owner.serve(request)
                content = json.dumps(data).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = False  # so that closing waits for them
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass
class ChatServer(LoopbackServer):
    """Chat completions: by default the user's text in capitals.

    Attributes:
        answers: By the user's text: what is answered to it, one after another, the last one
            over and over: text, a status, or a status with a ``Retry-After``.
        delay_s: Seconds until an answer.
    """

    answers: dict[str, list[str | int | tuple[int, str]]] = field(default_factory=dict)
    delay_s: float = 0.0

    def answer(self, body: dict[str, Any]) -> Answer:
        time.sleep(self.delay_s)
        text = body["messages"][-1]["content"]
        with self.lock:
            planned = self.answers.get(text, [text.upper()])
            said = planned.pop(0) if len(planned) > 1 else planned[0]
        if isinstance(said, str):
            usage: dict[str, Any] = {"prompt_tokens": 11, "completion_tokens": 7, "cost": 0.25}
            usage["completion_tokens_details"] = {"reasoning_tokens": 2}
            usage["prompt_tokens_details"] = {"cached_tokens": 3}
            choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            return 200, {}, {"model": "tiny-2026-11-01", "choices": [choice], "usage": usage}
        status, after = said if isinstance(said, tuple) else (said, "")
        return status, {"Retry-After": after} if after else {}, {"error": {"message": "no luck"}}

    def asked(self) -> list[str]:
        """Return the users' texts of all requests."""
        return [request["body"]["messages"][-1]["content"] for request in self.requests]


@dataclass
class Leaderboard(LoopbackServer):
    """Takes run cards as the source document says: none of unknown datasets, no broken hash.

    Attributes:
        registry: SHA-256 of datasets, by id.
    """

    registry: dict[str, str] = field(default_factory=dict)
    taken: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, body: dict[str, Any]) -> Answer:
        if problem := self._problem(body):
            return 422, {}, {"error": problem}
        self.taken.append(body)
        return 201, {}, {"message": f"accepted as #{len(self.taken)}"}

    def _problem(self, card: dict[str, Any]) -> str:
        text = json.dumps({**card, "run_card_hash": ""}, sort_keys=True, ensure_ascii=False)
        if hashlib.sha256(text.encode()).hexdigest() != card["run_card_hash"]:
            return "the run_card_hash is broken"
        dataset = card["dataset"]
        if dataset["id"] not in self.registry:
            return f"the dataset {dataset['id']} is not registered"
        if self.registry[dataset["id"]] != dataset["sha256"]:
            return f"the dataset {dataset['id']} has another SHA-256"
        return ""


@pytest.fixture
def chat(suite: Suite) -> Iterator[ChatServer]:
    """The server that the suite's datasets are translated by."""
    import aiohttp  # noqa: F401 - the inner run forgets what it imports itself

    with ChatServer().running() as server:
        suite.ini["eval_base_url"] = f"{server.url}/v1"
        suite.ini["eval_model"] = "vendor/tiny"
        yield server


@pytest.fixture
def leaderboard(suite: Suite) -> Iterator[Leaderboard]:
    """The leaderboard that the suite's cards are posted to."""
    with Leaderboard().running() as server:
        suite.ini["eval_leaderboard_url"] = f"{server.url}/submit"
        yield server


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
    for name in (
        "OPENAI_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENROUTER_API_KEY",
        "CI",
    ):
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
