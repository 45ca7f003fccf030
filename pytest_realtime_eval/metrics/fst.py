"""FST acceptance: does a morphological analyser know every word of a translation?

The analyser is a program that is kept resident, or an ``.hfstol`` file that pyhfst reads
in this process. Programs say "unknown word" in four ways, and all four are understood:
``w⇥w⇥+?`` (hfst-optimized-lookup), ``w⇥w+?⇥inf`` (hfst-lookup), ``w⇥+?`` (flookup) and
``^w/*w$`` (lt-proc). An analyser that dies, hangs or answers something else is an error,
never a score of zero.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
import threading
import time
import unicodedata
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

from pytest_realtime_eval.exceptions import ConfigurationError, FileError, InfraError
from pytest_realtime_eval.metrics.base import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_realtime_eval.metrics.base import FloatArray

#: Seconds that an analyser may take for a word; the first one includes loading its data.
TIMEOUT: Final = 30.0
#: After so many failures in a row, the analyser is not started again.
_GIVE_UP_AFTER: Final = 3
#: Asked after each word: its answer shows that the word's own answer is complete.
_SENTINEL: Final = "zzqxqzz"
#: pyhfst has room for 1,000 output symbols; no language has words like this.
_LONGEST_WORD: Final = 300
_STDERR_SHOWN: Final = 2000


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What an analyser said about a text.

    Attributes:
        accepted: Every word has an analysis, and there is at least one word.
        analyses: By word, in the order of the text; empty for an unknown word.
    """

    accepted: bool
    analyses: dict[str, list[str]]


class Analyzer(ABC):
    """Finds the analyses of words; answers are kept, since words repeat."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._known: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def analyses(self, word: str) -> list[str]:
        """Return the word's analyses, none if it is unknown. Blocks; threads may share it.

        Raises:
            InfraError: The analyser died, hung, or answered what no convention knows.
        """
        with self._lock:
            if word not in self._known:
                self._known[word] = self._look_up(word)
            return list(self._known[word])

    def accept(self, text: str) -> Acceptance:
        """Analyse every word of a text.

        Raises:
            InfraError: As `analyses`.
        """
        analyses = {word: self.analyses(word) for word in words(text)}
        return Acceptance(bool(analyses) and all(analyses.values()), analyses)

    @abstractmethod
    def _look_up(self, word: str) -> list[str]: ...

    def close(self) -> None:  # noqa: B027 - a file that was read has nothing to close
        """End what keeps the analyser running."""


def words(text: str) -> list[str]:
    """Split a text at white space and strip punctuation and symbols around its words."""
    parts = (_strip(part) for part in unicodedata.normalize("NFC", text).split())
    return [part for part in parts if part]


def _strip(part: str) -> str:
    kept = [index for index, char in enumerate(part) if unicodedata.category(char)[0] not in "PSC"]
    return part[kept[0] : kept[-1] + 1] if kept else ""


def open_analyzer(spec: str, *, timeout: float = TIMEOUT) -> Analyzer:
    """Return the analyser that a path or a command line names.

    Args:
        spec: An ``.hfstol`` file, or a program with its arguments.
        timeout: Seconds that a program may take for a word.

    Raises:
        ConfigurationError: There is no such program, it cannot be executed, or pyhfst is
            not installed.
        FileError: The ``.hfstol`` file cannot be read.
    """
    command = [spec] if Path(spec).is_file() else shlex.split(spec)
    if len(command) == 1 and Path(command[0]).suffix == ".hfstol":
        return HfstolAnalyzer(Path(command[0]))
    if not command:
        raise ConfigurationError("the FST analyser is an empty command")
    return ProgramAnalyzer(command, timeout=timeout)


class HfstolAnalyzer(Analyzer):
    """An HFST optimised-lookup file, read in this process."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.name)
        self._transducer = _read_hfstol(path)

    def _look_up(self, word: str) -> list[str]:
        if len(word) > _LONGEST_WORD:
            return []
        try:
            found = self._transducer.lookup(word, TIMEOUT)
        except Exception as error:  # a broken transducer can fail anywhere inside pyhfst
            what = f"the FST analyser {self.name} failed on {word!r}: {error!r}"
            raise _failure(what) from error
        return list(dict.fromkeys(analysis for analysis, _weight in found))


