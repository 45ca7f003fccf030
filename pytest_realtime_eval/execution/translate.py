"""From a dataset entry to its record: translate, score, decide the outcome."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_realtime_eval.exceptions import BudgetReached, InfraError
from pytest_realtime_eval.metrics.exact import exact_match
from pytest_realtime_eval.schemas.results import EntryRecord, Verdict
from pytest_realtime_eval.schemas.transcript import Failure
from pytest_realtime_eval.text.prompts import translation_prompt
from pytest_realtime_eval.thresholds import NO_LATENCIES, evaluate, is_timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_realtime_eval.execution.limits import Limits
    from pytest_realtime_eval.metrics.fst import Analyzer
    from pytest_realtime_eval.metrics.registry import MetricRegistry
    from pytest_realtime_eval.pricing import PriceTable
    from pytest_realtime_eval.schemas.dataset import Dataset, Entry
    from pytest_realtime_eval.text.request import TextReply
    from pytest_realtime_eval.text.sources import TextSource
    from pytest_realtime_eval.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class EntryJob:
    """An entry, and what a record says of it before it is translated.

    Attributes:
        limits: Of the whole run; without them everything starts at once.
    """

    nodeid: str
    path: str
    dataset_id: str
    entry: Entry
    content_key: str = ""
    thresholds: tuple[Threshold, ...] = ()
    limits: Limits | None = None

    def record(self, **fields: Any) -> EntryRecord:  # noqa: ANN401 - fields of the record
        """Return a record of this entry."""
        entry = self.entry
        return EntryRecord(
            nodeid=self.nodeid,
            path=self.path,
            content_key=self.content_key,
            dataset_id=self.dataset_id,
            entry_id=entry.id,
            source=entry.source,
            reference=entry.reference,
            difficulty=entry.difficulty,
            provenance=entry.provenance,
            **fields,
        )


@dataclass(frozen=True)
class Translator:
    """A model, and what its translations are scored with; the same for all entries of a run.

    Attributes:
        system_prompt: Replaces the default one; empty leaves that.
        entry_thresholds: What each entry must reach to pass.
    """

    source: TextSource
    system_prompt: str
    metrics: MetricRegistry
    analyzer: Analyzer | None
    prices: PriceTable
    entry_thresholds: tuple[Threshold, ...] = ()

    async def aclose(self) -> None:
        """End the connection to the model, and the analyser."""
        await self.source.aclose()
        if self.analyzer is not None:
            self.analyzer.close()


async def translate(job: EntryJob, dataset: Dataset, translator: Translator) -> EntryRecord:
    """Translate an entry if there is money for it, score it, and return its record."""
    if job.limits is None:
        return await _translate(job, dataset, translator)
    try:
        await job.limits.check_cost()
    except BudgetReached as error:
        failure = _failure(error, error.failure_stage)
        return job.record(outcome="skipped", reason=str(error), failure=failure)
    record = await _translate(job, dataset, translator)
    await job.limits.add_cost(None if record.replay else record.cost_usd)
    return record


async def _translate(job: EntryJob, dataset: Dataset, translator: Translator) -> EntryRecord:
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    started = time.perf_counter()
    system = translator.system_prompt or translation_prompt(dataset)
    # What is known when a later step breaks is kept.
    fields: dict[str, Any] = {}
    try:
        reply = await translator.source.translate(job.entry.source, system)
        fields |= _scored(job, reply, translator)
        fields |= await _accepted(fields["predicted"], translator.analyzer)
        fields |= _passed(fields, (*translator.entry_thresholds, *job.thresholds))
    except InfraError as error:
        fields |= _broken(error)
    duration_ms = round((time.perf_counter() - started) * 1000, 3)
    return job.record(started_at=started_at, duration_ms=duration_ms, **fields)


def _scored(job: EntryJob, reply: TextReply, translator: Translator) -> dict[str, Any]:
    predicted = reply.text.strip()
    if not predicted:
        why = f": {reply.refusal}" if reply.refusal else ""
        raise InfraError(
            f"{translator.source.slug} answered nothing{why}",
            failure_stage="empty_output",
            retryable=False,
        )
    scores = translator.metrics.entry_scores(predicted, job.entry.reference)
    return {
        "predicted": predicted,
        "scores": scores,
        "exact_match": exact_match(predicted, job.entry.reference),
        "entry_chrf": scores.get("entry_chrf") or 0.0,
        "latency_seconds": None if reply.replay == "fast" else round(reply.latency_s, 6),
        "replay": reply.replay,
        "usage": reply.usage,
        "model_id": reply.model_id,
        "cost_usd": _cost(reply, translator),
    }


def _cost(reply: TextReply, translator: Translator) -> float | None:
    """Return what the API reported, else what the price table says."""
    if reply.cost_usd is not None:
        return reply.cost_usd
    return translator.prices.text_cost(reply.model_id or translator.source.slug, reply.usage)


async def _accepted(predicted: str, analyzer: Analyzer | None) -> dict[str, Any]:
    if analyzer is None:
        return {}
    acceptance = await asyncio.to_thread(analyzer.accept, predicted)
    return {"fst_accepted": acceptance.accepted, "fst_analysis": acceptance.analyses}


def _passed(fields: dict[str, Any], thresholds: Sequence[Threshold]) -> dict[str, Any]:
    """Return outcome and verdicts: a translation passes unless an entry threshold says no."""
    if not thresholds:
        return {"outcome": "passed"}
    measured = {**fields["scores"], **fields}
    verdicts = tuple(_verdict(threshold, measured) for threshold in thresholds)
    failed = [verdict.rationale for verdict in verdicts if verdict.status == "fail"]
    outcome = "failed" if failed else "passed"
    return {"outcome": outcome, "reason": "; ".join(failed), "verdicts": verdicts}


def _verdict(threshold: Threshold, measured: dict[str, Any]) -> Verdict:
    result = evaluate(threshold, measured, "the scores of an entry")
    verdict = Verdict(
        grader_id=threshold.name,
        type="threshold",
        status="pass" if result.met else "fail",
        rationale=str(result),
        criteria=str(threshold),
        expected=threshold.limit,
        actual=result.value,
    )
    if measured["replay"] == "fast" and is_timing(threshold):
        return verdict.model_copy(update={"status": "not_applicable", "rationale": NO_LATENCIES})
    return verdict


def _broken(error: InfraError) -> dict[str, Any]:
    failure = _failure(error, error.failure_stage, fatal=error.fatal)
    return {"outcome": "infra_error", "reason": str(error), "failure": failure}


def _failure(error: Exception, stage: str, *, fatal: bool = False) -> Failure:
    return Failure(stage=stage, error_type=type(error).__name__, message=str(error), fatal=fatal)
