"""Whatever a file or a server says: no exception but the project's own.

200 examples in the fast suite, 10,000 with ``-m slow``.
"""

from __future__ import annotations

import contextlib
import json
import sys
import wave
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import ProtocolError, RealtimeEvalError
from pytest_realtime_eval.realtime.audio import AudioFormat, read_wav
from pytest_realtime_eval.realtime.protocol import SessionProtocol
from pytest_realtime_eval.realtime.session import parse_event
from pytest_realtime_eval.reports.stored import read_records
from pytest_realtime_eval.run_card.verify import verify
from pytest_realtime_eval.schemas.dataset import is_dataset, load_dataset, may_be_dataset
from pytest_realtime_eval.schemas.index import is_index, read_index
from pytest_realtime_eval.schemas.simulation import load_simulation
from pytest_realtime_eval.schemas.tools import validate_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

#: Words of the formats, so that fuzz gets past the first check.
WORDS: Final = """
simulation_id scenario assistant simulator audio turns fixed_first_user_turn max_turns
tool_mocks name output outputs when error delay_ms expected_tool_call arguments graders
turn_level trace_level id type criteria tool_call tool_call_args llm_as_judge mentions values
from_tool_output path limit_ms max_latency_ms tags thresholds metadata x-free model voice tools
system_prompt input_format pcm16 sample_rate_hz chunk_ms real_time function parameters
properties object string description strict dataset version language_pair source_language
target_language entries index source_text target_expected source reference difficulty provenance
corpus_id entry_count segment kind nodeid outcome passed transcript entry_id dataset_id failure
stage run_id harness_version model_slug fingerprint components scores totals results
run_card_hash session response response_id item item_id output_index content_index delta
transcript call_id status completed usage output_token_details code message event_id audio/pcm
rate
""".split()  # noqa: SIM905 - a list would be as many lines
EVENTS: Final = """
session.created session.updated input_audio_buffer.committed conversation.item.added error
conversation.item.created response.created response.output_item.added response.output_item.done
response.content_part.added response.output_audio.delta response.audio.delta response.text.delta
response.output_audio_transcript.delta response.output_audio_transcript.done
response.output_text.delta response.output_text.done response.function_call_arguments.delta
response.function_call_arguments.done response.done
""".split()  # noqa: SIM905 - as above

NUMBERS: Final = (0, 1, -1, 0.5, -0.0, 1e308, 5e-324, float("inf"), float("-inf"), 2**63, 10**30)
TEXTS: Final = (
    "",
    " ",
    "\0",
    "\n",
    '"',
    "../x",
    "/",
    "é",
    "e\u0301",
    "\u202e",
    "\ud800",
    "1e999",
    "x" * 300,
)


class Choices:
    """Decisions by bytes, and by zeros when they have run out: small ones make simple values.

    hypothesis draws the bytes at once. Drawn one by one, what they decide would take ten
    times as long as what is tested.
    """

    def __init__(self, data: bytes) -> None:
        self._rest = iter(data)

    def below(self, limit: int) -> int:
        number = next(self._rest, 0)
        return (
            number if limit <= 256 else number << 16 | self.below(256) << 8 | self.below(256)
        ) % limit

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def text(self) -> str:
        match self.below(4):
            case 0 | 1:
                return self.one_of(WORDS)
            case 2:
                return self.one_of(TEXTS)
        # Surrogates too: JSON may hold them as escapes.
        return "".join(chr(self.below(sys.maxunicode + 1)) for _ in range(self.below(8)))

    def leaf(self) -> Any:  # noqa: ANN401 - JSON
        match self.below(8):
            case 0 | 1 | 2 as constant:
                return (None, False, True)[constant]
            case 3:
                return self.below(256) - 128
            case 4:
                return self.one_of(NUMBERS)
        return self.text()

    def value(self, depth: int = 4) -> Any:  # noqa: ANN401 - JSON
        match self.below(4) if depth else 0:
            case 2:
                return [self.value(depth - 1) for _ in range(self.below(5))]
            case 3:
                return {self.text(): self.value(depth - 1) for _ in range(self.below(6))}
        return self.leaf()

    def document(self, depth: int = 3) -> dict[str, Any]:
        return {self.one_of(WORDS): self.value(depth) for _ in range(self.below(9))}


#: More than most values use up.
choices = st.binary(min_size=48, max_size=160).map(Choices)
texts = choices.map(Choices.text)
values = choices.map(Choices.value)
documents = choices.map(Choices.document) | values


@contextlib.contextmanager
def no_foreign_exception() -> Any:  # noqa: ANN401 - a context manager
    """Let the project's own errors pass, which have to say something."""
    said = "nothing was wrong"
    try:
        yield
    except RealtimeEvalError as error:
        said = str(error)
    assert said.encode("utf-8", "backslashreplace")


