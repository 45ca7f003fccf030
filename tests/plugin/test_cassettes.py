"""Recording a run, and replaying it where there is no server."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Suite

EVALS: Final = Path(__file__).parents[2] / "evals"
#: Nobody listens there.
NOWHERE: Final = ("--eval-endpoint", "ws://127.0.0.1:9")
REPLAY: Final = ("--eval-replay", *NOWHERE)
TIMINGS: Final = ("latenc", "_started_ms", "_ended_ms", "duration", "started_at", "lag")

BOOKS: Final[list[Any]] = [
    [{"say": "When?"}],
    [
        {"calls": [{"name": "book", "arguments": {"day": "Friday"}}]},
        {"say": "Yes, it is booked."},
    ],
]
MOCKED: Final[dict[str, Any]] = {
    "caller": {"says": ["On Friday."]},
    "tool_mocks": [{"name": "book", "output": {"ok": True}, "delay_ms": 30}],
    "expected_tool_call": {"name": "book", "arguments": {"day": "Friday"}},
}


def records(suite: Suite, run: str) -> dict[str, dict[str, Any]]:
    """Return the records of a run, by node id."""
    path = suite.root / "results" / run / "records.jsonl"
    found = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {record["nodeid"]: record for record in found}


def timeless(value: Any, *without: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return JSON without how long things took, and without the mark of a replay."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not _is_timing(k) and k not in without}
        return {key: timeless(held, *without) for key, held in kept.items() if key != "replay"}
    return [timeless(item, *without) for item in value] if isinstance(value, list) else value


def _is_timing(name: str) -> bool:
    return any(part in name for part in TIMINGS)


def table(suite: Suite, run: str, *without: str) -> list[dict[str, str]]:
    """Return the rows of a run's results.csv without timings."""
    with (suite.root / "results" / run / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = [name for name in rows[0] if not _is_timing(name) and name not in without]
    return sorted(({name: row[name] for name in kept} for row in rows), key=str)


def run(suite: Suite, name: str, *arguments: str) -> pytest.RunResult:
    return suite.run("--eval-run-name", name, *arguments)


def sessions(suite: Suite, name: str) -> int:
    """Return how many sessions the model of a simulation has had."""
    return len(suite.server.received(f"model-{name}"))


def cassette(suite: Suite, name: str) -> Path:
    return suite.root / "evals" / "cassettes" / name


def test_a_replay_leaves_what_the_recorded_run_left(each_mode: Suite) -> None:
    for name in ("sim_one", "sim_two"):
        each_mode.simulation(f"{name}_{len(each_mode.mode)}", BOOKS, **MOCKED)
    run(each_mode, "first", "--eval-record", "once").assert_outcomes(passed=2)
    result = run(each_mode, "again", *REPLAY)
    result.assert_outcomes(passed=2)
    first, again = records(each_mode, "first"), records(each_mode, "again")
    # A recording does not tell which server it is of, so its results have keys of their own.
    assert timeless(again, "content_key") == timeless(first, "content_key")
    assert table(each_mode, "again", "content_key") == table(each_mode, "first", "content_key")
    assert {record["replay"] for record in again.values()} == {"fast"}
    (transcript, _) = (record["transcript"] for record in again.values())
    assert [turn["user_text"] for turn in transcript["turns"]] == ["Is it?", "On Friday."]
    assert transcript["turns"][1]["tool_calls"][0]["call_id"] == "call_1"
    texts = [
        sorted((each_mode.root / "results" / name / "conversations").glob("*.txt"))
        for name in ("first", "again")
    ]
    assert [path.read_text() for path in texts[0]] == [path.read_text() for path in texts[1]]


def test_by_default_no_cassette_is_touched(suite: Suite) -> None:
    suite.simulation("sim_plain")
    run(suite, "live").assert_outcomes(passed=1)
    assert not (suite.root / "evals" / "cassettes").exists()
    run(suite, "recorded", "--eval-record", "once")
    (cassette(suite, "sim_plain") / "assistant.jsonl").write_text("damaged")
    run(suite, "again").assert_outcomes(passed=1)
    assert (cassette(suite, "sim_plain") / "assistant.jsonl").read_text() == "damaged"


def test_once_records_what_is_missing_and_replays_the_rest(suite: Suite) -> None:
    suite.simulation("sim_once_a")
    run(suite, "first", "--eval-record", "once").assert_outcomes(passed=1)
    suite.simulation("sim_once_b")
    run(suite, "second", "--eval-record", "once").assert_outcomes(passed=2)
    assert (sessions(suite, "sim_once_a"), sessions(suite, "sim_once_b")) == (1, 1)
    replayed = {id_: record["replay"] for id_, record in records(suite, "second").items()}
    assert replayed == {
        "evals/sim_once_a.json::sim_once_a": "fast",
        "evals/sim_once_b.json::sim_once_b": "",
    }
    run(suite, "third", "--eval-record", "once", *NOWHERE).assert_outcomes(passed=2)


def test_new_records_what_is_missing_or_no_longer_fits(suite: Suite) -> None:
    for name in ("sim_new_a", "sim_new_b"):
        suite.simulation(name)
    run(suite, "first", "--eval-record", "new").assert_outcomes(passed=2)
    suite.simulation("sim_new_b", turns=[[{"say": "Oh yes."}]])
    run(suite, "second", "--eval-record", "new").assert_outcomes(passed=2)
    assert (sessions(suite, "sim_new_a"), sessions(suite, "sim_new_b")) == (1, 2)
    run(suite, "third", *REPLAY).assert_outcomes(passed=2)
    turns = records(suite, "third")["evals/sim_new_b.json::sim_new_b"]["transcript"]["turns"]
    assert turns[0]["assistant_text"] == "Oh yes."


def test_all_records_anew(suite: Suite) -> None:
    suite.simulation("sim_all")
    for name in ("first", "second"):
        run(suite, name, "--eval-record", "all").assert_outcomes(passed=1)
    assert sessions(suite, "sim_all") == 2
    assert sorted(p.name for p in (suite.root / "evals/cassettes").iterdir()) == ["sim_all"]


@pytest.mark.parametrize("mode", [("--eval-record", "once"), ("--eval-replay",)])
def test_a_cassette_that_no_longer_fits_says_what_changed(
    suite: Suite, mode: tuple[str, ...]
) -> None:
    suite.simulation("sim_old")
    run(suite, "first", "--eval-record", "once")
    suite.simulation("sim_old", tool_mocks=[{"name": "book", "output": 1}])
    result = run(suite, "second", *mode)
    result.assert_outcomes(errors=1)
    (record,) = records(suite, "second").values()
    assert record["outcome"] == "infra_error"
    assert record["failure"]["stage"] == "cassette"
    assert (
        "the recording no longer fits its simulation: conversation.tool_mocks[0] was nothing and is"
        in (record["reason"])
    )
    assert "--eval-record new" in record["reason"]


def test_a_changed_grader_grades_the_recording(suite: Suite) -> None:
    suite.simulation("sim_graded")
    run(suite, "first", "--eval-record", "once").assert_outcomes(passed=1)
    grader = {"id": "says_no", "type": "mentions", "values": ["never said"]}
    suite.simulation("sim_graded", graders={"trace_level": [grader]})
    run(suite, "second", *REPLAY).assert_outcomes(failed=2)  # the item and its subtest
    (record,) = records(suite, "second").values()
    assert record["outcome"] == "failed"


def test_a_replay_without_a_recording_says_how_to_make_one(suite: Suite) -> None:
    suite.simulation("sim_unrecorded")
    result = run(suite, "first", *REPLAY)
    assert result.ret == 1
    (record,) = records(suite, "first").values()
    assert record["outcome"] == "infra_error"
    assert "there is no recording; --eval-record new" in record["reason"]
    assert record["attempts"] == []


def test_recording_and_replaying_at_once_is_refused(suite: Suite) -> None:
    suite.simulation("sim_a")
    result = suite.run("--eval-replay", "--eval-record", "new")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--eval-replay replays what is recorded*choose one*"])


def test_recording_by_hand_comes_before_replaying_by_ini(suite: Suite) -> None:
    suite.ini["eval_replay"] = "true"
    suite.simulation("sim_by_hand")
    run(suite, "first").assert_outcomes(errors=1)
    run(suite, "second", "--eval-record", "new").assert_outcomes(passed=1)
    run(suite, "third", *NOWHERE).assert_outcomes(passed=1)
    assert sessions(suite, "sim_by_hand") == 1


def test_what_a_recording_says_of_itself_is_no_eval(suite: Suite) -> None:
    suite.simulation("sim_quotes", scenario='Asks for "entries".', metadata={"entries": []})
    run(suite, "first", "--eval-record", "once").assert_outcomes(passed=1)
    header = cassette(suite, "sim_quotes") / "cassette.json"
    header.write_text(header.read_text().replace('"content":', '"entries": [], "content":'))
    run(suite, "second", *REPLAY).assert_outcomes(passed=1)


def test_what_the_harness_says_otherwise_is_named(suite: Suite) -> None:
    suite.simulation("sim_other", BOOKS, **MOCKED)
    run(suite, "first", "--eval-record", "once").assert_outcomes(passed=1)
    suite.write(
        "conftest.py",
        "import pytest\n"
        "from pytest_realtime_eval.conversation.tools import ToolMocks\n"
        "@pytest.fixture\n"
        "def tool_mocks():\n"
        "    return ToolMocks().with_function('book', lambda arguments: {'ok': False})\n",
    )
    run(suite, "second", *REPLAY).assert_outcomes(errors=1)
    (record,) = records(suite, "second").values()
    assert "cassettes/sim_other/assistant.jsonl, line " in record["reason"]
    assert (
        "the harness sends another conversation.item.create than was recorded: "
        '$.item.output is "{\\"ok\\": false}", recorded "{\\"ok\\": true}"' in record["reason"]
    )
    # The turns up to there are kept.
    assert len(record["transcript"]["turns"]) == 2


def test_a_conversation_that_broke_leaves_no_recording_and_keeps_the_old_one(
    suite: Suite,
) -> None:
    suite.simulation("sim_breaks")
    run(suite, "first", "--eval-record", "once").assert_outcomes(passed=1)
    before = (cassette(suite, "sim_breaks") / "assistant.jsonl").read_text()
    suite.simulation("sim_breaks", turns=[[{"fault": "error"}]])
    suite.simulation("sim_never", turns=[[{"fault": "error"}]])
    run(suite, "second", "--eval-record", "all", "--eval-retries", "0").assert_outcomes(errors=2)
    assert (cassette(suite, "sim_breaks") / "assistant.jsonl").read_text() == before
    assert [p.name for p in (suite.root / "evals/cassettes").iterdir()] == ["sim_breaks"]


LATENCY: Final[dict[str, Any]] = {
    "graders": {
        "trace_level": [
            {"id": "in_time", "type": "max_latency_ms", "limit_ms": 60000},
            {"id": "says_yes", "type": "mentions", "values": ["yes"]},
        ]
    }
}


def test_latencies_do_not_apply_to_a_replay_at_full_speed(suite: Suite) -> None:
    suite.simulation("sim_fast", **LATENCY, thresholds=["latency_first_audio_ms_p95<=0.001"])
    assert run(suite, "first", "--eval-record", "once").ret == 1
    limit = ("--eval-threshold", "latency_response_done_ms_avg<=0.001")
    result = run(suite, "second", *REPLAY, *limit)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["evals: replaying cassettes at full speed, nothing is called"])
    result.stdout.fnmatch_lines_random(
        [
            "latency_response_done_ms_avg<=0.001*not applicable*command line",
            "latency_first_audio_ms_p95<=0.001*not applicable*sim_fast",
        ]
    )
    (record,) = records(suite, "second").values()
    verdicts = {verdict["grader_id"]: verdict for verdict in record["verdicts"]}
    assert verdicts["in_time"]["status"] == "not_applicable"
    assert "replay at full speed" in verdicts["in_time"]["rationale"]
    assert verdicts["says_yes"]["status"] == "pass"
    assert set(record["transcript"]["turns"][0]["latencies"].values()) == {None}


