"""From options and environment to what runs and reports are made with."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pytest_realtime_eval.conversation.setup import DEFAULT_MODEL, PCM_RATE_HZ
from pytest_realtime_eval.endpoints import EMBEDDED_MODELS, endpoint_name, judge_name, text_model
from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.reports.assemble import AssemblySettings
from pytest_realtime_eval.reports.run_info import RunInfo
from pytest_realtime_eval.run_card.build import CardFacts
from pytest_realtime_eval.schemas.document import read_text
from pytest_realtime_eval.thresholds import is_entry_threshold, parse_thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_realtime_eval.execution.identity import RunIdentity
    from pytest_realtime_eval.execution.translate import Translator
    from pytest_realtime_eval.metrics.fst import Analyzer
    from pytest_realtime_eval.metrics.registry import MetricRegistry
    from pytest_realtime_eval.options import Options
    from pytest_realtime_eval.schemas.stored_run import StoredRun
    from pytest_realtime_eval.text.client import Gate
    from pytest_realtime_eval.text.sources import TextSource
    from pytest_realtime_eval.thresholds import Threshold


class MetricsHook(Protocol):
    """The part of pytest's hook relay through which users register metrics."""

    def pytest_realtime_eval_metrics(self, *, registry: MetricRegistry) -> object:
        """Register metrics."""


def metrics_of(hook: MetricsHook) -> MetricRegistry:
    """Return the run's metrics: the project's own and the users'."""
    from pytest_realtime_eval.metrics.registry import MetricRegistry

    registry = MetricRegistry()
    hook.pytest_realtime_eval_metrics(registry=registry)
    return registry


def system_prompt(options: Options) -> str:
    """Return the system prompt that a file names for translations; empty for the default.

    Raises:
        FileError: The file cannot be read.
    """
    path = options.path("assistant_system_prompt_file")
    return "" if path is None else read_text(path).strip()


def build_translator(
    options: Options,
    identity: RunIdentity,
    metrics: MetricRegistry,
    environ: Mapping[str, str],
    gate: Gate | None = None,
) -> Translator:
    """Return the model that translates, and what its translations are scored with."""
    from pytest_realtime_eval.execution.entry_cassettes import DeferredSource
    from pytest_realtime_eval.execution.translate import Translator
    from pytest_realtime_eval.pricing import load_prices

    open_ = partial(open_text_source, options, identity, environ, gate)
    deferred = options.replays or options.get("record") != "none"
    return Translator(
        source=DeferredSource(text_model(options, environ), open_) if deferred else open_(),
        system_prompt=system_prompt(options),
        metrics=metrics,
        analyzer=_analyzer(options),
        prices=load_prices(options.path("price_file")),
        entry_thresholds=entry_thresholds(options),
    )


def open_text_source(
    options: Options,
    identity: RunIdentity,
    environ: Mapping[str, str],
    gate: Gate | None = None,
) -> TextSource:
    """Return the source of translations; starts the embedded endpoint if it is that."""
    from pytest_realtime_eval.text.sources import text_source

    get = options.get
    model = text_model(options, environ)
    if model.startswith("callable:") and str(options.rootdir) not in sys.path:
        # As `python -m pytest` does it: a module beside the evals need not be installed.
        sys.path.append(str(options.rootdir))
    open_ = partial(
        text_source,
        model,
        environ=environ,
        base_url=get("base_url"),
        temperature=get("temperature"),
        max_tokens=get("max_tokens"),
        batch_size=get("batch_size"),
        timeout_s=get("response_timeout"),
        gate=gate,
    )
    if model != "embedded":
        return open_()
    from pytest_realtime_eval.endpoints import embedded_endpoint
    from pytest_realtime_eval.execution.embedded import EmbeddedSource
    from pytest_realtime_eval.text.client import Retries

    return EmbeddedSource(
        embedded_endpoint(identity),
        # It is on this machine and never busy: if it is gone, that shows soon.
        lambda running: open_(
            embedded=(running.base_url, running.token), retries=Retries(attempts=2)
        ),
    )


def _analyzer(options: Options) -> Analyzer | None:
    if not (spec := options.get("fst_analyzer")):
        return None
    from pytest_realtime_eval.metrics.fst import open_analyzer

    return open_analyzer(spec)


