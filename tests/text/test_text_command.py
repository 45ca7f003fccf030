from __future__ import annotations

import asyncio
import shlex
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pytest_realtime_eval.exceptions import ConfigurationError, InfraError
from pytest_realtime_eval.text.command import CommandSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESIDENT = """
import sys
for line in sys.stdin:
    print(line.strip().upper(), flush=True)
"""
BUFFERED = """
import sys
for line in sys.stdin.readlines():
    sys.stdout.write(line.upper())
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """``program(code)``: the command that runs it; each start adds a line to ``starts``."""

    def write(code: str) -> str:
        path = tmp_path / "program.py"
        starts = (
            f"import os\nopen({str(tmp_path / 'starts')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        )
        path.write_text(starts + code, encoding="utf-8")
        return shlex.join([sys.executable, str(path)])

    return write


def _pids(tmp_path: Path) -> list[int]:
    return [int(pid) for pid in (tmp_path / "starts").read_text().split()]


def _is_running(pid: int) -> bool:
    """Whether it is there and no zombie, which somebody else has yet to wait for."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    status = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    return status.stdout.strip()[:1] not in ("", "Z")


async def _translate(command: str, *texts: str, timeout_s: float = 60.0) -> list[str | InfraError]:
    """Ask for one text after another; an error stands for its answer."""
    source = CommandSource(command, timeout_s=timeout_s)
    answers: list[str | InfraError] = []
    try:
        for text in texts:
            try:
                answers.append((await source.translate(text)).text)
            except InfraError as error:
                answers.append(error)
    finally:
        await source.aclose()
    return answers


