from __future__ import annotations

import gc
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.schemas.dataset import (
    is_dataset,
    load_dataset,
    may_be_dataset,
    parse_dataset,
)

DATA = Path(__file__).parents[1] / "data" / "datasets"


def write(folder: Path, data: object) -> Path:
    path = folder / "set.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def shape1(**changes: object) -> dict[str, Any]:
    entry = {"index": 1, "source_text": "Hello", "target_expected": "Hola"}
    return {"dataset": {"id": "d"}, "entries": [{**entry, **changes}]}


def test_shape_1_loads() -> None:
    dataset = load_dataset(DATA / "shape1.json")
    assert (dataset.id, dataset.version) == ("kitchen-dev-v1", "1.0")
    assert dataset.language_pair == "EN→ES"
    assert (dataset.source_language, dataset.target_language) == ("English", "Spanish")
    assert [entry.id for entry in dataset.entries] == ["1", "2", "3"]
    assert [entry.difficulty for entry in dataset.entries] == ["easy", "medium", "hard"]
    assert dataset.entries[2].reference == "Lo habría cocinado si se lo hubieras pedido."
    assert dataset.entries[2].provenance == "textbook"
    assert dataset.entries[2].metadata == {"provenance": "textbook", "notes": "conditional"}
    assert dataset.entry("2").source == "Where are the plates?"


def test_shape_2_loads_and_keeps_numbers_as_written() -> None:
    dataset = load_dataset(DATA / "shape2.json")
    first = dataset.entries[0]
    assert (first.id, first.written_id) == ("10", 10)
    assert (first.difficulty, first.written_difficulty) == ("1", 1)
    assert first.provenance == "gold_standard"
    assert first.metadata["register"] == "neutral"


def test_shape_3_loads() -> None:
    dataset = load_dataset(DATA / "shape3.json")
    assert dataset.id == "market-eng-deu-dev"
    assert dataset.language_pair == "eng→deu"
    assert (dataset.source_language, dataset.target_language) == ("English", "German")
    last = dataset.entries[2]
    assert (last.id, last.difficulty, last.provenance) == ("m_003", "3", "phrasebook")
    assert last.metadata["provenance"]["source_id"] == "88"
    assert last.metadata["domain"] == "smalltalk"


def test_the_hash_is_of_the_files_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, shape1())
    content = path.read_bytes() + b"\n"
    path.write_bytes(content)
    assert load_dataset(path).sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("pair", "languages"),
    [
        ("EN→CRK", ("EN", "CRK")),
        ("eng-spa", ("eng", "spa")),
        ({"source": "eng", "target": "spa"}, ("eng", "spa")),
        ("English to Cree", ("", "")),
        (None, ("", "")),
    ],
)
def test_languages_come_from_the_pair_when_nothing_names_them(
    tmp_path: Path, pair: object, languages: tuple[str, str]
) -> None:
    data = shape1()
    data["dataset"]["language_pair"] = pair
    dataset = load_dataset(write(tmp_path, data))
    assert (dataset.source_language, dataset.target_language) == languages


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_text": "  "}, r"\$\.entries\[0\] \(id 1\): 'source_text' is empty"),
        ({"target_expected": ""}, r"\(id 1\): 'target_expected' is empty"),
        ({"target_expected": None}, r"'reference' \(or 'target_expected'\) is missing"),
        ({"source_text": 3}, "is not a string"),
        ({"index": None}, "needs an 'id' or an 'index'"),
        ({"index": True}, "must be a string or a whole number"),
        ({"id": "a\nb"}, "must be printable"),
        ({"difficulty": [1]}, "'difficulty' must be a string or a number"),
        ({"provenance": True}, "'provenance' must be"),
        ({"target_expected": "\ud83d"}, "half a surrogate pair"),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path, shape1(**changes))
    with pytest.raises(FileError, match=message) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], r"\$: must hold a JSON object"),
        ({"entries": []}, "needs a 'dataset' object"),
        ({"dataset": "d", "entries": []}, r"\$\.dataset: needs a 'dataset' object"),
        ({"dataset": {}, "entries": []}, r"\$\.dataset\.id: is required"),
        ({"corpus_id": "../up", "entries": []}, r"\$\.corpus_id: names files"),
        ({"dataset": {"id": "d"}, "entries": []}, r"\$\.entries: holds no entries"),
        ({"dataset": {"id": "d"}, "entries": {}}, r"\$\.entries: must be a list"),
        ({"dataset": {"id": "d", "language_pair": 3}, "entries": []}, "must be a string or an"),
        ({"dataset": {"id": "d"}, "entries": ["x"]}, r"\$\.entries\[0\]: must be a JSON object"),
        (shape1() | {"entry_count": 2}, r"\$\.entry_count: says 2, but there are 1 entries"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, data: object, message: str) -> None:
    with pytest.raises(FileError, match=message):
        load_dataset(write(tmp_path, data))


def test_duplicate_ids_name_both_entries(tmp_path: Path) -> None:
    data = shape1()
    data["entries"].append({"id": "1", "source": "Bye", "reference": "Adiós"})
    with pytest.raises(FileError, match=r"entries\[1\].*'1' is taken by \$\.entries\[0\]"):
        load_dataset(write(tmp_path, data))


def test_many_problems_stand_in_one_message_of_bounded_length(tmp_path: Path) -> None:
    data = shape1()
    data["entries"] = [{"index": n} for n in range(50)]
    with pytest.raises(FileError) as caught:
        load_dataset(write(tmp_path, data))
    message = str(caught.value)
    assert message.count("also $.entries") == 9
    assert message.endswith("and 40 more")


def test_what_looks_like_a_dataset() -> None:
    assert may_be_dataset((DATA / "shape3.json").read_bytes())
    assert not may_be_dataset(b'{"tools": []}')
    assert is_dataset({"entries": None})
    assert not is_dataset(["entries"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "index", "source", "reference", "provenance", "language_pair"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    header=st.fixed_dictionaries(
        {"id": st.just("d") | json_values}, optional={"language_pair": json_values}
    ),
    entries=st.lists(json_values, max_size=4) | json_values,
)
@settings(max_examples=300, deadline=None)
def test_whatever_the_file_holds_it_loads_or_is_a_file_error(
    header: object, entries: object
) -> None:
    data = {"dataset": header, "entries": entries}
    try:
        dataset = parse_dataset(data, b"", Path("set.json"))
    except FileError:
        return
    assert isinstance(entries, list)
    assert len(dataset.entries) == len(entries)
    assert all(entry.source.strip() and entry.reference.strip() for entry in dataset.entries)


def test_ten_thousand_entries_are_cheap(tmp_path: Path) -> None:
    data = shape1()
    data["entries"] = [
        {
            "id": f"e{n}",
            "source": f"Sentence number {n}.",
            "reference": f"Frase número {n}.",
            "difficulty": n % 5 + 1,
            "provenance": {"source_name": "made", "source_id": str(n)},
        }
        for n in range(10_000)
    ]
    path = write(tmp_path, data)
    # What other tests left in memory is no cost of the dataset's.
    gc.freeze()
    try:
        before = time.process_time()
        assert len(load_dataset(path).entries) == 10_000
        taken = time.process_time() - before
    finally:
        gc.unfreeze()
    # Measured at 75 ms; the limit leaves room for a busy machine.
    assert taken < 0.5
