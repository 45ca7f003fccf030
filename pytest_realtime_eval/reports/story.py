"""What a failing item shows instead of a traceback: what was said, and what was wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.reports.table import item_failure
from pytest_realtime_eval.reports.text import Column, json_text, seconds, table, wrap
from pytest_realtime_eval.schemas.results import EntryRecord, SimulationRecord, Verdict
from pytest_realtime_eval.schemas.simulation import ExpectedToolCall

if TYPE_CHECKING:
    from pytest_realtime_eval.schemas.results import AnyRecord
    from pytest_realtime_eval.schemas.transcript import Transcript, Turn

_TOLD_ONE_BY_ONE: Final = ("fail", "error")
_STATUS_WORDS: Final = {"fail": "FAILED", "error": "NO VERDICT"}


def story(record: AnyRecord, folder: Path | None = None, width: int = 80) -> str:
    """Return an item's story as plain text.

    Args:
        record: A simulation's or an entry's record, usually one that did not pass.
        folder: The run's folder, which the paths of audio and event log are shown with.
        width: Columns of the terminal.
    """
    lines = (
        _entry_story(record, width)
        if isinstance(record, EntryRecord)
        else _simulation_story(record, folder or Path(), width)
    )
    return "\n".join(lines)


def failed_turns(record: SimulationRecord) -> set[int]:
    """Return the indexes of the turns where a conversation went wrong.

    They are the turns that broke or that a verdict names; where only the conversation's
    tool calls are judged wrong, the turns with the wrong calls.
    """
    transcript = record.transcript
    if transcript is None:
        return set()
    failing = [verdict for verdict in record.verdicts if verdict.status == "fail"]
    named = {v.turn_index for v in failing if v.turn_index is not None}
    named |= {turn.index for turn in transcript.turns if turn.failure}
    if not named and any(verdict.type.startswith("tool_") for verdict in failing):
        return _turns_with_wrong_calls(record, transcript)
    return named


def _turns_with_wrong_calls(record: SimulationRecord, transcript: Transcript) -> set[int]:
    from pytest_realtime_eval.graders.columns import call_columns

    expected = [ExpectedToolCall.model_validate(call) for call in record.expected_tool_calls]
    return {
        columns.turn_index
        for columns in call_columns(transcript, expected)
        if 0 in (columns.tool_call_correctness, columns.tool_call_arg_correctness)
    }


# --- simulations --------------------------------------------------------------------------


def _simulation_story(record: SimulationRecord, folder: Path, width: int) -> Iterator[str]:
    yield from _headline(record.simulation_id, record, width)
    if record.scenario:
        yield from wrap(record.scenario, width)
    marked = failed_turns(record)
    if record.transcript:
        yield ""
        for turn in record.transcript.turns:
            yield from _turn(turn, record.verdicts, width, marked=turn.index in marked)
        if record.transcript.end_text:
            yield from _said("user", record.transcript.end_text, width, "  end   ")
    for status in _TOLD_ONE_BY_ONE:
        for verdict in record.verdicts:
            if verdict.status == status:
                yield ""
                yield from _verdict(verdict, width)
    yield from _ungraded(record.verdicts, width)
    yield ""
    yield from _places(record, folder, marked)


def _headline(name: str, record: AnyRecord, width: int) -> Iterator[str]:
    outcome = record.outcome.replace("_", " ")
    yield from wrap(f"{name}: {outcome}{f' - {record.reason}' if record.reason else ''}", width)
    failure = item_failure(record)
    if failure and failure.message != record.reason:
        yield from wrap(f"{failure.error_type}: {failure.message}", width)
    if failure:
        yield f"failure stage: {failure.stage}"
    if len(record.attempts) > 1:
        yield f"attempts: {len(record.attempts)}, the last one took {_took(record)}"


def _took(record: AnyRecord) -> str:
    return seconds(record.attempts[-1].duration_ms / 1000)


def _turn(turn: Turn, verdicts: Sequence[Verdict], width: int, *, marked: bool) -> Iterator[str]:
    label = f"{'>' if marked else ' '} {f'turn {turn.index}':<8}"
    yield from _said("user", turn.user_text, width, label)
    outputs = {output.call_id: output for output in turn.tool_outputs}
    for call in turn.tool_calls:
        made = call.raw_arguments if call.arguments is None else json_text(call.arguments)
        yield from _said("calls", f"{call.name} {made}", width)
        if output := outputs.get(call.call_id):
            unmocked = "" if output.mocked else " (the simulation has no mock for it)"
            yield from _said("returns", f"{json_text(output.output)}{unmocked}", width)
    yield from _said("assistant", turn.assistant_text or "(said nothing)", width)
    if turn.failure:
        yield from _said("BROKE", f"{turn.failure.stage}: {turn.failure.message}", width)
    for verdict in verdicts:
        if verdict.turn_index == turn.index and verdict.status == "fail":
            yield from _said("FAILED", f"{verdict.grader_id}: {verdict.rationale}", width)


def _said(who: str, text: str, width: int, label: str = "") -> list[str]:
    first = f"{label:<10}{who:<11}"
    return wrap(text, width, indent=" " * len(first), first=first)


def _verdict(verdict: Verdict, width: int) -> Iterator[str]:
    turn = "" if verdict.turn_index is None else f", turn {verdict.turn_index}"
    yield f"{_STATUS_WORDS[verdict.status]} {verdict.grader_id} ({verdict.type}{turn})"
    judge = f" [{verdict.model}]" if verdict.model else ""
    if verdict.criteria:
        yield from wrap(verdict.criteria, width, indent=" " * 12, first="  criterion ")
    if verdict.rationale:
        yield from wrap(verdict.rationale + judge, width, indent=" " * 12, first="  reason    ")
    if verdict.status == "fail":
        yield from _comparison(verdict.expected, verdict.actual, width)


def _ungraded(verdicts: Sequence[Verdict], width: int) -> Iterator[str]:
    """Name the graders that gave no verdict, once for each reason."""
    by_reason: dict[str, dict[str, None]] = {}
    for verdict in verdicts:
        if verdict.status == "ungraded":
            by_reason.setdefault(verdict.rationale, {})[verdict.grader_id] = None
    for reason, graders in by_reason.items():
        yield ""
        yield from wrap(f"NOT GRADED {', '.join(graders)}", width)
        yield from wrap(reason, width, indent=" " * 12, first="  reason    ")


def _comparison(expected: object, actual: object, width: int) -> Iterator[str]:
    if expected is None and actual is None:
        return
    if _are_calls(expected) and _are_calls(actual):
        for want, got in _pairs(expected, actual):
            yield from _side_by_side(want, got, width)
        return
    yield from wrap(json_text(expected), width, indent=" " * 12, first="  expected  ")
    yield from wrap(json_text(actual), width, indent=" " * 12, first="  actual    ")


def _are_calls(value: object) -> bool:
    return isinstance(value, Sequence) and all(
        isinstance(call, Mapping) and "name" in call for call in value
    )


Call = Mapping[str, Any]


def _pairs(expected: Any, actual: Any) -> Iterator[tuple[Call | None, Call | None]]:  # noqa: ANN401 - JSON
    """Put each expected call beside the made call of its name that is most like it."""
    left = list(actual)
    for want in expected:
        same_name = [call for call in left if call["name"] == want["name"]]
        got = max(same_name, key=lambda call: _likeness(want, call), default=None)
        if got is not None:
            left.remove(got)
        yield want, got
    for got in left:
        yield None, got


def _likeness(want: Call, got: Call) -> int:
    wanted, given = _arguments(want), _arguments(got)
    return sum(_same(value, given[key]) for key, value in wanted.items() if key in given)


def _arguments(call: Call | None) -> Mapping[str, Any]:
    arguments = (call or {}).get("arguments")
    if isinstance(arguments, Mapping):
        return arguments
    raw = (call or {}).get("raw_arguments") or arguments
    return {"(no JSON object)": raw} if raw else {}


def _same(expected: object, actual: object) -> bool:
    from pytest_realtime_eval.graders.matching import matches

    return matches(expected, actual)


def _side_by_side(want: Call | None, got: Call | None, width: int) -> Iterator[str]:
    name = (want or got or {})["name"]
    wanted, given = _arguments(want), _arguments(got)
    keys = list(dict.fromkeys([*wanted, *given]))
    rows = [_argument_row(key, wanted, given) for key in keys]
    note = " (never called)" if got is None else " (not expected)" if want is None else ""
    columns = [Column(name + note), Column("expected"), Column("actual")]
    marks = [" ", *(" " if _is_right(key, wanted, given) else ">" for key in keys)]
    for mark, line in zip(marks, table(columns, rows, width - 5), strict=True):
        yield f"  {mark}  {line}"


def _is_right(key: str, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return key not in wanted or (key in given and _same(wanted[key], given[key]))


def _argument_row(key: str, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    return [
        key,
        json_text(wanted[key]) if key in wanted else "(any)",
        json_text(given[key]) if key in given else "(missing)",
    ]


def _places(record: SimulationRecord, folder: Path, marked: set[int]) -> Iterator[str]:
    transcript = record.transcript
    if transcript:
        turns = [t for t in transcript.turns if t.index in marked] or transcript.turns
        for turn in turns:
            for path in (turn.user_audio_path, turn.assistant_audio_path):
                if path:
                    yield f"audio      {folder / path}"
    log = transcript.event_log_path if transcript else _last_log(record)
    if log:
        yield f"event log  {folder / log}"
    yield f"file       {record.path}"


def _last_log(record: SimulationRecord) -> str | None:
    return record.attempts[-1].event_log_path if record.attempts else None


# --- entries ------------------------------------------------------------------------------


def _entry_story(record: EntryRecord, width: int) -> Iterator[str]:
    yield from _headline(f"{record.dataset_id} {record.entry_id}", record, width)
    yield ""
    for label, text in (
        ("source", record.source),
        ("reference", record.reference),
        ("output", record.predicted or "(nothing)"),
    ):
        yield from wrap(text, width, indent=" " * 12, first=f"  {label:<10}")
    if record.predicted:
        yield f"  {'chrF++':<10}{record.entry_chrf:.1f}"
    for verdict in record.verdicts:
        if verdict.status in _TOLD_ONE_BY_ONE:
            yield ""
            yield from _verdict(verdict, width)
    yield ""
    yield f"file       {record.path}"
