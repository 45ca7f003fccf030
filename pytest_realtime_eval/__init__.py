"""Evals as tests: voice agents over the Realtime API and translation datasets, inside pytest.

The public names are imported when they are first used, so that the plugin costs the
environment that it is installed in nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pytest_realtime_eval.conversation.loop import Endpoints
    from pytest_realtime_eval.conversation.tools import ToolMocks
    from pytest_realtime_eval.exceptions import RealtimeEvalError
    from pytest_realtime_eval.graders import grade
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.metrics.base import Metric
    from pytest_realtime_eval.realtime.endpoint import Endpoint
    from pytest_realtime_eval.realtime.session import Session
    from pytest_realtime_eval.schemas.results import Verdict
    from pytest_realtime_eval.schemas.simulation import Simulation
    from pytest_realtime_eval.schemas.transcript import ToolCall, Transcript, Turn

__version__ = "0.1.0"

__all__ = [
    "Endpoint",
    "Endpoints",
    "Judge",
    "Metric",
    "RealtimeEvalError",
    "Session",
    "Simulation",
    "ToolCall",
    "ToolMocks",
    "Transcript",
    "Turn",
    "Verdict",
    "grade",
]

_PLACES: Final = {
    "Endpoint": "realtime.endpoint",
    "Endpoints": "conversation.loop",
    "Judge": "graders.judge",
    "Metric": "metrics.base",
    "RealtimeEvalError": "exceptions",
    "Session": "realtime.session",
    "Simulation": "schemas.simulation",
    "ToolCall": "schemas.transcript",
    "ToolMocks": "conversation.tools",
    "Transcript": "schemas.transcript",
    "Turn": "schemas.transcript",
    "Verdict": "schemas.results",
    "grade": "graders",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
