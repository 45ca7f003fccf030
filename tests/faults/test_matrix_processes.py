"""The fault matrix, its other half: what happens to disks, processes and clocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.conftest import Inspection, Project, Row

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="signals, mounts and /proc are Linux's"),
]

#: One conversation after the other, so that one has ended when the next one breaks.
IN_ORDER: Final = "--eval-concurrency=1"


@pytest.fixture
def mounted() -> Iterator[Callable[..., Path]]:
    """Mounts file systems of a few KiB; skips where one may not."""
    places: list[Path] = []

    def mount(place: Path, options: str) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - fixed
        if done.returncode:
            pytest.skip(f"mounting needs root: {done.stderr.decode().strip()}")
        places.append(place)
        return place

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S603, S607 - fixed


def two(project: Project, row: Row) -> None:
    """Write two simulations; the second one meets the fault."""
    project.simulation("sim_whole")
    project.simulation("sim_z_broken", row.model)


def broke_as_said(left: Inspection, row: Row) -> None:
    """Hold what the run left against its row."""
    broken = left.records["sim_z_broken"]
    assert broken.outcome == row.outcome
    assert len(broken.transcript.turns if broken.transcript else ()) == row.turns
    assert broken.failure is not None
    assert broken.failure.stage == row.stage


def make_the_rest(project: Project) -> None:
    """Have ``realtime-eval report`` make what the run could not."""
    program = "import sys; from pytest_realtime_eval.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "report", str(project.folder)]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - ours
    assert done.returncode in (0, 1), done.stderr.decode()


def test_disk_full(
    project: Project, inspection: type[Inspection], row: Row, mounted: Callable[..., Path]
) -> None:
    mounted(project.root / "results", "size=700k")
    two(project, row)
    result = project.run_apart(IN_ORDER, *row.options)
    assert result.ret == row.exit
    left = inspection(project)
    broke_as_said(left, row)
    left.is_whole("sim_whole")
    left.is_readable()
    result.stdout.fnmatch_lines(["*Interrupted: cannot write: *No space left on device*"])


FILLS_THE_DISK: Final = """
import contextlib
import pytest

def fill(folder):
    with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(512))

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if item.name == "sim_z_broken":
        fill(item.config.rootpath / "results")
"""


def test_disk_full_for_good(
    project: Project, inspection: type[Inspection], row: Row, mounted: Callable[..., Path]
) -> None:
    mounted(project.root / "disk", "size=4m")
    (project.root / "results").symlink_to(project.root / "disk")
    project.write("conftest.py", FILLS_THE_DISK + OWN_ITEMS)
    two(project, row)
    # Its record holds the prompt, so that no rest of a page has room for it.
    prompt = {"model": row.model, "system_prompt": "Be kind. " * 1000}
    project.simulation("sim_z_broken", assistant=prompt)
    result = project.run_apart(IN_ORDER, *row.options)
    assert result.ret == row.exit
    assert project.kept() == ["sim_whole"]
    result.stdout.fnmatch_lines(
        [
            "*ERROR: the run's last records are lost, no room:*No space left*",
            "*Interrupted: *No space left on device*",
        ]
    )
    assert "INTERNALERROR" not in result.stdout.str()
    (project.root / "disk" / "ballast").unlink()
    make_the_rest(project)
    left = inspection(project)
    left.is_whole("sim_whole")
    left.is_readable()


#: With it no conversation starts ahead of its turn.
OWN_ITEMS: Final = """
@pytest.fixture
def tool_mocks(tool_mocks):
    return tool_mocks
"""

MOUNTS_READ_ONLY: Final = """
import subprocess
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if item.name == "sim_z_broken":
        (run,) = (item.config.rootpath / "results").iterdir()
        for name in ("events", "audio"):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", run / name], check=True)
"""


def test_read_only(
    project: Project, inspection: type[Inspection], row: Row, mounted: Callable[..., Path]
) -> None:
    mounted(project.root / "probe", "size=4k")
    project.write("conftest.py", MOUNTS_READ_ONLY + OWN_ITEMS)
    two(project, row)
    try:
        result = project.run_apart(IN_ORDER, *row.options)
    finally:
        for name in ("events", "audio"):
            place = project.folder / name
            if place.is_mount():
                subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S603, S607 - fixed
    assert result.ret == row.exit
    result.stdout.fnmatch_lines(["*Read-only file system*"])
    left = inspection(project)
    broke_as_said(left, row)
    left.is_whole("sim_whole")
    left.is_readable()


TAKES_THE_FOLDER: Final = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if item.name == "sim_z_broken":
        (run,) = (item.config.rootpath / "results").iterdir()
        (run / "audio" / "sim_z_broken").write_text("a file where the folder should be")
"""


