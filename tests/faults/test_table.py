from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_readme_shows_the_matrix() -> None:
    command = [sys.executable, str(HERE / "table.py")]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    assert table.count("\n") > 80
    assert table in (HERE.parents[1] / "README.md").read_text(encoding="utf-8")
