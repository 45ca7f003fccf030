"""``realtime-eval init``, ``new`` and ``schema``: files to start a suite with."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.exceptions import ConfigurationError, FileError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

OK: Final = 0

#: What ``init`` writes, and the packaged file that it comes from.
_STARTER: Final = {
    "evals/simulations/sim_order_status.json": "order_status.json",
    "evals/prompts/shop.md": "shop.md",
    "evals/tools/shop.json": "shop.json",
    "evals/simulations.csv": "simulations.csv",
    "evals/datasets/phrases_en_es.json": "phrases_en_es.json",
    "evals/conftest.py": "conftest.py.txt",
    ".github/workflows/evals.yml": "workflow.yml",
}
#: The formats that have a schema; named here, since pydantic is slow to import.
FORMATS: Final = ("simulation", "dataset", "tools", "run_card", "record")
#: Where schemas lie in a folder of evals; the starter's files name this place.
_SCHEMAS: Final = "schemas"

_SETTINGS: Final = """\
[tool.pytest.ini_options]
asyncio_default_fixture_loop_scope = "function"
eval_paths = ["evals"]
eval_max_turns = "8"
eval_thresholds = ["pass_rate>=0.9"]
"""


def add_starter_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands; each sets ``function`` to what runs it."""
    init = commands.add_parser(
        "init",
        help="write a small suite into a project",
        description="Write a simulation with prompt, tools and index, a dataset, a conftest, JSON "
        "Schemas and a CI workflow. Files that exist are left as they are.",
    )
    init.add_argument("dir", nargs="?", type=Path, default=Path(), metavar="DIR")
    init.set_defaults(function=init_command)
    new = commands.add_parser("new", help="add a simulation or a dataset that runs as it is")
    kinds = new.add_subparsers(metavar="kind", required=True)
    for kind, function in (("simulation", new_simulation), ("dataset", new_dataset)):
        parser = kinds.add_parser(kind, help=f"add a {kind}")
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "--evals",
            type=Path,
            default=Path("evals"),
            metavar="DIR",
            help="the folder of evals (default: evals)",
        )
        parser.set_defaults(function=function)
    schema = commands.add_parser("schema", help="print or write JSON Schemas of the formats")
    schema.add_argument(
        "format",
        nargs="?",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"one of {', '.join(FORMATS)} (default: all of them)",
    )
    schema.add_argument("--write", type=Path, metavar="DIR", help="write <format>.schema.json here")
    schema.set_defaults(function=schema_command)


def init_command(args: argparse.Namespace) -> int:
    """Write the starter; files that exist are named and left as they are.

    Raises:
        FileError: A file cannot be written.
    """
    for name, source in _STARTER.items():
        _write_new(args.dir / name, _packaged(source))
    _write_schemas(args.dir / "evals" / _SCHEMAS)
    _say(
        "",
        "Settings to paste into pyproject.toml (in pytest.ini: under [pytest], without quotes):",
        "",
        *_SETTINGS.splitlines(),
        "",
        "Runs leave their results in results/: add that line to .gitignore.",
        "Then: pytest evals",
    )
    return OK


def new_simulation(args: argparse.Namespace) -> int:
    """Write a simulation with prompt, tools and mocks of its own, and list it in the index.

    Raises:
        ConfigurationError: The name cannot be a simulation's.
        FileError: The file exists, or cannot be written.
    """
    name = args.name if args.name.startswith("sim_") else f"sim_{args.name}"
    _check_name(name)
    path = args.evals / "simulations" / f"{name}.json"
    _write_from("new_simulation.json", path, name, args.evals, "simulation")
    _add_to_index(args.evals / "simulations.csv", name, path)
    _say("", f"Then: pytest {args.evals} -k {name}")
    return OK


def new_dataset(args: argparse.Namespace) -> int:
    """Write a dataset with two entries.

    Raises:
        ConfigurationError: The name cannot be a dataset's.
        FileError: The file exists, or cannot be written.
    """
    _check_name(args.name)
    if args.name.startswith("sim_"):
        raise ConfigurationError("a dataset's name cannot start with sim_, as simulations' do")
    path = args.evals / "datasets" / f"{args.name}.json"
    _write_from("new_dataset.json", path, args.name, args.evals, "dataset")
    _say("", f"Then: pytest {path}")
    return OK


def _check_name(name: str) -> None:
    from pytest_realtime_eval.schemas.simulation import safe_name

    try:
        safe_name(name)
    except ValueError as error:
        raise ConfigurationError(f"the name {name!r} {error}") from error


def _write_from(source: str, path: Path, name: str, evals: Path, kind: str) -> None:
    if path.exists():
        raise FileError(path, "exists, and is left as it is; choose another name")
    schema = evals / _SCHEMAS / f"{kind}.schema.json"
    relative = Path(os.path.relpath(schema, path.parent)).as_posix()
    text = _filled(_packaged(source), {"name": name, "schema": relative})
    _write_new(path, text)
    if not schema.exists():
        _write_schemas(schema.parent)


def _filled(template: str, values: Mapping[str, str]) -> str:
    # The places stand inside JSON strings.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: json.dumps(values[found[1]])[1:-1], template)


def _add_to_index(index: Path, name: str, path: Path) -> None:
    """Add a row to the index, if there is one that has the columns that ``init`` writes."""
    header = _packaged("simulations.csv").splitlines()[0]
    if not index.is_file():
        return
    text = _read(index)
    if text.partition("\n")[0].strip() != header:
        _say(f"not listed in {index}: its columns are its own")
        return
    place = Path(os.path.relpath(path, index.parent)).as_posix()
    row = f"{name},{place},true,,\n"
    _write(index, text + ("" if text.endswith("\n") else "\n") + row)
    _say(f"listed in {index}")


def schema_command(args: argparse.Namespace) -> int:
    """Print the schema of a format, or of all as one object; ``--write`` writes files.

    Raises:
        FileError: A file cannot be written.
    """
    from pytest_realtime_eval.schemas.json_schema import SCHEMAS

    if args.write:
        _write_schemas(args.write, [args.format] if args.format else list(SCHEMAS), renew=True)
    elif args.format:
        sys.stdout.write(_json(SCHEMAS[args.format]()))
    else:
        sys.stdout.write(_json({name: make() for name, make in SCHEMAS.items()}))
    return OK


def _write_schemas(folder: Path, formats: list[str] | None = None, *, renew: bool = False) -> None:
    """Write schemas; ``renew`` replaces those that are there."""
    from pytest_realtime_eval.schemas.json_schema import SCHEMAS, WRITTEN

    for name in formats or list(WRITTEN):
        path = folder / f"{name}.schema.json"
        text = _json(SCHEMAS[name]())
        if renew:
            _write(path, text)
            _say(f"wrote   {path}")
        else:
            _write_new(path, text)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _packaged(name: str) -> str:
    folder = resources.files("pytest_realtime_eval") / "starter"
    return (folder / name).read_text(encoding="utf-8")


def _write_new(path: Path, text: str) -> None:
    if path.exists():
        _say(f"exists  {path} (left as it is)")
    else:
        _write(path, text)
        _say(f"wrote   {path}")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror or error}") from error


def _read(path: Path) -> str:
    from pytest_realtime_eval.schemas.document import read_text

    return read_text(path)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
