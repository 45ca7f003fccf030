"""What the reports say of a run beside its records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class ThresholdCheck:
    """A threshold, and what the run had to say to it.

    Attributes:
        expression: As it was written: ``chrf_plus_plus>=40``.
        value: What the run reached; ``None`` when nothing was measured.
        met: Whether the threshold holds; one that does not apply is not missed.
        place: Where it was written: ``command line``, ``ini``, a file.
        applies: Whether it could be held at all: what a replay at full speed takes says
            nothing about latencies.
    """

    expression: str
    value: float | None
    met: bool
    place: str = ""
    applies: bool = True

    @property
    def result(self) -> str:
        """The result in words: ``met``, ``missed`` or ``not applicable``."""
        if not self.applies:
            return "not applicable"
        return "met" if self.met else "missed"


@dataclass(frozen=True)
class RunInfo:
    """A run, as its reports name it.

    Attributes:
        folder: The run's folder; the paths in records are relative to it.
        started_at: ISO 8601, UTC.
        configuration: The configuration keys of summary.json: ``run_name``,
            ``assistant_model_default``, ``simulator_model_default``, ``input_audio_format``,
            ``output_audio_format``, ``chunk_ms``, ``sample_rate_hz``, ``real_time``, ``data_csv``.
        endpoint: Where sessions were opened.
        judge: The judge's model; empty without a judge.
        environment: Versions and operating system, by name.
        dataset_scores: The scores block of each dataset's run card, by dataset id. The
            key ``""`` holds scores over all datasets, where the caller has them.
        thresholds: Filled in once they were checked.
        parent: The run that this one continues or grades again; else empty.
    """

    run_id: str
    folder: Path
    run_name: str = ""
    started_at: str = ""
    elapsed_seconds: float = 0.0
    configuration: Mapping[str, Any] = field(default_factory=dict)
    endpoint: str = ""
    judge: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    dataset_scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    thresholds: tuple[ThresholdCheck, ...] = ()
    parent: str = ""
