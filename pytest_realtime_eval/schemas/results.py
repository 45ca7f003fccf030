"""What is recorded of an item: the lines of ``records.jsonl``, from which all tables are made."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from pytest_realtime_eval.schemas.document import Record
from pytest_realtime_eval.schemas.transcript import Failure, Transcript, Usage

Outcome = Literal[
    "passed",
    "failed",
    "infra_error",
    "judge_error",
    "invalid_simulation",
    "ungraded",
    "skipped",
]

#: Outcomes that say something about the model; the others want to be run again.
RESULT_OUTCOMES: frozenset[Outcome] = frozenset({"passed", "failed", "ungraded"})

VerdictStatus = Literal["pass", "fail", "not_applicable", "ungraded", "error"]


class Verdict(Record):
    """A grader's answer, with its reason.

    Attributes:
        grader_id: The grader; names the columns ``<grader_id>_grade`` and ``_rationale``.
        type: The grader's type.
        turn_index: The turn that it is about; ``None`` for the whole conversation.
        status: ``ungraded``: no judge was there; ``error``: the judge gave no answer.
        rationale: Why, in a sentence or two.
        criteria: What was asked for.
        expected, actual: JSON values set side by side, where the grader compares.
        fingerprint: SHA-256 over prompt, model and criteria of a judge; else empty.
        model: The judge's model; else empty.
        usage: The judge's tokens.
        cost_usd: What the judge cost, where its server says so.
    """

    grader_id: str
    type: str
    turn_index: int | None = None
    status: VerdictStatus
    rationale: str = ""
    criteria: str = ""
    expected: Any = None
    actual: Any = None
    fingerprint: str = ""
    model: str = ""
    usage: Usage = Usage()
    cost_usd: float | None = None

    @property
    def grade(self) -> int | None:
        """Return 1 for pass, 0 for fail, ``None`` when there is no grade."""
        return {"pass": 1, "fail": 0}.get(self.status)


class Attempt(Record):
    """One try of an item that needed several."""

    number: int
    outcome: Outcome
    failure: Failure | None = None
    event_log_path: str | None = None
    duration_ms: float = 0.0


class ItemRecord(Record):
    """What every item leaves, whatever it was and however it ended.

    Attributes:
        nodeid: pytest's id of the item.
        path: The file that it came from, relative to pytest's rootdir.
        reason: Why it is ungraded, skipped or broken, in a sentence.
        content_key: SHA-256 over all that shaped the item (file, prompts, tools, models,
            options); a record stands for an item only while this is the same.
        duration_ms: The work's own time, without waiting for pytest's turn.
        cost_usd: ``None`` when it is not known.
        attempts: Earlier tries and the last one; empty when the first one counted.
        resumed: The record was taken over from an interrupted run.
        replay: How a recording was replayed, at full speed or at its own; empty when the
            item ran live.
    """

    nodeid: str
    path: str
    outcome: Outcome
    reason: str = ""
    tags: tuple[str, ...] = ()
    content_key: str = ""
    started_at: str = ""
    duration_ms: float = 0.0
    cost_usd: float | None = None
    attempts: tuple[Attempt, ...] = ()
    failure: Failure | None = None
    resumed: bool = False
    replay: Literal["", "fast", "recorded"] = ""


class SimulationRecord(ItemRecord):
    """A simulation that was played, or could not be.

    Attributes:
        setup: The resolved configuration (models, audio, prompts' hashes), plain JSON.
        expected_tool_calls: As the simulation file has them.
        transcript: ``None`` when the item ended before its first turn.
        late: Audio was sent later than ``--eval-max-lag-ms`` allows (p99 of the schedule
            error), so the latencies are the harness's and not the model's.
    """

    kind: Literal["simulation"] = "simulation"
    simulation_id: str
    scenario: str = ""
    assistant_model: str = ""
    simulator_model: str = ""
    setup: dict[str, Any] = {}
    expected_tool_calls: tuple[dict[str, Any], ...] = ()
    transcript: Transcript | None = None
    verdicts: tuple[Verdict, ...] = ()
    late: bool = False


class EntryUsage(Record):
    """Tokens of one translation, as the API counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0


class EntryRecord(ItemRecord):
    """A dataset entry that was translated, or could not be.

    Attributes:
        predicted: The translation; empty when there is none.
        scores: Value by metric name (``entry_chrf``, ``exact_match``, users' own).
        fst_accepted: ``None`` without an analyser.
        fst_analysis: Analyses by word.
        model_id: The model as the API resolved it.
    """

    kind: Literal["entry"] = "entry"
    dataset_id: str
    entry_id: str
    source: str
    reference: str
    predicted: str = ""
    difficulty: str = ""
    provenance: str = ""
    scores: dict[str, float | None] = {}
    exact_match: bool = False
    entry_chrf: float = 0.0
    fst_accepted: bool | None = None
    fst_analysis: dict[str, list[str]] | None = None
    latency_seconds: float | None = None
    usage: EntryUsage = EntryUsage()
    model_id: str = ""
    verdicts: tuple[Verdict, ...] = ()


AnyRecord = SimulationRecord | EntryRecord

_RECORD: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="kind")])


def parse_record(data: object) -> AnyRecord:
    """Return the record that the parsed JSON of a line of ``records.jsonl`` holds."""
    return _RECORD.validate_python(data)


def to_line(record: AnyRecord) -> str:
    """Return a record as it stands in ``records.jsonl``, without the line's end."""
    try:
        return record.model_dump_json()
    except ValueError:  # lone surrogates, which models send: escaped, they are JSON
        text = json.dumps(record.model_dump(mode="json"), ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def parse_line(line: str) -> AnyRecord:
    """Return the record of a line that `to_line` made."""
    try:
        return _RECORD.validate_json(line)
    except ValidationError:  # of lone surrogates pydantic reads no JSON
        return parse_record(json.loads(line))
