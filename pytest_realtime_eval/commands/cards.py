"""``realtime-eval verify``, ``show`` and ``submit``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import FileError, RealtimeEvalError

if TYPE_CHECKING:
    import argparse

    from pytest_realtime_eval.run_card.verify import Verification
    from pytest_realtime_eval.schemas.dataset import Dataset

OK: Final = 0
DOES_NOT_HOLD: Final = 1
UNUSABLE: Final = 2


def add_card_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands; each sets ``function`` to what runs it."""
    verify = subparsers.add_parser(
        "verify", help="check run cards: hashes, fingerprint, texts and scores"
    )
    verify.add_argument("cards", nargs="+", type=Path, help="run cards, or folders of runs")
    verify.add_argument("--dataset", type=Path, action="append", help="dataset of a card")
    verify.add_argument("--root", type=Path, help="folder that a simulation suite's files are in")
    verify.set_defaults(function=verify_command)
    show = subparsers.add_parser("show", help="print run cards in short")
    show.add_argument("cards", nargs="+", type=Path, help="run cards, or folders of runs")
    show.set_defaults(function=show_command)
    submit = subparsers.add_parser("submit", help="verify run cards and send them to a leaderboard")
    submit.add_argument("cards", nargs="+", type=Path, help="run cards, or folders of runs")
    submit.add_argument("--dataset", type=Path, action="append", help="dataset of a card")
    submit.add_argument("--leaderboard-url", "--url", dest="url", help="where to send them")
    submit.set_defaults(function=submit_command)


def verify_command(args: argparse.Namespace) -> int:
    """Check cards; 0 when all hold, 1 when one does not, 2 when one cannot be read."""
    return _for_each_card(args, _verify_one)


def show_command(args: argparse.Namespace) -> int:
    """Print cards in short; the status tells whether they hold, as in `verify_command`."""
    return _for_each_card(args, _show_one)


def submit_command(args: argparse.Namespace) -> int:
    """Send cards; 0 when all were taken, 1 when one was refused or not sent."""
    return _for_each_card(args, _submit_one)


def _for_each_card(args: argparse.Namespace, run: Any) -> int:  # noqa: ANN401 - one of the functions below
    try:
        datasets = _datasets(getattr(args, "dataset", None) or [])
        paths = [path for given in args.cards for path in card_paths(given)]
    except FileError as error:
        return _complain(error)
    return max((_guarded(run, path, datasets, args) for path in paths), default=OK)


def _guarded(
    run: Any,  # noqa: ANN401 - as above
    path: Path,
    datasets: dict[str, Dataset],
    args: argparse.Namespace,
) -> int:
    try:
        card = read_card(path)
        block = card.get("dataset")
        name = str(block.get("id")) if isinstance(block, dict) else ""
        if datasets and name not in datasets and len(args.cards) == 1 and path == args.cards[0]:
            named = ", ".join(sorted(datasets))
            _say(f"{path}: the card is of the dataset {name!r}, and --dataset names {named}")
            return DOES_NOT_HOLD
        status: int = run(path, card, datasets.get(name), args)
    except RealtimeEvalError as error:
        return _complain(error)
    return status


def _complain(error: RealtimeEvalError) -> int:
    sys.stderr.write(f"realtime-eval: {error}\n")
    return UNUSABLE if isinstance(error, FileError) else DOES_NOT_HOLD


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def card_paths(given: Path) -> list[Path]:
    """Return the cards that a path names: a card, a folder of cards, or a run's folder.

    Raises:
        FileError: A folder holds no card.
    """
    if not given.is_dir():
        return [given]
    inner = given / "run_cards"
    found = sorted((inner if inner.is_dir() else given).glob("*.json"))
    if not found:
        raise FileError(given, "holds no run cards")
    return found


def read_card(path: Path) -> dict[str, Any]:
    """Read a card without judging it.

    Raises:
        FileError: It cannot be read, or is no JSON object.
    """
    from pytest_realtime_eval.schemas.document import read_json

    card = read_json(path)
    if not isinstance(card, dict):
        raise FileError(path, "must hold a JSON object", "$")
    return card


def _datasets(paths: list[Path]) -> dict[str, Dataset]:
    from pytest_realtime_eval.schemas.dataset import load_dataset

    return {dataset.id: dataset for dataset in map(load_dataset, paths)}


def _check(card: dict[str, Any], dataset: Dataset | None, args: argparse.Namespace) -> Verification:
    from pytest_realtime_eval.run_card.verify import verify

    return verify(card, dataset, root=getattr(args, "root", None))


def _verify_one(
    path: Path, card: dict[str, Any], dataset: Dataset | None, args: argparse.Namespace
) -> int:
    result = _check(card, dataset, args)
    how = {
        "empty": 'hash made with run_card_hash set to ""',
        "omitted": "hash made with run_card_hash left out",
    }
    verdict = "holds" if result.holds else "does not hold"
    convention = f" ({how[result.convention]})" if result.convention else ""
    _say(f"{path}: {verdict}{convention}")
    _say(*(f"  problem: {problem}" for problem in result.problems))
    _say(*(f"  note: {note}" for note in result.notes))
    _say(*(f"  a leaderboard would refuse it: {refusal}" for refusal in result.refusals))
    return OK if result.holds else DOES_NOT_HOLD


def _show_one(
    path: Path, card: dict[str, Any], dataset: Dataset | None, args: argparse.Namespace
) -> int:
    result = _check(card, dataset, args)
    holds = "holds" if result.holds else f"does not hold: {result.problems[0]}"
    _say(str(path), *describe(card), f"  {'card':<20} {holds}")
    return OK if result.holds else DOES_NOT_HOLD


_SHOWN: Final = (
    "model_slug",
    "model_id",
    "condition",
    "timestamp",
    "elapsed_seconds",
    "harness_version",
)


def describe(card: dict[str, Any]) -> list[str]:
    """Return a card in short, a line for each field; a malformed card shows what it has."""
    dataset, scores, totals = (_block(card, name) for name in ("dataset", "scores", "totals"))
    version = f" {dataset['version']}" if dataset.get("version") else ""
    lines = [_line("dataset", f"{dataset.get('id')}{version} {dataset.get('language_pair') or ''}")]
    lines += [_line(name, card[name]) for name in _SHOWN if name in card]
    lines += [_line("fingerprint", _block(card, "fingerprint").get("hash"))]
    lines += [
        _line(name, _with_interval(name, scores))
        for name, value in scores.items()
        if not isinstance(value, dict | list)
    ]
    lines += [_line(name, value) for name, value in totals.items()]
    return lines


def _block(card: dict[str, Any], name: str) -> dict[str, Any]:
    block = card.get(name)
    return block if isinstance(block, dict) else {}


def _line(name: str, value: object) -> str:
    shown = "not known" if value is None else f"{value:g}" if isinstance(value, float) else value
    return f"  {name:<20} {shown}".rstrip()


def _with_interval(name: str, scores: dict[str, Any]) -> object:
    value, limits = scores[name], scores.get(f"{name}_interval")
    if not isinstance(limits, list) or value is None or len(limits) != 2:
        return value
    return f"{value:g} [{limits[0]:g}, {limits[1]:g}]"


def _submit_one(
    path: Path, card: dict[str, Any], dataset: Dataset | None, args: argparse.Namespace
) -> int:
    from pytest_realtime_eval.run_card.submit import DEFAULT_URL, submit, token_from

    url = args.url or DEFAULT_URL
    receipt = asyncio.run(submit(card, url, token_from(os.environ), dataset=dataset))
    _say(f"{path}: taken by {url}" + (f": {receipt.text}" if receipt.text else ""))
    return OK
