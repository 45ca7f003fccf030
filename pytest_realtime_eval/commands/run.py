"""``realtime-eval run`` and ``translate``: pytest under the source documents' own names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.options import OPTIONS, Option

if TYPE_CHECKING:
    import argparse

_DATASET_OPTIONS: Final = (
    "model",
    "condition",
    "temperature",
    "max-tokens",
    "batch-size",
    "base-url",
    "fst-analyzer",
    "submit",
    "leaderboard-url",
)


def add_run_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands that start pytest."""
    run = commands.add_parser(
        "run",
        help="play simulations: pytest with the options' bare names",
        epilog="What stands behind `--` goes to pytest as it is: realtime-eval run -- -n 8 -x",
    )
    run.add_argument("--data-csv", metavar="FILE", help="index of the simulations to play")
    _add_options(run, [o for o in OPTIONS if o.name != "data-csv"])
    _add_pytest_arguments(run)
    run.set_defaults(function=run_command)
    translate = commands.add_parser(
        "translate", help="translate a dataset: pytest with the options' bare names"
    )
    translate.add_argument("--dataset", metavar="FILE", required=True, help="the dataset's JSON")
    ordered = sorted(OPTIONS, key=lambda option: option.name not in _DATASET_OPTIONS)
    _add_options(translate, ordered)
    _add_pytest_arguments(translate)
    translate.set_defaults(function=translate_command)


def _add_options(parser: argparse.ArgumentParser, options: list[Option]) -> None:
    for option in options:
        flags = [f"--{name}" for name in (option.name, *option.aliases)]
        if option.is_flag:
            parser.add_argument(*flags, dest=option.key, action="store_true", help=option.help)
        else:
            parser.add_argument(
                *flags,
                dest=option.key,
                action="append" if option.many else "store",
                metavar=option.metavar or "NAME",
                help=option.help.replace("%", "%%"),
            )


def _add_pytest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pytest_arguments", nargs="*", metavar="-- pytest arguments")


def run_command(arguments: argparse.Namespace) -> int:
    """Play simulations; the exit status is pytest's."""
    index = arguments.data_csv
    target = [index] if index else ["evals"]
    return _pytest([*target, *_flags(arguments), *arguments.pytest_arguments])


def translate_command(arguments: argparse.Namespace) -> int:
    """Translate a dataset; the exit status is pytest's."""
    return _pytest([arguments.dataset, *_flags(arguments), *arguments.pytest_arguments])


def _flags(arguments: argparse.Namespace) -> list[str]:
    """Return the options that were named, under pytest's names."""
    flags: list[str] = []
    for option in OPTIONS:
        value = getattr(arguments, option.key, None)
        if option.key == "data_csv" or not value:
            continue
        values = value if isinstance(value, list) else [value]
        name = f"--eval-{option.name}"
        flags += [name] if option.is_flag else [f"{name}={each}" for each in values]
    return flags


def _pytest(arguments: list[str]) -> int:
    """Run pytest in a process of its own, as a user would type it."""
    command = [sys.executable, "-m", "pytest", *arguments]
    try:
        return subprocess.run(command, check=False, cwd=Path.cwd()).returncode  # noqa: S603 - pytest
    except KeyboardInterrupt:
        # pytest got the signal too and has said what there is to say.
        return 130
