"""What a translation model is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_realtime_eval.schemas.dataset import Dataset


def translation_prompt(dataset: Dataset) -> str:
    """Return the system prompt that is sent when none is named; it names the languages."""
    direction = f" from {dataset.source_language}" if dataset.source_language else ""
    direction += f" to {dataset.target_language}" if dataset.target_language else ""
    return (
        f"You are a professional translator. Translate the text that the user sends{direction}. "
        "Reply with the translation only, without quotation marks, notes or alternatives."
    )
