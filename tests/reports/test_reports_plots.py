from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytest_realtime_eval.reports.plots import charts, write_plots
from pytest_realtime_eval.reports.table import results_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pytest_realtime_eval.schemas.results import SimulationRecord


def read_png(path: Path) -> NDArray[np.float32]:
    from matplotlib.image import imread

    return np.asarray(imread(path))[:, :, :3]


def names(records: list[Any], scores: dict[str, Any] | None = None) -> list[str]:
    return [chart.name for chart in charts(results_frame(records), records, scores)]


def test_a_run_with_everything_has_every_chart(records: list[Any], scores: dict[str, Any]) -> None:
    assert names(records, scores) == [
        "outcomes",
        "scores",
        "scores_by_simulation",
        "latency_percentiles",
        "tokens",
        "by_turn",
        "dataset_scores",
        "entry_scores",
    ]


def test_there_is_no_chart_where_there_is_no_data(
    refused: SimulationRecord, ungraded: SimulationRecord, entries: list[Any]
) -> None:
    assert names([]) == []
    assert names([refused]) == ["outcomes"]
    assert names([ungraded]) == ["outcomes", "latency_percentiles", "tokens"]
    assert names(entries) == ["outcomes", "entry_scores"]


def test_alt_texts_give_the_figures(records: list[Any], scores: dict[str, Any]) -> None:
    alts = {c.name: c.alt for c in charts(results_frame(records), records, scores)}
    assert "1 passed, 1 failed, 2 infra error" in alts["outcomes"]
    assert "politeness 75 % of 4" in alts["scores"]
    assert "sim_wrong_time" in alts["scores_by_simulation"]
    assert "eng-spa-demo 58.3" in alts["dataset_scores"]


@pytest.mark.parametrize("count", [1, 200])
def test_every_plot_is_a_filled_picture_with_nothing_cut_off(
    many_simulations: Callable[[int], list[Any]], tmp_path: Path, count: int
) -> None:
    records = many_simulations(count)
    paths = write_plots(results_frame(records), records, tmp_path)
    assert paths
    for path in paths:
        image = read_png(path)
        assert image.shape[1] == 1200
        assert 150 < image.shape[0] < 2400
        edges = [image[0], image[-1], image[:, 0], image[:, -1]]
        assert all(np.allclose(edge, 1) for edge in edges), f"{path.name} touches its edge"
        assert (image < 0.9).any(axis=2).mean() > 0.01


def test_names_of_any_kind_are_drawn_as_they_are(
    passed: SimulationRecord, failed: SimulationRecord, tmp_path: Path
) -> None:
    odd = "预订 $x^2$ 🎧 " + "long " * 30
    renamed = [
        record.model_copy(
            update={
                "simulation_id": f"{odd}{number}",
                "verdicts": tuple(
                    v.model_copy(update={"grader_id": odd + v.grader_id}) for v in record.verdicts
                ),
            }
        )
        for number, record in enumerate((passed, failed))
    ]
    paths = write_plots(results_frame(renamed), renamed, tmp_path)
    assert len(paths) == 6


def test_values_that_are_missing_leave_the_plots_whole(
    many_simulations: Callable[[int], list[Any]],
    broken: SimulationRecord,
    refused: SimulationRecord,
    tmp_path: Path,
) -> None:
    records = [*many_simulations(3), broken, refused]
    assert len(write_plots(results_frame(records), records, tmp_path)) == 6


def test_charts_are_found_without_matplotlib() -> None:
    code = (
        "import sys; from pytest_realtime_eval.reports import plots, table;"
        "plots.charts(table.results_frame([]), []); print('matplotlib' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own code
    assert done.stdout.strip() == "False"
