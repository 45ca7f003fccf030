"""report.html: the run as one page that opens from disk, without a network.

Text of models and files reaches the page through Jinja2's autoescaping alone; scripts
and styles are only the two files beside the template, which the page's
Content-Security-Policy names by their hashes. So there are no style attributes: what is
drawn to scale is SVG.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, get_args
from urllib.parse import quote

from pytest_realtime_eval.conversation.files import ConversationFiles
from pytest_realtime_eval.reports import text
from pytest_realtime_eval.reports.diff import Piece, character_diff
from pytest_realtime_eval.reports.files import write_text
from pytest_realtime_eval.reports.plots import LATENCIES, charts, interval, own_metrics
from pytest_realtime_eval.reports.story import failed_turns
from pytest_realtime_eval.reports.summary import outcome_counts
from pytest_realtime_eval.reports.table import grader_ids, item_failure, results_frame
from pytest_realtime_eval.reports.timeline import (
    BAR_HEIGHT,
    Clip,
    Timeline,
    read_samples,
    timeline,
    waveform,
    write_stereo,
)
from pytest_realtime_eval.schemas.results import (
    AnyRecord,
    EntryRecord,
    Outcome,
    SimulationRecord,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import jinja2

    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.schemas.transcript import Failure, Transcript, Turn

#: The worst entries of each dataset are on the page; results.csv has all of them.
MOST_ENTRIES: Final = 300

#: A sign beside each colour, for those who do not see colours.
SIGNS: Final[dict[str, str]] = {
    "passed": "✓",
    "failed": "✗",
    "infra_error": "⚡",
    "judge_error": "?",
    "invalid_simulation": "!",
    "ungraded": "○",
    "skipped": "·",
    "pass": "✓",
    "fail": "✗",
    "not_applicable": "·",
    "error": "?",
}


@dataclass(frozen=True)
class Change:
    """Something that is not as it was in the baseline.

    Attributes:
        what: An item, a score, a latency.
        better: ``None`` when it is neither better nor worse.
    """

    what: str
    before: str
    after: str
    better: bool | None = None


@dataclass(frozen=True)
class Baseline:
    """What changed against another run."""

    run_id: str
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wave:
    """A clip as the page draws it: percentages of the call, and the waveform's path."""

    clip: Clip
    start: float
    width: float
    bars: int
    path: str


@dataclass(frozen=True)
class Conversation:
    """A simulation as the page shows it."""

    number: int
    record: SimulationRecord
    folder: Path
    stereo_path: str | None

    @cached_property
    def transcript(self) -> Transcript | None:
        """The conversation, when there was one."""
        return self.record.transcript

    @cached_property
    def turns(self) -> Sequence[Turn]:
        """The turns; none when the item ended before the first."""
        return self.transcript.turns if self.transcript else ()

    @cached_property
    def timeline(self) -> Timeline | None:
        """The call in time, when there is anything to hear."""
        return timeline(self.transcript) if self.transcript and self.turns else None

    @cached_property
    def failure(self) -> Failure | None:
        """What broke it."""
        return item_failure(self.record)

    @cached_property
    def failed_turns(self) -> set[int]:
        """The turns where it went wrong."""
        return failed_turns(self.record)

    def waves(self) -> Iterator[Wave]:
        """Yield the clips with their waveforms, read from the WAV files."""
        line = self.timeline
        for clip in line.clips if line else ():
            bars, path = waveform(*read_samples(self.folder / clip.path))
            start, end = (line.share(at) for at in (clip.start_ms, clip.end_ms)) if line else (0, 0)
            yield Wave(clip, start, round(end - start, 2), bars, path)

    def verdicts(self, turn_index: int | None) -> list[Verdict]:
        """Return the verdicts on a turn, or on the whole conversation."""
        return [v for v in self.record.verdicts if v.turn_index == turn_index]

    def graders(self, status: str) -> list[str]:
        """Return the graders that gave a verdict of this status."""
        found = [v.grader_id for v in self.record.verdicts if v.status == status]
        return list(dict.fromkeys(found))

    @cached_property
    def grades(self) -> list[int]:
        """All grades that were given."""
        return [v.grade for v in self.record.verdicts if v.grade is not None]

    @cached_property
    def latency(self) -> Mapping[str, float | None]:
        """Percentiles of the time to first audio, in ms."""
        import pandas as pd

        from pytest_realtime_eval.reports.summary import quantiles

        known = [turn.latencies.first_audio for turn in self.turns]
        return quantiles(pd.Series(known, dtype="Float64"))


