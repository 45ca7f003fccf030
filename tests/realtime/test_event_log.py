from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.realtime import event_log
from pytest_realtime_eval.realtime.event_log import EventLog

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def test_a_line_holds_the_fields_of_the_format(tmp_path: Path) -> None:
    async with EventLog(tmp_path / "log.jsonl", started_at=10.0) as log:
        log.turn_index = 2
        log.source("simulator").event({"type": "x", "a": [1, None]}, 10.5)
        log.source("assistant").event({"type": 'y"\n'}, 10.75)
    assert lines(log.path) == [
        {"type": "x", "source": "simulator", "turn_index": 2, "event_index": 0,
         "event_time_ms": 500.0, "event": {"type": "x", "a": [1, None]}},
        {"type": 'y"\n', "source": "assistant", "turn_index": 2, "event_index": 1,
         "event_time_ms": 750.0, "event": {"type": 'y"\n'}},
    ]  # fmt: skip


async def test_long_strings_are_cut_with_the_count_of_what_is_missing(tmp_path: Path) -> None:
    async with EventLog(tmp_path / "log.jsonl") as log:
        source = log.source("a")
        source.event({"type": "x", "fits": "b" * 400, "deep": [{"long": "ü" * 403}]}, 0.0)
        source.sent_audio(b"A" * 1280, 0.0)
        source.sent_audio(b"A" * 400, 0.0)
    first, second, third = (line["event"] for line in lines(log.path))
    assert first["fits"] == "b" * 400
    assert first["deep"][0]["long"] == "ü" * 400 + "… [3 more characters]"
    assert second == {
        "type": "input_audio_buffer.append",
        "audio": "A" * 400 + "… [880 more characters]",
    }
    assert third["audio"] == "A" * 400


@pytest.mark.parametrize(
    "raw",
    [
        '{"type": "x", "text": "lone \\ud800"}',
        '{\n "type":\r\n "x"\n}',
        '{"type":"x","text":"\\u2028 \\u0085 line ends that are none"}',
        '{"type":"x","n":1e400}',
    ],
)
async def test_any_text_becomes_one_line(tmp_path: Path, raw: str) -> None:
    event = json.loads(raw)
    async with EventLog(tmp_path / "log.jsonl") as log:
        log.source("a").event(event, 0.0, raw)
        log.source("a").event(event, 0.0)
    written = (tmp_path / "log.jsonl").read_bytes()
    assert written.count(b"\n") == 2
    assert [json.loads(line)["event"] for line in written.split(b"\n")[:-1]] == [event] * 2