def _read_hfstol(path: Path) -> Any:  # noqa: ANN401 - pyhfst is untyped
    try:
        import pyhfst
    except ImportError as error:
        what = "reading .hfstol files needs pyhfst: pip install 'pytest-realtime-eval[fst]'"
        raise ConfigurationError(what) from error
    try:
        return pyhfst.HfstInputStream(path, cache=False).read()
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise FileError(path, f"is not an HFST optimised-lookup file ({error!r})") from error


class ProgramAnalyzer(Analyzer):
    """A program that looks words up, kept resident.

    A program that died or hung is started again for the next word, but not for ever.
    """

    def __init__(self, command: Sequence[str], *, timeout: float = TIMEOUT) -> None:
        super().__init__(Path(command[0]).name)
        self._command, self._null_flush = _resident(list(command))
        self._timeout = timeout
        self._process: _Process | None = None
        self._failures = 0
        self._last_failure = ""
        # Started at once: a program that cannot run is told before anything is paid for.
        self._process = _Process(self._command)

    def _look_up(self, word: str) -> list[str]:
        if self._failures >= _GIVE_UP_AFTER:
            raise _failure(self._last_failure, fatal=True)
        try:
            answer = self._ask(word)
            found = parse_answer(answer)
        except _NoAnswerError as error:
            self._failures += 1
            self._last_failure = self._describe(word, str(error))
            self.close()
            fatal = self._failures >= _GIVE_UP_AFTER
            raise _failure(self._last_failure, fatal=fatal) from error
        self._failures = 0
        return found

    def _ask(self, word: str) -> str:
        if self._process is None:
            self._process = _Process(self._command)
        if self._null_flush:
            escaped = re.sub(r"([\^$/<>@\\\[\]{}])", r"\\\1", word)
            return self._process.ask(f"{escaped}\n\0", _is_null, self._timeout)
        return self._process.ask(f"{word}\n{_SENTINEL}\n", _is_about_sentinel, self._timeout)

    def _describe(self, word: str, problem: str) -> str:
        stderr = self._process.stderr() if self._process else ""
        said = f"; it said: {stderr}" if stderr else "; it said nothing on standard error"
        return f"the FST analyser {shlex.join(self._command)} {problem} on {word!r}{said}"

    def close(self) -> None:
        """End the program."""
        process, self._process = self._process, None
        if process is not None:
            process.close()


def _resident(command: list[str]) -> tuple[list[str], bool]:
    """Make a known program answer each word at once.

    Returns:
        The command, and whether a null byte (and not a line) makes it answer.
    """
    program = Path(command[0]).name
    if program == "flookup" and "-b" not in command:
        return [command[0], "-b", *command[1:]], False
    null_flush = {"-z", "--null-flush"} & set(command)
    if program.startswith("lt-proc") and not null_flush:
        return [command[0], "-z", *command[1:]], True
    return command, bool(null_flush)


def _is_null(line: str) -> bool:
    return line == "\0"


def _is_about_sentinel(line: str) -> bool:
    return re.split(r"[\t/]", line.lstrip("^"), maxsplit=1)[0].strip() == _SENTINEL


_UNIT: Final = re.compile(r"\^((?:[^\\$]|\\.)*)\$")


def parse_answer(answer: str) -> list[str]:
    """Read one word's analyses from what a program printed for it.

    Raises:
        _NoAnswerError: It fits none of the four conventions.
    """
    if units := _UNIT.findall(answer):
        return _parse_units(units)
    rows = [line.split("\t") for line in answer.splitlines() if line.strip(" \r")]
    if not rows or any(len(row) < 2 for row in rows):
        raise _NoAnswerError(f"answered what no lookup convention knows ({answer!r:.200})")
    return list(dict.fromkeys(row[1].strip("\r") for row in rows if not _is_unknown(row)))


