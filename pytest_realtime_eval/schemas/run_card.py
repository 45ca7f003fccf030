"""The run card, schema 2.0: what a run was, what came out, and the hashes that hold it.

Extra fields are allowed everywhere: other harnesses write their own, and so do we.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pytest_realtime_eval.schemas.document import json_path

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = "2.0"

#: The inputs that a fingerprint is made of; outputs, times and paths are no part of it.
FINGERPRINT_COMPONENTS = (
    "dataset_sha256",
    "model_slug",
    "condition",
    "system_prompt_sha256",
    "temperature",
    "harness_version",
)


class Block(BaseModel):
    """An object of a card."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


def _uuid(text: str) -> str:
    UUID(text)
    return text


def _timestamp(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, le=1)]
Score100 = Annotated[float, Field(ge=0, le=100.000001)]
Seconds = Annotated[float, Field(ge=0)]


class DatasetBlock(Block):
    """The dataset; of a simulation suite, ``files`` holds the hash of each of its files."""

    id: str
    version: str
    language_pair: str
    sha256: Sha256
    entry_count: Count
    files: dict[str, Sha256] | None = None


class Config(Block):
    """What shaped the run: provider, tokens, batch size, concurrency and more."""

    temperature: float | None


class Components(Block):
    """What the fingerprint hashes."""

    dataset_sha256: str
    model_slug: str
    condition: str
    system_prompt_sha256: str
    temperature: float | None
    harness_version: str


class Fingerprint(Block):
    """Equal for two runs with the same setup."""

    hash: Sha256
    components: Components


class Totals(Block):
    """Tokens and cost; a cost that nobody reported and no price table covers is null."""

    prompt_tokens: Count
    completion_tokens: Count
    reasoning_tokens: Count
    cached_tokens: Count
    total_cost_usd: float | None
    cost_per_entry_usd: float | None
    reasoning_ratio: float | None


class Environment(Block):
    """Where the run was made."""

    harness_version: str
    harness_git_commit: str | None
    python_version: str
    sacrebleu_version: str | None
    os: str


class GroupScores(Block):
    """Scores of the whole dataset, or of a group of its entries."""

    total: Count
    exact_matches: Count
    exact_match_rate: Rate | None
    fst_accepted: Count | None = None
    fst_acceptance_rate: Rate | None = None
    chrf_plus_plus: Score100 | None


class Scores(GroupScores):
    """Scores of the whole dataset, with errors, latencies and groups."""

    errors: Count
    avg_latency_seconds: Seconds | None
    median_latency_seconds: Seconds | None
    p95_latency_seconds: Seconds | None
    by_difficulty: dict[str, GroupScores]
    by_provenance: dict[str, GroupScores]


class ResultUsage(Block):
    """Tokens of one translation."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    reasoning_tokens: Count = 0


class EntryResult(Block):
    """One entry of the dataset and what became of it."""

    entry_id: str | int
    source: str
    reference: str
    predicted: str
    exact_match: bool
    entry_chrf: Score100
    fst_accepted: bool | None
    fst_analysis: Any = None
    difficulty: str | int | float | None
    provenance: str | None
    latency_seconds: Seconds | None
    usage: ResultUsage
    error: str | None


class SimulationScores(Block):
    """Outcomes and verdicts of a simulation suite."""

    total: Count
    passed: Count
    failed: Count
    ungraded: Count
    errors: Count
    pass_rate: Rate | None
    graders: dict[str, dict[str, Any]]


class SimulationResult(Block):
    """One simulation and what became of it."""

    simulation_id: str
    outcome: str
    turns: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    error: str | None


class _Card(Block):
    run_id: Annotated[str, AfterValidator(_uuid)]
    harness_version: str
    model_slug: str
    model_id: str
    condition: str
    timestamp: Annotated[str, AfterValidator(_timestamp)]
    elapsed_seconds: Seconds
    dataset: DatasetBlock
    config: Config
    system_prompt_sha256: Sha256
    system_prompt_used: str
    fingerprint: Fingerprint
    totals: Totals
    environment: Environment
    run_card_hash: Sha256


class RunCard(_Card):
    """The card of a dataset's run."""

    scores: Scores
    results: list[EntryResult]


class SimulationCard(_Card):
    """The card of a simulation suite's run."""

    kind: Literal["simulations"]
    scores: SimulationScores
    results: list[SimulationResult]


def is_simulation_card(card: Mapping[str, Any]) -> bool:
    """Tell a simulation suite's card from a dataset's."""
    return card.get("kind") == "simulations"


def schema_problems(card: Mapping[str, Any]) -> list[str]:
    """Return what does not fit the schema, each with its JSON path."""
    model = SimulationCard if is_simulation_card(card) else RunCard
    try:
        model.model_validate(card)
    except ValidationError as error:
        return [_describe(details) for details in error.errors(include_url=False)]
    return []


def _describe(details: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    missing = details["type"] == "missing"
    what = "is missing" if missing else details["msg"].removeprefix("Value error, ")
    return f"{json_path(details['loc'])}: {what}"
