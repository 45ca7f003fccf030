from __future__ import annotations

import argparse
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_realtime_eval.commands.cards import add_card_commands
from pytest_realtime_eval.run_card.build import CardFacts, build_dataset_card, write_card
from pytest_realtime_eval.run_card.hashing import card_hash
from pytest_realtime_eval.run_card.submit import TOKEN_VARIABLE
from pytest_realtime_eval.schemas.dataset import load_dataset
from pytest_realtime_eval.schemas.results import EntryRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

DATASET = Path(__file__).parents[1] / "data" / "datasets" / "shape3.json"


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_card_commands(parser.add_subparsers(required=True))
    args = parser.parse_args([str(argument) for argument in arguments])
    status: int = args.function(args)
    return status


@pytest.fixture
def card() -> dict[str, Any]:
    dataset = load_dataset(DATASET)
    records = [
        EntryRecord(
            nodeid=entry.id,
            path="shape3.json",
            outcome="passed",
            dataset_id=dataset.id,
            entry_id=entry.id,
            source=entry.source,
            reference=entry.reference,
            predicted=entry.reference.replace("Äpfel", "Birnen"),
            cost_usd=0.5,
        )
        for entry in dataset.entries
    ]
    facts = CardFacts(
        "embedded", started_at="2026-11-21T10:00:00+00:00", system_prompt="Translate."
    )
    return build_dataset_card(dataset, records, facts)


@pytest.fixture
def run_folder(card: dict[str, Any], tmp_path: Path) -> Path:
    write_card(card, tmp_path / "run_cards" / "market.json")
    return tmp_path


def test_verify_says_what_holds_and_how(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", run_folder, "--dataset", DATASET) == 0
    how = 'holds (hash made with run_card_hash set to "")'
    assert capsys.readouterr().out == f"{run_folder / 'run_cards' / 'market.json'}: {how}\n"


def test_verify_names_the_other_convention(
    card: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "card.json"
    write_card(card | {"run_card_hash": card_hash(card, "omitted")}, path)
    assert run("verify", path) == 0
    assert "holds (hash made with run_card_hash left out)" in capsys.readouterr().out


def test_verify_says_precisely_what_does_not_hold(
    card: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "card.json"
    card["scores"]["total"] = 17
    write_card(card, path)
    assert run("verify", path) == 1
    out = capsys.readouterr().out
    assert "card.json: does not hold\n" in out
    assert "problem: scores.total is 17, but results give 3" in out
    assert "problem: run_card_hash is" in out


def test_one_bad_card_among_good_ones_decides_the_status(
    card: dict[str, Any], run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_card(card | {"condition": "other"}, run_folder / "run_cards" / "forged.json")
    assert run("verify", run_folder) == 1
    out = capsys.readouterr().out
    assert "forged.json: does not hold" in out
    assert "market.json: holds" in out


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 1, "a": 2}'])
def test_a_file_that_is_no_card_is_unusable(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "card.json"
    path.write_text(content)
    assert run("verify", path) == 2
    assert str(path) in capsys.readouterr().err


def test_files_that_are_not_there_are_unusable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", tmp_path) == 2
    assert "holds no run cards" in capsys.readouterr().err
    assert run("verify", tmp_path / "none.json") == 2
    assert run("verify", tmp_path / "c.json", "--dataset", tmp_path / "none.json") == 2


def test_show_prints_scores_with_intervals(
    run_folder: Path, card: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    low, high = card["scores"]["exact_match_rate_interval"]
    assert run("show", run_folder) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "dataset market-eng-deu-dev 0.1.0 eng→deu" in lines
    assert "model_slug embedded" in lines
    assert f"exact_match_rate 0.666667 [{low:g}, {high:g}]" in lines
    assert "fst_acceptance_rate not known" in lines
    assert "total_cost_usd 1.5" in lines
    assert lines[-1] == "card holds"


def test_show_prints_what_a_broken_card_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps({"model_slug": "m", "scores": [], "dataset": {"id": "d"}}))
    assert run("show", path) == 1
    out = capsys.readouterr().out
    assert "model_slug           m" in out
    assert "does not hold: $." in out


class _Board(BaseHTTPRequestHandler):
    status: ClassVar[int] = 201
    seen: ClassVar[list[tuple[str | None, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.headers["Authorization"], body))
        answer = json.dumps({"message": "thank you" if self.status == 201 else "not today"})
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def board() -> Iterator[tuple[str, type[_Board]]]:
    handler = type("Board", (_Board,), {"seen": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/submit", handler
        server.shutdown()
        thread.join()


def test_submit_sends_the_card_with_the_token(
    run_folder: Path,
    card: dict[str, Any],
    board: tuple[str, type[_Board]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, handler = board
    monkeypatch.setenv(TOKEN_VARIABLE, "s3cret")
    assert run("submit", run_folder, "--url", url) == 0
    assert handler.seen == [("Bearer s3cret", card)]
    assert f"market.json: taken by {url}: thank you" in capsys.readouterr().out


def test_submit_tells_a_refusal(
    run_folder: Path,
    board: tuple[str, type[_Board]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, handler = board
    monkeypatch.setattr(handler, "status", 422)
    assert run("submit", run_folder, "--leaderboard-url", url) == 1
    assert "answered 422: not today" in capsys.readouterr().err
