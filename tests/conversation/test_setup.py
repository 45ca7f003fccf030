from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.conversation.setup import resolve
from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.options import Options
from pytest_realtime_eval.schemas.simulation import load_simulation

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.conversation.setup import ConversationSetup

TOOL = {"type": "function", "name": "find", "parameters": {"type": "object", "properties": {}}}


class Project:
    """A simulation in ``evals/sims``, and the files around it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, content: object) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def resolve(
        self,
        line: dict[str, Any] | None = None,
        ini: dict[str, Any] | None = None,
        row: int = 0,
        **simulation: object,
    ) -> ConversationSetup:
        turns = {"fixed_first_user_turn": "Hello", **simulation.pop("turns", {})}  # type: ignore[dict-item]  # a mapping
        path = self.write("evals/sims/sim_a.json", {"turns": turns, **simulation})
        options = Options(self.root, (self.root / "evals",), line or {}, ini or {})
        return resolve(load_simulation(path), path, options, row)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_defaults(project: Project) -> None:
    setup = project.resolve(scenario="Someone calls.")
    assert (setup.input_format, setup.output_format, setup.sample_rate_hz) == ("pcm16",) * 2 + (
        24_000,
    )
    assert (setup.chunk_ms, setup.real_time, setup.max_turns) == (20, False, 1)
    assert (setup.assistant_model, setup.simulator_model) == (None, None)
    assert (setup.instructions, setup.tools, setup.persona) == ("", (), "Someone calls.")
    assert setup.response_timeout == 45.0


LAYERS = [
    ("chunk_ms", {"audio": {"chunk_ms": 30}}, 30, 40, 50),
    ("real_time", {"audio": {"real_time": False}}, False, True, True),
    ("sample_rate_hz", {"audio": {"sample_rate_hz": 8_000}}, 8_000, 16_000, 48_000),
    (
        "input_audio_format",
        {"audio": {"input_format": "g711_ulaw"}},
        "g711_ulaw",
        "pcm16",
        "g711_alaw",
    ),
    (
        "output_audio_format",
        {"audio": {"output_format": "g711_ulaw"}},
        "g711_ulaw",
        "pcm16",
        "g711_alaw",
    ),
    ("max_turns", {"turns": {"max_turns": 3}}, 3, 4, 5),
    ("assistant_model", {"assistant": {"model": "of-file"}}, "of-file", "of-line", "of-ini"),
    ("simulator_model", {"simulator": {"model": "of-file"}}, "of-file", "of-line", "of-ini"),
    (
        "simulator_system_prompt",
        {"simulator": {"system_prompt": "of-file"}},
        "of-file",
        "of-line",
        "of-ini",
    ),
]


@pytest.mark.parametrize(("key", "in_file", "file", "line", "ini"), LAYERS, ids=lambda v: str(v))
def test_command_line_then_file_then_ini(
    project: Project, key: str, in_file: dict[str, Any], file: object, line: object, ini: object
) -> None:
    name = {
        "input_audio_format": "input_format",
        "output_audio_format": "output_format",
        "simulator_system_prompt": "persona",
    }.get(key, key)
    assert getattr(project.resolve({key: line}, {key: ini}, **in_file), name) == line
    assert getattr(project.resolve({}, {key: ini}, **in_file), name) == file
    assert getattr(project.resolve({}, {key: ini}), name) == ini


@pytest.mark.parametrize(
    ("line", "row", "file", "ini", "expected"),
    [
        (9, 5, 3, 2, 9),
        (None, 5, 3, 2, 5),
        (None, 0, 3, 2, 3),
        (None, 0, None, 2, 2),
        (None,) * 4 + (1,),
    ],
)
def test_max_turns_line_row_file_ini_default(
    project: Project,
    line: int | None,
    row: int | None,
    file: int | None,
    ini: int | None,
    expected: int,
) -> None:
    given = {"max_turns": line} if line else {}
    setup = project.resolve(given, {"max_turns": ini}, row or 0, turns={"max_turns": file})
    assert setup.max_turns == expected


def test_model_names_the_assistant_below_its_own_name(project: Project) -> None:
    own: dict[str, Any] = {"assistant": {"model": "of-file"}}
    assert project.resolve({"model": "of-line"}, **own).assistant_model == "of-line"
    both = {"model": "alias", "assistant_model": "of-line"}
    assert project.resolve(both, **own).assistant_model == "of-line"
    assert project.resolve({"model": "openai/gpt-4o"}, **own).assistant_model == "of-file"
    assert project.resolve({}, {"model": "of-ini"}, **own).assistant_model == "of-file"
    assert project.resolve({}, {"model": "of-ini"}).assistant_model == "of-ini"


@pytest.mark.parametrize("folder", ["evals/sims", ".", "evals"])
def test_prompts_and_tools_are_found_beside_the_file_under_the_root_and_its_evals(
    project: Project, folder: str
) -> None:
    project.write(f"{folder}/prompts/a.md", "\ufeffBe kind.\n")
    project.write(f"{folder}/tools.json", [TOOL])
    assistant = {"system_prompt_file": "prompts/a.md", "tools_file": "tools.json"}
    setup = project.resolve(assistant=assistant)
    assert (setup.instructions, setup.tools) == ("Be kind.", (TOOL,))


def test_what_is_beside_the_file_comes_first(project: Project) -> None:
    for folder in ("evals", "evals/sims", "."):
        project.write(f"{folder}/a.md", f"from {folder}")
    setup = project.resolve(assistant={"system_prompt_file": "a.md"})
    assert setup.instructions == "from evals/sims"


def test_files_of_the_command_line_replace_and_those_of_the_ini_fill_in(project: Project) -> None:
    for name in ("line", "file", "ini"):
        project.write(f"{name}.md", name)
        project.write(f"{name}.json", [{"name": name}])
    line, ini = (
        {"assistant_system_prompt_file": f"{n}.md", "assistant_tools_file": f"{n}.json"}
        for n in ("line", "ini")
    )
    own = {"system_prompt_file": "file.md", "tools_file": "file.json"}
    for given, simulation, expected in (
        (line, own, "line"),
        (line, {"system_prompt": "inline", "tools": [TOOL]}, "line"),
        ({}, own, "file"),
        ({}, {}, "ini"),
    ):
        setup = project.resolve(given, ini, assistant=simulation)
        assert setup.instructions == expected
        assert [tool["name"] for tool in setup.tools] == [expected]


def test_every_file_that_shaped_it_is_hashed(project: Project) -> None:
    project.write("evals/a.md", "Be kind.")
    project.write("persona.md", "You are Tom.")
    setup = project.resolve(
        assistant={"system_prompt_file": "a.md"}, simulator={"system_prompt_file": "persona.md"}
    )
    assert [name for name, _ in setup.file_hashes] == [
        "evals/a.md",
        "evals/sims/sim_a.json",
        "persona.md",
    ]
    assert dict(setup.file_hashes)["evals/a.md"] == hashlib.sha256(b"Be kind.").hexdigest()


def test_g711_is_telephony_and_mixed_with_pcm_keeps_the_pcm_rate(project: Project) -> None:
    both = {"input_format": "g711_ulaw", "output_format": "g711_alaw"}
    assert project.resolve(audio=both).sample_rate_hz == 8_000
    assert project.resolve(audio={"input_format": "g711_ulaw"}).sample_rate_hz == 24_000


@pytest.mark.parametrize(
    ("line", "audio", "message"),
    [
        ({"sample_rate_hz": 44_100}, {}, "pcm16 needs 8000 or .*it is 44100"),
        ({}, {"chunk_ms": 10_001}, "must be at most 10000"),
    ],
)
def test_audio_that_does_not_fit_is_named(
    project: Project, line: dict[str, Any], audio: dict[str, Any], message: str
) -> None:
    with pytest.raises(FileError, match=message) as caught:
        project.resolve(line, audio=audio)
    assert caught.value.path == project.root / "evals/sims/sim_a.json"
    assert caught.value.place.startswith("$.audio.")


@pytest.mark.parametrize("name", ["../../../outside.md", "/etc/hostname", "a\0b", "evals", ""])
def test_files_outside_the_suite_are_not_read(project: Project, name: str) -> None:
    (project.root.parent / "outside.md").write_text("secret")
    with pytest.raises(FileError) as caught:
        project.resolve(assistant={"system_prompt_file": name})
    assert caught.value.place == "$.assistant.system_prompt_file"
    assert "secret" not in str(caught.value)


def test_a_link_out_of_the_suite_is_not_followed(project: Project, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside.md"
    outside.write_text("secret")
    (project.root / "evals/sims").mkdir(parents=True)
    (project.root / "evals/sims/a.md").symlink_to(outside)
    with pytest.raises(FileError, match="lies outside the suite"):
        project.resolve(assistant={"system_prompt_file": "a.md"})


def test_a_prompt_that_is_no_text_is_named(project: Project) -> None:
    project.write("evals/sims/a.md", "").write_bytes(b"ok \xff")
    with pytest.raises(FileError) as caught:
        project.resolve(assistant={"system_prompt_file": "a.md"})
    assert caught.value.path.name == "a.md"


def test_what_it_describes_is_plain_json_and_tells_setups_apart(project: Project) -> None:
    setup = project.resolve(assistant={"system_prompt": "one", "tools": [TOOL]})
    assert json.loads(json.dumps(setup.describe()))["chunk_ms"] == 20
    for changed in (
        project.resolve(assistant={"system_prompt": "another", "tools": [TOOL]}),
        project.resolve(assistant={"system_prompt": "one"}),
        project.resolve({"chunk_ms": 40}, assistant={"system_prompt": "one", "tools": [TOOL]}),
    ):
        assert changed.describe() != setup.describe()
