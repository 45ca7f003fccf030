"""What tokens cost, where the API does not say so itself.

The packaged table is dated and holds list prices; a file of the same form replaces it. A
model that the table does not know, or a use that it has no price for, costs ``None``:
an unknown cost is never 0.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field, NonNegativeFloat

from pytest_realtime_eval.schemas.document import Document, read_json, validate
from pytest_realtime_eval.schemas.results import EntryUsage
from pytest_realtime_eval.schemas.transcript import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_realtime_eval.schemas.results import Verdict
    from pytest_realtime_eval.schemas.transcript import Transcript

PACKAGED: Final = Path(__file__).with_name("prices.json")
_SNAPSHOT: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class TokenPrices(Document):
    """Prices of one modality; without ``cached_input``, cached tokens cost the full price."""

    input: NonNegativeFloat
    cached_input: NonNegativeFloat | None = None
    output: NonNegativeFloat

    def cost(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> float:
        """Return the cost in currency times the table's unit; cached is part of input."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = max(0, input_tokens - cached_tokens)
        return fresh * self.input + cached_tokens * cached + output_tokens * self.output


class ModelPrices(Document):
    """Prices of a model, and where they were read."""

    source: str = ""
    as_of: str = ""
    text: TokenPrices
    audio: TokenPrices | None = None


class PriceTable(Document):
    """A price table.

    Attributes:
        unit_tokens: Prices are for so many tokens.
        as_of: The day on which the prices were read, ISO 8601.
    """

    currency: Annotated[str, Field(pattern="^USD$")] = "USD"
    unit_tokens: Annotated[int, Field(gt=0)] = 1_000_000
    as_of: str
    note: str = ""
    models: dict[str, ModelPrices]

    def prices_of(self, model: str) -> ModelPrices | None:
        """Return the prices of a model, its OpenRouter slug, or a dated snapshot of it."""
        name = model.removeprefix("openai/")
        return self.models.get(name) or self.models.get(_SNAPSHOT.sub("", name))

    def text_cost(self, model: str, usage: EntryUsage) -> float | None:
        """Return the cost of a text request in USD; ``None`` when it is not known."""
        prices = self.prices_of(model)
        if prices is None or not (usage.prompt_tokens or usage.completion_tokens):
            return None
        cost = prices.text.cost(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
        return cost / self.unit_tokens

    def realtime_cost(self, model: str, usage: Usage) -> float | None:
        """Return the cost of spoken responses in USD; ``None`` when it is not known.

        Audio and text have prices of their own, so a total that the server did not split
        has no known cost.
        """
        prices = self.prices_of(model)
        if prices is None or prices.audio is None or not _is_split(usage):
            return None
        text = prices.text.cost(
            usage.input_text_tokens, usage.cached_text_tokens, usage.output_text_tokens
        )
        audio = prices.audio.cost(
            usage.input_audio_tokens, usage.cached_audio_tokens, usage.output_audio_tokens
        )
        return (text + audio) / self.unit_tokens

    def conversation_cost(
        self, transcript: Transcript, verdicts: Iterable[Verdict]
    ) -> float | None:
        """Sum assistant, simulator and judge in USD; ``None`` as soon as one is not known."""
        costs = [*self.spoken_costs(transcript), *self.judge_costs(verdicts)]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    def spoken_costs(self, transcript: Transcript) -> list[float | None]:
        """Return what assistant and simulator cost in USD."""
        assistant = sum((turn.usage for turn in transcript.turns), Usage())
        simulator = sum((turn.simulator_usage for turn in transcript.turns), transcript.end_usage)
        return [
            self.realtime_cost(transcript.assistant_model, assistant),
            self.realtime_cost(transcript.simulator_model, simulator),
        ]

    def judge_costs(self, verdicts: Iterable[Verdict]) -> list[float | None]:
        """Return what each verdict of a judge cost in USD."""
        return [self.judge_cost(verdict) for verdict in verdicts if verdict.model]

    def judge_cost(self, verdict: Verdict) -> float | None:
        """Return what a verdict cost in USD: as its server says, else by its tokens."""
        if verdict.cost_usd is not None:
            return verdict.cost_usd
        used = verdict.usage
        usage = EntryUsage(
            prompt_tokens=used.input_tokens,
            completion_tokens=used.output_tokens,
            cached_tokens=used.cached_tokens,
        )
        return self.text_cost(verdict.model, usage)


def _is_split(usage: Usage) -> bool:
    return (
        usage.input_tokens + usage.output_tokens > 0
        and usage.input_tokens == usage.input_text_tokens + usage.input_audio_tokens
        and usage.output_tokens == usage.output_text_tokens + usage.output_audio_tokens
        and usage.cached_tokens == usage.cached_text_tokens + usage.cached_audio_tokens
    )


def load_prices(path: Path | None = None) -> PriceTable:
    """Read a price table; the packaged one without a path.

    Raises:
        FileError: It cannot be read or does not fit the schema.
    """
    path = path or PACKAGED
    return validate(PriceTable, read_json(path), path)
