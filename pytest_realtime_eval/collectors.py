"""Files to items: simulations, indexes of simulations, datasets."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import pytest

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.items import (
    EntryItem,
    EvalItem,
    SimulationItem,
    mark_name,
    play_simulation,
    translate_entry,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _pytest._code.code import ExceptionInfo, TerminalRepr

    from pytest_realtime_eval.options import Options
    from pytest_realtime_eval.schemas.dataset import Entry
    from pytest_realtime_eval.schemas.index import IndexRow

#: What a recording says of itself: nobody's item, whatever words are in it.
CASSETTE_HEADER: Final = "cassette.json"
COLLECTION_KEY: Final = pytest.StashKey["EvalCollection"]()


class EvalCollection:
    """What a process has to know of all files while it collects them.

    Attributes:
        options: The run's settings.
        named: Files that stand on the command line.
    """

    def __init__(self, options: Options, named: frozenset[Path]) -> None:
        self.options = options
        self.named = named
        self._places: dict[tuple[str, str], Path] = {}
        self._collectors: dict[Path, SimulationFile] = {}
        self._broken_files = 0

    def claims(self, path: Path) -> bool:
        """Whether a file is looked at: in an eval folder, or named on the command line."""
        return path in self.named or any(path.is_relative_to(p) for p in self.options.paths)

    def collector(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Return what collects a file, or ``None`` when it is nobody's."""
        if not self.claims(path) or path.name == CASSETTE_HEADER:
            return None
        if is_simulation_name(path):
            return SimulationFile.from_parent(parent, path=path)
        if path.suffix == ".csv":
            from pytest_realtime_eval.schemas.index import is_index

            return IndexFile.from_parent(parent, path=path) if is_index(path) else None
        # A JSON Schema of datasets speaks of entries and has none.
        if path.suffix == ".json" and not path.name.endswith(".schema.json"):
            from pytest_realtime_eval.schemas.dataset import may_be_dataset
            from pytest_realtime_eval.schemas.document import read_bytes

            # One that cannot be read is reported where it is collected.
            with contextlib.suppress(FileError):
                if not may_be_dataset(read_bytes(path)):
                    return None
            if path.is_file():
                return DatasetFile.from_parent(parent, path=path)
        return None

    def finds_by_name(self, path: Path) -> bool:
        """Whether pytest itself will find a simulation while it walks the eval folders."""
        return is_simulation_name(path) and self.claims(path)

    def settle_id(self, name: str, path: Path, place: str) -> None:
        """Note whose an id is.

        Raises:
            FileError: Another file has the id, in any case of letters.
        """
        owner = self._places.setdefault((place, name.casefold()), path)
        if owner != path:
            problem = f"{name!r} is the id of {owner} too; ids name the run's files"
            raise FileError(path, problem, place)

    def is_collected_by(self, collector: SimulationFile) -> bool:
        """Whether a simulation is this collector's, and not that of one that came before."""
        return self._collectors.setdefault(collector.path.resolve(), collector) is collector

    def count_broken_file(self) -> None:
        """Take note of a file that cannot be used."""
        self._broken_files += 1

    def row_of(self, simulation: Path) -> IndexRow | None:
        """Return the index row of a simulation, if an index has one."""
        return self._rows.get(simulation.resolve())

    @cached_property
    def _rows(self) -> dict[Path, IndexRow]:
        """Rows by simulation: of the index that was named, else of those in eval folders."""
        return {
            row.path.resolve(): row
            for index in self._indexes()
            for row in _rows_of(index, self.options.rootdir)
        }

    def _indexes(self) -> Iterator[Path]:
        named = self.options.path("data_csv")
        if named is not None:
            yield named
            return
        for folder in self.options.paths:
            if folder.is_dir():
                yield from sorted(folder.rglob("*.csv"))
        # Later rows replace earlier ones.
        yield from sorted(path for path in self.named if path.suffix == ".csv")

    def beyond_max_examples(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """Return what is behind the first ``--eval-max-examples``.

        Simulations are counted together, entries in each file.
        """
        limit = self.options.get("max_examples")
        if limit is None:
            return []
        groups: dict[object, list[pytest.Item]] = {}
        for item in items:
            if isinstance(item, EvalItem) and item.get_closest_marker("skip") is None:
                group = item.path if isinstance(item, EntryItem) else SimulationItem
                groups.setdefault(group, []).append(item)
        return [item for group in groups.values() for item in group[limit:]]

    def go_on_without_broken_files(self, session: pytest.Session) -> None:
        """Let the other items run when nothing but files of evals could not be collected.

        pytest stops at any collection error unless told to go on; a broken file is one
        item lost, and the exit status is 1 all the same.
        """
        if session.testsfailed and session.testsfailed == self._broken_files:
            session.config.option.continue_on_collection_errors = True

    def is_left_out(self, simulation: Path) -> bool:
        """Whether ``--eval-data-csv`` names an index that does not list the simulation."""
        return self.options.path("data_csv") is not None and self.row_of(simulation) is None


def _rows_of(index: Path, root: Path) -> tuple[IndexRow, ...]:
    """Return an index's rows; what is wrong with it is reported where it is collected."""
    from pytest_realtime_eval.schemas.index import is_index, read_index

    try:
        return read_index(index, root).rows if is_index(index) else ()
    except FileError:
        return ()


def is_simulation_name(path: Path) -> bool:
    """Whether a file is a simulation by its name: ``sim_*.json``."""
    return path.name.startswith("sim_") and path.suffix == ".json"


class EvalCollector(pytest.Collector):
    """Collects what users wrote; what is wrong with it is shown as its message alone."""

    @property
    def collection(self) -> EvalCollection:
        """What this process knows of all files."""
        return self.config.stash[COLLECTION_KEY]

    # pytest narrows the signature of Node's method in the same way.
    def repr_failure(  # type: ignore[override]
        self, excinfo: ExceptionInfo[BaseException]
    ) -> str | TerminalRepr:
        """Show the project's own errors as their message, without a traceback."""
        if isinstance(excinfo.value, FileError):
            self.collection.count_broken_file()
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class EvalFile(EvalCollector, pytest.File):
    """A file of evals."""


class SimulationFile(EvalFile):
    """One simulation file: one item."""

    def collect(self) -> Iterator[pytest.Item]:
        """Validate the file and all that it names, and yield its item.

        Raises:
            FileError: Something is wrong with it.
        """
        from pytest_realtime_eval.conversation.setup import resolve
        from pytest_realtime_eval.schemas.simulation import load_simulation

        collection = self.collection
        if collection.is_left_out(self.path) or not collection.is_collected_by(self):
            return
        simulation = load_simulation(self.path)
        self.collection.settle_id(simulation.simulation_id, self.path, "$.simulation_id")
        row = self.collection.row_of(self.path)
        setup = resolve(
            simulation, self.path, self.collection.options, row.max_turns_override if row else 0
        )
        _register_tags(self.config, simulation.tags)
        item = SimulationItem.from_parent(
            self, name=simulation.simulation_id, callobj=play_simulation, conversation=setup
        )
        if row is not None and not row.enabled:
            item.add_marker(pytest.mark.skip(reason=row.notes or f"disabled in {row.index.name}"))
        yield item


class IndexFile(EvalCollector):
    """An index: collects the simulations that pytest does not find by their own names.

    No `pytest.File`: those in which nothing failed are passed over by ``--lf``, and what
    fails stands in the files that an index names.
    """

    @classmethod
    def from_parent(  # type: ignore[override]  # narrowed, as pytest's own nodes do
        cls, parent: pytest.Collector, *, path: Path
    ) -> Self:
        """Return the collector of an index, with a file's id."""
        folder = "" if parent.nodeid in ("", ".") else f"{parent.nodeid}/"
        nodeid = f"{folder}{path.name}"
        made: Self = super().from_parent(parent, name=path.name, path=path, nodeid=nodeid)
        return made

    def collect(self) -> Iterator[pytest.Collector]:
        """Yield a collector for each row whose file is not collected anyway.

        Raises:
            FileError: The index cannot be read.
        """
        from pytest_realtime_eval.schemas.index import read_index

        index = read_index(self.path, self.collection.options.rootdir)
        alone = self.path in self.collection.named
        for row in index.rows:
            if alone or not self.collection.finds_by_name(row.path):
                yield SimulationFile.from_parent(self, path=row.path)
        for problem in index.problems:
            yield BrokenRow.from_parent(self, name=problem.place, problem=problem)


class BrokenRow(EvalCollector):
    """A row of an index that cannot be used."""

    def __init__(self, *, problem: FileError, **kwargs: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**kwargs)
        self._problem = problem

    def collect(self) -> Iterator[pytest.Item]:
        """Say what is wrong.

        Raises:
            FileError: Always.
        """
        raise self._problem


class DatasetFile(EvalFile):
    """One dataset: an item for each entry."""

    def collect(self) -> Iterator[pytest.Item]:
        """Check the dataset and yield its entries.

        Raises:
            FileError: Something is wrong with it.
        """
        from pytest_realtime_eval.schemas.dataset import load_dataset
        from pytest_realtime_eval.thresholds import is_entry_threshold, parse_thresholds

        dataset = load_dataset(self.path)
        self.collection.settle_id(dataset.id, self.path, "dataset id")
        thresholds = tuple(
            filter(is_entry_threshold, parse_thresholds(dataset.thresholds, dataset.id))
        )
        marks = _Marks(self.config, dataset.id)
        fixtures = None
        for entry in dataset.entries:
            item = EntryItem.from_parent(
                self,
                name=entry.id,
                callobj=translate_entry,
                fixtureinfo=fixtures,
                dataset=dataset,
                entry=entry,
                thresholds=thresholds,
            )
            # All entries ask for the same fixtures: looked up once, as parametrize does.
            fixtures = item._fixtureinfo
            for mark in marks.of(entry):
                item.add_marker(mark)
            yield item


class _Marks:
    """The marks of a dataset's entries; each is made and registered once."""

    def __init__(self, config: pytest.Config, dataset_id: str) -> None:
        self._config = config
        self._made: dict[str, pytest.MarkDecorator] = {}
        self._common = [pytest.mark.dataset, *self._named(dataset_id)]

    def of(self, entry: Entry) -> list[pytest.MarkDecorator]:
        """Return the marks of an entry: dataset, its id, difficulty and provenance."""
        return [*self._common, *self._named(entry.difficulty), *self._named(entry.provenance)]

    def _named(self, name: str) -> list[pytest.MarkDecorator]:
        if not name:
            return []
        if name not in self._made:
            word = mark_name(name)
            self._config.addinivalue_line("markers", f"{word}: of a dataset")
            self._made[name] = getattr(pytest.mark, word)
        return [self._made[name]]


def _register_tags(config: pytest.Config, tags: list[str]) -> None:
    """Make a file's tags known marks, so that --strict-markers accepts them."""
    for tag in tags:
        config.addinivalue_line("markers", f"{mark_name(tag)}: tag of a simulation")
