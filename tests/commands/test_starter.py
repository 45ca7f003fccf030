from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pytest_realtime_eval.cli import main
from pytest_realtime_eval.commands.starter import FORMATS
from pytest_realtime_eval.schemas.json_schema import SCHEMAS

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for key in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    return tmp_path


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_init_overwrites_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    mine = Path("evals/prompts/shop.md")
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert main(["init"]) == 0
    assert mine.read_text() == "mine"
    assert f"exists  {mine} (left as it is)" in capsys.readouterr().out
    first = files()
    assert main(["init", "."]) == 0
    assert files() == first
    assert "wrote" not in capsys.readouterr().out


def test_init_takes_a_folder_and_says_what_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "deep/project"]) == 0
    assert Path("deep/project/evals/simulations/sim_order_status.json").is_file()
    assert "[tool.pytest.ini_options]" in capsys.readouterr().out
    ast.parse(Path("deep/project/evals/conftest.py").read_text())


def test_files_name_their_schema_and_fit_it() -> None:
    main(["init"])
    main(["new", "simulation", "sim_room"])
    main(["new", "dataset", "mine"])
    written = [path for path in Path("evals").rglob("*.json") if "schemas" not in path.parts]
    assert len(written) == 5
    for path in written:
        data = json.loads(path.read_text(encoding="utf-8"))
        schema = json.loads((path.parent / data["$schema"]).read_text(encoding="utf-8"))
        Draft202012Validator(schema).validate(data)


def test_new_files_bring_the_schemas_that_they_name() -> None:
    assert main(["new", "dataset", "mine", "--evals", "voice/evals"]) == 0
    data = json.loads(Path("voice/evals/datasets/mine.json").read_text(encoding="utf-8"))
    assert (Path("voice/evals/datasets") / data["$schema"]).is_file()


def test_a_new_simulation_is_listed_in_the_index() -> None:
    main(["init"])
    assert main(["new", "simulation", "room"]) == 0
    rows = Path("evals/simulations.csv").read_text().splitlines()
    assert rows[-1] == "sim_room,simulations/sim_room.json,true,,"
    assert len(rows) == 3


def test_an_index_with_columns_of_its_own_is_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("evals").mkdir()
    Path("evals/simulations.csv").write_text("simulation_path,simulation_id\n")
    assert main(["new", "simulation", "room"]) == 0
    assert Path("evals/simulations.csv").read_text() == "simulation_path,simulation_id\n"
    assert "not listed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("new", "simulation", "../x"), "names files"),
        (("new", "dataset", ".x"), "names files"),
        (("new", "dataset", "sim_x"), "cannot start with sim_"),
        (("new", "dataset", "there"), "exists, and is left as it is"),
        (("init", "file"), "cannot be written"),
        (("schema", "--write", "file"), "cannot be written"),
    ],
)
def test_what_cannot_be_used_is_one_message(
    arguments: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("")
    main(["new", "dataset", "there"])
    before = files()
    capsys.readouterr()
    assert main(list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert what in error
    assert files() == before


def test_schemas_are_printed_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "dataset"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Dataset"
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == SCHEMAS.keys()
    assert main(["schema", "--write", "out"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {
        f"{name}.schema.json" for name in SCHEMAS
    }
    Path("out/tools.schema.json").write_text("old")
    assert main(["schema", "tools", "--write", "out"]) == 0
    assert json.loads(Path("out/tools.schema.json").read_text())["title"] == "Tools"


def test_the_formats_of_the_command_line_are_those_that_have_a_schema() -> None:
    assert set(FORMATS) == SCHEMAS.keys()


def test_a_starter_runs_as_it_is() -> None:
    """Played with real speech: what a newcomer does in the first minute."""
    main(["init"])
    main(["new", "simulation", "room"])
    main(["new", "dataset", "mine"])
    Path("pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
        "eval_skip_plots = true\neval_thresholds = pass_rate>=0.9\n"
    )
    command = [sys.executable, "-m", "pytest", "evals", "-p", "no:randomly", "-p", "no:xdist"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)  # noqa: S603 - pytest
    assert found.returncode == 0, found.stdout + found.stderr
    assert "8 passed" in found.stdout
    (summary,) = Path("results").glob("*/summary.json")
    assert json.loads(summary.read_text())["failed"] == 0
