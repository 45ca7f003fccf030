"""Programs that turn lines into lines: ``command:apertium -u eng-spa``.

A program that answers every line at once is kept running. One that answers only when
its input ends (because it sorts, or because it holds its output back in a buffer) is
run anew for each line. Which of the two it is shows in the first call: the program is
started twice with the same line, once with its input ended and once with it left open.

The ``apertium`` script holds output back until its input ends, unless it is asked to
flush at null characters (``-z``); then it takes text without deformatter, and answers
some blocks late, because the awk programs around its pipeline wait for what follows a
separator. So its resident form escapes the text as ``apertium-destxt`` does, sends empty
blocks after it to push it through, and counts the blocks that come back. It is used
only after its first answer was found to be the one-shot form's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from pytest_realtime_eval.exceptions import ConfigurationError, InfraError
from pytest_realtime_eval.text.request import TextReply

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CommandSource"]

#: How much longer than the one form the other may take in the first call, in seconds.
_GRACE_S: Final = 0.5

#: How long a program may take to end after its input ended, in seconds.
_FAREWELL_S: Final = 1.0

_STDERR_KEPT: Final = 2000


class _Dialogue(Protocol):
    """How a resident program is asked and answers."""

    @property
    def argv(self) -> Sequence[str]:
        """Return the command line."""
        ...

    def encode(self, line: str) -> bytes:
        """Return the bytes of one question."""
        ...

    def decode(self, received: bytearray) -> str | None:
        """Take the answer out of ``received``, or return ``None`` while it is not whole."""
        ...

    def restart(self) -> None:
        """Forget what was under way: a new process is there."""
        ...


class _Lines:
    """A line in, a line out."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = argv

    def encode(self, line: str) -> bytes:
        return f"{line}\n".encode()

    def decode(self, received: bytearray) -> str | None:
        line, newline, rest = received.partition(b"\n")
        if not newline:
            return None
        received[:] = rest
        return line.decode("utf-8", "replace").rstrip("\r")

    def restart(self) -> None:
        pass


class _NullBlocks:
    """The resident form of the ``apertium`` script; the reasons are the module's."""

    #: Fewer than five were not enough for apertium 3.8.3 with gawk 5.2.
    _PADDING: Final = 8
    _RESERVED: Final = re.compile(r"[\\^$/@<>\[\]{}]")
    _END: Final = ".[][\n]"

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = (argv[0], "-z", "-f", "none", *argv[1:])
        self._to_skip = 0

    def encode(self, line: str) -> bytes:
        escaped = self._RESERVED.sub(lambda found: f"\\{found[0]}", line)
        return f"{escaped}{self._END}".encode() + b"\0" * (1 + self._PADDING)

    def decode(self, received: bytearray) -> str | None:
        while b"\0" in received:
            block, _, rest = received.partition(b"\0")
            received[:] = rest
            if self._to_skip:
                self._to_skip -= 1
                continue
            self._to_skip = self._PADDING
            return self._text(block.decode("utf-8", "replace"))
        return None

    def _text(self, block: str) -> str:
        text = re.sub(r"\.?\[\]\[\n\]$", "", block)
        return re.sub(r"\\(.)", r"\1", text)

    def restart(self) -> None:
        self._to_skip = 0


def _dialogue(argv: Sequence[str]) -> _Dialogue:
    flags = [argument for argument in argv[1:] if argument.startswith("-")]
    own_way = any(set("zf") & set(flag) for flag in flags)
    if Path(argv[0]).name == "apertium" and not own_way:
        return _NullBlocks(argv)
    return _Lines(argv)