def test_latencies_apply_at_the_recorded_pace(suite: Suite) -> None:
    suite.simulation("sim_paced", [[{"say": "Yes.", "delay_ms": 200}]], **LATENCY)
    run(suite, "first", "--eval-record", "once").assert_outcomes(passed=1)
    limit = ("--eval-threshold", "latency_first_audio_ms_avg>=150")
    result = run(suite, "second", *REPLAY, "--eval-replay-pace", "recorded", *limit)
    assert result.ret == 0
    (record,) = records(suite, "second").values()
    assert record["replay"] == "recorded"
    assert 150 < record["transcript"]["turns"][0]["latencies"]["first_audio"] < 600
    assert record["verdicts"][0]["status"] == "pass"


JUDGE: Final = """
import json, pytest
from pytest_realtime_eval.graders.judge import Judge
from pytest_realtime_eval.text.request import TextReply

class Client:
    async def ask(self, request):
        {before}
        polite = {{"rationale": request.model, "applicable": True, "grade": 1}}
        return TextReply(json.dumps(polite), model_id="judge-2")
    async def aclose(self):
        pass

@pytest.fixture(scope="session")
def judge():
    return Judge(Client(), "judge-1")
"""


def test_what_the_judge_said_is_replayed(suite: Suite) -> None:
    graders = {
        "turn_level": [{"id": "polite", "criteria": "Is polite."}],
        "trace_level": [{"id": "kind", "criteria": "Is kind.", "model": "judge-9"}],
    }
    suite.simulation("sim_judged", BOOKS, **MOCKED, graders=graders)
    suite.write("conftest.py", JUDGE.format(before="pass"))
    run(suite, "first", "--eval-record", "once").assert_outcomes(passed=1)
    suite.write("conftest.py", JUDGE.format(before="raise RuntimeError('asked')"))
    run(suite, "second", *REPLAY).assert_outcomes(passed=1)
    first, second = records(suite, "first"), records(suite, "second")
    assert timeless(first, "content_key") == timeless(second, "content_key")
    (record,) = second.values()
    assert [v["rationale"] for v in record["verdicts"]] == ["judge-1", "judge-1", "judge-9"]
    suite.simulation(
        "sim_judged",
        BOOKS,
        **MOCKED,
        graders={"turn_level": [{"id": "polite", "criteria": "Is very polite."}]},
    )
    run(suite, "third", *REPLAY)
    (record,) = records(suite, "third").values()
    assert 'polite.criteria was "Is polite." and is "Is very polite."' in record["reason"]
    run(suite, "fourth", *REPLAY, "--eval-judge-model", "judge-2")
    (record,) = records(suite, "fourth").values()
    assert 'judge.model was "judge-1" and is "judge-2"' in record["reason"]


