"""Cards from records."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import uuid
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import CardError
from pytest_realtime_eval.metrics import bootstrap
from pytest_realtime_eval.metrics.exact import exact_match
from pytest_realtime_eval.metrics.overlap import ChrF
from pytest_realtime_eval.metrics.registry import default_metrics
from pytest_realtime_eval.run_card.hashing import (
    canonical,
    fingerprint_hash,
    sealed,
    sha256_text,
)
from pytest_realtime_eval.run_card.scores import (
    FST_STAGE,
    hypothesis_of,
    rounded,
    score_results,
    score_simulations,
)
from pytest_realtime_eval.schemas.document import read_bytes
from pytest_realtime_eval.schemas.run_card import SCHEMA_VERSION, schema_problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_realtime_eval.metrics.base import Metric
    from pytest_realtime_eval.schemas.dataset import Dataset, Entry
    from pytest_realtime_eval.schemas.results import (
        EntryRecord,
        ItemRecord,
        SimulationRecord,
        Verdict,
    )
    from pytest_realtime_eval.schemas.transcript import Turn, Usage

_DISTRIBUTION: Final = "pytest-realtime-eval"
_GIT_TIMEOUT: Final = 5.0


@dataclass(frozen=True)
class CardFacts:
    """What a card says of a run beside its records.

    Attributes:
        model_slug: The model as it was asked for.
        started_at: ISO 8601, UTC.
        system_prompt: What was sent, in full.
        config: ``api_provider``, ``max_tokens``, ``batch_size``, ``concurrency`` and what
            else shaped the run; plain JSON.
        run_id: UUID v4.
    """

    model_slug: str
    condition: str = "baseline"
    started_at: str = ""
    elapsed_seconds: float = 0.0
    system_prompt: str = ""
    temperature: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))


def build_dataset_card(
    dataset: Dataset,
    records: Sequence[EntryRecord],
    facts: CardFacts,
    metrics: Iterable[Metric] | None = None,
) -> dict[str, Any]:
    """Return the card of a dataset's run, with its hash.

    ``results`` holds the entries that ran, in the dataset's order. Of several records of
    an entry the last one counts.

    Raises:
        CardError: The card would not fit the schema.
        KeyError: A record's entry is not in the dataset.
    """
    used = list(metrics) if metrics is not None else default_metrics()
    ran = {record.entry_id: record for record in records if record.outcome != "skipped"}
    entries = {entry.id: entry for entry in dataset.entries}
    if unknown := ran.keys() - entries.keys():
        raise KeyError(f"{dataset.path} has no entry {sorted(unknown)[0]!r}")
    kept = [(entry, ran[entry.id]) for entry in dataset.entries if entry.id in ran]
    chrf = ChrF()
    rows = [_entry_row(entry, record, chrf) for entry, record in kept]
    block = {
        "id": dataset.id,
        "version": dataset.version,
        "language_pair": dataset.language_pair,
        "sha256": dataset.sha256,
        "entry_count": len(dataset.entries),
    }
    config = {
        "bootstrap": _bootstrap_config(),
        "metrics": {metric.name: metric.signature for metric in used},
    }
    model_ids = sorted({record.model_id for _, record in kept if record.model_id})
    return _card(
        facts,
        dataset=block,
        config=config,
        model_id=", ".join(model_ids) or facts.model_slug,
        scores=score_results(rows, used),
        totals=_entry_totals([record for _, record in kept]),
        results=rows,
    )


def build_simulation_card(
    records: Sequence[SimulationRecord],
    facts: CardFacts,
    files: Mapping[str, str],
    prompts: Mapping[str, str],
) -> dict[str, Any]:
    """Return the card of a simulation suite's run, with its hash.

    Args:
        records: Of several records of a simulation the last one counts.
        facts: An empty ``model_slug`` is filled in from the records, and the system prompt
            from ``prompts``.
        files: SHA-256 of every simulation, prompt and tools file, by path (`hash_files`).
        prompts: What the assistant was told, by simulation id.
    """
    last = {record.simulation_id: record for record in records}
    ran = [last[name] for name in sorted(last) if last[name].outcome != "skipped"]
    models = sorted({record.assistant_model for record in ran if record.assistant_model})
    rows = [_simulation_row(record) for record in ran]
    block = {
        "id": "simulations",
        "version": "",
        "language_pair": "",
        "sha256": suite_hash(files),
        "entry_count": len(last),
        "files": dict(sorted(files.items())),
    }
    return _card(
        facts,
        dataset=block,
        config={},
        model_slug=facts.model_slug or ", ".join(models),
        model_id=", ".join(models) or facts.model_slug,
        system_prompt=facts.system_prompt or joint_prompt(prompts),
        scores=score_simulations(rows),
        totals=_simulation_totals(ran),
        results=rows,
        kind="simulations",
    )


def _card(
    facts: CardFacts,
    *,
    dataset: dict[str, Any],
    config: dict[str, Any],
    model_id: str,
    scores: dict[str, Any],
    totals: dict[str, Any],
    results: list[dict[str, Any]],
    model_slug: str = "",
    system_prompt: str = "",
    kind: str = "dataset",
) -> dict[str, Any]:
    model_slug = model_slug or facts.model_slug
    system_prompt = system_prompt or facts.system_prompt
    components = {
        "dataset_sha256": dataset["sha256"],
        "model_slug": model_slug,
        "condition": facts.condition,
        "system_prompt_sha256": sha256_text(system_prompt),
        "temperature": facts.temperature,
        "harness_version": harness_version(),
    }
    card = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "run_id": facts.run_id,
        "harness_version": harness_version(),
        "model_slug": model_slug,
        "model_id": model_id,
        "condition": facts.condition,
        "timestamp": facts.started_at,
        "elapsed_seconds": round(facts.elapsed_seconds, 3),
        "dataset": dataset,
        "config": {**facts.config, "temperature": facts.temperature, **config},
        "system_prompt_sha256": components["system_prompt_sha256"],
        "system_prompt_used": system_prompt,
        "fingerprint": {"hash": fingerprint_hash(components), "components": components},
        "scores": scores,
        "totals": totals,
        "environment": environment(),
        "results": results,
    }
    # Hashed as it will be read back: tuples are lists by then, and NaN is no JSON.
    made = sealed(json.loads(json.dumps(card, allow_nan=False)))
    if problems := schema_problems(made):
        raise CardError(f"the run card of {dataset['id']} does not fit its schema: {problems[0]}")
    return made


def _bootstrap_config() -> dict[str, Any]:
    return {
        "method": "percentile",
        "seed": bootstrap.SEED,
        "resamples": bootstrap.RESAMPLES,
        "confidence": bootstrap.CONFIDENCE,
    }


def _entry_row(entry: Entry, record: EntryRecord, chrf: ChrF) -> dict[str, Any]:
    error = _error(record)
    row = {
        "entry_id": entry.written_id,
        "source": entry.source,
        "reference": entry.reference,
        "predicted": record.predicted,
        "error": error,
    }
    hypothesis = hypothesis_of(row)
    analyses = (record.fst_analysis or {}).values() if record.fst_accepted else ()
    return {
        **row,
        "predicted": hypothesis,
        "exact_match": exact_match(hypothesis, entry.reference),
        "entry_chrf": rounded(_entry_chrf(hypothesis, entry, record, chrf)),
        "fst_accepted": record.fst_accepted,
        "fst_analysis": [analysis for found in analyses for analysis in found],
        "difficulty": entry.written_difficulty,
        "provenance": entry.provenance or None,
        "latency_seconds": rounded(record.latency_seconds),
        "usage": record.usage.model_dump(),
        "cost_usd": record.cost_usd,
        "scores": record.scores,
    }


def _entry_chrf(hypothesis: str, entry: Entry, record: EntryRecord, chrf: ChrF) -> float:
    """Return the score that the entry was given when it ran, if it was scored then."""
    if hypothesis and hypothesis == record.predicted and "entry_chrf" in record.scores:
        return record.entry_chrf
    return chrf.entry_score(hypothesis, entry.reference)


def _error(record: ItemRecord) -> str | None:
    if record.failure is not None:
        return f"{record.failure.stage}: {record.failure.message}"
    broken = record.outcome in {"infra_error", "judge_error", "invalid_simulation"}
    return (record.reason or record.outcome) if broken else None


def _entry_totals(records: Sequence[EntryRecord]) -> dict[str, Any]:
    names = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")
    tokens = {name: sum(getattr(record.usage, name) for record in records) for name in names}
    return {**tokens, **_costs(records), "reasoning_ratio": _reasoning_ratio(tokens)}


def _reasoning_ratio(tokens: Mapping[str, int]) -> float | None:
    completion = tokens["completion_tokens"]
    return rounded(tokens["reasoning_tokens"] / completion) if completion else None


def _costs(records: Sequence[ItemRecord]) -> dict[str, float | None]:
    """Sum the costs; a sum that leaves out an unknown one would claim too little.

    An entry that failed without an answer has no usage to pay for.
    """
    charged = [record for record in records if record.cost_usd is not None or _has_answer(record)]
    known = [record.cost_usd for record in charged if record.cost_usd is not None]
    total = sum(known) if charged and len(known) == len(charged) else None
    each = None if total is None or not records else total / len(records)
    return {"total_cost_usd": rounded(total), "cost_per_entry_usd": rounded(each)}


def _has_answer(record: ItemRecord) -> bool:
    return record.failure is None or record.failure.stage == FST_STAGE


def _simulation_row(record: SimulationRecord) -> dict[str, Any]:
    transcript = record.transcript
    return {
        "simulation_id": record.simulation_id,
        "outcome": record.outcome,
        "reason": record.reason,
        "assistant_model": record.assistant_model,
        "simulator_model": record.simulator_model,
        "ended_by": transcript.ended_by if transcript else None,
        "turns": [_turn_row(turn) for turn in transcript.turns] if transcript else [],
        "verdicts": [_verdict_row(verdict) for verdict in record.verdicts],
        "duration_seconds": rounded(record.duration_ms / 1000),
        "cost_usd": record.cost_usd,
        "error": _error(record),
    }


def _turn_row(turn: Turn) -> dict[str, Any]:
    return {
        "turn_index": turn.index,
        "user_text": turn.user_text,
        "assistant_text": turn.assistant_text,
        "tool_calls": [
            {"name": call.name, "arguments": call.arguments} for call in turn.tool_calls
        ],
        "latency_first_audio_ms": rounded(turn.latencies.first_audio),
        "latency_response_done_ms": rounded(turn.latencies.response_done),
        "input_tokens": turn.usage.input_tokens,
        "output_tokens": turn.usage.output_tokens,
    }


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    names = ("grader_id", "type", "turn_index", "status", "rationale", "fingerprint", "model")
    return {name: getattr(verdict, name) for name in names}


def _simulation_totals(records: Sequence[SimulationRecord]) -> dict[str, Any]:
    usages = [usage for record in records for usage in _usages(record)]
    tokens = {
        "prompt_tokens": sum(usage.input_tokens for usage in usages),
        "completion_tokens": sum(usage.output_tokens for usage in usages),
        "reasoning_tokens": 0,
        "cached_tokens": sum(usage.cached_tokens for usage in usages),
    }
    return {**tokens, **_costs(records), "reasoning_ratio": _reasoning_ratio(tokens)}


def _usages(record: SimulationRecord) -> Iterator[Usage]:
    """Yield what both sessions and the judges used."""
    if record.transcript:
        for turn in record.transcript.turns:
            yield turn.usage
            yield turn.simulator_usage
        yield record.transcript.end_usage
    yield from (verdict.usage for verdict in record.verdicts)


def hash_files(paths: Iterable[Path], root: Path) -> dict[str, str]:
    """Return the SHA-256 of each file's bytes, by its path below ``root``.

    Raises:
        FileError: One cannot be read.
    """
    return {
        _below(path, root): hashlib.sha256(read_bytes(path)).hexdigest()
        for path in sorted(set(paths))
    }


def _below(path: Path, root: Path) -> str:
    """Name a file without telling where on this machine it lies."""
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.name


def suite_hash(files: Mapping[str, str]) -> str:
    """Return the one hash over the files of a simulation suite."""
    return sha256_text(canonical(dict(files)))


def joint_prompt(prompts: Mapping[str, str]) -> str:
    """Return the system prompt of a suite: the text if all share it, else all by id."""
    texts = set(prompts.values())
    return texts.pop() if len(texts) == 1 else canonical(dict(prompts)) if texts else ""


def harness_version() -> str:
    """Return the version of this project."""
    return metadata.version(_DISTRIBUTION)


def environment() -> dict[str, Any]:
    """Return the card's environment block."""
    return {
        "harness_version": harness_version(),
        "harness_git_commit": _git_commit(Path(__file__).parent),
        "python_version": platform.python_version(),
        "sacrebleu_version": metadata.version("sacrebleu"),
        "os": platform.platform(),
    }


@cache  # a run asks some times over, and git is a process each time
def _git_commit(folder: Path) -> str | None:
    """Return the commit of a development checkout; ``None`` for an installed package."""
    # A site-packages folder inside some other checkout is not tracked there.
    if _git(folder, "ls-files", "--error-unmatch", __file__) is None:
        return None
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(  # noqa: S603 - fixed commands
            ["git", *arguments],  # noqa: S607 - git lies where it lies
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def write_card(card: Mapping[str, Any], path: Path) -> None:
    """Write a card as readable JSON; its hash is not of these bytes, but of their value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
