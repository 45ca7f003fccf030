"""The report page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.reports.html import write_report
from pytest_realtime_eval.reports.plots import write_plots
from pytest_realtime_eval.reports.summary import summarise
from pytest_realtime_eval.reports.table import results_frame
from pytest_realtime_eval.schemas.results import parse_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, ViewportSize

    from pytest_realtime_eval.reports.run_info import RunInfo
    from pytest_realtime_eval.schemas.results import SimulationRecord

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Opened:
    """The page in a browser, with all that it said and asked for."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.problems.append(message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")

    def shown(self, table: int = 0) -> list[str]:
        """Return the names of the items that a table shows, in their order."""
        names: list[str] = self.page.evaluate(
            """at => [...document.querySelectorAll("table.items")[at].tBodies]
                 .filter(item => !item.hidden).map(item => item.rows[0].cells[0].dataset.sort)""",
            table,
        )
        return names


@pytest.fixture
def write(info: RunInfo, write_audio: Callable[[list[Any], Path], None]) -> Callable[..., Path]:
    def write_page(records: list[Any], *, plots: bool) -> Path:
        write_audio(records, info.folder)
        frame = results_frame(records)
        if plots:
            write_plots(frame, records, info.folder, info.dataset_scores)
        return write_report(records, summarise(frame, records, info), info)

    return write_page


@pytest.fixture
def open_page(browser: Browser, write: Callable[..., Path]) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open_it(
        records: list[Any],
        *,
        viewport: ViewportSize = WIDE,
        dark: bool = False,
        plots: bool = False,
    ) -> Opened:
        scheme = "dark" if dark else "light"
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme))  # type: ignore[arg-type] # a literal, but a conditional one
        return Opened(contexts[-1].new_page(), write(records, plots=plots))

    yield open_it
    for context in contexts:
        context.close()


def test_it_opens_from_disk_without_a_complaint_or_a_network(
    open_page: Callable[..., Opened], records: list[Any]
) -> None:
    opened = open_page(records, plots=True)
    for button in opened.page.locator("button.open").all():
        button.click()
    assert opened.problems == []
    assert [url[:5] for url in opened.requests] == ["file:"] + ["data:"] * (
        len(opened.requests) - 1
    )
    loaded = opened.page.evaluate("[...document.images].every(image => image.naturalWidth > 500)")
    assert loaded


def test_the_overview_shows_outcomes_and_thresholds(
    open_page: Callable[..., Opened], records: list[Any]
) -> None:
    text = open_page(records).page.locator("#overview").inner_text()
    for words in ("✓ passed 4", "⚡ infra error 3", "Pass rate 80.0 %", "✗ missed\tpass_rate>=0.9"):
        assert words in text


def test_headings_sort_and_missing_values_stay_last(
    open_page: Callable[..., Opened], simulations: list[Any]
) -> None:
    opened = open_page(simulations)
    heading = opened.page.get_by_role("button", name="grades", exact=True)
    heading.click()
    assert opened.shown()[:2] == ["sim_wrong_time", "sim_booking"]
    assert opened.page.locator("th[aria-sort=ascending]").inner_text().startswith("grades")
    heading.click()
    assert opened.shown()[:2] == ["sim_booking", "sim_wrong_time"]
    opened.page.get_by_role("button", name="simulation", exact=True).click()
    assert opened.shown() == sorted(opened.shown())


def test_conversations_are_filtered_by_outcome_grader_tag_and_text(
    open_page: Callable[..., Opened], simulations: list[Any]
) -> None:
    opened = open_page(simulations)
    controls = opened.page.locator("#conversation-controls")
    reset = controls.get_by_role("button", name="Show all")
    controls.get_by_label("Outcome").select_option("infra_error")
    assert opened.shown() == ["sim_refused", "sim_broken"]
    assert controls.get_by_role("status").inner_text() == "2 of 6 shown"
    reset.click()
    controls.get_by_label("Grader").select_option("fail:politeness")
    assert opened.shown() == ["sim_wrong_time"]
    reset.click()
    controls.get_by_label("Tag").select_option("correction")
    assert opened.shown() == ["sim_wrong_time"]
    reset.click()
    controls.get_by_label("Search").fill("17:00 MOVED")
    assert opened.shown() == ["sim_wrong_time"]
    reset.click()
    assert len(opened.shown()) == 6


