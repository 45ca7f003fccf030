"""The README says what is there: every option, command, fixture and grader, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from pytest_realtime_eval import cli, fixtures
from pytest_realtime_eval.options import OPTIONS
from pytest_realtime_eval.schemas import simulation

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def documented(pattern: str) -> set[str]:
    return set(re.findall(pattern, README))


def test_every_option_is_documented_and_no_other() -> None:
    names = {f"--eval-{n}" for option in OPTIONS for n in (option.name, *option.aliases)}
    assert documented(r"--eval-[a-z-]*[a-z]") == names


def test_every_command_is_documented_and_no_other() -> None:
    action = next(a for a in cli.build_parser()._actions if a.choices)
    assert documented(r"realtime-eval (\w+)") == set(action.choices or ())


def test_every_fixture_is_documented() -> None:
    public = {name: value for name, value in vars(fixtures).items() if not name.startswith("_")}
    made = {name for name, value in public.items() if type(value).__name__.startswith("Fixture")}
    assert made
    assert {name for name in made if f"`{name}`" not in README} == set()


def test_every_grader_is_documented() -> None:
    types = {
        get_args(getattr(simulation, name).model_fields["type"].annotation)[0]
        for name in vars(simulation)
        if name.endswith("Grader") and not name.startswith("_")
    }
    assert len(types) == 8
    assert {kind for kind in types if f"`{kind}`" not in README} == set()


@pytest.mark.parametrize("path", sorted(documented(r"\]\((\.github/[^)]+)\)")))
def test_every_picture_is_there(path: str) -> None:
    assert (Path(__file__).parent.parent / path).stat().st_size > 1000


def test_no_placeholder_is_left() -> None:
    assert not re.search(r"^(STORY|OPTIONS|FAULTS|BENCHMARKS)$", README, re.MULTILINE)
