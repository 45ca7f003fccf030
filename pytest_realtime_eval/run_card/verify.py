"""Checking a card without trusting whoever made it.

Everything that can be computed again is: both hashes, the fingerprint's components, the
prompt's hash, each row's flags, every score, and with the dataset at hand its hash and
its texts.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.metrics.exact import exact_match
from pytest_realtime_eval.metrics.overlap import ChrF
from pytest_realtime_eval.metrics.registry import default_metrics
from pytest_realtime_eval.run_card.build import hash_files, suite_hash
from pytest_realtime_eval.run_card.hashing import (
    Convention,
    card_hash,
    fingerprint_hash,
    hash_convention,
    sha256_text,
)
from pytest_realtime_eval.run_card.scores import hypothesis_of, score_results, score_simulations
from pytest_realtime_eval.schemas.document import is_file
from pytest_realtime_eval.schemas.run_card import (
    FINGERPRINT_COMPONENTS,
    is_simulation_card,
    schema_problems,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.metrics.base import Metric
    from pytest_realtime_eval.schemas.dataset import Dataset

#: Cards round their scores, rates to four digits and chrF++ to two at the coarsest.
RATE_TOLERANCE: Final = 0.0001
SCORE_TOLERANCE: Final = 0.01
_ROWS_SHOWN: Final = 5


@dataclass(frozen=True)
class Verification:
    """What checking a card found.

    Attributes:
        problems: What does not hold, each with the card's value and the computed one.
        notes: What holds but is worth knowing, and what could not be checked.
        refusals: What a leaderboard of the field refuses although the card holds.
        convention: How the card's hash was made; ``None`` if it does not hold.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    refusals: tuple[str, ...]
    convention: Convention | None

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the card."""
        return not self.problems


class _Findings:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []

    def check(self, place: str, claimed: object, computed: object, why: str) -> None:
        """Add a problem when both differ."""
        if claimed != computed or isinstance(claimed, bool) is not isinstance(computed, bool):
            self.problems.append(f"{place} is {_show(claimed)}, but {why} {_show(computed)}")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def verify(
    card: object,
    dataset: Dataset | None = None,
    *,
    metrics: Iterable[Metric] | None = None,
    root: Path | None = None,
) -> Verification:
    """Check a card.

    Args:
        card: Parsed JSON.
        dataset: The dataset that the card says it is about, if it is at hand.
        metrics: Recompute the scores of these, beside chrF++, BLEU and exact match.
        root: Where the files of a simulation suite lie, if they are at hand.
    """
    if not isinstance(card, Mapping):
        return Verification(("the card is not a JSON object",), (), (), None)
    findings = _Findings()
    well_formed = _check_schema(card, findings)
    convention = _check_hash(card, findings)
    _check_fingerprint(card, findings)
    _check_prompt(card, findings)
    if well_formed:
        _check_content(card, dataset, list(metrics or default_metrics()), root, findings)
        refusals = tuple(refusals_of(card))
    else:
        findings.notes.append("scores were not recomputed, since the card is not well-formed")
        refusals = ()
    return Verification(tuple(findings.problems), tuple(findings.notes), refusals, convention)


def _check_schema(card: Mapping[str, Any], findings: _Findings) -> bool:
    problems = schema_problems(card)
    findings.problems += problems
    return not problems


def _check_hash(card: Mapping[str, Any], findings: _Findings) -> Convention | None:
    try:
        convention = hash_convention(card)
        computed = card_hash(card)
    except UnicodeEncodeError:
        findings.problems.append("the card holds half a surrogate pair, so it cannot be hashed")
        return None
    if convention is None:
        what = f"run_card_hash is {_show(card.get('run_card_hash'))}, but the card hashes to"
        findings.problems.append(f"{what} {_show(computed)}: the card was changed after hashing")
    elif convention == "omitted":
        findings.notes.append('the hash holds with run_card_hash left out instead of set to ""')
    return convention


def _check_fingerprint(card: Mapping[str, Any], findings: _Findings) -> None:
    fingerprint = card.get("fingerprint")
    components = fingerprint.get("components") if isinstance(fingerprint, Mapping) else None
    if not isinstance(fingerprint, Mapping) or not isinstance(components, Mapping):
        return  # the schema's check has said so
    try:
        computed = fingerprint_hash(components)
    except UnicodeEncodeError:
        return  # as the card's own hash
    findings.check("fingerprint.hash", fingerprint.get("hash"), computed, "its components give")
    extra = sorted(set(components) - set(FINGERPRINT_COMPONENTS))
    if extra:
        findings.problems.append(f"fingerprint.components has {extra}, which are no components")
    for name, place, value in _component_sources(card):
        if name in components and value is not ...:
            where = f"fingerprint.components.{name}"
            findings.check(where, components[name], value, f"{place} is")


def _component_sources(card: Mapping[str, Any]) -> list[tuple[str, str, object]]:
    """Return each component with the field of the card that it repeats; ``...`` if absent."""
    dataset, config = card.get("dataset"), card.get("config")
    sha256 = dataset.get("sha256", ...) if isinstance(dataset, Mapping) else ...
    temperature = config.get("temperature", ...) if isinstance(config, Mapping) else ...
    plain = ("model_slug", "condition", "system_prompt_sha256", "harness_version")
    return [
        ("dataset_sha256", "dataset.sha256", sha256),
        ("temperature", "config.temperature", temperature),
        *((name, name, card.get(name, ...)) for name in plain),
    ]


def _check_prompt(card: Mapping[str, Any], findings: _Findings) -> None:
    prompt = card.get("system_prompt_used")
    if not isinstance(prompt, str) or "system_prompt_sha256" not in card:
        return
    try:
        computed = sha256_text(prompt)
    except UnicodeEncodeError:
        return
    claimed = card["system_prompt_sha256"]
    findings.check("system_prompt_sha256", claimed, computed, "system_prompt_used hashes to")


def _check_content(
    card: Mapping[str, Any],
    dataset: Dataset | None,
    metrics: Sequence[Metric],
    root: Path | None,
    findings: _Findings,
) -> None:
    environment = card["environment"]["harness_version"]
    if environment != card["harness_version"]:
        findings.notes.append(f"environment.harness_version is {_show(environment)}")
    if is_simulation_card(card):
        _check_suite(card["dataset"], root, findings)
        _compare("scores", card["scores"], score_simulations(card["results"]), findings)
        return
    _check_rows(card["results"], findings)
    _check_scores(card, metrics, findings)
    _check_totals(card, findings)
    if dataset is None:
        findings.notes.append("the dataset was not at hand, so its hash and texts stand unchecked")
    else:
        _check_dataset(card, dataset, findings)


def _check_suite(block: Mapping[str, Any], root: Path | None, findings: _Findings) -> None:
    files = block.get("files") or {}
    findings.check("dataset.sha256", block["sha256"], suite_hash(files), "dataset.files give")
    if root is None:
        findings.notes.append("the suite's files were not at hand, so their hashes stand unchecked")
        return
    for name, claimed in files.items():
        path = root / name
        if not path.resolve().is_relative_to(root.resolve()):
            findings.problems.append(f"dataset.files: {name} lies outside the suite")
            continue
        if not is_file(path):
            findings.notes.append(f"dataset.files: {name} is not there, so it stands unchecked")
            continue
        computed = hash_files([path], path.parent)[path.name]
        findings.check(f"dataset.files.{name}", claimed, computed, "the file hashes to")


def _check_rows(rows: Sequence[Mapping[str, Any]], findings: _Findings) -> None:
    chrf = ChrF()
    wrong: list[str] = []
    seen: set[str] = set()
    for index, row in enumerate(rows):
        hypothesis, place = hypothesis_of(row), f"results[{index}] (entry {row['entry_id']!r})"
        if (name := str(row["entry_id"])) in seen:
            wrong.append(f"{place}: the entry stands twice")
        seen.add(name)
        matches = exact_match(hypothesis, row["reference"])
        if row["exact_match"] is not matches:
            wrong.append(
                f"{place}.exact_match is {row['exact_match']}, but the texts say {matches}"
            )
        computed = chrf.entry_score(hypothesis, row["reference"])
        if not _close(row["entry_chrf"], computed, SCORE_TOLERANCE):
            claim = f"{place}.entry_chrf is {row['entry_chrf']}"
            wrong.append(f"{claim}, but the texts give {computed:.6g}")
    findings.problems += wrong[:_ROWS_SHOWN]
    if len(wrong) > _ROWS_SHOWN:
        findings.problems.append(f"and {len(wrong) - _ROWS_SHOWN} more rows do not hold")


def _check_scores(card: Mapping[str, Any], metrics: Sequence[Metric], findings: _Findings) -> None:
    scores = card["scores"]
    signatures = card["config"].get("metrics")
    signatures = signatures if isinstance(signatures, Mapping) else {}
    for metric in metrics:
        claimed = signatures.get(metric.name, metric.signature)
        if claimed != metric.signature:
            what = f"{metric.name} was scored as {claimed}, and is recomputed as"
            findings.notes.append(f"{what} {metric.signature}")
    known = {metric.name for metric in metrics}
    if unknown := sorted(set(signatures) - known - {"fst_acceptance_rate"}):
        findings.notes.append(f"scores of {', '.join(unknown)} were not recomputed")
    with_intervals = any(key.endswith("_interval") for key in scores)
    used = [metric for metric in metrics if metric.name in scores]
    computed = score_results(card["results"], used, intervals=with_intervals)
    _compare("scores", scores, computed, findings)


def _compare(
    place: str, claimed: Mapping[str, Any], computed: Mapping[str, Any], findings: _Findings
) -> None:
    """Compare what both have; a group that only one has is a problem."""
    for key, value in computed.items():
        where, claim = f"{place}.{key}", claimed.get(key, ...)
        if claim is ...:
            continue
        if isinstance(value, Mapping) and isinstance(claim, Mapping):
            if key.startswith("by_") or key == "graders":
                findings.check(f"{where}: groups", sorted(claim), sorted(value), "results have")
            _compare(where, claim, value, findings)
        elif not _same(key, claim, value):
            findings.problems.append(f"{where} is {_show(claim)}, but results give {_show(value)}")


def _same(key: str, claimed: object, computed: object) -> bool:
    if isinstance(claimed, list) and isinstance(computed, list):
        pairs = zip(claimed, computed, strict=False)
        return len(claimed) == len(computed) and all(_same(key, *pair) for pair in pairs)
    if isinstance(claimed, float) or isinstance(computed, float):
        rate = "rate" in key or "mean" in key
        return _close(claimed, computed, RATE_TOLERANCE if rate else SCORE_TOLERANCE)
    return type(claimed) is type(computed) and claimed == computed


def _close(claimed: object, computed: object, tolerance: float) -> bool:
    numbers = [
        value
        for value in (claimed, computed)
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if len(numbers) < 2:
        return False
    return math.isclose(*numbers, rel_tol=0.0, abs_tol=tolerance)


def _check_totals(card: Mapping[str, Any], findings: _Findings) -> None:
    """Note token sums that differ: batches and retries may be counted in the totals only."""
    for name in ("prompt_tokens", "completion_tokens", "reasoning_tokens"):
        summed = sum(row["usage"].get(name, 0) for row in card["results"])
        if summed != card["totals"][name]:
            findings.notes.append(
                f"totals.{name} is {card['totals'][name]}, while the results sum to {summed}"
            )


def _check_dataset(card: Mapping[str, Any], dataset: Dataset, findings: _Findings) -> None:
    block = card["dataset"]
    for name in ("id", "version", "language_pair", "sha256"):
        why = f"{dataset.path.name} has"
        findings.check(f"dataset.{name}", block[name], getattr(dataset, name), why)
    count = len(dataset.entries)
    why = f"{dataset.path.name} has"
    findings.check("dataset.entry_count", block["entry_count"], count, why)
    entries = {entry.id: entry for entry in dataset.entries}
    wrong: list[str] = []
    for index, row in enumerate(card["results"]):
        place = f"results[{index}]"
        entry = entries.get(str(row["entry_id"]))
        if entry is None:
            near = difflib.get_close_matches(str(row["entry_id"]), entries, n=1)
            hint = f" (the nearest is {near[0]!r})" if near else ""
            wrong.append(f"{place}: the dataset has no entry {row['entry_id']!r}{hint}")
            continue
        for name in ("source", "reference"):
            if row[name] != getattr(entry, name):
                claim = f"{place}.{name} is {_show(row[name])}, but the dataset's entry"
                wrong.append(f"{claim} {entry.id!r} has {_show(getattr(entry, name))}")
    findings.problems += wrong[:_ROWS_SHOWN]
    if len(wrong) > _ROWS_SHOWN:
        findings.problems.append(
            f"and {len(wrong) - _ROWS_SHOWN} more rows differ from the dataset"
        )


def refusals_of(card: Mapping[str, Any]) -> list[str]:
    """Return what a leaderboard refuses in a card that holds."""
    total, count = card["scores"]["total"], card["dataset"]["entry_count"]
    refusals = [
        f"{name} is empty"
        for name in ("model_slug", "condition", "harness_version")
        if not card[name].strip()
    ]
    if is_simulation_card(card):
        return [*refusals, "leaderboards take cards of datasets, and this is one of simulations"]
    if total != count:
        refusals.append(f"scores.total is {total}, but the dataset has {count} entries")
    if not any(row["error"] is None for row in card["results"]):
        refusals.append("no entry was evaluated")
    return refusals