def test_a_conversation_opens_to_timeline_transcript_and_verdicts(
    open_page: Callable[..., Opened], failed: SimulationRecord
) -> None:
    page = open_page([failed]).page
    detail = page.locator("#detail-1")
    assert not detail.is_visible()
    page.get_by_role("button", name="sim_wrong_time").click()
    assert detail.is_visible()
    drawn = page.locator("svg.clip")
    assert drawn.count() == 6
    boxes = [drawn.nth(at).bounding_box() for at in range(6)]
    assert all(box and box["width"] > 40 for box in boxes)
    assert boxes[0]
    assert boxes[1]
    assert boxes[1]["x"] > boxes[0]["x"] + boxes[0]["width"]
    text = detail.inner_text()
    for words in ("Turn 2 ✗ here it went wrong", '"time": "17:00"', "It was moved to 17:00."):
        assert words in text
    assert page.get_by_role("link", name="Event log").get_attribute("href") == (
        "events/sim_wrong_time.jsonl"
    )


def test_the_call_and_each_turn_can_be_played(
    open_page: Callable[..., Opened], passed: SimulationRecord
) -> None:
    opened = open_page([passed])
    opened.page.get_by_role("button", name="sim_booking").click()
    played = opened.page.evaluate(
        """async () => {
            const times = [];
            for (const audio of document.querySelectorAll("audio")) {
                audio.muted = true;
                await audio.play();
                times.push([audio.duration, audio.error]);
            }
            return [times, [...document.querySelectorAll("audio")].filter(a => !a.paused).length];
        }"""
    )
    assert played == [[[11.5, None], [2, None], [3, None], [2, None], [3, None]], 1]
    assert opened.problems == []


def test_a_click_on_the_timeline_moves_the_call(
    open_page: Callable[..., Opened], passed: SimulationRecord
) -> None:
    page = open_page([passed]).page
    page.get_by_role("button", name="sim_booking").click()
    page.evaluate("document.querySelector('audio').muted = true")
    box = page.locator("svg.call").bounding_box()
    assert box
    page.locator("svg.call").click(position={"x": box["width"] * 0.75, "y": 20})
    # Not `wait_for_function`, which evaluates a string: the page's policy refuses that.
    page.wait_for_selector(".now.moving", state="attached")
    assert page.evaluate("document.querySelector('audio').currentTime") > 8


def test_it_works_from_the_keyboard(
    open_page: Callable[..., Opened], simulations: list[Any]
) -> None:
    page = open_page(simulations).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "search"
    page.keyboard.type("sim_broken/")
    assert page.locator("input[type=search]").first.input_value() == "sim_broken/"
    page.locator("input[type=search]").first.fill("sim_broken")
    page.locator("#conversation-4 button.open").focus()
    page.keyboard.press("Enter")
    assert page.locator("#detail-4").is_visible()


def test_an_address_opens_its_conversation(
    open_page: Callable[..., Opened], simulations: list[Any]
) -> None:
    page = open_page(simulations).page
    page.evaluate("location.hash = 'conversation-3'")
    page.wait_for_selector("#detail-3", state="visible")


