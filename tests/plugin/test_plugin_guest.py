"""Installed in a project that has no evals, the plugin does nothing that could be noticed."""

from __future__ import annotations

import json
import os
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {
    "aiohttp",
    "anyio",
    "jinja2",
    "jsonschema",
    "matplotlib",
    "numpy",
    "onnxruntime",
    "pandas",
    "pydantic",
    "sacrebleu",
    "soxr",
    "tenacity",
    "websockets",
}

#: Loaded before the plugin: sees what is opened and started while its code is on the stack.
SPY = """
import json, sys, threading

seen = {"opened": [], "started": 0}

def on_stack():
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "importlib" in name or name.startswith("<frozen"):
            return False
        if "pytest_realtime_eval" in name:
            return True
        frame = frame.f_back
    return False

def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "socket.connect") and on_stack():
        seen["opened"].append(f"{event} {arguments[0]}")
    if event in ("_thread.start_new_thread", "subprocess.Popen"):
        seen["started"] += 1

sys.addaudithook(watch)

def pytest_unconfigure(config):
    with open("seen.json", "w") as file:
        more = {"modules": sorted(sys.modules), "threads": threading.active_count()}
        json.dump(seen | more, file)
"""


@pytest.fixture
def guest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with tests, JSON and CSV files, and no evals."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("PYTHONPATH", os.fspath(pytester.path))
    pytester.makefile(".json", sim_other='{"not": "ours"}', data='{"entries": []}')
    pytester.makefile(".csv", index="simulation_id,simulation_path\na,sim_other.json\n")
    pytester.makepyfile(spy=SPY, test_it="def test_it(): pass")
    return pytester.path


def seen(pytester: pytest.Pytester, *arguments: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    plugins = ("-p", "spy", "-p", "pytest_realtime_eval.plugin", "-p", "pytest_asyncio.plugin")
    ini = ("-o", "asyncio_default_fixture_loop_scope=function")
    command = [sys.executable, "-m", "pytest", *plugins, *ini, "-p", "no:cacheprovider"]
    result = pytester.run(*command, *arguments, timeout=60)
    return result, json.loads((pytester.path / "seen.json").read_text())


def test_it_imports_nothing_heavy_opens_nothing_and_starts_nothing(
    pytester: pytest.Pytester, guest: Path
) -> None:
    result, found = seen(pytester)
    result.assert_outcomes(passed=1)
    assert "pytest_realtime_eval.plugin" in found["modules"]
    assert HEAVY & set(found["modules"]) == set()
    assert found["opened"] == []
    assert found["started"] == 0
    assert found["threads"] == 1
    assert not (guest / "results").exists()
    result.stdout.no_fnmatch_line("*evals*")


def test_the_spy_sees_what_a_project_with_evals_opens(
    pytester: pytest.Pytester, guest: Path
) -> None:
    (guest / "evals").mkdir()
    simulation = {"turns": {"fixed_first_user_turn": "Is it?"}}
    (guest / "evals" / "sim_a.json").write_text(json.dumps(simulation))
    _, found = seen(pytester, "--collect-only", "--eval-endpoint", "ws://127.0.0.1:9/")
    assert any("sim_a.json" in line for line in found["opened"])
    assert "pydantic" in found["modules"]


def test_listing_it_in_a_root_conftest_does_not_register_it_twice(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest('pytest_plugins = ["pytest_realtime_eval.plugin"]')
    pytester.makepyfile("def test_it(): pass")
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly"]
    pytester.run(*command, timeout=60).assert_outcomes(passed=1)


def test_public_modules_are_cheap_to_import() -> None:
    import subprocess

    code = dedent("""
        import sys
        import pytest_realtime_eval
        import pytest_realtime_eval.exceptions
        print(*sys.modules)
    """)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert (HEAVY | {"pytest", "asyncio"}) & set(done.stdout.split()) == set()
