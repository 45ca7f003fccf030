"""``realtime-eval compare``: two runs side by side."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import argparse

OK: Final = 0
REGRESSED: Final = 1


def add_compare_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; it sets ``function`` to what runs it."""
    compare = commands.add_parser(
        "compare",
        help="compare two runs, or two run cards",
        description="Say what changed from BEFORE to AFTER, and whether chance could explain it.",
    )
    compare.add_argument("before", type=Path, help="the baseline: a run's folder or a run card")
    compare.add_argument("after", type=Path, help="what is held against it")
    compare.add_argument(
        "--fail-on-regression",
        action="store_true",
        help="exit with 1 when an item that passed fails, or a score is lower beyond chance",
    )
    compare.add_argument("--markdown", type=Path, metavar="FILE", help="write it as Markdown")
    compare.add_argument("--html", type=Path, metavar="FILE", help="write it as a page")
    compare.set_defaults(function=compare_command)


def compare_command(args: argparse.Namespace) -> int:
    """Compare; 0, or 1 for a regression when it was asked for.

    Raises:
        FileError: A side is neither a run's folder nor a run card, or a file that was asked
            for cannot be written.
    """
    from pytest_realtime_eval.compare.comparison import compare
    from pytest_realtime_eval.compare.page import render
    from pytest_realtime_eval.compare.show import markdown, terminal_lines
    from pytest_realtime_eval.compare.side import load_side

    comparison = compare(load_side(args.before), load_side(args.after))
    width = min(shutil.get_terminal_size((100, 24)).columns, 140)
    sys.stdout.write("".join(f"{line}\n" for line in terminal_lines(comparison, width)))
    if args.markdown:
        _write(args.markdown, markdown(comparison))
    if args.html:
        _write(args.html, render(comparison))
    return REGRESSED if args.fail_on_regression and comparison.regressions else OK


def _write(path: Path, text: str) -> None:
    from pytest_realtime_eval.exceptions import FileError
    from pytest_realtime_eval.reports.files import write_text

    try:
        write_text(path, text)
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror or error}") from error