def profile(examples: int) -> settings:
    """Return hypothesis' settings for that many examples."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@pytest.fixture(params=[200, pytest.param(10_000, marks=pytest.mark.slow)], ids=str)
def fuzz(request: pytest.FixtureRequest) -> Callable[[Any, st.SearchStrategy[Any]], None]:
    """Hand a check a few hundred examples of a strategy, or many."""

    def run(check: Any, strategy: st.SearchStrategy[Any]) -> None:  # noqa: ANN401 - any check
        profile(request.param)(given(strategy)(check))()

    return run


def changed(base: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a good document in which a value at some depth is something else."""

    def paths(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - JSON
        found = [so_far] if so_far else []
        items: Any = value.items() if isinstance(value, dict) else ()
        items = enumerate(value) if isinstance(value, list) else items
        for key, inner in items:
            found += paths(inner, (*so_far, key))
        return found

    def put(path: tuple[Any, ...], new: Any) -> Any:  # noqa: ANN401 - JSON
        copy = json.loads(json.dumps(base))
        target = copy
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = new
        return copy

    return st.builds(put, st.sampled_from(paths(base)), values)


SIMULATION: Final[dict[str, Any]] = {
    "simulation_id": "sim_x",
    "assistant": {"system_prompt": "Be kind.", "tools": [{"type": "function", "name": "f"}]},
    "turns": {"fixed_first_user_turn": "Hello", "max_turns": 3},
    "tool_mocks": [{"name": "f", "output": {"a": 1}, "when": {"b": 2}}],
    "expected_tool_call": {"name": "f", "arguments": {"b": 2}},
    "graders": {
        "turn_level": [{"id": "a", "type": "tool_call"}],
        "trace_level": [
            {
                "id": "b",
                "type": "mentions",
                "values": ["x", 3],
                "from_tool_output": [{"tool": "f"}],
            },
            {"id": "c", "criteria": "It is polite."},
            {"id": "d", "type": "max_latency_ms", "limit_ms": 3},
        ],
    },
    "tags": ["a"],
    "thresholds": ["pass_rate>=0.5"],
}
DATASET: Final[dict[str, Any]] = {
    "dataset": {"id": "d", "version": "1", "language_pair": "en-es", "provenance": ["x"]},
    "entries": [
        {"index": 1, "source_text": "a", "target_expected": "b", "difficulty": "easy"},
        {"id": "two", "source": "a", "reference": "b", "provenance": {"source_name": "s"}},
    ],
    "entry_count": 2,
}


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_simulations(fuzz: Any, tmp_path: Path) -> None:  # noqa: ANN401 - see the fixture
    def check(value: Any) -> None:  # noqa: ANN401 - JSON
        with no_foreign_exception():
            load_simulation(write(tmp_path / "sim_x.json", value))

    fuzz(check, documents | changed(SIMULATION))


def test_tools(fuzz: Any, tmp_path: Path) -> None:  # noqa: ANN401 - see the fixture
    def check(value: Any) -> None:  # noqa: ANN401 - JSON
        with no_foreign_exception():
            validate_tools(value, tmp_path)

    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
    fuzz(check, documents | st.lists(documents, max_size=3) | changed({"tools": [tool]}))


def test_datasets(fuzz: Any, tmp_path: Path) -> None:  # noqa: ANN401 - see the fixture
    def check(value: Any) -> None:  # noqa: ANN401 - JSON
        path = write(tmp_path / "d.json", value)
        may_be_dataset(path.read_bytes())
        is_dataset(value)
        with no_foreign_exception():
            load_dataset(path)

    fuzz(check, documents | changed(DATASET))


def test_files_that_are_anything(fuzz: Any, tmp_path: Path) -> None:  # noqa: ANN401 - see the fixture
    path = tmp_path / "file"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        may_be_dataset(content)
        for read in (load_simulation, load_dataset, read_index, read_wav, read_records):
            with no_foreign_exception():
                read(path)
        is_index(path)

    fuzz(check, st.binary(max_size=300) | st.text().map(str.encode))


#: What the columns of an index hold, beside anything.
CELLS: Final = (("a", "b"), ("sim_a.json", "../x", "/"), ("1", "no"), ("", '"'), ("", "2", "1.5"))


def rows_of(choices: Choices) -> str:
    """Return lines of cells."""

    def line() -> list[str]:
        if choices.below(4) == 3:
            return [choices.text() for _ in range(choices.below(8))]
        return [choices.text() if choices.below(8) == 7 else choices.one_of(c) for c in CELLS]

    return "\n".join(",".join(line()) for _ in range(choices.below(6)))


def test_indexes(fuzz: Any, tmp_path: Path) -> None:  # noqa: ANN401 - see the fixture
    (tmp_path / "sim_a.json").write_text("{}")
    path = tmp_path / "index.csv"
    head = "simulation_id,simulation_path,enabled,notes,max_turns_override\n"

    def check(body: str) -> None:
        path.write_bytes((head + body).encode("utf-8", "surrogatepass"))
        with no_foreign_exception():
            read_index(path, tmp_path)

    fuzz(check, choices.map(rows_of))


def test_cards(fuzz: Any, tmp_path: Path) -> None:  # noqa: ANN401 - see the fixture
    card = {
        "run_id": "6f1de8a5-0d6c-4b55-9f0f-3c34a0b9a001",
        "harness_version": "1", "model_slug": "a/b", "model_id": "b", "condition": "baseline",
        "timestamp": "2026-01-01T00:00:00Z", "elapsed_seconds": 1.0,
        "dataset": {"id": "d", "version": "1", "language_pair": "en-es", "sha256": "0" * 64,
                    "entry_count": 1, "files": {"a": "0" * 64}},
        "config": {}, "system_prompt_sha256": "0" * 64, "system_prompt_used": "x",
        "fingerprint": {"hash": "0" * 64, "components": {"dataset_sha256": "0" * 64}},
        "scores": {"total": 1, "exact_matches": 0, "by_difficulty": {"easy": {}}},
        "totals": {}, "environment": {},
        "results": [{"entry_id": "1", "source": "a", "reference": "b", "predicted": "c"}],
        "run_card_hash": "0" * 64,
    }  # fmt: skip

    def check(value: Any) -> None:  # noqa: ANN401 - JSON
        verify(value, root=tmp_path)

    fuzz(check, documents | changed(card))


def test_records(fuzz: Any, tmp_path: Path) -> None:  # noqa: ANN401 - see the fixture
    record: dict[str, Any] = {
        "kind": "simulation", "nodeid": "a::b", "path": "a", "simulation_id": "b",
        "outcome": "passed", "transcript": None, "verdicts": [], "attempts": [],
    }  # fmt: skip
    path = tmp_path / "records.jsonl"

    def check(value: Any) -> None:  # noqa: ANN401 - JSON
        path.write_text(json.dumps(value) + "\n")
        with no_foreign_exception():
            read_records(path)

    fuzz(check, documents | changed(record))


def test_wavs(fuzz: Any, tmp_path: Path) -> None:  # noqa: ANN401 - see the fixture
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(24_000)
        wav.writeframes(b"\1\0" * 20)
    good = path.read_bytes()

    def check(change: tuple[int, bytes, int]) -> None:
        at, new, length = change
        path.write_bytes((good[:at] + new + good[at + len(new) :])[:length])
        with no_foreign_exception():
            pcm16, rate = read_wav(path)
            assert rate >= 0
            assert len(pcm16) <= length

    fuzz(check, st.tuples(st.integers(0, 90), st.binary(max_size=8), st.integers(0, 100)))


#: What fields of events hold, beside anything.
FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "response_id": ("resp_1", "resp_2", "", 7, None),
    "item_id": ("item_1", "resp_1", "", 7, None),
    "delta": ("AAAA", "AA==", "yes", 7, None),
    "id": ("resp_1", "resp_2", "item_1"),
    "transcript": ("yes", "", 7),
    "text": ("yes", "", 7),
}


