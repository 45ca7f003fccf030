"""How tokens are counted: by rules that anyone can check, not by a tokenizer.

Text: a token for every four bytes of UTF-8, rounded up for each piece. Audio: a token for
every 100 ms that the user speaks and for every 50 ms that the assistant speaks, rounded up:
the real service's rates. Nothing is ever cached.
"""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["input_audio_tokens", "output_audio_tokens", "response_usage", "text_tokens"]


def text_tokens(text: str) -> int:
    """Return the tokens of a piece of text."""
    return math.ceil(len(text.encode()) / 4)


def input_audio_tokens(milliseconds: float) -> int:
    """Return the tokens of user audio."""
    return math.ceil(milliseconds / 100)


def output_audio_tokens(milliseconds: float) -> int:
    """Return the tokens of assistant audio."""
    return math.ceil(milliseconds / 50)


def schema_tokens(tools: list[dict[str, Any]]) -> int:
    """Return the tokens of the tools' JSON."""
    return text_tokens(json.dumps(tools, sort_keys=True)) if tools else 0


def response_usage(
    input_text: int, input_audio: int, output_text: int, output_audio: int
) -> dict[str, Any]:
    """Return a response's ``usage``."""
    return {
        "total_tokens": input_text + input_audio + output_text + output_audio,
        "input_tokens": input_text + input_audio,
        "output_tokens": output_text + output_audio,
        "input_token_details": {
            "text_tokens": input_text,
            "audio_tokens": input_audio,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": output_text, "audio_tokens": output_audio},
    }