class _Process:
    """A running program, its output as it comes, and the end of what it complains of."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.received = bytearray()
        self.complaints = bytearray()
        self._news = asyncio.Event()
        self._ended = False
        assert process.stdout is not None  # noqa: S101 - all three are pipes
        assert process.stderr is not None  # noqa: S101 - all three are pipes
        self._pumps = [
            asyncio.create_task(self._receive(process.stdout)),
            asyncio.create_task(self._listen(process.stderr)),
        ]

    @classmethod
    async def start(cls, argv: Sequence[str]) -> _Process:
        """Start the program as the leader of a process group of its own.

        Raises:
            InfraError: It cannot be started.
        """
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as error:
            message = f"`{argv[0]}` cannot be started: {error.strerror}"
            raise InfraError(message, retryable=False, fatal=True) from error
        return cls(process)

    async def _receive(self, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(65536):
            self.received += data
            self._news.set()
        self._ended = True
        self._news.set()

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(65536):
            self.complaints += data
            del self.complaints[:-_STDERR_KEPT]

    async def send(self, data: bytes) -> None:
        """Write to the program; one that is gone shows in what it does not answer."""
        assert self._process.stdin is not None  # noqa: S101 - all three are pipes
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    def end_input(self) -> None:
        """Close the program's standard input."""
        assert self._process.stdin is not None  # noqa: S101 - all three are pipes
        self._process.stdin.close()

    async def news(self) -> bool:
        """Wait for more output; return whether the program may still give some."""
        await self._news.wait()
        self._news.clear()
        return not self._ended

    async def status(self) -> int:
        """Wait for the end of output and of the program; return its exit status."""
        # Not gathered, so that a time-out here leaves them reading.
        await asyncio.wait(self._pumps)
        return await self._process.wait()

    def told(self) -> str:
        """Return the end of what the program wrote to standard error, for a message."""
        text = " ".join(self.complaints.decode("utf-8", "replace").split())
        return f"; it said: {text}" if text else ""

    async def stop(self, *, patience_s: float = 0.0) -> None:
        """End the program and all that it started."""
        self.end_input()
        ended = asyncio.ensure_future(self.status())
        try:
            await asyncio.wait([ended], timeout=patience_s)
        finally:
            self._kill()
            # Bounded: a child that left the group may hold the pipes for ever.
            await asyncio.wait([ended], timeout=_FAREWELL_S)
            ended.cancel()
            for pump in self._pumps:
                pump.cancel()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