def _is_unknown(row: list[str]) -> bool:
    analysis, *rest = (field.strip() for field in row[1:])
    return analysis == "+?" or rest[:1] == ["+?"] or (analysis.endswith("+?") and "inf" in rest)


def _parse_units(units: list[str]) -> list[str]:
    """Read ``^word/analysis/analysis$``; a word split into several needs all of them known."""
    readings = [re.split(r"(?<!\\)/", unit)[1:] for unit in units]
    if not all(unit and not unit[0].startswith("*") for unit in readings):
        return []
    return list(dict.fromkeys(reading for unit in readings for reading in unit))


class _NoAnswerError(Exception):
    """Why a program gave no answer; ends a sentence that names the program."""


class _Process:
    """A running program whose lines are read by a thread, so that waiting has an end."""

    def __init__(self, command: list[str]) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own analyser
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                # Ctrl-C in the terminal ends the run, which ends the analyser in order.
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise _not_startable(command, error) from error
        self._lines: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, name="fst-analyzer", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe above
        rest = b""
        with self._process.stdout as stdout:
            # A null byte ends an answer without ending a line, so lines are not waited for.
            while chunk := os.read(stdout.fileno(), 65536):
                *lines, rest = re.split(rb"(?<=\n)|(?=\0)|(?<=\0)", rest + chunk)
                for line in lines:
                    self._lines.put(line.decode("utf-8", "replace"))
        self._lines.put(None)

    def ask(self, question: str, is_end: Callable[[str], bool], timeout: float) -> str:
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe above
        try:
            self._process.stdin.write(question.encode())
            self._process.stdin.flush()
        except OSError as error:
            raise self._died() from error
        answer, deadline = "", time.monotonic() + timeout
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty as error:
                hint = "it has to answer each word at once, without buffering"
                raise _NoAnswerError(f"gave no whole answer in {timeout:g} s ({hint})") from error
            if line is None:
                raise self._died()
            if is_end(line):
                return answer
            answer += line

    def _died(self) -> _NoAnswerError:
        try:
            status = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return _NoAnswerError("closed its output")
        return _NoAnswerError(f"ended with status {status}")

    def stderr(self) -> str:
        self._stderr.seek(0, 2)
        self._stderr.seek(max(0, self._stderr.tell() - _STDERR_SHOWN))
        return self._stderr.read().decode("utf-8", "replace").strip("> \n")

    def close(self) -> None:
        self._process.kill()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # what was not sent has no reader any more
                self._process.stdin.close()
        self._process.wait()
        self._reader.join(timeout=1)
        self._stderr.close()


def _not_startable(command: list[str], error: OSError) -> ConfigurationError:
    if isinstance(error, FileNotFoundError):
        return ConfigurationError(f"the FST analyser {command[0]} was not found")
    what = f"the FST analyser {command[0]} cannot be executed: {error.strerror}"
    hint = f"; is it a program, and marked executable (chmod +x {shlex.quote(command[0])})?"
    return ConfigurationError(what + hint)


def _failure(message: str, *, fatal: bool = False) -> InfraError:
    return InfraError(message, failure_stage="fst_analyzer", retryable=False, fatal=fatal)


class FstAcceptance(Metric):
    """The share of entries whose every word the analyser knows; 0-1."""

    name: ClassVar[str] = "fst_acceptance_rate"
    entry_name: ClassVar[str] = "fst_accepted"

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer

    @property
    def signature(self) -> str:
        """The analyser's name, and which words it is asked for."""
        return f"analyzer:{self._analyzer.name}|words:nfc+space+strip|version:1"

    def statistics(self, hypothesis: str, reference: str) -> Sequence[float]:  # noqa: ARG002 - the interface
        """Return whether the hypothesis is accepted, and 1."""
        return (float(self._analyzer.accept(hypothesis).accepted), 1.0)

    def score(self, totals: FloatArray) -> float:
        """Return accepted entries over entries."""
        return float(totals[0] / totals[1])