def test_entries_stand_worst_first_with_their_differences(
    open_page: Callable[..., Opened], entries: list[Any]
) -> None:
    opened = open_page(entries)
    assert opened.shown() == ["e4", "e3", "e1", "e2"]
    row = opened.page.locator("tbody.item", has=opened.page.get_by_text("e1", exact=True))
    assert row.locator("del.missing").all_text_contents() == ["[missing la ]"]
    opened.page.get_by_label("Difficulty").select_option("medium")
    assert opened.shown() == ["e2"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_narrow_screen_never_scrolls_sideways(
    open_page: Callable[..., Opened], records: list[Any], dark: bool
) -> None:
    page = open_page(records, viewport=NARROW, dark=dark).page
    for button in page.locator("button.open").all():
        button.click()
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")


def test_it_prints_what_is_open_and_no_controls(
    open_page: Callable[..., Opened], simulations: list[Any]
) -> None:
    page = open_page(simulations).page
    page.locator("#conversation-1 button.open").click()
    page.emulate_media(media="print")
    assert page.locator("#detail-1").is_visible()
    assert not page.locator("#detail-2").is_visible()
    assert not page.locator("nav").is_visible()
    assert not page.locator(".controls").first.is_visible()


PAYLOAD = (
    "\"'></style></script></template></svg><script>window.pwned = 1</script>"
    '<img src="x" onerror="window.pwned = 1"><a href="javascript:window.pwned=1">{{ 7 * 7 }}'
)
FIXED = {"kind", "outcome", "status", "ended_by", "replay", "started_at"}


def poisoned(value: Any, key: str = "") -> Any:  # noqa: ANN401 - JSON
    """Replace every string that is not one of a fixed few, keys of objects included."""
    if isinstance(value, str):
        return value if key in FIXED else f"javascript:{value}{PAYLOAD}"
    if isinstance(value, list):
        return [poisoned(each, key) for each in value]
    if isinstance(value, dict):
        free = key in {"arguments", "setup", "scores", "output", "expected", "actual"}
        return {(name + PAYLOAD if free else name): poisoned(v, name) for name, v in value.items()}
    return value


def test_a_run_whose_every_string_is_a_script_injection_renders_as_text(
    open_page: Callable[..., Opened], records: list[Any]
) -> None:
    hostile = [parse_record(poisoned(record.model_dump(mode="json"))) for record in records]
    opened = open_page(hostile)
    page = opened.page
    for button in page.locator("button.open").all():
        button.click()
    for link in page.locator("main a:not([href^='#'])").all():
        assert not (link.get_attribute("href") or "").startswith("javascript:")
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("[...document.images].every(i => i.src.startsWith('data:'))")
    assert (
        page.evaluate("document.querySelectorAll('[onerror], a[href^=\"javascript:\"]').length")
        == 0
    )
    assert "<script>window.pwned = 1</script>" in page.locator("#conversations").inner_text()
    assert "{{ 7 * 7 }}" in page.locator("#datasets").inner_text()
    assert opened.problems == []


def test_figures_of_the_page_are_those_of_the_table(
    open_page: Callable[..., Opened], records: list[Any]
) -> None:
    page = open_page(records).page
    cells: dict[str, list[str]] = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("tbody.item")].map(item =>
             [item.rows[0].cells[0].dataset.sort,
              [...item.rows[0].cells].map(cell => cell.dataset.sort ?? "")]))"""
    )
    frame = results_frame(records)
    for name, rows in frame.groupby("simulation_id"):
        grades = (
            rows[[c for c in frame.columns if c.endswith("_grade")]]
            .astype("float64")
            .stack()
            .dropna()
        )
        known = rows["latency_first_audio_ms"].dropna().astype("float64")
        expected = [
            len(rows["turn_index"].dropna()),
            grades.mean() if len(grades) else None,
            known.quantile(0.5) if len(known) else None,
            known.quantile(0.95) if len(known) else None,
        ]
        shown = [float(cell) if cell else None for cell in cells[str(name)][2:6]]
        assert shown == pytest.approx(expected)
    for _, entry in frame.dropna(subset=["entry_id"]).iterrows():
        assert float(cells[entry["entry_id"]][1]) == entry["entry_chrf"]