def run_thresholds(options: Options) -> tuple[Threshold, ...]:
    """Return the thresholds of command line and ini; the command line wins for a name."""
    named = parse_thresholds(options.command_line.get("threshold", ()), "command line")
    names = {threshold.name for threshold in named}
    written = parse_thresholds(options.ini.get("threshold", ()), "ini")
    return (*named, *(threshold for threshold in written if threshold.name not in names))


def entry_thresholds(options: Options) -> tuple[Threshold, ...]:
    """Return the thresholds that each entry has to reach by itself."""
    return tuple(filter(is_entry_threshold, run_thresholds(options)))


def run_info(
    options: Options, identity: RunIdentity, elapsed: float, environ: Mapping[str, str]
) -> RunInfo:
    """Return what the reports say of a run beside its records."""
    from pytest_realtime_eval.run_card.build import environment

    get = options.get
    assistant = options.assistant_model or DEFAULT_MODEL
    simulator = get("simulator_model") or DEFAULT_MODEL
    if endpoint_name(options, environ) == "embedded":
        # The stand-in answers under its own names, whatever is asked for.
        assistant, simulator = EMBEDDED_MODELS
    return RunInfo(
        run_id=identity.run_id,
        folder=identity.path,
        run_name=get("run_name") or identity.run_id,
        started_at=identity.started_at,
        elapsed_seconds=round(elapsed, 3),
        endpoint=endpoint_name(options, environ),
        judge=judge_name(options, environ),
        environment=environment(),
        configuration={
            "run_name": get("run_name") or identity.run_id,
            "assistant_model_default": assistant,
            "simulator_model_default": simulator,
            "input_audio_format": get("input_audio_format"),
            "output_audio_format": get("output_audio_format"),
            "chunk_ms": get("chunk_ms"),
            "sample_rate_hz": get("sample_rate_hz") or PCM_RATE_HZ,
            "real_time": get("real_time"),
            "data_csv": get("data_csv") or "",
        },
    )


def assembly_settings(
    metrics: MetricRegistry,
    options: Options,
    identity: RunIdentity,
    elapsed: float,
    environ: Mapping[str, str],
) -> AssemblySettings:
    """Return what shapes the run's folder beside its records."""
    get = options.get
    return AssemblySettings(
        rootdir=options.rootdir,
        facts=_card_facts(options, identity, elapsed, environ),
        metrics=metrics,
        system_prompt=system_prompt(options),
        thresholds=run_thresholds(options),
        plots=not get("skip_plots"),
        report=not get("skip_report"),
        baseline=baseline_path(options),
    )


def baseline_path(options: Options) -> Path | None:
    """Return the run or run card that the run is compared with.

    Raises:
        ConfigurationError: There is none of that name.
    """
    if not (named := options.get("baseline")):
        return None
    results = options.path("results_dir") or options.rootdir / "results"
    places: tuple[Path, ...] = (options.rootdir / named, results / named)
    for place in places:
        if (place / "records.jsonl").is_file() or (place / "run_cards").is_dir():
            return place
        if place.is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise ConfigurationError(
        f"--eval-baseline: no run and no run card {named!r}; looked at {looked}"
    )


def stored_run(
    options: Options, identity: RunIdentity, elapsed: float, environ: Mapping[str, str]
) -> StoredRun:
    """Return what run.json says of a run."""
    from pytest_realtime_eval.reports.stored import described

    return described(
        run_info(options, identity, elapsed, environ),
        _card_facts(options, identity, elapsed, environ),
        rootdir=options.rootdir,
        system_prompt=system_prompt(options),
        thresholds=run_thresholds(options),
    )


def _card_facts(
    options: Options, identity: RunIdentity, elapsed: float, environ: Mapping[str, str]
) -> CardFacts:
    model = text_model(options, environ)
    return CardFacts(
        model_slug=model,
        condition=options.get("condition"),
        started_at=identity.started_at,
        elapsed_seconds=round(elapsed, 3),
        temperature=options.get("temperature"),
        config=_card_config(options, model, environ),
        run_id=identity.uid,
    )


def _card_config(options: Options, model: str, environ: Mapping[str, str]) -> dict[str, Any]:
    from pytest_realtime_eval.text.sources import provider_of

    get = options.get
    return {
        "api_provider": provider_of(model, environ, get("base_url")),
        "max_tokens": get("max_tokens"),
        "batch_size": get("batch_size"),
        "concurrency": get("concurrency"),
        "max_examples": get("max_examples"),
        **({"replay": get("replay_pace")} if options.replays else {}),
    }