DATASET: Final = {
    "dataset": {"id": "words", "version": "1", "language_pair": "en-es"},
    "entries": [
        {"id": f"w-{i}", "source": f"word {i}", "reference": f"WORD {i}"} for i in range(1, 7)
    ],
}
#: xdist's workers begin with the path that their controller began with.
IMPORTABLE: Final = "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\n"
TRANSLATE: Final = """
def upper(text, system=""):
    {before}
    return text.upper()
"""


def test_translations_are_recorded_in_one_file_and_replayed(each_mode: Suite) -> None:
    suite, module = each_mode, f"upper_{len(each_mode.mode)}{''.join(each_mode.mode)[-1:]}"
    suite.write("conftest.py", IMPORTABLE)
    suite.write("evals/words.json", DATASET)
    suite.write(f"{module}.py", TRANSLATE.format(before="pass"))
    model = ("--eval-model", f"callable:{module}:upper")
    run(suite, "first", *model, "--eval-record", "new").assert_outcomes(passed=6)
    path = suite.root / "evals" / "cassettes" / "words.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["entry"] for line in lines if "entry" in line] == [f"w-{i}" for i in range(1, 7)]
    assert sum("prompt" in line for line in lines) == 1
    (suite.root / f"{module}.py").unlink()
    threshold = ("--eval-threshold", "latency_seconds<=0")
    run(suite, "second", *model, *REPLAY, *threshold).assert_outcomes(passed=6)
    first, second = records(suite, "first"), records(suite, "second")
    verdicts = [verdict for record in second.values() for verdict in record["verdicts"]]
    assert {verdict["status"] for verdict in verdicts} == {"not_applicable"}
    # The threshold, too, is part of the key.
    assert timeless(first, "verdicts", "content_key") == timeless(second, "verdicts", "content_key")