class _Resident:
    """A program that is kept running and asked one line at a time."""

    def __init__(self, command: str, dialogue: _Dialogue) -> None:
        self._command = command
        self._dialogue = dialogue
        self._process: _Process | None = None
        self._turn = asyncio.Lock()
        self._dirty = False

    async def ask(self, line: str, timeout_s: float) -> str:
        """Return the program's answer.

        After anything but an answer the process is ended, since what it says later would
        be taken for the answer to another line; the next call starts a new one.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._ask(line)
            except TimeoutError as error:
                told = self._process.told() if self._process else ""
                raise _timed_out(self._command, timeout_s, told) from error
            finally:
                if self._process is not None and self._dirty:
                    await self._stop()

    async def _ask(self, line: str) -> str:
        self._dirty = True
        if self._process is None:
            self._process = await _Process.start(self._dialogue.argv)
            self._dialogue.restart()
        process = self._process
        if process.received.strip(b"\0"):
            raise self._too_much(process)
        await process.send(self._dialogue.encode(line))
        alive = True
        while (answer := self._dialogue.decode(process.received)) is None:
            if not alive:
                status = await process.status()
                what = f"ended with status {status}; it must go on reading, a line in, a line out"
                raise _failed(self._command, what, process)
            alive = await process.news()
        if process.received.strip(b"\0"):
            raise self._too_much(process)
        self._dirty = False
        return answer

    def _too_much(self, process: _Process) -> InfraError:
        return _failed(self._command, "gave more than one line for one", process, useless=True)

    async def _stop(self, *, patience_s: float = 0.0) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.stop(patience_s=patience_s)

    async def aclose(self) -> None:
        async with self._turn:
            await self._stop(patience_s=_FAREWELL_S)


async def _run_once(command: str, argv: Sequence[str], line: str, timeout_s: float) -> str:
    """Run the program for one line."""
    process = await _Process.start(argv)
    try:
        async with asyncio.timeout(timeout_s):
            await process.send(f"{line}\n".encode())
            process.end_input()
            status = await process.status()
    except TimeoutError as error:
        raise _timed_out(command, timeout_s, process.told()) from error
    finally:
        await process.stop()
    if status != 0:
        raise _failed(command, f"ended with status {status}", process)
    received = process.received.decode("utf-8", "replace")
    lines = received.removesuffix("\n").split("\n") if received else []
    if len(lines) != 1:
        count = f"gave {len(lines)} lines for one"
        raise _failed(command, count, process, useless=True)
    return lines[0].rstrip("\r")


def _failed(command: str, what: str, process: _Process, *, useless: bool = False) -> InfraError:
    stage = "protocol" if useless else "response_error"
    message = f"`{command}` {what}{process.told()}"
    return InfraError(message, failure_stage=stage, retryable=not useless)


def _timed_out(command: str, timeout_s: float, told: str) -> InfraError:
    message = f"`{command}` did not answer within {timeout_s:g} s{told}"
    return InfraError(message, failure_stage="response_timeout")


class CommandSource:
    """Translates with a program of the system, without a shell.

    Args:
        command: The program and its arguments, quoted as for a POSIX shell.
        timeout_s: The longest that one line may take.

    Raises:
        ConfigurationError: There is no such program.
    """

    provider: Final = "command"

    def __init__(self, command: str, *, timeout_s: float = 60.0) -> None:
        try:
            self._argv = shlex.split(command)
        except ValueError as error:
            raise ConfigurationError(f"`{command}` cannot be read: {error}") from error
        if not self._argv or shutil.which(self._argv[0]) is None:
            program = self._argv[0] if self._argv else ""
            raise ConfigurationError(
                f"there is no program {program!r} to run for `command:{command}`; install it, "
                "or write its whole path"
            )
        self.slug: Final = f"command:{command}"
        self._command: Final = command
        self._timeout_s: Final = timeout_s
        self._resident = _Resident(command, _dialogue(self._argv))
        self._deciding = asyncio.Lock()
        self._stays: bool | None = None

    async def translate(self, text: str, system: str = "") -> TextReply:  # noqa: ARG002 - a program takes no prompt
        """Return the program's line for ``text``, whose line breaks become spaces.

        Raises:
            InfraError: The program failed, was silent for too long, or did not give a
                line for a line; with the end of its standard error.
        """
        line = " ".join(text.replace("\0", "\n").splitlines())
        started = time.monotonic()
        answer = await self._answer(line)
        return TextReply(answer, model_id=self.slug, latency_s=time.monotonic() - started)

    async def _answer(self, line: str) -> str:
        if self._stays is None:
            async with self._deciding:
                if self._stays is None:
                    return await self._decide(line)
        if self._stays:
            return await self._resident.ask(line, self._timeout_s)
        return await _run_once(self._command, self._argv, line, self._timeout_s)

    async def _decide(self, line: str) -> str:
        """Ask both forms, and keep the resident one if it answers about as fast."""
        asked = (
            asyncio.create_task(_run_once(self._command, self._argv, line, self._timeout_s)),
            asyncio.create_task(self._resident.ask(line, self._timeout_s)),
        )
        started = time.monotonic()
        try:
            await self._first_answer(asked)
            grace = time.monotonic() - started + _GRACE_S
            await asyncio.wait(asked, timeout=grace)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)
        once, stayed = (None if task.cancelled() else task for task in asked)
        return self._settle(once, stayed)

    async def _first_answer(self, asked: Sequence[asyncio.Task[str]]) -> None:
        """Wait until one form has answered, or both have failed, or one for good."""
        pending = set(asked)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            errors = [task.exception() for task in done]
            if any(not isinstance(error, InfraError) or not error.retryable for error in errors):
                return

    def _settle(self, once: asyncio.Task[str] | None, stayed: asyncio.Task[str] | None) -> str:
        error = once.exception() if once is not None else None
        if isinstance(error, InfraError) and not error.retryable:
            raise error
        answer = once.result() if once is not None and error is None else None
        if stayed is not None and stayed.exception() is None:
            same = answer is None or answer == stayed.result()
            self._stays = same or isinstance(_dialogue(self._argv), _Lines)
            return stayed.result() if answer is None else answer
        if answer is None:
            assert error is not None  # noqa: S101 - both forms have failed
            raise error
        self._stays = False
        return answer

    async def aclose(self) -> None:
        """End the program."""
        await self._resident.aclose()
