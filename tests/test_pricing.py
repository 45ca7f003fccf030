from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.exceptions import FileError
from pytest_realtime_eval.pricing import load_prices
from pytest_realtime_eval.schemas.results import EntryUsage, Verdict
from pytest_realtime_eval.schemas.transcript import Transcript, Turn, Usage

if TYPE_CHECKING:
    from pathlib import Path


def test_the_packaged_table_is_dated_and_sourced() -> None:
    table = load_prices()
    assert len(table.as_of.split("-")) == 3
    paid = {name: p for name, p in table.models.items() if not name.startswith("embedded")}
    assert all(prices.source.startswith("https://") for prices in paid.values())


def test_the_embedded_endpoint_costs_nothing() -> None:
    table = load_prices()
    usage = Usage(input_tokens=9, input_text_tokens=9, output_tokens=5, output_audio_tokens=5)
    assert table.text_cost("embedded", EntryUsage(prompt_tokens=10)) == 0
    assert table.realtime_cost("embedded-agent", usage) == 0
    assert table.realtime_cost("embedded-caller", usage) == 0


def test_cached_tokens_are_part_of_the_prompt() -> None:
    usage = EntryUsage(prompt_tokens=1_000_000, cached_tokens=400_000, completion_tokens=100_000)
    cost = load_prices().text_cost("openai/gpt-4o", usage)
    assert cost == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10)


def test_a_snapshot_costs_what_its_model_does_unless_it_has_a_price() -> None:
    table = load_prices()
    usage = EntryUsage(prompt_tokens=1_000_000)
    assert table.text_cost("gpt-4o-2024-08-06", usage) == pytest.approx(2.5)
    assert table.text_cost("gpt-4o-2024-05-13", usage) == pytest.approx(5.0)


@pytest.mark.parametrize("model", ["anthropic/claude-haiku-4.5", "gpt-4o-new", ""])
def test_an_unknown_model_has_no_cost(model: str) -> None:
    assert load_prices().text_cost(model, EntryUsage(prompt_tokens=10)) is None


def test_unreported_usage_has_no_cost() -> None:
    assert load_prices().text_cost("gpt-4o", EntryUsage()) is None
    assert load_prices().realtime_cost("gpt-realtime", Usage()) is None


SPOKEN = Usage(
    input_tokens=3_000_000,
    input_text_tokens=1_000_000,
    input_audio_tokens=2_000_000,
    cached_tokens=1_500_000,
    cached_text_tokens=500_000,
    cached_audio_tokens=1_000_000,
    output_tokens=1_100_000,
    output_text_tokens=100_000,
    output_audio_tokens=1_000_000,
)


def test_speech_and_text_have_their_own_prices() -> None:
    text = 0.5 * 4 + 0.5 * 0.4 + 0.1 * 16
    audio = 1 * 32 + 1 * 0.4 + 1 * 64
    assert load_prices().realtime_cost("gpt-realtime", SPOKEN) == pytest.approx(text + audio)


@pytest.mark.parametrize(
    "changes", [{"input_audio_tokens": 0}, {"cached_text_tokens": 0}, {"output_tokens": 9}]
)
def test_a_total_that_is_not_split_has_no_known_cost(changes: dict[str, int]) -> None:
    usage = SPOKEN.model_copy(update=changes)
    assert load_prices().realtime_cost("gpt-realtime", usage) is None


def test_a_model_without_audio_prices_has_no_spoken_cost() -> None:
    assert load_prices().realtime_cost("gpt-4o", SPOKEN) is None


def test_a_file_replaces_the_table(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    model = {"text": {"input": 1.0, "output": 2.0}}
    path.write_text(
        json.dumps({"as_of": "2026-01-01", "unit_tokens": 1000, "models": {"m": model}})
    )
    usage = EntryUsage(prompt_tokens=1000, cached_tokens=500, completion_tokens=1000)
    assert load_prices(path).text_cost("m", usage) == pytest.approx(3.0)


def test_a_table_that_does_not_fit_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(
        json.dumps({"as_of": "", "models": {"m": {"text": {"input": -1, "output": 1}}}})
    )
    with pytest.raises(FileError, match=r"\$\.models\.m\.text\.input"):
        load_prices(path)


def _verdict(**fields: object) -> Verdict:
    values = {"grader_id": "g", "type": "llm_as_judge", "status": "pass", "model": "gpt-4o"}
    return Verdict.model_validate(values | fields)


def test_a_conversation_costs_what_assistant_simulator_and_judge_do() -> None:
    table = load_prices()
    transcript = Transcript(
        simulation_id="s",
        assistant_model="gpt-realtime",
        simulator_model="embedded-caller",
        turns=(Turn(index=1, user_text="", usage=SPOKEN, simulator_usage=SPOKEN),),
        ended_by="end_call",
        started_at="",
        duration_ms=0,
    )
    spoken = table.realtime_cost("gpt-realtime", SPOKEN)
    assert spoken is not None
    asked = _verdict(usage=Usage(input_tokens=1_000_000))
    reported = _verdict(model="unheard-of", cost_usd=0.25)
    rule = _verdict(model="")
    cost = table.conversation_cost(transcript, [asked, reported, rule])
    assert cost == pytest.approx(spoken + 2.5 + 0.25)
    unknown = _verdict(model="unheard-of", usage=Usage(input_tokens=1))
    assert table.conversation_cost(transcript, [asked, unknown]) is None