def test_audio_folder_gone(project: Project, inspection: type[Inspection], row: Row) -> None:
    project.write("conftest.py", TAKES_THE_FOLDER + OWN_ITEMS)
    two(project, row)
    result = project.run(*row.options)
    assert result.ret == row.exit
    left = inspection(project)
    broke_as_said(left, row)
    transcript = left.records["sim_z_broken"].transcript
    assert transcript is not None
    assert transcript.turns[0].assistant_text == "Yes, certainly."
    left.is_whole("sim_whole")
    left.is_readable()


KILLS_ITS_WORKER: Final = """
import os, signal, threading
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if item.name == "sim_z_broken" and hasattr(item.config, "workerinput"):
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
"""


def test_worker_killed(project: Project, inspection: type[Inspection], row: Row) -> None:
    project.write("conftest.py", KILLS_ITS_WORKER)
    two(project, row)
    for number in range(3):
        project.simulation(f"sim_also_{number}")
    with project.started(*row.options) as process:
        assert process.wait(60) == row.exit
        assert project.all_ended()
    left = inspection(project)
    broke_as_said(left, row)
    assert len(left.records) == 5
    for name in ("sim_whole", "sim_also_0", "sim_also_1", "sim_also_2"):
        left.is_whole(name)
    left.is_readable()


def test_refused_with_workers(project: Project, inspection: type[Inspection], row: Row) -> None:
    names = [f"sim_{number:03}" for number in range(200)]
    for name in names:
        project.simulation(name, f"{row.model}~many")
    result = project.run_apart(*row.options)
    assert result.ret == row.exit
    left = inspection(project)
    # Each of both workers stops at its first one.
    assert 1 <= len(left.records) <= 2
    for record in left.records.values():
        assert record.outcome == row.outcome
        assert record.failure is not None
        assert (record.failure.stage, record.failure.fatal) == (row.stage, True)
    # What overlaps with it has been refused as well.
    assert len(project.server.handshakes(f"{row.model}~many")) < 100
    assert result.stdout.str().count("Interrupted: ") == 1
    result.stdout.fnmatch_lines([f"*Interrupted: *{row.model.rpartition('-')[2]}*"])
    result.stdout.no_fnmatch_line("kept: *")
    left.is_readable()


OFFERS: Final = {"id": "offers", "type": "mentions", "values": ["I can look something up"]}
#: So that there is time to meet a conversation in the middle.
SPEAKS_SLOWLY: Final = (
    "--eval-endpoint=embedded",
    "--eval-response-timeout=20",
    "--eval-real-time",
)
PLAYS_EMBEDDED: Final = {"trace_level": [OFFERS]}


def test_endpoint_killed(
    project: Project, inspection: type[Inspection], row: Row, eventually: Callable[..., bool]
) -> None:
    for name in ("sim_a", "sim_z_broken"):
        project.simulation(name, graders=PLAYS_EMBEDDED)
    options = (*SPEAKS_SLOWLY, *row.options)
    with project.started(IN_ORDER, *options) as process:
        # A session that is not open yet would be opened at the next process.
        assert eventually(lambda: speaking(project) == {"sim_z_broken"}, 60)
        (endpoint,) = [pid for pid in project.running() if is_endpoint(pid)]
        os.kill(endpoint, signal.SIGKILL)
        assert process.wait(30) == row.exit
        assert project.all_ended()
    left = inspection(project)
    broken = left.records["sim_z_broken"]
    assert broken.outcome == row.outcome
    assert broken.failure is not None
    # Where the signal meets it: between events, or in a response.
    assert broken.failure.stage in (row.stage, "response_missing_done")
    assert left.records["sim_a"].outcome == "passed"
    left.is_readable()