def test_a_program_that_answers_at_once_is_kept(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    texts = [f"línea {number}" for number in range(20)]
    answers = asyncio.run(_translate(program(RESIDENT), *texts))
    assert answers == [text.upper() for text in texts]
    assert len(_pids(tmp_path)) == 2  # the one that stays, and the one that it was compared with
    assert not any(map(_is_running, _pids(tmp_path)))


def test_a_program_that_answers_at_the_end_is_run_each_time(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    answers = asyncio.run(_translate(program(BUFFERED), "a", "b", "c"))
    assert answers == ["A", "B", "C"]
    assert len(_pids(tmp_path)) == 4
    assert not any(map(_is_running, _pids(tmp_path)))


@pytest.mark.parametrize("code", [RESIDENT, BUFFERED])
def test_answers_are_not_mixed_up_when_asked_at_once(
    program: Callable[[str], str], code: str
) -> None:
    async def scenario() -> None:
        source = CommandSource(program(code))
        texts = [f"line {number}" for number in range(8)]
        replies = await asyncio.gather(*map(source.translate, texts))
        assert [reply.text for reply in replies] == [text.upper() for text in texts]
        assert all(reply.latency_s > 0 for reply in replies)
        await source.aclose()

    asyncio.run(scenario())


def test_a_text_of_several_lines_is_one_line() -> None:
    assert asyncio.run(_translate("cat", "a\nb\r\n c\u2028d\0e", "", " x ")) == [
        "a b  c d e",
        "",
        " x ",
    ]


def test_what_a_failing_program_says_is_in_the_message(program: Callable[[str], str]) -> None:
    code = "import sys\nprint('no such pair: eng-xyz', file=sys.stderr)\nsys.exit(3)"
    (error,) = asyncio.run(_translate(program(code), "a"))
    assert isinstance(error, InfraError)
    assert "ended with status 3; it said: no such pair: eng-xyz" in str(error)
    assert error.failure_stage == "response_error"


def test_long_complaints_neither_block_nor_fill_the_message(program: Callable[[str], str]) -> None:
    code = "import sys\nsys.stderr.write('x' * 1_000_000 + 'the end')\nsys.exit(1)"
    (error,) = asyncio.run(_translate(program(code), "a"))
    assert str(error).endswith("the end")
    assert len(str(error)) < 3000


def test_a_hanging_program_is_ended(program: Callable[[str], str], tmp_path: Path) -> None:
    code = "import sys, time\nprint('loading', file=sys.stderr, flush=True)\ntime.sleep(60)"
    started = time.monotonic()
    (error,) = asyncio.run(_translate(program(code), "a", timeout_s=0.7))
    assert isinstance(error, InfraError)
    assert error.failure_stage == "response_timeout"
    assert "within 0.7 s; it said: loading" in str(error)
    assert time.monotonic() - started < 5
    assert not any(map(_is_running, _pids(tmp_path)))


def test_a_program_that_dies_in_the_middle_is_started_again(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    code = RESIDENT.replace(
        "    print", "    if 'die' in line: sys.exit('killed by a line')\n    print"
    )
    answers = asyncio.run(_translate(program(code), "a", "die", "b"))
    assert (answers[0], answers[2]) == ("A", "B")
    assert isinstance(answers[1], InfraError)
    assert "ended with status 1; it must go on reading" in str(answers[1])
    assert "it said: killed by a line" in str(answers[1])
    assert len(_pids(tmp_path)) == 3


def test_a_late_answer_is_never_given_to_another_line(program: Callable[[str], str]) -> None:
    code = RESIDENT.replace(
        "    print", "    if 'slow' in line: __import__('time').sleep(1)\n    print"
    )
    answers = asyncio.run(_translate(program(code), "a", "slow", "b", timeout_s=0.5))
    assert (answers[0], answers[2]) == ("A", "B")
    assert isinstance(answers[1], InfraError)


@pytest.mark.parametrize("lines", [0, 2])
def test_other_than_a_line_for_a_line_is_an_error(
    program: Callable[[str], str], lines: int
) -> None:
    code = f"import sys\nfor line in sys.stdin:\n    print(line * {lines}, end='', flush=True)"
    (error,) = asyncio.run(_translate(program(code), "a"))
    assert isinstance(error, InfraError)
    assert (error.failure_stage, error.retryable) == ("protocol", False)
    assert f"gave {lines} lines for one" in str(error)


def test_a_second_line_later_on_is_an_error(program: Callable[[str], str]) -> None:
    code = RESIDENT.replace("flush=True", "end='\\n\\n' if 'x' in line else '\\n', flush=True")
    answers = asyncio.run(_translate(program(code), "a", "x", "b"))
    assert answers[0] == "A"
    assert any(isinstance(answer, InfraError) for answer in answers[1:])


def test_what_the_program_started_is_ended_with_it(tmp_path: Path) -> None:
    script = tmp_path / "pipeline.sh"
    script.write_text("sleep 60 &\necho $! > child\nsleep 60\n")
    command = f"sh -c 'cd {tmp_path} && sh pipeline.sh'"
    (error,) = asyncio.run(_translate(command, "a", timeout_s=0.5))
    assert isinstance(error, InfraError)
    time.sleep(0.1)
    assert not _is_running(int((tmp_path / "child").read_text()))


def test_cancelling_ends_the_program(program: Callable[[str], str], tmp_path: Path) -> None:
    async def scenario() -> None:
        source = CommandSource(program("import time\ntime.sleep(60)"))
        task = asyncio.create_task(source.translate("a"))
        while not (tmp_path / "starts").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)  # the program tells nobody that it has started
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await source.aclose()

    asyncio.run(scenario())
    time.sleep(0.2)
    assert not any(map(_is_running, _pids(tmp_path)))


@pytest.mark.parametrize("command", ["", "no-such-program-anywhere -x", "'unclosed"])
def test_a_command_that_cannot_be_run_is_refused_at_once(command: str) -> None:
    with pytest.raises(ConfigurationError):
        CommandSource(command)


FAKE_APERTIUM = r"""
import re, sys
text = sys.stdin.buffer if "-z" in sys.argv else None
if text is None:
    for line in sys.stdin:
        sys.stdout.write(line.upper())
    sys.exit()
withheld, block = [], b""
while byte := text.read(1):
    if byte != b"\0":
        block += byte
        continue
    assert not re.search(rb"(?<!\\)[\^$]", block), block
    withheld.append(block.upper() + b"\0")
    block = b""
    while len(withheld) > LAG:
        sys.stdout.buffer.write(withheld.pop(0))
        sys.stdout.buffer.flush()
"""


@pytest.mark.parametrize(("lag", "starts"), [(0, 2), (5, 2), (8, 2), (100, 4)])
def test_apertium_is_kept_whether_it_answers_late_or_not(
    tmp_path: Path, lag: int, starts: int
) -> None:
    path = tmp_path / "apertium"
    counted = f"#!{sys.executable}\nopen({str(tmp_path / 'starts')!r}, 'a').write('0\\n')\n"
    path.write_text(counted + FAKE_APERTIUM.replace("LAG", str(lag)))
    path.chmod(0o755)
    texts = ["hello. ", "[x] {y} ^a$ / @ < > \\ 5", ""]
    answers = asyncio.run(_translate(f"{path} -u eng-spa", *texts))
    assert answers == [text.upper() for text in texts]
    assert len(_pids(tmp_path)) == starts


@pytest.mark.skipif(shutil.which("apertium") is None, reason="apertium is not installed")
def test_the_real_apertium() -> None:
    texts = ["hello world", "Mr. [x] {y} ^a$ / @ < > \\ 5", "three cats, two dogs!"]
    answers = asyncio.run(_translate("apertium -u eng-spa", *texts))
    if isinstance(answers[0], InfraError) and "eng-spa" in str(answers[0]):
        pytest.skip("the pair eng-spa is not installed")
    assert answers == ["hola Mundo", "Señor [x] {y} ^un$ / @ < > \\ 5", "Tres gatos, dos perros!"]
