from __future__ import annotations

import base64
import dataclasses
import hashlib
import html as htmllib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.reports import html
from pytest_realtime_eval.reports.html import Baseline, Change, render, write_report
from pytest_realtime_eval.reports.plots import write_plots
from pytest_realtime_eval.reports.summary import summarise
from pytest_realtime_eval.reports.table import results_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.schemas.results import EntryRecord, SimulationRecord

TEMPLATES = Path(html.__file__).parent / "templates"


def page_of(records: list[Any], info: RunInfo, **options: Any) -> str:  # noqa: ANN401 - passed on
    return render(records, summarise(results_frame(records), records, info), info, **options)


def test_every_figure_of_the_summary_is_on_the_page(records: list[Any], info: RunInfo) -> None:
    summary = summarise(results_frame(records), records, info)
    figures = render(records, summary, info).partition('<table id="figures">')[2]
    rows = re.findall(r'<th scope="row">(.*?)</th><td class="number">(.*?)</td>', figures)
    shown = {htmllib.unescape(name): json.loads(htmllib.unescape(cell)) for name, cell in rows}
    assert shown == summary


def test_what_conversations_were_set_up_with_stands_by_its_hash(
    records: list[Any], info: RunInfo
) -> None:
    page = page_of(records, info)
    assert page.count("ab" * 32) == 1
    assert "6 simulations" in page
    assert '<td class="text">evals/simulations/sim_booking.json</td>' in page


def test_thresholds_in_the_summary_are_no_figures(records: list[Any], info: RunInfo) -> None:
    summary = summarise(results_frame(records), records, info)
    checked = summary | {"thresholds": [{"threshold": "pass_rate>=1", "value": 0.5, "met": False}]}
    assert render(records, checked, info) == render(records, summary, info)


def test_the_policy_names_exactly_the_style_and_script_of_the_page(
    records: list[Any], info: RunInfo
) -> None:
    page = page_of(records, info)
    policy = htmllib.unescape(re.findall(r'Content-Security-Policy" content="(.*?)"', page)[0])
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_page_loads_nothing_from_elsewhere(records: list[Any], info: RunInfo) -> None:
    page = page_of(records, info)
    links = re.findall(r'\b(?:src|href)="([^"]*)"', page)
    assert links
    assert not [link for link in links if re.match(r"\w+:(?!image/png;base64|,)|//|/", link)]
    assert "@import" not in page
    assert not re.search(r"url\(", page)


def test_there_are_no_style_attributes_and_no_inline_handlers() -> None:
    template = (TEMPLATES / "report.html.j2").read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|\son\w+=|\|\s*safe\b", template)


def test_paths_never_become_other_urls(passed: SimulationRecord, info: RunInfo) -> None:
    assert passed.transcript
    transcript = passed.transcript.model_copy(update={"event_log_path": "javascript:alert(1)//"})
    page = page_of([passed.model_copy(update={"transcript": transcript})], info)
    assert 'href="javascript%3Aalert%281%29//"' in page


def test_plots_are_inlined_with_alt_texts(records: list[Any], info: RunInfo) -> None:
    assert "<img" not in page_of(records, info)
    write_plots(results_frame(records), records, info.folder, info.dataset_scores)
    pictures = re.findall(
        r'<img src="data:image/png;base64,\S+" alt="([^"]+)">', page_of(records, info)
    )
    assert len(pictures) == 8
    assert any("politeness 75 % of 4" in alt for alt in pictures)


def test_what_changed_against_the_baseline_is_told(records: list[Any], info: RunInfo) -> None:
    changes = (
        Change("sim_wrong_time", "passed", "failed", better=False),
        Change("latency p95", "800 ms", "500 ms", better=True),
    )
    page = page_of(records, info, baseline=Baseline("lastweek", changes, ("models differ",)))
    assert "Against lastweek" in page
    assert page.count("▼ worse") == 1
    assert page.count("▲ better") == 1
    assert "models differ" in page
    assert "Nothing changed." in page_of(records, info, baseline=Baseline("lastweek"))


def test_a_hundred_conversations_take_less_than_three_megabytes(
    many_simulations: Callable[[int], list[Any]],
    write_audio: Callable[[list[Any], Path], None],
    info: RunInfo,
) -> None:
    records = many_simulations(100)
    write_audio(records, info.folder)
    frame = results_frame(records)
    write_plots(frame, records, info.folder)
    page = write_report(records, summarise(frame, records, info), info)
    assert page == info.folder / "report.html"
    assert page.stat().st_size < 3_000_000
    assert (info.folder / "audio/sim_case_042/call.wav").is_file()


def test_stereo_can_be_left_out(
    passed: SimulationRecord, write_audio: Callable[[list[Any], Path], None], info: RunInfo
) -> None:
    write_audio([passed], info.folder)
    summary = summarise(results_frame([passed]), [passed], info)
    page = write_report([passed], summary, info, stereo=False)
    assert not list(info.folder.rglob("call.wav"))
    assert "call.wav" not in page.read_text(encoding="utf-8")


def test_of_many_entries_the_worst_are_on_the_page(
    entries: list[EntryRecord], info: RunInfo
) -> None:
    many = [
        entries[0].model_copy(update={"entry_id": f"n{n}", "entry_chrf": n / 10})
        for n in range(999, -1, -1)
    ]
    page = page_of(list(many), info)
    shown = re.findall(r'<td data-sort="(n\d+)">', page)
    assert shown == [f"n{n}" for n in range(html.MOST_ENTRIES)]
    assert "The 300 lowest of 1000 entries" in page


def test_an_empty_run_is_a_page_too(info: RunInfo) -> None:
    page = page_of([], dataclasses.replace(info, dataset_scores={}, thresholds=()))
    assert "<h2" in page
    assert "conversations-title" not in page


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2, section 1.4.3."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(scheme: int) -> None:
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    texts = set(colours) - {"page", "panel", "line", "mark", "added", "missing"}
    texts -= {"added-ink", "missing-ink", "focus"}
    low = {
        (name, ground)
        for name in texts
        for ground in ("page", "panel")
        if _contrast(colours[name], colours[ground]) < 4.5
    }
    assert not low
    assert _contrast(colours["added"], colours["added-ink"]) >= 4.5
    assert _contrast(colours["missing"], colours["missing-ink"]) >= 4.5
