"""Evals in Python: for what a JSON file cannot say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pytest_realtime_eval import Session, ToolMocks, Transcript

RunSimulation = Callable[..., Awaitable[Transcript]]


@pytest.mark.asyncio
async def test_a_booking_reaches_the_restaurant_once(run_simulation: RunSimulation) -> None:
    """The tool is a Python function here: it sees what the assistant really sends."""
    booked: list[dict[str, Any]] = []

    def book_table(arguments: dict[str, Any]) -> dict[str, Any]:
        booked.append(arguments)
        return {"status": "confirmed", "booking_reference": f"CO-{100 + len(booked)}"}

    tools = ToolMocks().with_function("book_table", book_table)
    transcript = await run_simulation("sim_booking.json", tool_mocks=tools)

    assert transcript.ended_by == "end_call"
    assert [arguments["party_size"] for arguments in booked] == [2]


@pytest.mark.asyncio
@pytest.mark.simulation("sim_opening_hours.json")
async def test_the_assistant_answers_within_a_session(assistant_session: Session) -> None:
    """A session alone, without a simulated user: a typed question, a spoken answer."""
    question = {"type": "input_text", "text": "What are your opening hours on Sunday?"}
    await assistant_session.create_item({"type": "message", "role": "user", "content": [question]})
    response = await assistant_session.respond()

    assert response.status == "completed"
    assert response.audio, "the answer is spoken"
    assert "Sunday" in response.transcript
