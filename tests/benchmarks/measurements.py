"""The six measurements. Each runs what it compares side by side, once, and yields rows."""

from __future__ import annotations

import json
import math
import statistics
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks import suites
from tests.benchmarks.processes import (
    COMPANIONS,
    PLUGIN,
    ROOT,
    Server,
    Taken,
    canned_server,
    pytest_command,
    records,
    run,
)
from tests.benchmarks.suites import Talk
from tests.benchmarks.table import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


_TALK: Final = Talk(4, (4000,), (4000,))
#: A minute, most of it the user's speech.
_LONG: Final = Talk(9, (5000, 7000, 6000), (4000, 3000), 300, 100)


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        few, many: Conversations, and tests, between which costs are told apart from those of
            starting: the slope between the two is the cost.
        talk: What is played where CPU and memory are measured. ``long``: where wall time is.
        crowds: Numbers of real-time conversations at once.
    """

    few: int = 8
    many: int = 72
    paced_many: int = 48
    talk: Talk = _TALK
    long: Talk = _LONG
    crowds: tuple[int, ...] = (1, 8, 64, 128)
    entries: int = 1000
    few_entries: int = 100
    concurrencies: tuple[int, ...] = (8, 64, 256)
    items: int = 10_000
    few_items: int = 1000
    starts: int = 15


#: Shows that everything works, in minutes; its figures say little.
QUICK = Sizes(
    few=4,
    many=20,
    paced_many=12,
    talk=Talk(2, (3000,), (3000,)),
    long=Talk(2, (4000, 6000), (3000,), 300, 100),
    crowds=(1, 8, 64),
    entries=300,
    few_entries=60,
    concurrencies=(8, 64),
    items=1000,
    few_items=200,
    starts=5,
)


def conversations(server: Server, folder: Path, concurrency: int, *more: str) -> Taken:
    """Play a project's simulations."""
    return run(
        pytest_command(
            "evals",
            f"--eval-endpoint={server.url}",
            f"--eval-concurrency={concurrency}",
            "--eval-skip-plots",
            *more,
        ),
        folder,
    )


def bare(
    server: Server, folder: Path, mode: str, talk: Talk, count: int, *more: str
) -> tuple[Taken, dict[str, Any]]:
    """Play as many conversations with a bare client, all at once unless told otherwise."""
    command = [sys.executable, "-m", "tests.benchmarks.bare", mode, server.url, str(folder)]
    options = {
        "conversations": count,
        "concurrency": count,
        "turns": talk.turns,
        "user-ms": json.dumps(talk.user_ms),
    }
    command += [f"--{name}={value}" for name, value in options.items()]
    taken = run([*command, *more], folder.parent)
    return taken, json.loads(taken.output)


def warm_up(work: Path) -> None:
    """Play one conversation and time nothing: bytecode is cached, files have been read."""
    with canned_server(turns=1) as server:
        conversations(server, suites.simulations(work / "warm", 1, _TALK), 1)


# 1. CPU for each minute of conversation audio


def conversation_cpu(work: Path, sizes: Sizes) -> Iterator[Row]:
    """Compare CPU a minute of audio with that of bare clients on the same frames."""
    pace = (
        ("as fast as it goes", sizes.many, False),
        ("in real time", sizes.paced_many, True),
    )
    talk = sizes.talk
    for name, many, real_time in pace:
        with canned_server(**talk.scenario()) as server:
            ours = _slope(_play_cpu(server, work, talk, real_time=real_time), sizes.few, many)
            frames, parse = (
                _slope(_bare_cpu(server, work, mode, talk, real_time), sizes.few, many)
                for mode in ("frames", "parse")
            )
        minutes = talk.audio_minutes
        what = f"CPU a minute of conversation, {name}"
        values = [slope / minutes for slope in (ours, frames, parse)]
        yield Row(1, what, values[0], "s", "bare client, parses and keeps", values[2], 1.5)
        yield Row(1, what, values[0], "s", "bare client, parses nothing", values[1])
        played = (sizes.few + many) * 3 * minutes
        yield Row(1, f"the server's own, {name}", server.statistics["cpu_s"] / played, "s")


def _slope(cpu_of: Callable[[int], float], few: int, many: int) -> float:
    return (cpu_of(many) - cpu_of(few)) / (many - few)


def _play_cpu(server: Server, work: Path, talk: Talk, *, real_time: bool) -> Callable[[int], float]:
    def cpu_of(count: int) -> float:
        folder = suites.simulations(work / "ours", count, talk)
        more = ["--eval-real-time"] if real_time else []
        taken = conversations(server, folder, count if real_time else 8, *more)
        _expect_outcomes(records(folder), count)
        return taken.cpu_s

    return cpu_of


def _bare_cpu(
    server: Server, work: Path, mode: str, talk: Talk, real_time: bool
) -> Callable[[int], float]:
    def cpu_of(count: int) -> float:
        more = ["--real-time"] if real_time else ["--concurrency=8"]
        taken, _ = bare(server, work / mode, mode, talk, count, *more)
        return taken.cpu_s

    return cpu_of