def test_recording_leaves_nothing_in_the_folder_for_temporary_files(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    suite.simulation("sim_tidy")
    suite.write("conftest.py", IMPORTABLE)
    suite.write("evals/words.json", DATASET)
    suite.write("upper_tidy.py", TRANSLATE.format(before="pass"))
    model = ("--eval-model", "callable:upper_tidy:upper")
    run(suite, "first", *model, "--eval-record", "new").assert_outcomes(passed=7)
    assert list(temporary.iterdir()) == []


def test_an_entry_that_no_longer_fits_says_what_changed_and_is_recorded_anew(
    suite: Suite,
) -> None:
    suite.write("conftest.py", IMPORTABLE)
    suite.write("evals/words.json", DATASET)
    suite.write("upper_anew.py", TRANSLATE.format(before="pass"))
    model = ("--eval-model", "callable:upper_anew:upper")
    run(suite, "first", *model, "--eval-record", "once").assert_outcomes(passed=6)
    changed = json.loads(json.dumps(DATASET))
    changed["entries"][2]["source"] = "other"
    del changed["entries"][0]
    suite.write("evals/words.json", changed)
    run(suite, "second", *model, *REPLAY).assert_outcomes(passed=4, errors=1)
    record = records(suite, "second")["evals/words.json::w-3"]
    assert 'text was "word 3" and is "other"' in record["reason"]
    run(suite, "third", *model, "--eval-record", "new").assert_outcomes(passed=5)
    replayed = {id_: r["replay"] for id_, r in records(suite, "third").items()}
    assert [id_ for id_, how in replayed.items() if not how] == ["evals/words.json::w-3"]
    text = (suite.root / "evals/cassettes/words.jsonl").read_text()
    assert "OTHER" in text
    assert "w-1" not in text


PYTHON: Final = """
import pytest

@pytest.mark.asyncio
async def test_books(run_simulation):
    transcript = await run_simulation("sim_py.json")
    assert transcript.tool_calls[0].arguments == {"day": "Friday"}

@pytest.mark.asyncio
@pytest.mark.simulation("sim_py.json")
async def test_opens(assistant_session):
    assert assistant_session.id

def test_asks(realtime_endpoints):
    assert realtime_endpoints.assistant
"""


def test_conversations_of_python_tests_are_recorded_too(suite: Suite) -> None:
    suite.simulation("sim_py", BOOKS, **MOCKED)
    suite.write("evals/test_py.py", PYTHON)
    run(suite, "first", "--eval-record", "once").assert_outcomes(passed=4)
    result = run(suite, "second", *REPLAY)
    result.assert_outcomes(passed=2, skipped=1, failed=1)
    result.stdout.fnmatch_lines(["*--eval-replay opens no sessions, and this test opens one*"])
    assert cassette(suite, "test_books-sim_py").is_dir()


EMBEDDED: Final = ("--eval-endpoint", "embedded")
NO_EMBEDDED: Final = """
from pytest_realtime_eval.embedded import process

def ensure_running(*args):
    raise RuntimeError("the embedded endpoint was started")

process.ensure_running = ensure_running
"""


@pytest.mark.slow
def test_the_embedded_endpoint_and_its_replay_leave_the_same(suite: Suite) -> None:
    """The shipped suite, by four workers, live and from its recording."""
    shutil.copytree(EVALS, suite.root / "evals", ignore=shutil.ignore_patterns("cassettes"))
    chosen = ("-n4", "-k", "sim_cancel_booking or sim_opening_hours or everyday")
    suite.in_process = False
    recording = suite.arguments("--eval-run-name", "live", *chosen, *EMBEDDED, "--eval-record=once")
    suite.pytester.runpytest_subprocess(*recording, timeout=240)
    suite.write("conftest.py", NO_EMBEDDED)
    again = suite.arguments("--eval-run-name", "replay", *chosen, *EMBEDDED, "--eval-replay")
    assert suite.pytester.runpytest_subprocess(*again, timeout=240).ret == 0
    live, replay = records(suite, "live"), records(suite, "replay")
    assert len(live) == 2 + 44
    assert {record["outcome"] for record in live.values()} == {"passed"}
    assert {record["replay"] for record in replay.values()} == {"fast"}
    latencies = {"first_audio_in_time"}
    for record in (*live.values(), *replay.values()):
        record["verdicts"] = [v for v in record["verdicts"] if v["grader_id"] not in latencies]
    assert timeless(replay) == timeless(live)
    assert table(suite, "replay") == table(suite, "live")
