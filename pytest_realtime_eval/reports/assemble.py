"""A run's folder from its records: cards, table, summary, plots, page.

Records are all that is read, beside the datasets that they name; so a run can be assembled
again at any time, by whoever has its folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import ConfigurationError, FileError
from pytest_realtime_eval.reports.files import write_json
from pytest_realtime_eval.reports.plots import write_plots
from pytest_realtime_eval.reports.run_info import ThresholdCheck
from pytest_realtime_eval.reports.summary import summarise
from pytest_realtime_eval.reports.table import results_frame, write_csv
from pytest_realtime_eval.schemas.dataset import load_dataset
from pytest_realtime_eval.schemas.document import read_json
from pytest_realtime_eval.schemas.results import EntryRecord, SimulationRecord
from pytest_realtime_eval.text.prompts import translation_prompt
from pytest_realtime_eval.thresholds import (
    evaluate,
    is_entry_threshold,
    is_timing,
    parse_thresholds,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_realtime_eval.compare.comparison import Comparison
    from pytest_realtime_eval.metrics.registry import MetricRegistry
    from pytest_realtime_eval.reports.html import Baseline
    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.run_card.build import CardFacts
    from pytest_realtime_eval.schemas.dataset import Dataset
    from pytest_realtime_eval.schemas.results import AnyRecord
    from pytest_realtime_eval.thresholds import Threshold

#: Hold unless the user sets another limit for the same name: what broke is never
#: tolerated silently.
DEFAULT_THRESHOLDS: Final = ("infra_errors<=0", "judge_errors<=0")
#: The card of all simulations; those of datasets are named by the dataset's id.
_SUITE: Final = "simulations"
#: Configuration that a suite's card repeats.
_SHAPING: Final = (
    *("input_audio_format", "output_audio_format", "sample_rate_hz", "chunk_ms", "real_time"),
)


@dataclass(frozen=True)
class Assembly:
    """What was written, and what the run had to say to its thresholds.

    Attributes:
        info: The run, with dataset scores and checked thresholds filled in.
        cards: The run cards' files.
        problems: Thresholds that cannot be checked, and datasets that are gone.
        comparison: What changed against the baseline, when there is one.
    """

    summary: dict[str, Any]
    info: RunInfo
    cards: tuple[Path, ...]
    problems: tuple[str, ...]
    report: Path | None = None
    comparison: Comparison | None = None


@dataclass(frozen=True)
class AssemblySettings:
    """What shapes a run's folder beside its records.

    Attributes:
        rootdir: The paths in records start here.
        facts: What cards say of the run; prompt and elapsed time are filled in.
        system_prompt: What translations were asked with; empty for each dataset's default.
        keep_cards: Leave the run cards that are there as they are, and take scores from
            them: whoever makes a folder again need not have the metrics of its conftest.
        baseline: A run's folder or a run card that the run is compared with.
    """

    rootdir: Path
    facts: CardFacts
    metrics: MetricRegistry
    system_prompt: str = ""
    thresholds: tuple[Threshold, ...] = ()
    plots: bool = True
    report: bool = True
    keep_cards: bool = False
    baseline: Path | None = None


def assemble(records: Sequence[AnyRecord], info: RunInfo, settings: AssemblySettings) -> Assembly:
    """Write everything that a run leaves, and check its thresholds."""
    datasets, gone = _datasets(records, settings.rootdir)
    kept = _kept_cards(info.folder) if settings.keep_cards else {}
    problems = [problem for name, problem in gone.items() if name not in kept]
    cards = _cards(records, datasets, info, settings) | kept
    info = replace(info, dataset_scores=_dataset_scores(cards))
    frame = results_frame(records)
    summary = summarise(frame, records, info)
    comparison = _compared(records, cards, info, settings)
    summary["baseline"] = comparison.before if comparison else ""
    summary["regressions"] = len(comparison.regressions) if comparison else None
    checks, unknown = _check(records, datasets, summary, info, settings)
    info = replace(info, thresholds=checks)
    summary["thresholds"] = [
        {
            "threshold": c.expression,
            "value": c.value,
            "met": c.met,
            "place": c.place,
            "applies": c.applies,
        }
        for c in checks
    ]
    write_csv(frame, info.folder / "results.csv")
    paths = [
        _card_path(info.folder, name) if name in kept else _write_card(info.folder, name, card)
        for name, card in cards.items()
    ]
    if settings.plots:
        write_plots(frame, records, info.folder, info.dataset_scores)
    report = None
    if settings.report:
        from pytest_realtime_eval.reports.html import write_report

        report = write_report(
            records, summary, info, baseline=_baseline(comparison) if comparison else None
        )
    # Last: its presence marks the run as finished.
    write_json(info.folder / "summary.json", summary)
    return Assembly(summary, info, tuple(paths), (*problems, *unknown), report, comparison)


def _datasets(records: Sequence[AnyRecord], rootdir: Path) -> tuple[list[Dataset], dict[str, str]]:
    """Load the datasets that the records name; problems by the dataset's id."""
    places = {r.path: r.dataset_id for r in records if isinstance(r, EntryRecord)}
    found, problems = [], {}
    for path in sorted(places):
        try:
            found.append(load_dataset(rootdir / path))
        except FileError as error:
            problems[places[path]] = str(error)
    return found, problems


