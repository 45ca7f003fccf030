from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.schemas.results import parse_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands.conftest import Project


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return found


def test_an_interrupted_run_gets_its_tables_plots_and_page(
    project: Project,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = project.run("cut", thresholds="pass_rate>=0.5")
    with (folder / "records.jsonl").open("a") as file:
        file.write('{"kind": "entry", "nodeid"')
    assert project.plotted("report", folder) == 0
    assert {path.name for path in folder.iterdir()} >= {
        "results.csv",
        "summary.json",
        "report.html",
        "plots",
        "run_cards",
    }
    found = summary(folder)
    assert (found["passed"], found["chrf_plus_plus"], found["elapsed_seconds"]) == (5, 100.0, 7.5)
    assert found["thresholds"][0]["threshold"] == "pass_rate>=0.5"
    out = capsys.readouterr().out
    assert "5 passed" in out
    assert "report:" in out


def test_what_ended_and_was_never_reported_is_in_the_tables(
    project: Project, read_records: Callable[[Path], dict[str, Any]]
) -> None:
    folder = project.run("cut", project.records()[:2])
    lines = [record.model_dump_json() + "\n" for record in project.records()[1:]]
    (folder / "journal-gw1.jsonl").write_text("".join(lines))
    assert project("report", folder) == 0
    assert summary(folder)["passed"] == 5
    assert project("regrade", folder) == 0
    assert len(read_records(folder.with_name("cut-regraded"))) == 5
    assert list(folder.with_name("cut-regraded").glob("journal*")) == []


def test_run_cards_of_a_finished_run_stay_as_they_are(project: Project) -> None:
    folder = project.run("done")
    assert project("report", folder) == 0
    cards = sorted((folder / "run_cards").iterdir())
    before = [card.read_bytes() for card in cards]
    first = summary(folder)
    # Not even the dataset has to be there any more.
    (project.root / "evals" / "numbers.json").unlink()
    assert project("report", folder) == 0
    assert [card.read_bytes() for card in cards] == before
    assert summary(folder) == first


def test_a_dataset_that_is_gone_costs_only_its_scores(
    project: Project,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = project.run("done")
    (project.root / "evals" / "numbers.json").unlink()
    assert project("report", folder) == 1
    assert "numbers.json: cannot be read" in capsys.readouterr().err
    assert summary(folder)["passed"] == 5


def test_a_run_that_was_moved_is_told_its_project(project: Project, tmp_path: Path) -> None:
    folder = project.run("done").rename(tmp_path / "moved")
    assert project("report", folder) == 1
    assert project("report", folder, "--rootdir", project.root) == 0


def test_without_a_judge_what_needs_one_is_ungraded_again(
    project: Project,
    read_records: Callable[[Path], dict[str, Any]],
) -> None:
    project.run("first")
    assert project("regrade", "results/first") == 0
    folder = project.root / "results" / "first-regraded"
    records = read_records(folder)
    verdicts = {
        v["grader_id"]: v["status"] for v in records["evals/sim_one.json::sim_one"]["verdicts"]
    }
    assert verdicts == {"says_table": "pass", "polite": "ungraded"}
    told = summary(folder)
    assert (told["parent"], told["run_id"], told["baseline"]) == (
        "first",
        "first-regraded",
        "first",
    )
    assert "first" in (folder / "report.html").read_text(encoding="utf-8")


def test_graders_are_those_of_the_files_today(
    project: Project,
    read_records: Callable[[Path], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    project.run("first")
    path = project.root / "evals" / "sim_one.json"
    path.write_text(path.read_text().replace('"table"', '"terrace"'))
    assert project("regrade", "results/first", "--run-name", "again") == 1
    records = read_records(project.root / "results" / "again")
    assert records["evals/sim_one.json::sim_one"]["outcome"] == "failed"
    assert records["evals/sim_two.json::sim_two"]["outcome"] == "passed"
    out = capsys.readouterr().out
    assert "evals/sim_one.json changed since the run" in out
    assert "again against first: 1 regression" in out


def test_a_judge_that_is_named_judges_all_and_signs_its_verdicts(
    project: Project,
    canned_server: Callable[..., Any],
    read_records: Callable[[Path], dict[str, Any]],
) -> None:
    project.run("first")
    reply = json.dumps({"rationale": "It was curt.", "applicable": True, "grade": 0})
    server = canned_server(chat_reply=reply)
    judge = ("--judge-model", "judge-9", "--judge-base-url", server.base_url)
    assert project("regrade", "results/first", *judge) == 1
    record = read_records(project.root / "results" / "first-regraded")[
        "evals/sim_one.json::sim_one"
    ]
    verdict = next(v for v in record["verdicts"] if v["grader_id"] == "polite")
    assert (verdict["status"], verdict["model"], verdict["rationale"]) == (
        "fail",
        "judge-9",
        "It was curt.",
    )
    assert len(verdict["fingerprint"]) == 64
    assert summary(project.root / "results" / "first-regraded")["judge"] == "judge-9"


def test_the_new_run_has_its_audio_and_the_old_one_keeps_it(project: Project) -> None:
    parent = project.run("first")
    before = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    assert project("regrade", parent) == 0
    folder = project.root / "results" / "first-regraded"
    for name in (
        "audio/sim_one/turn_01_user.wav",
        "events/sim_two.jsonl",
        "conversations/sim_one.txt",
    ):
        assert (folder / name).read_bytes() == before[parent / name]
    assert (folder / "audio" / "sim_one" / "call.wav").is_file()
    assert {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()} == before


def test_files_outside_a_run_are_not_brought_into_another(project: Project) -> None:
    records = project.records()
    first = records[0].model_dump()
    first["transcript"]["event_log_path"] = "../../secret.txt"
    project.run("first", [parse_record(first)])
    (project.root / "secret.txt").write_text("secret")
    assert project("regrade", "results/first") == 2
    assert not (project.root / "results" / "first-regraded").exists()


def test_a_conversation_that_broke_stays_as_it_is(
    project: Project,
    read_records: Callable[[Path], dict[str, Any]],
) -> None:
    records = project.records()
    broken = records[0].model_copy(
        update={"outcome": "infra_error", "transcript": None, "verdicts": ()}
    )
    project.run("first", [broken, *records[1:]])
    assert project("regrade", "results/first") == 1
    kept = read_records(project.root / "results" / "first-regraded")
    assert kept["evals/sim_one.json::sim_one"]["outcome"] == "infra_error"


def test_regraded_runs_do_not_overwrite_each_other(project: Project) -> None:
    project.run("first")
    assert project("regrade", "results/first") == 0
    assert project("regrade", "results/first") == 0
    assert (project.root / "results" / "first-regraded-2" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("report", "evals"), "evals: is no run's folder"),
        (("regrade", "nowhere"), "nowhere: is no run's folder"),
        (("regrade", "results/first", "--run-name", "first"), "never overwritten"),
        (("regrade", "results/first", "--run-name", "../x"), "'../x' names files"),
        (("merge", "results/first", "results/first", "--into", "x"), "has a result in"),
        (("merge", "results/first", "results/other", "--into", "x"), "their condition differs"),
    ],
)
def test_what_cannot_be_used_is_one_message(
    arguments: tuple[str, ...],
    what: str,
    project: Project,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project.run("first")
    project.run("other", condition="another")
    assert project(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert what in error
    assert not (project.root / "results" / "x").exists()


def test_a_simulation_that_is_gone_stops_a_regrade_before_it_begins(
    project: Project,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project.run("first")
    (project.root / "evals" / "sim_two.json").unlink()
    assert project("regrade", "results/first") == 2
    assert "sim_two.json: cannot be read" in capsys.readouterr().err
    assert not (project.root / "results" / "first-regraded").exists()


def test_shards_become_the_run_that_they_are_parts_of(
    project: Project,
    read_records: Callable[[Path], dict[str, Any]],
) -> None:
    records = project.records()
    skipped = records[1].model_copy(
        update={"outcome": "skipped", "transcript": None, "verdicts": ()}
    )
    project.run("one", [records[0], skipped, records[2]], thresholds="pass_rate>=1")
    project.run("two", [records[1], *records[3:]], thresholds="failed<=0")
    project.run("all")
    assert project("report", "results/all") == 0
    assert project("merge", "results/one", "results/two", "--into", "whole") == 0
    folder = project.root / "results" / "whole"
    assert read_records(folder) == read_records(project.root / "results" / "all")
    whole, alone = summary(folder), summary(project.root / "results" / "all")
    for name in ("passed", "pass_rate", "chrf_plus_plus", "total_rows", "simulations"):
        assert whole[name] == alone[name]
    assert whole["parent"] == "one, two"
    checked = {check["threshold"] for check in whole["thresholds"]}
    assert checked >= {"pass_rate>=1", "failed<=0"}
    for name in ("sim_one", "sim_two"):
        assert (folder / "audio" / name / "turn_01_user.wav").is_file()
    assert project("verify", folder) == 0


def test_what_failed_in_a_shard_fails_the_whole(project: Project) -> None:
    records = project.records()
    failed = records[0].model_copy(update={"outcome": "failed"})
    project.run("one", [failed])
    project.run("two", records[1:])
    assert project("merge", "results/one", "results/two", "--into", "whole") == 1