@pytest.mark.parametrize(
    "raw",
    [
        '{"type":"x","delta":"%s","item_id":"i"}',
        '{"delta": "%s", "type": "x"}',
        '{"type":"x","note":"\\"delta\\":\\"","delta":"%s"}',
        '{"type":"x","note":{"delta":"other"},"delta":"%s"}',
        '{"type":"x","delta":"ü%s"}',
        '{"type":"x","delta":"\\/%s"}',
        '{"type":"x","delta":"a%s\\u00fc"}',
        '{"type":"x","delta":\n"%s"}',
        '{"type":"x","delta":"%s","client_secret":"s"}',
        '{"type":"x","delta":"%s","delta":"%s"}',
    ],
)
@pytest.mark.parametrize("length", [380, 400, 401, 5000])
async def test_cutting_the_text_is_cutting_the_event(tmp_path: Path, raw: str, length: int) -> None:
    raw = raw.replace("%s", "Ab0+" * (length // 4) + "A" * (length % 4))
    event = json.loads(raw)
    async with EventLog(tmp_path / "log.jsonl") as log:
        log.source("a").event(event, 0.0, raw)
        log.source("a").event(event, 0.0)
    with_text, without = (line["event"] for line in lines(log.path))
    assert with_text == without


async def test_a_lone_surrogate_does_not_break_the_file(tmp_path: Path) -> None:
    async with EventLog(tmp_path / "log.jsonl") as log:
        log.source("a").event({"type": "x", "text": "\ud800"}, 0.0)
    assert lines(log.path)[0]["event"]["text"] == "\ud800"


async def test_an_event_nested_too_deeply_is_named(tmp_path: Path) -> None:
    deep: dict[str, Any] = {"type": "x"}
    for _ in range(5000):
        deep = {"type": "x", "in": deep}
    async with EventLog(tmp_path / "log.jsonl") as log:
        log.source("a").event(deep, 0.0)
    assert lines(log.path)[0]["event"]["type"] == "harness.unloggable"


async def test_ephemeral_credentials_are_blanked(tmp_path: Path) -> None:
    session = {"client_secret": {"value": "ek_123"}}
    event = {"type": "session.created", "session": session}
    async with EventLog(tmp_path / "log.jsonl") as log:
        log.source("a").event(event, 0.0, json.dumps(event))
    assert lines(log.path)[0]["event"]["session"] == {"client_secret": "***"}
    assert session["client_secret"] == {"value": "ek_123"}


async def test_lines_keep_their_order_over_many_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "_BATCH", 500)
    async with EventLog(tmp_path / "log.jsonl") as log:
        for number in range(2000):
            log.source("a").event({"type": "x", "n": number}, 0.0)
            if number % 50 == 0:
                await asyncio.sleep(0)
    written = lines(log.path)
    assert [line["event"]["n"] for line in written] == list(range(2000))
    assert [line["event_index"] for line in written] == list(range(2000))


async def test_the_disk_is_written_by_another_thread_and_lines_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    write = os.write

    def slow_write(descriptor: int, data: bytes) -> int:
        threads.add(threading.get_ident())
        time.sleep(0.002)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", slow_write)
    async with EventLog(tmp_path / "log.jsonl") as log:
        source = log.source("a")
        held = 0
        for _ in range(4000):
            source.sent_audio(b"A" * 1280, 0.0)
            held = max(held, log._size)
            await asyncio.sleep(0)
    assert threading.get_ident() not in threads
    assert held < 10 * event_log._BATCH
    assert len(lines(log.path)) == 4000


async def test_lines_that_come_during_a_write_wait_for_a_batch_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = os.write

    def counted(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(event_log, "_BATCH", 10_000)
    monkeypatch.setattr(event_log, "_FLUSH_AFTER", 60.0)
    monkeypatch.setattr(os, "write", counted)
    async with EventLog(tmp_path / "log.jsonl") as log:
        for _ in range(1000):
            log.source("a").sent_audio(b"A" * 1280, 0.0)
            await asyncio.sleep(0.0001)
    # All but what is left at the end.
    assert min(sizes[:-1]) >= 10_000


async def test_lines_reach_the_disk_while_the_conversation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "_FLUSH_AFTER", 0.02)
    async with EventLog(tmp_path / "log.jsonl") as log:
        for number in range(3):
            log.source("a").event({"type": "x"}, 0.0)
            await asyncio.sleep(0.1)
            assert len(lines(log.path)) == number + 1


async def test_an_empty_log_is_a_file(tmp_path: Path) -> None:
    async with EventLog(tmp_path / "events" / "log.jsonl") as log:
        pass
    assert log.path.read_bytes() == b""
    await log.aclose()
    assert log.failure is None


async def test_a_full_disk_leaves_whole_lines_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def write_until_full(descriptor: int, data: bytes) -> int:
        room = 10_000 - os.fstat(descriptor).st_size
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: min(room, 700)])

    monkeypatch.setattr(event_log, "_BATCH", 1000)
    monkeypatch.setattr(os, "write", write_until_full)
    async with EventLog(tmp_path / "log.jsonl") as log:
        for number in range(200):
            log.source("a").event({"type": "x", "n": number}, 0.0)
            await asyncio.sleep(0)
    assert "No space left" in str(log.failure)
    assert [line["event"]["n"] for line in lines(log.path)] == list(range(len(lines(log.path))))
    assert 0 < len(lines(log.path)) < 200


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with EventLog(tmp_path / "file" / "log.jsonl") as log:
        log.source("a").event({"type": "x"}, 0.0)
    assert str(log.path) in str(log.failure)
