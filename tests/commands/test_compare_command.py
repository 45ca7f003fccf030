from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.commands.conftest import Project


@pytest.fixture
def runs(project: Project) -> Project:
    records = project.records()
    failed = records[0].model_copy(update={"outcome": "failed", "reason": "says_table: no"})
    project.run("before", records)
    project.run("after", [failed, *records[1:]])
    return project


def test_a_regression_fails_when_it_is_asked_for(
    runs: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs("compare", "results/before", "results/after") == 0
    assert "after against before: 1 regression" in capsys.readouterr().out
    assert runs("compare", "results/before", "results/after", "--fail-on-regression") == 1
    assert runs("compare", "results/after", "results/before", "--fail-on-regression") == 0
    out = capsys.readouterr().out
    assert "simulations/sim_one" in out
    assert "▲ better" in out


def test_markdown_and_page_are_written_where_they_are_wanted(runs: Project) -> None:
    arguments = ("--markdown", "out/c.md", "--html", "out/c.html")
    assert runs("compare", "results/before", "results/after", *arguments) == 0
    assert "simulations/sim\\_one" in (runs.root / "out" / "c.md").read_text(encoding="utf-8")
    assert "1 regression" in (runs.root / "out" / "c.html").read_text(encoding="utf-8")


def test_run_cards_can_be_compared(runs: Project, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("before", "after"):
        assert runs("report", f"results/{name}") == 0
    capsys.readouterr()
    cards = [f"results/{name}/run_cards/simulations.json" for name in ("before", "after")]
    assert runs("compare", *cards, "--fail-on-regression") == 1
    assert "simulations/sim_one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("nowhere", "results/after"), "nowhere: cannot be read"),
        (("evals", "results/after"), "evals: is no run"),
        (("results/before", "evals/sim_one.json"), "is no run card"),
        (
            ("results/before", "results/after", "--html", "evals/sim_one.json/x"),
            "cannot be written",
        ),
    ],
)
def test_what_cannot_be_used_is_one_message(
    arguments: tuple[str, ...],
    what: str,
    runs: Project,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert runs("compare", *arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert what in error
