"""One side of a comparison, whether it is known from a run's folder or from a run card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.schemas.results import AnyRecord, EntryRecord, SimulationRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: The group of all simulations; a dataset's entries are a group of the dataset's id.
SIMULATIONS: Final = "simulations"

#: Parts of a conversation's setup that stand in it by their hash too, or are compared apart.
_SETUP_LEFT_OUT: Final = {"files", "instructions", "thresholds"}
#: Of a suite these depend on which of its simulations ran; its files are compared instead.
_OF_SUBSET: Final = {"dataset_sha256", "system_prompt_sha256", "model_slug"}


@dataclass(frozen=True)
class Item:
    """A simulation or an entry, as a comparison sees it.

    Attributes:
        group: ``simulations``, or the id of the entry's dataset.
        grades: 1 or 0 by grader and turn; turn 0 is the whole conversation.
        latencies: Milliseconds by what was measured.
        setup: What it was played with, by name.
        source, reference, hypothesis: Of an entry; the hypothesis of a failed one is empty.
    """

    group: str
    name: str
    outcome: str
    reason: str = ""
    grades: Mapping[tuple[str, int], int] = field(default_factory=dict)
    latencies: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    setup: Mapping[str, str] = field(default_factory=dict)
    cost_usd: float | None = None
    source: str = ""
    reference: str = ""
    hypothesis: str | None = None
    fst_accepted: bool | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes two runs' items the same."""
        return self.group, self.name


@dataclass(frozen=True)
class Side:
    """A run, or what a run card tells of it.

    Attributes:
        name: The run's id.
        items: By key; skipped ones are left out.
        setups: What each group was made with (the fingerprint's components, hashes of
            files), by name.
    """

    name: str
    items: Mapping[tuple[str, str], Item]
    setups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def side_of_run(
    name: str,
    records: Iterable[AnyRecord],
    cards: Iterable[Mapping[str, Any]] = (),
    facts: Mapping[str, str] | None = None,
) -> Side:
    """Return a run's side.

    Args:
        name: The run's id.
        records: The run's records.
        cards: Its run cards, which hold the fingerprints.
        facts: What else the whole run was made with: endpoint, judge.
    """
    items = [_item(record) for record in records if record.outcome != "skipped"]
    setups = {_group_of(card): _card_setup(card) for card in cards}
    if facts:
        setups[""] = dict(facts)
    return Side(name, _by_key(items), setups)


def side_of_card(card: Mapping[str, Any], path: Path) -> Side:
    """Return the side that a run card tells of.

    Raises:
        FileError: It is no run card.
    """
    try:
        make = _played_row if card.get("kind") == SIMULATIONS else _entry_row
        group = _group_of(card)
        items = [make(group, row) for row in card["results"]]
        name = f"{card['run_id']}"
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(path, f"is no run card: {type(error).__name__}: {error}") from error
    return Side(name, _by_key(items), {group: _card_setup(card)})


def load_side(path: Path) -> Side:
    """Read a run's folder, or a run card.

    Raises:
        FileError: It is neither.
    """
    from pytest_realtime_eval.schemas.document import read_json

    if not path.is_dir():
        card = read_json(path)
        if not isinstance(card, Mapping):
            raise FileError(path, "must hold a run card, a JSON object", "$")
        return side_of_card(card, path)
    from pytest_realtime_eval.reports.stored import RECORDS, load_run

    cards = [read_json(card) for card in sorted((path / "run_cards").glob("*.json"))]
    if (path / RECORDS).is_file():
        run = load_run(path)
        return side_of_run(run.stored.run_id, run.records, cards, facts_of(run.stored))
    if not cards:
        raise FileError(path, f"is no run: it holds neither {RECORDS} nor run cards")
    return _joined(path.name, [side_of_card(card, path / "run_cards") for card in cards])


def facts_of(run: Any) -> dict[str, str]:  # noqa: ANN401 - a StoredRun or a RunInfo
    """Return what a whole run was made with, beside its cards."""
    return {"endpoint": run.endpoint, "judge": run.judge or "none"}


def _joined(name: str, sides: Sequence[Side]) -> Side:
    items = {key: item for side in sides for key, item in side.items.items()}
    setups = {group: setup for side in sides for group, setup in side.setups.items()}
    return Side(name, items, setups)


def _by_key(items: Iterable[Item]) -> dict[tuple[str, str], Item]:
    return {item.key: item for item in items}