def is_endpoint(pid: int) -> bool:
    """Whether a process is the embedded endpoint."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return b"pytest_realtime_eval.embedded" in command


def speaking(project: Project) -> set[str]:
    """Return the simulations whose callers are heard, in real time, and not answered yet."""
    logs = project.root.glob("results/*/events/*.jsonl")
    done = {log.stem: log.read_bytes().count(b'{"type":"response.done","source"') for log in logs}
    return {name for name, responses in done.items() if responses == 1}


def test_endpoint_replaced(
    project: Project, inspection: type[Inspection], row: Row, eventually: Callable[..., bool]
) -> None:
    names = {f"sim_{letter}" for letter in "abcdef"}
    for name in names:
        project.simulation(name, graders=PLAYS_EMBEDDED)
    options = (*SPEAKS_SLOWLY, "--eval-retries=2")
    with project.started("--eval-concurrency=2", *options, *row.options) as process:
        assert eventually(lambda: project.kept() and speaking(project), 60)
        (endpoint,) = [pid for pid in project.running() if is_endpoint(pid)]
        in_flight = names - set(project.kept())
        os.kill(endpoint, signal.SIGKILL)
        assert process.wait(60) == row.exit, project.output
        assert project.all_ended()
    left = inspection(project)
    assert {name: record.outcome for name, record in left.records.items()} == dict.fromkeys(
        names, row.outcome
    )
    again = {name for name, record in left.records.items() if record.attempts}
    assert again
    assert again <= in_flight
    for name in again:
        first, second = left.records[name].attempts
        assert (first.outcome, second.outcome) == ("infra_error", row.outcome)
    for record in left.records.values():
        assert record.transcript is not None
        assert len(record.transcript.turns) == row.turns
    left.is_readable()


def in_flight(project: Project) -> bool:
    """Whether the first conversation is kept and the second one is being held."""
    return project.kept() == ["sim_whole"] and project.server.open() == 2


def test_controller_killed(
    project: Project, inspection: type[Inspection], row: Row, eventually: Callable[..., bool]
) -> None:
    two(project, row)
    with project.started(IN_ORDER, *row.options) as process:
        assert eventually(lambda: in_flight(project), 30)
        process.kill()
        assert process.wait(10) == row.exit
        assert project.all_ended()
    assert project.kept() == ["sim_whole"]
    make_the_rest(project)
    left = inspection(project)
    left.is_whole("sim_whole")
    left.is_readable()


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C: every process of the group gets the signal."""
    os.killpg(process.pid, signal.SIGINT)


def test_interrupted_once(
    project: Project, inspection: type[Inspection], row: Row, eventually: Callable[..., bool]
) -> None:
    two(project, row)
    with project.started(IN_ORDER, *row.options) as process:
        assert eventually(lambda: in_flight(project), 30)
        interrupt(process)
        assert process.wait(15) == row.exit
        assert project.all_ended()
    left = inspection(project)
    assert set(left.records) == {"sim_whole"}
    left.is_whole("sim_whole")
    left.is_readable()
    assert "Traceback" not in project.output


def test_interrupted_twice(
    project: Project, inspection: type[Inspection], row: Row, eventually: Callable[..., bool]
) -> None:
    two(project, row)
    with project.started(IN_ORDER, *row.options) as process:
        assert eventually(lambda: in_flight(project), 30)
        interrupt(process)
        time.sleep(0.15)
        interrupt(process)
        assert process.wait(15) in (row.exit, -signal.SIGINT, 130)
        assert project.all_ended()
    assert project.kept() == ["sim_whole"]
    make_the_rest(project)
    left = inspection(project)
    left.is_whole("sim_whole")
    left.is_readable()


JUMPS: Final = """
import itertools, time

real, jumps = time.time, itertools.cycle([86_400.0, -86_400.0, 0.0, 3.0])
time.time = lambda: real() + next(jumps)
"""


def test_clock(project: Project, inspection: type[Inspection], row: Row) -> None:
    project.write("conftest.py", JUMPS)
    two(project, row)
    result = project.run_apart(*row.options)
    assert result.ret == row.exit
    left = inspection(project)
    left.is_readable()
    for name in ("sim_whole", "sim_z_broken"):
        left.is_whole(name)
        assert 0 < left.records[name].duration_ms < 10_000
        transcript = left.records[name].transcript
        assert transcript is not None
        for turn in transcript.turns:
            assert 0 <= turn.latencies.first_audio <= turn.latencies.response_done < 10_000  # type: ignore[operator]  # None fails