def _expect_outcomes(found: Sequence[dict[str, Any]], count: int) -> None:
    passed = sum(record["outcome"] == "passed" for record in found)
    if passed != count:
        raise AssertionError(f"{passed} of {count} items passed: the figures mean nothing")


# 2. Wall time of conversations at once


def overlap(work: Path, sizes: Sizes) -> Iterator[Row]:
    """Compare the wall time of conversations in real time with that of the longest one."""
    talk = sizes.long
    with canned_server(**talk.scenario()) as server:
        for count in sizes.crowds:
            aims = {64: (1.05, 5.0), 128: (None, 10.0)}.get(count, (None, None))
            yield from _crowd(server, work, talk, count, "one process", aims)
        largest = max(sizes.crowds)
        name, aim = f"-n 2, {largest // 2} each", 1.1 if largest == 128 else None
        yield from _crowd(server, work, talk, largest, name, (aim, None), "-n", "2")
        for count in sizes.crowds[-2:]:
            yield from _bare_crowd(server, work, talk, count)


def _crowd(
    server: Server,
    work: Path,
    talk: Talk,
    count: int,
    where: str,
    aims: tuple[float | None, float | None],
    *more: str,
) -> Iterator[Row]:
    folder = suites.simulations(work / "crowd", count, talk)
    taken = conversations(server, folder, count // 2 if more else count, "--eval-real-time", *more)
    found = records(folder)
    _expect_outcomes(found, count)
    longest = max(record["duration_ms"] for record in found) / 1000
    what, against = f"{count} conversations, {where}", "the longest one"
    yield Row(2, f"{what}: whole command", taken.wall_s, "s", against, longest, aims[0])
    yield Row(2, f"{what}: first start to last end", _span_s(found), "s", against, longest)
    errors = [record["transcript"]["schedule_error"] for record in found]
    worst = max(error["p99_ms"] for error in errors)
    yield Row(2, f"{what}: p99 schedule error, worst conversation", worst, "ms", aim=aims[1])
    middle = statistics.median(error["p99_ms"] for error in errors)
    yield Row(2, f"{what}: p99 schedule error, median conversation", middle, "ms")
    yield Row(2, f"{what}: CPU of one core", taken.cpu_s / taken.wall_s, "")


def _span_s(found: Sequence[dict[str, Any]]) -> float:
    starts = [datetime.fromisoformat(record["started_at"]).timestamp() for record in found]
    ends = [s + r["duration_ms"] / 1000 for s, r in zip(starts, found, strict=True)]
    span: float = max(ends) - min(starts)
    return span


def _bare_crowd(server: Server, work: Path, talk: Talk, count: int) -> Iterator[Row]:
    taken, told = bare(server, work / "bare", "parse", talk, count, "--real-time")
    what = f"{count} conversations, bare client"
    longest = max(told["durations_s"])
    yield Row(2, f"{what}: whole command", taken.wall_s, "s", "the longest one", longest)
    worst = max(_p99(errors) for errors in told["schedule_errors_ms"])
    yield Row(2, f"{what}: p99 schedule error, worst conversation", worst, "ms")
    yield Row(2, f"{what}: CPU of one core", taken.cpu_s / taken.wall_s, "")


def _p99(ordered: Sequence[float]) -> float:
    return ordered[math.ceil(len(ordered) * 0.99) - 1]


# 3. Dataset entries at a latency

_LATENCY_MS = 200
_AIMS = {8: 1.1, 64: 1.3, 256: 2.5}


def translations(work: Path, sizes: Sizes) -> Iterator[Row]:
    """Compare the wall time of entries with what their latency alone would take."""
    cpu = {}
    for count in (sizes.few_entries, sizes.entries):
        taken, span_s = _translate(work, count, sizes.concurrencies[0])
        cpu[count] = taken.cpu_s
        if count == sizes.entries:
            yield from _translation_rows(sizes, sizes.concurrencies[0], (taken, span_s))
    for concurrency in sizes.concurrencies[1:]:
        done = _translate(work, sizes.entries, concurrency)
        yield from _translation_rows(sizes, concurrency, done)
    bare_cpu = {n: _bare_text(n, sizes.concurrencies[0])[0].cpu_s for n in cpu}
    per_entry = [
        (taken[sizes.entries] - taken[sizes.few_entries]) / (sizes.entries - sizes.few_entries)
        for taken in (cpu, bare_cpu)
    ]
    ours, theirs = (seconds * 1000 for seconds in per_entry)
    yield Row(3, "CPU an entry", ours, "ms", aim=2.0)
    yield Row(3, "CPU an entry", ours, "ms", "bare aiohttp client", theirs)


def _translation_rows(sizes: Sizes, concurrency: int, done: tuple[Taken, float]) -> Iterator[Row]:
    taken, span_s = done
    ideal = math.ceil(sizes.entries / concurrency) * _LATENCY_MS / 1000
    what, against = f"{sizes.entries} entries, {concurrency} at once", "latency alone"
    aim = _AIMS.get(concurrency)
    yield Row(3, f"{what}: first request to last reply", span_s, "s", against, ideal, aim)
    yield Row(3, f"{what}: whole command", taken.wall_s, "s", against, ideal)
    _, bare_span_s = _bare_text(sizes.entries, concurrency)
    yield Row(3, f"{what}: bare aiohttp client", bare_span_s, "s", against, ideal)


def _translate(work: Path, count: int, concurrency: int) -> tuple[Taken, float]:
    """Translate a dataset; return also the server's seconds from first request to last reply."""
    folder = suites.dataset(work / "dataset", count)
    with canned_server(chat_latency_ms=_LATENCY_MS) as server:
        taken = run(
            pytest_command(
                "evals",
                "--eval-model=openai/gpt-4o",
                f"--eval-base-url={server.base_url}",
                f"--eval-batch-size={concurrency}",
                "--eval-skip-plots",
            ),
            folder,
        )
    _expect_outcomes(records(folder), count)
    return taken, _served_s(server)


def _bare_text(count: int, concurrency: int) -> tuple[Taken, float]:
    with canned_server(chat_latency_ms=_LATENCY_MS) as server:
        command = [sys.executable, "-m", "tests.benchmarks.bare_text", server.base_url]
        numbers = [f"--requests={count}", f"--concurrency={concurrency}"]
        taken = run([*command, *numbers], ROOT)
    return taken, _served_s(server)


def _served_s(server: Server) -> float:
    told = server.statistics
    return float(told["last_reply_at"] - told["first_request_at"])


# 4. Collection and reporting


def many_items(work: Path, sizes: Sizes) -> Iterator[Row]:
    """Compare dataset entries with plain parametrised tests, collected and run."""
    count, against = sizes.items, f"{sizes.items} parametrised tests"
    for name, more in (("collected", ["--collect-only"]), ("run and reported", [])):
        entries = _repeat_entries(work, count, *more)
        plain = run(pytest_command(*more), suites.plain_tests(work / "plain", count))
        what = f"{count} entries {name}"
        yield Row(4, f"{what}: wall", entries.wall_s, "s", against, plain.wall_s, 1.2)
        yield Row(4, f"{what}: peak memory", entries.peak_mb, "MB", against, plain.peak_mb, 1.2)
        yield Row(4, f"{what}: CPU", entries.cpu_s, "s", against, plain.cpu_s)


def _repeat_entries(work: Path, count: int, *more: str) -> Taken:
    """Translate a dataset with a function, so that only the harness takes time."""
    folder = suites.dataset(work / "dataset", count)
    model = "--eval-model=callable:repeating:repeat"
    return run(pytest_command("evals", model, "--eval-skip-plots", *more), folder)


# 5. Memory as work grows


def memory(work: Path, sizes: Sizes) -> Iterator[Row]:
    """Return how peak memory grows with conversations in flight, and with entries."""
    few, many = sizes.few, sizes.crowds[-1]
    talk = replace(sizes.talk, turns=2)
    with canned_server(**talk.scenario()) as server:
        peaks = []
        for count in (few, many):
            folder = suites.simulations(work / "ours", count, talk)
            peaks.append(conversations(server, folder, count, "--eval-real-time").peak_mb)
    slope = (peaks[1] - peaks[0]) / (many - few)
    what = f"memory a conversation, {few} to {many} at once"
    audio_mb = talk.audio_minutes * 60 * 48_000 / 1e6
    yield Row(5, what, slope, "MB", "its audio", audio_mb)
    few, many = sizes.few_items, sizes.items
    entries = [_repeat_entries(work, count).peak_mb for count in (few, many)]
    plain = [
        run(pytest_command(), suites.plain_tests(work / "plain", count)).peak_mb
        for count in (few, many)
    ]
    kb = [(pair[1] - pair[0]) / (many - few) * 1024 for pair in (entries, plain)]
    yield Row(5, f"memory an entry, {few} to {many}", kb[0], "KB", "a parametrised test", kb[1])


# 6. Start-up


def start_up(work: Path, sizes: Sizes) -> Iterator[Row]:
    """Compare a pytest run of one empty test with the plugin and without."""
    folder = suites.plain_tests(work / "empty", 1)
    (folder / "evals").rmdir()
    kinds = {
        "the plugin": (*COMPANIONS, PLUGIN),
        "without the plugin": COMPANIONS,
        "without any plugin": (),
    }
    taken: dict[str, list[Taken]] = {kind: [] for kind in kinds}
    for _ in range(sizes.starts):
        for kind, plugins in kinds.items():
            taken[kind].append(run(pytest_command(plugins=plugins), folder))
    for name in ("wall", "cpu"):
        seconds = {
            kind: statistics.median(getattr(one, f"{name}_s") for one in runs)
            for kind, runs in taken.items()
        }
        ours = seconds.pop("the plugin")
        for kind, theirs in seconds.items():
            aim = 1.05 if (name, kind) == ("wall", "without the plugin") else None
            yield Row(6, f"pytest with one empty test: {name}", ours, "s", kind, theirs, aim)


MEASUREMENTS: dict[int, Callable[[Path, Sizes], Iterator[Row]]] = {
    1: conversation_cpu,
    2: overlap,
    3: translations,
    4: many_items,
    5: memory,
    6: start_up,
}
