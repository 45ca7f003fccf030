from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.embedded.translator import GLOSSARY, PHRASES, translate

PROMPT = "Translate from English to Spanish."
DATASET = Path(__file__).parents[2] / "evals" / "datasets" / "everyday_en_es.json"


@pytest.mark.parametrize(
    ("english", "spanish"),
    [
        ("One moment, please.", "Un momento, por favor."),
        ("Thank you very much.", "Muchas gracias."),
        ("Where is the door?", "¿Dónde está el puerta?"),
        ("Goodbye!", "¡Adiós!"),
        ("the blue lamp", "el azul lámpara"),
        ("Hello. Where is the bus?", "Hola. ¿Dónde está el autobús?"),
        ("The unicorn sleeps.", "El unicorn sleeps."),
        ("", ""),
        ("...", "..."),
    ],
)
def test_looks_up_word_by_word(english: str, spanish: str) -> None:
    assert translate(PROMPT, english) == spanish


def test_lines_stay_lines() -> None:
    assert translate(PROMPT, "Hello!\n\nGoodbye!") == "¡Hola!\n\n¡Adiós!"


def test_knows_no_language_but_spanish() -> None:
    assert translate("Translate from English to Welsh.", "the door") == "the door"


@given(st.text())
def test_takes_any_text_and_is_the_same_each_time(text: str) -> None:
    assert translate(PROMPT, text) == translate(PROMPT, text)


@given(st.lists(st.sampled_from(["qwx", "zzt", "12", ",", "é"]), max_size=8))
def test_what_it_does_not_know_it_leaves(words: list[str]) -> None:
    text = " ".join(words)
    assert translate(PROMPT, text) == text


def test_is_a_baseline_and_no_copy_of_the_references() -> None:
    entries = json.loads(DATASET.read_text(encoding="utf-8"))["entries"]
    exact = [e for e in entries if translate(PROMPT, e["source"]) == e["reference"]]
    assert 5 <= len(exact) <= len(entries) / 3
    assert all(len(phrase.split()) <= 4 for phrase in PHRASES)
    assert all(" " not in word for word in GLOSSARY)


def test_the_shipped_dataset_is_what_the_readme_says() -> None:
    entries = json.loads(DATASET.read_text(encoding="utf-8"))["entries"]
    assert len(entries) >= 40
    assert len({e["difficulty"] for e in entries}) == 3
    assert len({e["provenance"] for e in entries}) == 2
    assert len({e["source"] for e in entries}) == len({e["id"] for e in entries}) == len(entries)