def _item(record: AnyRecord) -> Item:
    if isinstance(record, EntryRecord):
        return _entry(record)
    return Item(
        group=SIMULATIONS,
        name=record.simulation_id,
        outcome=record.outcome,
        reason=record.reason,
        grades=_grades(verdict.model_dump() for verdict in record.verdicts),
        latencies=_latencies(record),
        setup=dict(_setup(record)),
        cost_usd=record.cost_usd,
    )


def _entry(record: EntryRecord) -> Item:
    broken = record.outcome in ("infra_error", "judge_error")
    known = record.latency_seconds is not None
    return Item(
        group=record.dataset_id,
        name=record.entry_id,
        outcome=record.outcome,
        reason=record.reason,
        latencies={"translation": ((record.latency_seconds or 0.0) * 1000,)} if known else {},
        cost_usd=record.cost_usd,
        source=record.source,
        reference=record.reference,
        hypothesis="" if broken and not record.predicted else record.predicted,
        fst_accepted=record.fst_accepted,
    )


def _grades(verdicts: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], int]:
    known = {"pass": 1, "fail": 0}
    return {
        (str(verdict["grader_id"]), verdict.get("turn_index") or 0): known[verdict["status"]]
        for verdict in verdicts
        if verdict["status"] in known
    }


_MEASURED: Final = {
    "first audio": "first_audio",
    "first text": "first_text",
    "response done": "response_done",
}


def _latencies(record: SimulationRecord) -> dict[str, tuple[float, ...]]:
    turns = record.transcript.turns if record.transcript else ()
    found = {
        title: tuple(value for t in turns if (value := getattr(t.latencies, name)) is not None)
        for title, name in _MEASURED.items()
    }
    return {title: values for title, values in found.items() if values}


def _setup(record: SimulationRecord) -> Iterator[tuple[str, str]]:
    named = {**record.setup}
    named["assistant_model"] = record.assistant_model or named.get("assistant_model")
    named["simulator_model"] = record.simulator_model or named.get("simulator_model")
    for name, value in named.items():
        if name not in _SETUP_LEFT_OUT:
            yield name.removesuffix("_sha256"), str(value)
    yield from _judges(verdict.model_dump() for verdict in record.verdicts)


def _judges(verdicts: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for verdict in verdicts:
        if verdict.get("fingerprint"):
            judge = f"{verdict.get('model') or 'unnamed'} {verdict['fingerprint'][:8]}"
            yield f"judge of {verdict['grader_id']}", judge


def _group_of(card: Mapping[str, Any]) -> str:
    return SIMULATIONS if card.get("kind") == SIMULATIONS else str(card["dataset"]["id"])


def _card_setup(card: Mapping[str, Any]) -> dict[str, str]:
    components = dict(card["fingerprint"]["components"])
    if card.get("kind") != SIMULATIONS:
        return {name: str(value) for name, value in components.items()}
    left = {name: str(value) for name, value in components.items() if name not in _OF_SUBSET}
    files = card["dataset"].get("files") or {}
    return left | {f"file {path}": str(digest) for path, digest in files.items()}


def _entry_row(group: str, row: Mapping[str, Any]) -> Item:
    from pytest_realtime_eval.run_card.scores import hypothesis_of

    latency, error = row.get("latency_seconds"), row.get("error")
    return Item(
        group=group,
        name=str(row["entry_id"]),
        outcome="passed" if error is None else "infra_error",
        reason=str(error or ""),
        latencies={} if latency is None else {"translation": (latency * 1000,)},
        cost_usd=row.get("cost_usd"),
        source=str(row["source"]),
        reference=str(row["reference"]),
        hypothesis=hypothesis_of(row),
        fst_accepted=row.get("fst_accepted"),
    )


def _played_row(group: str, row: Mapping[str, Any]) -> Item:
    measured = {
        "first audio": "latency_first_audio_ms",
        "response done": "latency_response_done_ms",
    }
    latencies = {
        title: tuple(turn[name] for turn in row["turns"] if turn.get(name) is not None)
        for title, name in measured.items()
    }
    models = {
        name: str(row[name]) for name in ("assistant_model", "simulator_model") if row.get(name)
    }
    return Item(
        group=group,
        name=str(row["simulation_id"]),
        outcome=str(row["outcome"]),
        reason=str(row.get("reason") or ""),
        grades=_grades(row["verdicts"]),
        latencies={title: values for title, values in latencies.items() if values},
        setup=models | dict(_judges(row["verdicts"])),
        cost_usd=row.get("cost_usd"),
    )
