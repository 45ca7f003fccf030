"""The process's environment, as a value that may stand in tracebacks."""

from __future__ import annotations

import os


class Environment(dict[str, str]):
    """Environment variables; ``repr``, which ``--showlocals`` prints, names none of them."""

    def __repr__(self) -> str:
        return f"<environment of {len(self)} variables>"


def environment() -> Environment:
    """Return the environment of this process as it is now."""
    return Environment(os.environ)