def _compared(
    records: Sequence[AnyRecord],
    cards: Mapping[str, Mapping[str, Any]],
    info: RunInfo,
    settings: AssemblySettings,
) -> Comparison | None:
    if settings.baseline is None:
        return None
    from pytest_realtime_eval.compare.comparison import compare
    from pytest_realtime_eval.compare.side import facts_of, load_side, side_of_run

    after = side_of_run(info.run_id, records, cards.values(), facts_of(info))
    return compare(load_side(settings.baseline), after, settings.metrics)


def _baseline(comparison: Comparison) -> Baseline:
    from pytest_realtime_eval.compare.show import baseline

    return baseline(comparison)


def _kept_cards(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: read_json(path) for path in sorted((folder / "run_cards").glob("*.json"))}


def _dataset_scores(cards: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {name: card["scores"] for name, card in cards.items() if name != _SUITE}


def _cards(
    records: Sequence[AnyRecord],
    datasets: Sequence[Dataset],
    info: RunInfo,
    settings: AssemblySettings,
) -> dict[str, dict[str, Any]]:
    """Return the run cards, by the name of their file."""
    from pytest_realtime_eval.run_card.build import build_dataset_card

    cards = {}
    for dataset in datasets:
        own = [r for r in records if isinstance(r, EntryRecord) and r.dataset_id == dataset.id]
        prompt = settings.system_prompt or translation_prompt(dataset)
        facts = replace(settings.facts, system_prompt=prompt)
        cards[dataset.id] = build_dataset_card(dataset, own, facts, settings.metrics)
    if simulations := [r for r in records if isinstance(r, SimulationRecord)]:
        cards[_SUITE] = _simulation_card(simulations, info, settings)
    return cards


def _simulation_card(
    records: Sequence[SimulationRecord], info: RunInfo, settings: AssemblySettings
) -> dict[str, Any]:
    from pytest_realtime_eval.run_card.build import build_simulation_card

    files: dict[str, str] = {}
    for record in records:
        files |= record.setup.get("files", {})
    prompts = {r.simulation_id: r.setup.get("instructions", "") for r in records}
    shaped_by = {name: info.configuration.get(name) for name in _SHAPING}
    config = {**settings.facts.config, **shaped_by}
    config |= {"api_provider": info.endpoint, "judge": info.judge or None}
    facts = replace(settings.facts, model_slug="", temperature=None, config=config)
    return build_simulation_card(records, facts, files, prompts)


def _write_card(folder: Path, name: str, card: dict[str, Any]) -> Path:
    path = _card_path(folder, name)
    write_json(path, card)
    return path


def _card_path(folder: Path, name: str) -> Path:
    return folder / "run_cards" / f"{name}.json"


def _check(
    records: Sequence[AnyRecord],
    datasets: Sequence[Dataset],
    summary: Mapping[str, Any],
    info: RunInfo,
    settings: AssemblySettings,
) -> tuple[tuple[ThresholdCheck, ...], list[str]]:
    """Hold the run's thresholds, and each file's own over what came of that file."""
    run = [t for t in settings.thresholds if not is_entry_threshold(t)]
    named = {threshold.name for threshold in run}
    run += [t for t in parse_thresholds(DEFAULT_THRESHOLDS, "default") if t.name not in named]
    checks, problems = _hold(run, summary, records)
    for place, own, thresholds in _of_files(records, datasets):
        scores = {id_: s for id_, s in info.dataset_scores.items() if id_ == place}
        part = summarise(results_frame(own), own, replace(info, dataset_scores=scores))
        more, wrong = _hold(thresholds, part, own)
        checks, problems = checks + more, problems + wrong
    return tuple(checks), problems


def _of_files(
    records: Sequence[AnyRecord], datasets: Sequence[Dataset]
) -> Iterable[tuple[str, Sequence[AnyRecord], list[Threshold]]]:
    """Yield each file that has thresholds of its own, with its records."""
    for record in records:
        if isinstance(record, SimulationRecord) and record.outcome != "skipped":
            name = record.simulation_id
            if thresholds := parse_thresholds(record.setup.get("thresholds", ()), name):
                yield name, [record], thresholds
    for dataset in datasets:
        thresholds = [
            threshold
            for threshold in parse_thresholds(dataset.thresholds, dataset.id)
            if not is_entry_threshold(threshold)
        ]
        if thresholds:
            own = [r for r in records if isinstance(r, EntryRecord) and r.dataset_id == dataset.id]
            yield dataset.id, own, thresholds


def _for_each_dataset(
    threshold: Threshold, summary: Mapping[str, Any], records: Sequence[AnyRecord]
) -> list[Threshold]:
    """Return a threshold over a score that each of several datasets has as one for each."""
    datasets = sorted({r.dataset_id for r in records if isinstance(r, EntryRecord)})
    names = [f"{dataset}_{threshold.name}" for dataset in datasets]
    if threshold.name in summary or not names or not all(name in summary for name in names):
        return [threshold]
    return [replace(threshold, name=name) for name in names]


def _hold(
    thresholds: Iterable[Threshold], summary: Mapping[str, Any], records: Sequence[AnyRecord]
) -> tuple[list[ThresholdCheck], list[str]]:
    checks, problems = [], []
    named = [each for one in thresholds for each in _for_each_dataset(one, summary, records)]
    replayed = any(record.replay == "fast" for record in records)
    for threshold in named:
        try:
            result = evaluate(threshold, summary)
        except ConfigurationError as error:
            problems.append(str(error))
        else:
            # Whatever ran live beside a replay is held to its latencies.
            applies = result.value is not None or not (replayed and is_timing(threshold))
            met = result.met or not applies
            place = threshold.place
            checks.append(ThresholdCheck(str(threshold), result.value, met, place, applies))
    return checks, problems
