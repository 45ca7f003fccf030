from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.endpoints import configured_judge
from pytest_realtime_eval.options import Options
from pytest_realtime_eval.text.client import TextClient

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("named", "seconds"), [({}, 60.0), ({"judge_timeout": 240.0}, 240.0)])
def test_the_judge_has_the_time_that_is_named(
    tmp_path: Path, named: dict[str, float], seconds: float
) -> None:
    judge = configured_judge(Options(tmp_path, command_line=named), {"OPENAI_API_KEY": "sk-x"})
    assert judge is not None
    assert isinstance(judge.client, TextClient)
    assert judge.client.timeout_s == seconds
