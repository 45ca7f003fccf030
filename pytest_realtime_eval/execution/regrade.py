"""Grading stored transcripts again, without talking to the assistant."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.graders import conversation_outcome, grade
from pytest_realtime_eval.schemas.results import SimulationRecord
from pytest_realtime_eval.schemas.simulation import load_simulation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.pricing import PriceTable
    from pytest_realtime_eval.schemas.results import AnyRecord
    from pytest_realtime_eval.schemas.simulation import Simulation


@dataclass(frozen=True)
class Grading:
    """How conversations are graded again.

    Attributes:
        judge: ``None`` leaves what needs a judge ungraded.
        concurrency: Conversations graded at once.
    """

    judge: Judge | None
    prices: PriceTable
    concurrency: int = 8


def simulations_of(records: Sequence[AnyRecord], rootdir: Path) -> dict[str, Simulation]:
    """Return the simulation files of the records that can be graded again, by node id.

    Raises:
        FileError: A file is gone or wrong.
    """
    return {
        record.nodeid: load_simulation(rootdir / path)
        for record in records
        if isinstance(record, SimulationRecord)
        and record.transcript
        and (path := _file_of(record)) is not None
    }


def _file_of(record: SimulationRecord) -> str | None:
    """Return the simulation's file; of one that a Python test played, if it can be told."""
    if record.path.endswith(".json"):
        return record.path
    names = (name for name in record.setup.get("files", {}) if name.endswith(".json"))
    return next((name for name in names if name.rpartition("/")[2].startswith("sim_")), None)


async def regrade(
    records: Sequence[AnyRecord], simulations: dict[str, Simulation], grading: Grading
) -> list[AnyRecord]:
    """Return the records with new verdicts; those that have no transcript stay as they are."""
    slots = asyncio.Semaphore(grading.concurrency)

    async def one(record: AnyRecord) -> AnyRecord:
        async with slots:
            simulation = simulations.get(record.nodeid)
            if not isinstance(record, SimulationRecord) or simulation is None:
                return record
            return await _regraded(record, simulation, grading)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(record)) for record in records]
    return [task.result() for task in tasks]


async def _regraded(
    record: SimulationRecord, simulation: Simulation, grading: Grading
) -> SimulationRecord:
    transcript = record.transcript
    if transcript is None or record.failure is not None:
        return record
    try:
        verdicts = await grade(
            transcript,
            simulation,
            grading.judge,
            instructions=str(record.setup.get("instructions", "")),
        )
    except Exception as error:  # noqa: BLE001 - one that breaks must not lose the others
        why = f"grading broke: {type(error).__name__}: {error}"
        return record.model_copy(update={"verdicts": (), "outcome": "judge_error", "reason": why})
    outcome, reason = conversation_outcome(transcript, verdicts)
    return record.model_copy(
        update={
            "verdicts": verdicts,
            "outcome": outcome,
            "reason": reason,
            "setup": {**record.setup, "thresholds": list(simulation.thresholds)},
            "expected_tool_calls": tuple(
                call.model_dump(exclude={"metadata"}) for call in simulation.expected_tool_call
            ),
            "cost_usd": grading.prices.conversation_cost(transcript, verdicts),
        }
    )


def changed_files(records: Sequence[AnyRecord], rootdir: Path) -> list[str]:
    """Return the files that are not what they were when the records were made."""
    import hashlib

    from pytest_realtime_eval.schemas.document import read_bytes

    known: dict[str, str] = {}
    for record in records:
        if isinstance(record, SimulationRecord):
            known |= record.setup.get("files", {})
    changed = []
    for name, digest in sorted(known.items()):
        try:
            now = hashlib.sha256(read_bytes(rootdir / name)).hexdigest()
        except FileError:
            now = ""
        if now != digest:
            changed.append(name)
    return changed