def event_of(choices: Choices) -> dict[str, Any]:
    """Return an event: of a known type, with some of its fields, and some of others."""
    event = {"type": choices.one_of(EVENTS)} | choices.document(depth=1)
    event |= {name: choices.one_of(known) for name, known in FIELDS.items() if choices.below(2)}
    for name in ("response", "session", "item", "error"):
        if choices.below(3) == 1:
            event[name] = choices.document(depth=1)
    if choices.below(4) == 1:
        output = [choices.document(depth=1) for _ in range(choices.below(3))]
        turn = choices.one_of(({"turn": "1"}, {"turn": "2"}, None))
        event["response"] = {"id": choices.one_of(FIELDS["id"]), "output": output, "metadata": turn}
    return {**event, "type": choices.leaf() if choices.below(16) == 1 else event["type"]}


def test_events(fuzz: Any) -> None:  # noqa: ANN401 - see the fixture
    def check(events: list[dict[str, Any]]) -> None:
        protocol = SessionProtocol(
            input_format=AudioFormat.PCM16, output_format=AudioFormat.PCM16, sample_rate_hz=24_000
        )
        protocol.start_response(0.0, {"turn": "1"})
        for event in events:
            with no_foreign_exception():
                for found in protocol.receive(parse_event(json.dumps(event)), 1.0):
                    repr(found)

    fuzz(check, st.lists(choices.map(event_of), max_size=6))


def test_frames(fuzz: Any) -> None:  # noqa: ANN401 - see the fixture
    def check(text: str) -> None:
        with contextlib.suppress(ProtocolError):
            assert isinstance(parse_event(text)["type"], str)

    fuzz(check, st.text() | values.map(json.dumps) | st.text().map(lambda t: '{"type": "' + t))
