"""Sides of comparisons, made of a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.compare.side import SIMULATIONS, Item, Side

if TYPE_CHECKING:
    from collections.abc import Callable


def _simulation(name: str, outcome: str = "passed", **fields: Any) -> Item:  # noqa: ANN401 - fields of the item
    return Item(SIMULATIONS, name, outcome, **fields)


def _entry(name: str, hypothesis: str, reference: str, **fields: Any) -> Item:  # noqa: ANN401 - as above
    values = {"outcome": "passed", "source": name} | fields
    return Item("market", name, hypothesis=hypothesis, reference=reference, **values)


def _side(name: str, *items: Item, **setups: dict[str, str]) -> Side:
    return Side(name, {item.key: item for item in items}, setups)


@pytest.fixture
def simulation() -> Callable[..., Item]:
    return _simulation


@pytest.fixture
def entry() -> Callable[..., Item]:
    return _entry


@pytest.fixture
def side() -> Callable[..., Side]:
    return _side
