"""No credential reaches a file, the terminal or a traceback, whatever breaks and however."""

from __future__ import annotations

import base64
import tempfile
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.conftest import Project

pytestmark = pytest.mark.timeout(120)

SECRETS: Final = {
    "OPENAI_API_KEY": "sk-canary-openai-5Yc81hZ",
    "OPENROUTER_API_KEY": "sk-or-canary-router-7Pq",
    "AZURE_OPENAI_API_KEY": "canaryAzure93kf02ms",
    "REALTIME_EVAL_LEADERBOARD_TOKEN": "canary-leaderboard-44x",
}
USER, PASSWORD, QUERY = "canary-user-1", "canary:pass@word-2", "canary-query-3"

#: All that makes pytest say more.
TALKATIVE: Final = (
    "-vv",
    "--showlocals",
    "--tb=long",
    "-rA",
    "--durations=0",
    "--junitxml=junit.xml",
    "-ojunit_logging=all",
    "-ojunit_log_passing_tests=true",
    "--log-level=DEBUG",
    "--log-file=log.txt",
    "--log-file-level=DEBUG",
    "--html=page.html",
)

PYTHON_TESTS: Final = """
import pytest

@pytest.mark.asyncio
@pytest.mark.simulation("{simulation}.json")
async def test_session(assistant_session):
    await assistant_session.append(b"\\0" * 48000, chunk_ms=20, real_time=False)
    await assistant_session.commit()
    await assistant_session.respond()
    await assistant_session.append(b"\\0" * 48000, chunk_ms=20, real_time=False)
    await assistant_session.commit()
    await assistant_session.respond()
    raise AssertionError("for the traceback")

@pytest.mark.asyncio
async def test_conversation(run_simulation, realtime_endpoints, judge, translator):
    await run_simulation("{simulation}.json")
    raise AssertionError("for the traceback")
"""
DATASET: Final = {
    "dataset": {"id": "words", "version": "1", "language_pair": "en-es",
                "source_language": "English", "target_language": "Spanish"},
    "entries": [{"id": "one", "source": "yes", "reference": "sí"}],
}  # fmt: skip


def forms(secret: str) -> set[bytes]:
    """Return the ways in which a secret could stand somewhere."""
    plain = {secret, quote(secret, safe=""), repr(secret)[1:-1]}
    return {form.encode() for form in plain} | {base64.b64encode(secret.encode()).rstrip(b"=")}


def leaks(place: str, content: bytes) -> Iterator[str]:
    """Yield what is found of the secrets in some bytes."""
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    found = [form for secret in (*SECRETS.values(), PASSWORD, QUERY) for form in forms(secret)]
    for form in (*found, basic, b"canary-pass"):
        if form in content:
            at = content.index(form)
            yield f"{place}: …{content[max(0, at - 80) : at + 60].decode(errors='replace')}"


def search(project: Project, result: pytest.RunResult) -> None:
    """Look through every byte that the run has left, written or printed."""
    found = [*leaks("stdout", result.stdout.str().encode())]
    found += leaks("stderr", result.stderr.str().encode())
    files = [path for path in project.root.rglob("*") if path.is_file()]
    assert any(path.name == "records.jsonl" for path in files) or result.ret
    for path in files:
        found += leaks(str(path.relative_to(project.root)), path.read_bytes())
        found += leaks(f"the name of {path}", str(path).encode())
    assert found == []


@pytest.fixture
def secretive(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that runs with credentials of all kinds."""
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    scratch: Path = project.root / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return project


def run(project: Project, *arguments: str, endpoint: str = "") -> pytest.RunResult:
    server = project.server
    url = endpoint or server.url.replace("ws://", f"ws://{USER}:{quote(PASSWORD, safe='')}@")
    base_url = server.base_url.replace("http://", f"http://{USER}:{quote(PASSWORD, safe='')}@")
    return project.run(
        *TALKATIVE,
        f"--eval-endpoint={url}{'' if endpoint else f'?token={QUERY}'}",
        f"--eval-judge-base-url={base_url}",
        "--eval-judge-model=judge-good",
        f"--eval-base-url={base_url}",
        *arguments,
    )


def judged(model: str) -> dict[str, object]:
    """Return graders that ask this judge."""
    grader = {"id": "polite", "criteria": "The assistant is polite.", "model": model}
    return {"trace_level": [grader]}


def test_success(secretive: Project) -> None:
    secretive.simulation("sim_whole", graders=judged("judge-good"))
    secretive.write("evals/words.json", DATASET)
    result = run(secretive, "--eval-model=some/model")
    assert result.ret == 0
    search(secretive, result)


@pytest.mark.parametrize(
    "model",
    ["handshake-echo", "echo-error@asked", "echo-close@asked", "echo-text@early", "huge@speaking"],
)
def test_a_server_that_repeats_them(secretive: Project, model: str) -> None:
    secretive.simulation("sim_broken", model)
    secretive.write("evals/test_python.py", PYTHON_TESTS.format(simulation="sim_broken"))
    result = run(secretive, "evals/test_python.py", "evals/sim_broken.json")
    assert result.ret == (2 if model == "handshake-echo" else 1)
    assert set(result.parseoutcomes()) <= {"failed", "errors", "error"}
    search(secretive, result)


@pytest.mark.parametrize("status", [401, 400])
def test_a_judge_and_a_translator_that_repeat_them(secretive: Project, status: int) -> None:
    secretive.simulation("sim_judged", graders=judged(f"judge-echo{status}"))
    secretive.write("evals/words.json", DATASET)
    result = run(secretive, f"--eval-model=judge-echo{status}", "--eval-assistant-model=whole")
    assert result.ret in (1, 2)
    search(secretive, result)


def test_a_leaderboard_that_repeats_them(secretive: Project) -> None:
    secretive.write("evals/words.json", DATASET)
    board = f"{secretive.server.base_url}/submit"
    result = run(secretive, "--eval-submit", f"--eval-leaderboard-url={board}")
    assert result.ret == 1
    search(secretive, result)


@pytest.mark.parametrize(
    "endpoint",
    [
        f"ws://{USER}:{quote(PASSWORD, safe='')}@/v1",
        f"ws://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:1/v1?key={QUERY}",
        f"ws://{USER}:{quote(PASSWORD, safe='')}@[::1/v1",
        f"ws://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:nan/v1",
        f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1/v1?key={QUERY}",
    ],
    ids=["no host", "no server", "no address", "no port", "no websocket"],
)
def test_an_endpoint_that_is_none(secretive: Project, endpoint: str) -> None:
    secretive.simulation("sim_whole")
    secretive.write("evals/test_python.py", PYTHON_TESTS.format(simulation="sim_whole"))
    result = run(secretive, endpoint=endpoint)
    assert result.ret != 0
    assert "INTERNALERROR" not in result.stdout.str()
    search(secretive, result)


def test_no_endpoint_at_all(secretive: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fixture that breaks has the whole environment at hand.
    monkeypatch.setenv("OPENAI_BASE_URL", f"ftp://{USER}:{quote(PASSWORD, safe='')}@host")
    secretive.simulation("sim_whole")
    secretive.write("evals/test_python.py", PYTHON_TESTS.format(simulation="sim_whole"))
    result = run(secretive, endpoint="openai")
    assert result.ret != 0
    search(secretive, result)
