from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pytest_realtime_eval.reports.story import failed_turns, story
from pytest_realtime_eval.reports.text import cells
from pytest_realtime_eval.schemas.results import EntryRecord, SimulationRecord, Verdict


def marked(text: str) -> list[str]:
    return re.findall(r"^> (turn \d+)", text, flags=re.MULTILINE)


def test_it_tells_the_conversation_with_the_failed_turn_marked(failed: SimulationRecord) -> None:
    told = story(failed)
    assert told.startswith("sim_wrong_time: failed - right_arguments failed\n")
    assert marked(told) == ["turn 2"]
    assert re.search(r"^  turn 1 +user +Hello, I need to move my booking to 7 pm.$", told, re.M)
    assert 'calls      change_booking {"booking_id": "BK-204", "time": "17:00"}' in told
    assert 'returns    {"status": "ok", "time": "19:00"}' in told


def test_it_names_grader_criterion_and_the_judges_reason(failed: SimulationRecord) -> None:
    told = story(failed)
    assert "FAILED goal_completion (llm_as_judge)" in told
    assert "  criterion The booking is moved to 19:00 and the guest is told so." in told
    assert "  reason    It was moved to 17:00. [judge-1]" in told


def test_arguments_stand_side_by_side_and_the_wrong_one_is_marked(
    failed: SimulationRecord,
) -> None:
    told = story(failed)
    assert re.search(r"^     change_booking +expected +actual$", told, re.M)
    assert re.search(r'^  >  time +"19:00" +"17:00"$', told, re.M)
    assert re.search(r'^     booking_id +"BK-204" +"BK-204"$', told, re.M)


def compared(failed: SimulationRecord, expected: Any, actual: Any) -> str:  # noqa: ANN401 - JSON
    verdict = Verdict(
        grader_id="g", type="tool_call_args", status="fail", expected=expected, actual=actual
    )
    return story(failed.model_copy(update={"verdicts": (verdict,)}))


def test_calls_are_paired_by_likeness_and_what_is_alone_says_so(failed: SimulationRecord) -> None:
    told = compared(
        failed,
        [
            {"name": "move", "arguments": {"id": 2, "to": "b"}},
            {"name": "move", "arguments": {"id": 1, "to": "a"}},
            {"name": "notify", "arguments": {"who": "guest"}},
        ],
        [
            {"name": "move", "arguments": {"id": 1, "to": "c", "note": "x"}},
            {"name": "move", "arguments": {"id": 2}},
            {"name": "cancel", "arguments": {"id": 9}},
        ],
    )
    assert re.search(r'^  >  to +"b" +\(missing\)$', told, re.M)
    assert re.search(r'^  >  to +"a" +"c"$', told, re.M)
    assert re.search(r'^     note +\(any\) +"x"$', told, re.M)
    assert "notify (never called)" in told
    assert "cancel (not expected)" in told


def test_arguments_that_are_no_json_are_shown_as_they_came(failed: SimulationRecord) -> None:
    told = compared(
        failed,
        [{"name": "move", "arguments": {"id": 1}}],
        [{"name": "move", "arguments": None, "raw_arguments": '{"id": '}],
    )
    assert "(no JSON object)" in told
    assert re.search(r"^  >  id +1 +\(missing\)$", told, re.M)


def test_values_of_other_graders_stand_below_each_other(failed: SimulationRecord) -> None:
    told = compared(failed, 800.0, 1250.5)
    assert "  expected  800.0\n  actual    1250.5" in told


def test_paths_are_those_of_the_failed_turns(failed: SimulationRecord) -> None:
    told = story(failed, Path("results/run1"))
    assert re.findall(r"^audio +(.*)$", told, re.M) == [
        "results/run1/audio/sim_wrong_time/turn_02_user.wav",
        "results/run1/audio/sim_wrong_time/turn_02_assistant.wav",
    ]
    assert "event log  results/run1/events/sim_wrong_time.jsonl" in told


def test_a_broken_turn_is_marked_with_what_broke(broken: SimulationRecord) -> None:
    told = story(broken)
    assert marked(told) == ["turn 2"]
    assert "BROKE      response_timeout: silent for 30 s" in told
    assert "failure stage: response_timeout" in told


def test_without_a_conversation_the_failure_is_told(refused: SimulationRecord) -> None:
    told = story(refused)
    assert "ConnectionFailed: ws://127.0.0.1:1 refused the connection" in told
    assert "failure stage: connection" in told


def test_a_judge_that_gave_no_verdict_is_told(
    unjudged: SimulationRecord, ungraded: SimulationRecord
) -> None:
    assert "NO VERDICT goal_completion" in story(unjudged)
    assert "NOT GRADED goal_completion" in story(ungraded)


def test_wrong_calls_of_the_whole_conversation_mark_their_turns(failed: SimulationRecord) -> None:
    whole = Verdict(grader_id="calls", type="tool_call_args", status="fail")
    assert 2 in failed_turns(failed.model_copy(update={"verdicts": (whole,)}))
    judge = Verdict(grader_id="tone", type="llm_as_judge", status="fail")
    assert failed_turns(failed.model_copy(update={"verdicts": (judge,)})) == set()


def test_lines_fit_the_terminal_and_no_escape_passes(failed: SimulationRecord) -> None:
    hostile = "\x1b[2J" + "预订 " * 60 + "x" * 200
    transcript = failed.transcript
    assert transcript
    turn = transcript.turns[0].model_copy(
        update={"user_text": hostile, "assistant_text": hostile, "index": 1}
    )
    changed = failed.model_copy(
        update={
            "transcript": transcript.model_copy(update={"turns": (turn,)}),
            "scenario": hostile,
            "reason": hostile,
        }
    )
    told = story(changed)
    assert "\x1b" not in told
    assert max(cells(line) for line in told.splitlines()) <= 80


def test_an_entry_shows_source_reference_and_output(entries: list[EntryRecord]) -> None:
    told = story(entries[3])
    assert told.startswith("eng-spa-demo e4: infra error - 429 after 5 tries")
    assert "  reference El perro duerme en la casa." in told
    assert "  output    (nothing)" in told
    assert "  chrF++    81.2" in story(entries[0])


def test_no_module_of_the_reports_imports_pytest() -> None:
    source = Path(story.__code__.co_filename).parent
    for path in source.glob("*.py"):
        assert "import pytest\n" not in path.read_text(encoding="utf-8"), path.name


def test_calls_that_are_right_and_wrong_stand_in_the_same_columns(
    failed: SimulationRecord,
) -> None:
    calls = [{"name": "move", "arguments": {"to": to}} for to in ("a", "b")]
    wrong = [calls[0], {"name": "move", "arguments": {"to": "c"}}]
    headings = re.findall(r"^ +move +expected +actual$", compared(failed, calls, wrong), re.M)
    assert len(headings) == 2
    assert len(set(headings)) == 1
