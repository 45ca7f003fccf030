"""The console script ``realtime-eval``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pytest_realtime_eval.commands.cards import add_card_commands
from pytest_realtime_eval.commands.compare import add_compare_command
from pytest_realtime_eval.commands.report import add_report_commands
from pytest_realtime_eval.commands.run import add_run_commands
from pytest_realtime_eval.commands.starter import add_starter_commands
from pytest_realtime_eval.exceptions import RealtimeEvalError

if TYPE_CHECKING:
    from collections.abc import Sequence


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="realtime-eval", description="Evals as tests: run them, and work with what they leave."
    )
    commands = parser.add_subparsers(metavar="command", required=True)
    add_run_commands(commands)
    add_report_commands(commands)
    add_compare_command(commands)
    add_card_commands(commands)
    add_starter_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parsed = build_parser().parse_args(arguments)
    try:
        status: int = parsed.function(parsed)
    except RealtimeEvalError as error:
        sys.stderr.write(f"realtime-eval: {error}\n")
        return 2
    return status