@dataclass(frozen=True)
class ScoredEntry:
    """An entry with the difference of its output from its reference."""

    record: EntryRecord
    diff: list[Piece]


@dataclass(frozen=True)
class Dataset:
    """A dataset as the page shows it."""

    dataset_id: str
    entries: Sequence[EntryRecord]
    scores: Mapping[str, Any]

    @property
    def groups(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The scores by difficulty and by provenance, those that the run card has."""
        named = {"difficulty": "by_difficulty", "provenance": "by_provenance"}
        return [(name, self.scores[key]) for name, key in named.items() if self.scores.get(key)]

    @cached_property
    def own_scores(self) -> list[str]:
        """The names of the scores that the entries have beside the fixed ones."""
        names = (name for entry in self.entries for name in entry.scores)
        return [name for name in dict.fromkeys(names) if name not in {"entry_chrf", "exact_match"}]

    def worst(self) -> list[ScoredEntry]:
        """Return the entries with their differences, the lowest scores first."""
        ranked = sorted(self.entries, key=lambda entry: (entry.exact_match, entry.entry_chrf))
        return [
            ScoredEntry(entry, character_diff(entry.reference, entry.predicted))
            for entry in ranked[:MOST_ENTRIES]
        ]


@dataclass(frozen=True)
class Picture:
    """A plot, inlined."""

    title: str
    alt: str
    uri: str


@dataclass(frozen=True)
class Page:
    """All that the template is given."""

    info: RunInfo
    summary: Mapping[str, Any]
    records: Sequence[AnyRecord]
    pictures: Sequence[Picture]
    stereo: Mapping[str, str]
    baseline: Baseline | None = None
    latencies: Mapping[str, str] = field(default_factory=lambda: LATENCIES)

    @cached_property
    def conversations(self) -> list[Conversation]:
        """The simulations, numbered as they were recorded."""
        simulations = [r for r in self.records if isinstance(r, SimulationRecord)]
        return [
            Conversation(number, r, self.info.folder, self.stereo.get(r.simulation_id))
            for number, r in enumerate(simulations, start=1)
        ]

    @cached_property
    def datasets(self) -> list[Dataset]:
        """The datasets, in the order in which they were recorded."""
        found: dict[str, list[EntryRecord]] = defaultdict(list)
        for record in self.records:
            if isinstance(record, EntryRecord):
                found[record.dataset_id].append(record)
        scores = self.info.dataset_scores
        return [Dataset(name, entries, scores.get(name, {})) for name, entries in found.items()]

    @property
    def outcomes(self) -> list[tuple[Outcome, int]]:
        """The outcomes that occurred."""
        return [(name, count) for name, count in outcome_counts(self.records).items() if count]

    @property
    def graders(self) -> list[str]:
        """All graders of the run."""
        return grader_ids(self.records)

    @property
    def tags(self) -> list[str]:
        """All tags of the run's simulations."""
        return sorted({tag for c in self.conversations for tag in c.record.tags})

    @property
    def figures(self) -> dict[str, Any]:
        """The single values of summary.json; thresholds have a table of their own."""
        return {k: v for k, v in self.summary.items() if not isinstance(v, list | dict)}

    @property
    def hashes(self) -> list[tuple[str, str, str]]:
        """What conversations were set up with: file or part, SHA-256, whose it is."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for conversation in self.conversations:
            for what, digest in _hashes(conversation.record.setup):
                found[what, digest].append(conversation.record.simulation_id)
        return [(what, digest, _some(names)) for (what, digest), names in found.items()]


def _hashes(setup: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    files = setup.get("files")
    yield from files.items() if isinstance(files, Mapping) else ()
    for key, value in setup.items():
        if key.endswith("_sha256"):
            yield key.removesuffix("_sha256"), str(value)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} simulations"


def write_report(
    records: Sequence[AnyRecord],
    summary: Mapping[str, Any],
    info: RunInfo,
    *,
    baseline: Baseline | None = None,
    stereo: bool = True,
) -> Path:
    """Write ``report.html`` into the run's folder; returns its path.

    Args:
        records: The run's records.
        summary: The content of summary.json.
        info: The run; audio and plots are looked up below its folder.
        baseline: What changed, when the run was compared with another.
        stereo: Whether to write each call that is not there yet as
            ``audio/<simulation_id>/call.wav``, the caller left and the assistant right.
    """
    calls = _write_calls(records, info.folder) if stereo else {}
    path = info.folder / "report.html"
    write_text(path, render(records, summary, info, baseline=baseline, calls=calls))
    return path


def render(
    records: Sequence[AnyRecord],
    summary: Mapping[str, Any],
    info: RunInfo,
    *,
    baseline: Baseline | None = None,
    calls: Mapping[str, str] | None = None,
) -> str:
    """Return the page; ``calls`` are paths of whole calls by simulation id."""
    pictures = list(_pictures(records, info))
    page = Page(info, summary, records, pictures, calls or {}, baseline)
    style, script = asset("report.css"), asset("report.js")
    return template("report.html.j2").render(
        page=page,
        style=trusted(style),
        script=trusted(script),
        policy=policy(style, script),
        signs=SIGNS,
        outcomes=get_args(Outcome),
        bar_height=BAR_HEIGHT,
        most_entries=MOST_ENTRIES,
    )


def _write_calls(records: Sequence[AnyRecord], folder: Path) -> dict[str, str]:
    written: dict[str, str] = {}
    for record in records:
        if isinstance(record, SimulationRecord) and record.transcript:
            files = ConversationFiles(folder, record.simulation_id)
            if files.call.is_file() or write_stereo(
                timeline(record.transcript), folder, files.call
            ):
                written[record.simulation_id] = files.relative(files.call)
    return written


def _pictures(records: Sequence[AnyRecord], info: RunInfo) -> Iterator[Picture]:
    folder = info.folder / "plots"
    if not folder.is_dir():
        return
    for chart in charts(results_frame(records), records, info.dataset_scores):
        path = folder / f"{chart.name}.png"
        if path.is_file():
            encoded = base64.b64encode(path.read_bytes()).decode("ascii")
            yield Picture(chart.title, chart.alt, f"data:image/png;base64,{encoded}")


def template(name: str) -> jinja2.Template:
    """Return a template of this package, with the filters that pages need."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "dollars": text.dollars,
        "milliseconds": text.milliseconds,
        "percent": text.percent,
        "decimal": text.decimal,
        "seconds": text.seconds,
        "plural": text.plural,
        "words": lambda name: str(name).replace("_", " "),
        "json": _json,
        "json_lines": _json_lines,
        "link": _link,
        "interval": interval,
        "own_metrics": own_metrics,
    }
    return environment.get_template(name)


def asset(name: str) -> str:
    """Return a file that lies beside the templates."""
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")


def trusted(content: str) -> object:
    """Mark the content of an asset, and of nothing else, as HTML."""
    import markupsafe

    return markupsafe.Markup(content)  # noqa: S704 - files of this package


def policy(style: str, script: str = "") -> str:
    """Return the page's Content-Security-Policy; pages on disk are not ``'self'`` everywhere."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'" if script else "script-src 'none'",
            "img-src data:",
            "media-src 'self' file:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _json_lines(value: object) -> str:
    """Write each element of a list on a line of its own."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(map(_json, value)) or "[]"
    return _json(value)


def _link(path: str) -> str:
    """Return a relative URL. The colon is quoted too, so no path becomes a ``javascript:`` URL."""
    return quote(path.replace("\\", "/").lstrip("/"), safe="/")
