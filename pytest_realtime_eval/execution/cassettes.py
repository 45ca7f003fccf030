"""Which items are recorded, which are replayed, and where their recordings stand.

A conversation's recording is the folder ``cassettes/<name>`` beside its simulation:
``cassette.json`` says what it was recorded for, ``assistant.jsonl`` and
``simulator.jsonl`` are the sessions, ``judge.jsonl`` what the judge was asked, and
``audio`` holds what was heard. A dataset's is the file ``cassettes/<dataset id>.jsonl``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from pytest_realtime_eval.conversation.loop import Endpoints, Played, failure_of
from pytest_realtime_eval.conversation.tools import ToolMocks
from pytest_realtime_eval.exceptions import CassetteError, ConfigurationError
from pytest_realtime_eval.execution.content_key import (
    changes,
    content_key,
    conversation_content,
    judge_content,
    simulation_key,
)
from pytest_realtime_eval.realtime.cassette import SessionPlayer, SessionRecorder, read_tape
from pytest_realtime_eval.realtime.connection import connect_websocket
from pytest_realtime_eval.realtime.endpoint import Endpoint
from pytest_realtime_eval.reports.files import write_json
from pytest_realtime_eval.schemas.results import RESULT_OUTCOMES
from pytest_realtime_eval.schemas.transcript import Latencies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_realtime_eval.conversation.setup import ConversationSetup
    from pytest_realtime_eval.conversation.tools import MockedAnswer
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.options import Options
    from pytest_realtime_eval.realtime.cassette import Pace
    from pytest_realtime_eval.schemas.results import Outcome
    from pytest_realtime_eval.schemas.transcript import ToolCall, Turn
    from pytest_realtime_eval.text.cassette import CallPlayer, CallRecorder

__all__ = [
    "CassetteMode",
    "ConversationCassette",
    "DeferredEndpoints",
    "Recording",
    "Replay",
    "Take",
    "cassette_mode",
    "no_endpoints",
]

SCHEMA: Final = 1
FOLDER: Final = "cassettes"
HEADER: Final = "cassette.json"
#: Changes that a message names.
_SHOWN: Final = 5
_SESSIONS: Final = ("assistant", "simulator")
#: Names of endpoints that say nothing about whose they are.
_PUBLIC_ENDPOINTS: Final = frozenset({"embedded", "openai", "azure"})

Record = Literal["none", "once", "new", "all"]


@dataclass(frozen=True, slots=True)
class CassetteMode:
    """What ``--eval-record`` and ``--eval-replay`` ask for.

    Attributes:
        record: ``none``; ``once`` where no recording is; ``new`` also where one no longer
            fits; ``all``. What is not recorded is replayed, but for ``none``.
        replay: Nothing is recorded and nobody is called.
        judge_model: As it was named; ``None`` takes the recorded one.
    """

    record: Record = "none"
    replay: bool = False
    pace: Pace = "fast"
    judge_model: str | None = None

    @property
    def is_used(self) -> bool:
        """Whether recordings are looked at at all."""
        return self.replay or self.record != "none"


def cassette_mode(options: Options) -> CassetteMode:
    """Return what the options ask for; replaying comes before recording."""
    record: Record = "none" if options.replays else options.get("record")
    return CassetteMode(
        record, options.replays, options.get("replay_pace"), options.get("judge_model")
    )


class Take:
    """One time that a conversation is played: live, and nothing is kept."""

    replay: Literal["", "fast", "recorded"] = ""

    def setup(self, setup: ConversationSetup) -> ConversationSetup:
        """Return the setup to play with."""
        return setup

    async def endpoints(self, endpoints: Endpoints) -> Endpoints:
        """Return where the sessions are opened."""
        return endpoints

    def tools(self, tools: ToolMocks) -> ToolMocks:
        """Return what answers the tools."""
        return tools

    def judge(self, judge: Judge | None) -> Judge | None:
        """Return the judge to ask."""
        return judge

    def key(self, setup: ConversationSetup, key: str) -> str:  # noqa: ARG002 - for those who override
        """Return the content key of the result, which is ``key`` when it is live."""
        return key

    def heard(self, turn: Turn) -> Turn:
        """Return a turn as it is reported."""
        return turn

    def played(self, played: Played) -> Played:
        """Return a conversation as it is recorded and graded."""
        return played

    async def finish(self, outcome: Outcome) -> str:  # noqa: ARG002 - for those who override
        """Keep what is to be kept of a conversation that ended so; return what went wrong."""
        return ""


@dataclass(frozen=True, slots=True)
class ConversationCassette:
    """Where the recording of a conversation stands, and what is to be done with it."""

    folder: Path
    mode: CassetteMode

    @classmethod
    def beside(cls, simulation: Path, name: str, mode: CassetteMode) -> ConversationCassette:
        """Return the cassette of a conversation, named as its files in the run's folder are."""
        return cls(simulation.parent / FOLDER / name, mode)

    def open(self, setup: ConversationSetup) -> Take:
        """Return how the conversation is played: live, recorded, or replayed. Reads files.

        Raises:
            CassetteError: It is to be replayed and cannot be.
        """
        if not self.mode.is_used:
            return Take()
        if self.mode.record == "all" or not self.exists:
            return self._recording(setup)
        try:
            header = self._header()
            self._check_fits(setup, header)
        except CassetteError:
            if self.mode.record == "new":
                return self._recording(setup)
            raise
        return Replay(self.folder, header, self.mode.pace)

    @property
    def exists(self) -> bool:
        """Whether there is a recording."""
        return (self.folder / HEADER).is_file()

    def _recording(self, setup: ConversationSetup) -> Recording:
        if self.mode.replay:
            raise CassetteError(
                f"{self.folder}: there is no recording; --eval-record new records what is missing"
            )
        return Recording(self.folder, setup)

    def _header(self) -> dict[str, Any]:
        path = self.folder / HEADER
        try:
            header: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            schema = header["schema"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise CassetteError(f"{path}: the recording cannot be read: {error!r}") from error
        if schema != SCHEMA:
            raise CassetteError(
                f"{path}: the recording has schema {schema}, and this version reads {SCHEMA}; "
                "record it anew with --eval-record all"
            )
        return header

    def _check_fits(self, setup: ConversationSetup, header: Mapping[str, Any]) -> None:
        judge = header["judge"]
        if self.mode.judge_model is not None:
            judge = {**(judge or {}), "model": self.mode.judge_model}
        changed = changes(header["content"], _content(setup, judge))
        if changed:
            more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            raise CassetteError(
                f"{self.folder}: the recording no longer fits its simulation: "
                f"{'; '.join(changed[:_SHOWN])}{more}. "
                "--eval-record new records anew what no longer fits"
            )


def _content(setup: ConversationSetup, judge: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a recording is of, as it comes back from JSON."""
    content = {
        "conversation": conversation_content(setup),
        "judge": judge_content(setup, judge),
    }
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return plain


class Recording(Take):
    """The conversation is played live and kept."""

    def __init__(self, folder: Path, setup: ConversationSetup) -> None:
        self._folder = folder
        self._setup = setup
        self._sessions: dict[str, SessionRecorder] = {}
        self._judge: Judge | None = None
        self._calls: CallRecorder | None = None

    async def endpoints(self, endpoints: Endpoints) -> Endpoints:
        """Return the endpoints behind recorders."""
        if isinstance(endpoints, DeferredEndpoints):
            # Not on the loop: it can start a process and wait for it.
            endpoints = await asyncio.to_thread(endpoints.opened)
        assistant = SessionRecorder(endpoints.connect_assistant)
        simulator = SessionRecorder(endpoints.connect_simulator)
        self._sessions = {"assistant": assistant, "simulator": simulator}
        return replace(
            endpoints, connect_assistant=assistant.connect, connect_simulator=simulator.connect
        )

    def judge(self, judge: Judge | None) -> Judge | None:
        """Return the judge behind a recorder."""
        if judge is None:
            return None
        from pytest_realtime_eval.text.cassette import CallRecorder

        self._judge, self._calls = judge, CallRecorder(judge.client)
        return judge.with_client(self._calls)

    async def finish(self, outcome: Outcome) -> str:
        """Write the recording, if the conversation came to a result."""
        if outcome not in RESULT_OUTCOMES:
            return ""
        try:
            await asyncio.to_thread(self._write)
        except OSError as error:
            return f"the recording could not be written: {error}"
        return ""

    def _write(self) -> None:
        """Write a new folder, and put it in the old one's place."""
        folder = self._folder
        beside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        shutil.rmtree(beside, ignore_errors=True)
        try:
            for name, recorder in self._sessions.items():
                recorder.write(beside / f"{name}.jsonl")
            if self._calls is not None:
                self._calls.write(beside / "judge.jsonl")
            write_json(beside / HEADER, self._header())
            if folder.exists():
                folder.rename(old)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)

    def _header(self) -> dict[str, Any]:
        from pytest_realtime_eval import __version__

        judge = None if self._judge is None else self._judge.settings
        content = _content(self._setup, judge)
        return {
            "schema": SCHEMA,
            "simulation_id": self._setup.simulation.simulation_id,
            "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "harness_version": __version__,
            "content_key": content_key(content),
            "sessions": {name: _endpoint(rec) for name, rec in self._sessions.items()},
            "judge": judge,
            "content": content,
        }


def _endpoint(recorder: SessionRecorder) -> dict[str, str]:
    """Return what a recording says of an endpoint: a server of one's own stays unnamed."""
    endpoint = recorder.endpoint
    if endpoint is None:
        return {"endpoint": "", "model": ""}
    name = endpoint.name if endpoint.name in _PUBLIC_ENDPOINTS else "other"
    return {"endpoint": name, "model": endpoint.model}


class Replay(Take):
    """The conversation is played from its recording.

    Args:
        folder: The recording. It is read here.
        header: What its header says.
        pace: ``fast`` passes over every pause; latencies then mean nothing and are left out.

    Raises:
        CassetteError: The recording is damaged.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], pace: Pace) -> None:
        self.replay = pace
        self._header = header
        shown = f"{FOLDER}/{folder.name}"
        self._players = {
            name: SessionPlayer(f"{shown}/{name}.jsonl", read_tape(folder / f"{name}.jsonl"), pace)
            for name in _SESSIONS
        }
        self._calls: CallPlayer | None = None
        if header["judge"] is not None:
            from pytest_realtime_eval.text.cassette import CallPlayer, read_calls

            self._calls = CallPlayer(f"{shown}/judge.jsonl", read_calls(folder / "judge.jsonl"))

    @property
    def _is_fast(self) -> bool:
        return self.replay == "fast"

    def setup(self, setup: ConversationSetup) -> ConversationSetup:
        """Return the setup; at full speed speech is not sent at the pace of speech."""
        return replace(setup, real_time=False) if self._is_fast else setup

    async def endpoints(self, endpoints: Endpoints) -> Endpoints:  # noqa: ARG002 - nobody is called
        """Return the recorded sessions."""
        return Endpoints(
            assistant=self._endpoint("assistant"),
            simulator=self._endpoint("simulator"),
            connect_assistant=self._players["assistant"].connect,
            connect_simulator=self._players["simulator"].connect,
        )

    def _endpoint(self, name: str) -> Endpoint:
        model = self._header["sessions"][name]["model"]
        return Endpoint("cassette", "ws://cassette.invalid", model)

    def key(self, setup: ConversationSetup, key: str) -> str:  # noqa: ARG002 - of another run
        """Return the key that the result had when it was recorded, if it was graded as now."""
        endpoint = self._header["sessions"]["assistant"]["endpoint"]
        return simulation_key(setup, self._header["judge"], endpoint)

    def tools(self, tools: ToolMocks) -> ToolMocks:
        """Return the mocks; at full speed they answer at once."""
        return _WithoutDelay(tools) if self._is_fast else tools

    def judge(self, judge: Judge | None) -> Judge | None:  # noqa: ARG002 - nobody is called
        """Return the recorded judge."""
        if self._calls is None:
            return None
        from pytest_realtime_eval.graders.judge import Judge

        return Judge(self._calls, **self._header["judge"])

    def heard(self, turn: Turn) -> Turn:
        """Return a turn without latencies that nobody had."""
        return turn.model_copy(update={"latencies": Latencies()}) if self._is_fast else turn

    def played(self, played: Played) -> Played:
        """Mark a conversation as replayed, and check that it went to the recording's end."""
        transcript = played.transcript
        turns = tuple(map(self.heard, transcript.turns))
        transcript = transcript.model_copy(update={"replay": self.replay, "turns": turns})
        if played.error is not None:
            return Played(transcript, played.error)
        try:
            for player in self._players.values():
                player.check_finished()
        except CassetteError as error:
            failed = {"failure": failure_of(error), "ended_by": "failure"}
            return Played(transcript.model_copy(update=failed), error)
        return Played(transcript)


class _WithoutDelay(ToolMocks):
    """Mocks whose answers take no time."""

    def __init__(self, tools: ToolMocks) -> None:
        super().__init__()
        self._tools = tools

    def start(self) -> Callable[[ToolCall], MockedAnswer]:
        """Return the answering function of one conversation."""
        answer = self._tools.start()
        return lambda call: replace(answer(call), delay_s=0.0)


class DeferredEndpoints(Endpoints):
    """Endpoints that are opened when the first session needs them.

    With a recording for every conversation none is ever opened.
    """

    _open: Callable[[], Endpoints]
    _lock: threading.Lock
    _opened: Endpoints | None

    def __init__(self, open_: Callable[[], Endpoints]) -> None:
        # The base is frozen, and its fields must stay unset.
        state = {"_open": open_, "_lock": threading.Lock(), "_opened": None}
        # On the class, a function would become a method.
        state |= dict.fromkeys(("connect_assistant", "connect_simulator"), connect_websocket)
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def opened(self) -> Endpoints:
        """Open the endpoints, once, from whichever thread."""
        with self._lock:
            opened = self._opened or self._open()
            object.__setattr__(self, "_opened", opened)
            return opened

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any field's
        if name in ("assistant", "simulator"):
            return getattr(self.opened(), name)
        raise AttributeError(name)

    def __repr__(self) -> str:
        return "DeferredEndpoints()"


def no_endpoints() -> Endpoints:
    """Refuse to open endpoints, since everything is replayed.

    Raises:
        ConfigurationError: Always.
    """
    raise ConfigurationError(
        "--eval-replay opens no sessions, and this test opens one itself: only conversations "
        "that simulations and `run_simulation` play are recorded"
    )
