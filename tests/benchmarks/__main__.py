"""Run the benchmark: ``python -m tests.benchmarks`` in the repository's root.

Prints a table, and writes it with every run's own figures as JSON. What is measured runs
in processes of its own, in a temporary folder; nothing stays behind.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measurements import MEASUREMENTS, QUICK, Sizes, warm_up
from tests.benchmarks.processes import CommandFailed
from tests.benchmarks.table import Row, as_json, as_table, medians


def main() -> int:
    """Measure what the command line asks for."""
    args = _arguments()
    sizes = QUICK if args.quick else Sizes()
    rows: list[Row] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="realtime-eval-bench-") as work:
        warm_up(Path(work))
        for run in range(args.runs):
            for number in args.only:
                _say(f"run {run + 1} of {args.runs}, measurement {number}")
                _measure(number, Path(work), sizes, rows, failures)
    figures = medians(rows)
    facts = {"quick": args.quick, "runs": args.runs, "failures": failures}
    text = json.dumps(as_json(figures, **facts), indent=1, ensure_ascii=False)
    args.json.write_text(text + "\n", "utf-8")
    sys.stdout.write(as_table(figures) + "\n")
    return 1 if failures else 0


def _measure(number: int, work: Path, sizes: Sizes, rows: list[Row], failures: list[str]) -> None:
    """Add a measurement's rows; one that fails leaves the others their turn."""
    started = time.perf_counter()
    try:
        for row in MEASUREMENTS[number](work, sizes):
            _say(f"  {row.what}: {row.value:.4g} {row.unit} ({row.against} {row.baseline})")
            rows.append(row)
    except (CommandFailed, AssertionError) as error:
        failures.append(f"{number}: {error}")
        _say(f"  failed: {error}")
    _say(f"  {time.perf_counter() - started:.0f} s")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works")
    parser.add_argument("--runs", type=int, help="runs whose medians are shown (3; quick: 1)")
    parser.add_argument(
        "--only",
        type=lambda text: [int(number) for number in text.split(",")],
        default=list(MEASUREMENTS),
        metavar="1,2,…",
        help="measurements to take",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("benchmark.json"),
        metavar="FILE",
        help="file that the figures are written to (default: %(default)s)",
    )
    args = parser.parse_args()
    args.runs = args.runs or (1 if args.quick else 3)
    return args


if __name__ == "__main__":
    sys.exit(main())
