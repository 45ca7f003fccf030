"""Paths and names that files bring lead out of neither the suite nor the run's folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.reports.stored import read_records
from pytest_realtime_eval.run_card.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Inspection, Project

pytestmark = pytest.mark.timeout(60)

#: Names that would lead elsewhere, or that some system does not take for a file's.
BAD_NAMES: Final = [
    "../out", "../../out", "/srv/out", "a/b", "a\\b", "..\\out", "C:out", "..", ".", "", "-r",
    ".hidden", "nul", "CON.txt", "aux.", "com1", "a\0b", "a\nb", "a\u2215b", "a\u202eb", "x" * 300,
    "a ", "$(out)", "~", "a:b", "a*b", "%2e%2e%2fout",
]  # fmt: skip
#: Paths to a file outside the suite; ``{outside}`` is one that is there.
BAD_PATHS: Final = [
    "../outside.txt", "../../outside.txt", "{outside}", "./../outside.txt",
    "evals/../../outside.txt",
    "link.txt", "folder/outside.txt", "a\0b", "x" * 300, "x/" * 3000 + "y", "..", "/", "",
    "/etc/hostname", "/dev/stdin", "~/outside.txt", "file:///etc/hostname",
]  # fmt: skip
DATASET: Final[dict[str, Any]] = {
    "dataset": {"version": "1", "language_pair": "en-es"},
    "entries": [{"id": "one", "source": "yes", "reference": "sí"}],
}


@pytest.fixture
def outside(project: Project) -> Path:
    """A file beside the project, a link to it inside, and a link to the folder of both."""
    secret = project.root.parent / "outside.txt"
    secret.write_text("the contents of a file outside")
    (project.root / "evals").mkdir()
    (project.root / "evals" / "link.txt").symlink_to(secret)
    elsewhere = project.root.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "outside.txt").write_text("the contents of a file outside")
    (project.root / "evals" / "folder").symlink_to(elsewhere)
    return secret


def everything(project: Project) -> dict[str, float]:
    """Return what lies beside the project, and when it was changed; links are pytest's."""
    beside = [path for path in project.root.parent.iterdir() if path != project.root]
    beside = [path for path in beside if not path.is_symlink()]
    return {str(path): path.stat().st_mtime for path in beside}


def plays_only_the_whole(
    project: Project, inspection: type[Inspection], before: dict[str, float]
) -> str:
    """Run the suite: the other file is refused, the whole one is played; return what was said."""
    project.simulation("sim_whole")
    result = project.run()
    said = result.stdout.str()
    assert result.ret == 1
    assert "INTERNALERROR" not in said
    assert "the contents of a file outside" not in said
    left = inspection(project)
    left.is_whole("sim_whole")
    assert everything(project) == before
    return said


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("kind", ["simulation", "grader"])
def test_names_of_simulations(project: Project, inspection: type[Inspection], kind: str) -> None:
    before = everything(project)
    for number, name in enumerate(BAD_NAMES):
        graders = {"trace_level": [{"id": name, "type": "ends_call"}]}
        changes = {"simulation_id": name} if kind == "simulation" else {"graders": graders}
        project.simulation(f"sim_bad_{number}", **changes)
    said = plays_only_the_whole(project, inspection, before)
    for number in range(len(BAD_NAMES)):
        assert f"sim_bad_{number}.json, $" in said, BAD_NAMES[number]


@pytest.mark.usefixtures("outside")
def test_names_of_datasets(project: Project, inspection: type[Inspection]) -> None:
    before = everything(project)
    for number, name in enumerate(BAD_NAMES):
        header = DATASET["dataset"] | {"id": name}
        project.write(f"evals/bad_{number}.json", DATASET | {"dataset": header})
    said = plays_only_the_whole(project, inspection, before)
    for number in range(len(BAD_NAMES)):
        assert f"bad_{number}.json" in said, BAD_NAMES[number]


@pytest.mark.parametrize("key", ["system_prompt_file", "tools_file", "persona"])
def test_paths_of_simulations(
    project: Project, inspection: type[Inspection], outside: Path, key: str
) -> None:
    before = everything(project)
    for number, path in enumerate(BAD_PATHS):
        file = path.format(outside=outside)
        if key == "persona":
            changes: dict[str, Any] = {"simulator": {"system_prompt_file": file}}
        else:
            changes = {"assistant": {"model": "whole", key: file}}
        project.simulation(f"sim_bad_{number}", **changes)
    said = plays_only_the_whole(project, inspection, before)
    for number in range(len(BAD_PATHS)):
        assert f"sim_bad_{number}.json, $" in said, BAD_PATHS[number]


def test_paths_of_indexes(project: Project, inspection: type[Inspection], outside: Path) -> None:
    before = everything(project)
    whole = project.simulation("sim_whole").read_text()
    outside.write_text(whole)
    before = everything(project)
    rows = [
        f'bad_{number},"{path.format(outside=outside)}"'
        for number, path in enumerate(BAD_PATHS)
        if "\0" not in path
    ]
    text = "\n".join(["simulation_id,simulation_path", *rows])
    project.write("evals/index.csv", text + "\n")
    said = plays_only_the_whole(project, inspection, before)
    for number in range(len(rows)):
        assert f"index.csv, row {number + 2}: " in said, rows[number]


def test_records_that_somebody_else_wrote(project: Project) -> None:
    project.simulation("sim_whole")
    assert project.run().ret == 0
    path = project.folder / "records.jsonl"
    good = json.loads(path.read_text())
    assert len(read_records(path)) == 1
    for name in BAD_NAMES:
        path.write_text(json.dumps(good | {"simulation_id": name}) + "\n")
        with pytest.raises(FileError, match="line 1"):
            read_records(path)
    for place in ("../x.wav", "/etc/hostname", "audio/../../x.wav", "a\0b"):
        turns = [good["transcript"]["turns"][0] | {"user_audio_path": place}]
        path.write_text(json.dumps(good | {"transcript": good["transcript"] | {"turns": turns}}))
        path.write_text(path.read_text() + "\n")
        with pytest.raises(FileError, match="outside the run's folder"):
            read_records(path)


def test_cards_that_somebody_else_wrote(project: Project, outside: Path) -> None:
    project.simulation("sim_whole")
    assert project.run().ret == 0
    card = json.loads((project.folder / "run_cards" / "simulations.json").read_text())
    for place in ("../outside.txt", str(outside), "evals/link.txt"):
        card["dataset"]["files"] = {place: "0" * 64}
        problems = verify(card, root=project.root).problems
        assert any("lies outside the suite" in problem for problem in problems), place


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if name and "\0" not in name])
def test_names_of_runs(project: Project, name: str) -> None:
    project.simulation("sim_whole")
    before = everything(project)
    result = project.run(f"--eval-run-name={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not (project.root / "results").exists()
    assert everything(project) == before
