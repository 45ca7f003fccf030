"""run.json: what a run was, beside its records; with them its folder can be made again."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class StoredCard(BaseModel):
    """What the run's cards say of it.

    Attributes:
        run_id: UUID v4.
        system_prompt: What translations were asked with; empty for each dataset's default.
    """

    # A key that a later version added is no reason to refuse a run.
    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    model_slug: str
    condition: str = "baseline"
    temperature: float | None = None
    system_prompt: str = ""
    config: dict[str, Any] = {}


class StoredThreshold(BaseModel):
    """A threshold, and where it was written."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    expression: str
    place: str = ""


class StoredRun(BaseModel):
    """A run, written when it starts and again when it ends.

    Attributes:
        rootdir: Where the paths in records start, relative to the run's folder.
        elapsed_seconds: 0 while the run is not finished.
        parent: The runs that this one was made from; else empty.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: str = "1"
    run_id: str
    run_name: str = ""
    started_at: str = ""
    elapsed_seconds: float = 0.0
    parent: str = ""
    endpoint: str = ""
    judge: str = ""
    rootdir: str = "../.."
    configuration: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    card: StoredCard
    thresholds: tuple[StoredThreshold, ...] = ()
