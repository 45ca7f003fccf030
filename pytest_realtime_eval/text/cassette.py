"""Recordings of text: what was asked of judges and translation models, and the answers.

Requests are recorded as `TextRequest` has them and replies as `TextReply` does, not as
HTTP: so programs and functions can be recorded too, no header or id is there to scrub, and
what was repeated because a server was busy is one call. A tape is JSON lines; a system
prompt is a line of its own, to which calls refer.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from pytest_realtime_eval.differences import differences
from pytest_realtime_eval.exceptions import CassetteError
from pytest_realtime_eval.realtime.scrub import redact
from pytest_realtime_eval.schemas.results import EntryUsage
from pytest_realtime_eval.text.request import RequestRefused, TextReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_realtime_eval.text.request import TextRequest

__all__ = ["Call", "CallPlayer", "CallRecorder", "read_calls", "reply_from", "reply_json"]

_NAME_LENGTH: Final = 16


class Asks(Protocol):
    """The part of a client that answers."""

    async def ask(self, request: TextRequest) -> TextReply:
        """Return the reply."""
        ...

    async def aclose(self) -> None:
        """Free what is held."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """A request and what came of it, as plain JSON; ``answer`` has ``reply`` or ``refused``."""

    request: dict[str, Any]
    answer: dict[str, Any]


def request_json(request: TextRequest) -> dict[str, Any]:
    """Return a request as plain JSON, without what it leaves open."""
    written = {key: value for key, value in asdict(request).items() if value not in (None, "")}
    cleaned: dict[str, Any] = redact(written)
    return cleaned


def reply_json(reply: TextReply) -> dict[str, Any]:
    """Return a reply as plain JSON; the latency in seconds, to the millisecond."""
    return {
        "text": reply.text,
        "refusal": reply.refusal,
        "model_id": reply.model_id,
        "usage": reply.usage.model_dump(),
        "cost_usd": reply.cost_usd,
        "latency_s": round(reply.latency_s, 3),
    }


def reply_from(data: Mapping[str, Any]) -> TextReply:
    """Return the reply that `reply_json` wrote."""
    return TextReply(**{**data, "usage": EntryUsage(**data["usage"])})


class CallRecorder:
    """Asks like the client does, and remembers what was said."""

    def __init__(self, client: Asks) -> None:
        self._client = client
        self._calls: list[Call] = []

    async def ask(self, request: TextRequest) -> TextReply:
        """Return the client's reply.

        A refusal is remembered too, since whoever asks goes on from it. Other failures are
        not: nothing that they end in is kept.
        """
        asked = request_json(request)
        try:
            reply = await self._client.ask(request)
        except RequestRefused as error:
            refused = {"status": error.status, "message": str(error)}
            self._calls.append(Call(asked, {"refused": refused}))
            raise
        self._calls.append(Call(asked, {"reply": reply_json(reply)}))
        return reply

    async def aclose(self) -> None:
        """Leave the client to whoever made it."""

    def write(self, path: Path) -> None:
        """Write the tape.

        Calls that ran at the same time end in any order, so they are written in the order
        of what was asked; answers to the same question keep theirs.
        """
        calls = sorted(self._calls, key=lambda call: _canonical(call.request))
        write_lines(path, with_prompts({**call.request, **call.answer} for call in calls))


class CallPlayer:
    """Answers from a recording.

    Args:
        place: Names it in messages.
        calls: In the order in which the same question was answered.
    """

    def __init__(self, place: str, calls: Iterable[Call]) -> None:
        self._place = place
        self._answers: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._requests: list[dict[str, Any]] = []
        for call in calls:
            self._answers[_canonical(call.request)].append(call.answer)
            self._requests.append(call.request)

    async def ask(self, request: TextRequest) -> TextReply:
        """Return the recorded reply.

        Raises:
            CassetteError: Something else was asked when it was recorded.
            RequestRefused: It was refused.
        """
        asked = request_json(request)
        answers = self._answers.get(_canonical(asked))
        if not answers:
            raise self._mismatch(asked)
        answer = answers.pop(0)
        if "refused" in answer:
            refused = answer["refused"]
            raise RequestRefused(refused["message"], status=refused["status"])
        return reply_from(answer["reply"])

    async def aclose(self) -> None:
        """Nothing is held."""

    def _mismatch(self, asked: dict[str, Any]) -> CassetteError:
        """Name the recorded question that is most like the one that is asked."""
        found = [list(differences(recorded, asked)) for recorded in self._requests]
        nearest = min(found, key=len, default=[])
        if not found:
            return CassetteError(f"{self._place}: nothing was recorded, and a question is asked")
        if not nearest:
            return CassetteError(f"{self._place}: a question is asked more often than recorded")
        before, after = nearest[0].shown()
        return CassetteError(
            f"{self._place}: a question is asked that was not recorded: "
            f"{nearest[0].path} is {after}, recorded {before}"
        )


def read_calls(path: Path) -> list[Call]:
    """Read a tape.

    Raises:
        CassetteError: It is missing or damaged.
    """
    calls = []
    for written in read_lines(path):
        kept = ("reply", "refused")
        answer = {key: value for key, value in written.items() if key in kept}
        written = {key: value for key, value in written.items() if key not in kept}
        calls.append(Call(written, answer))
    return calls


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines, with the prompts that they refer to in their places.

    Raises:
        CassetteError: The file is missing or damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CassetteError(f"{path}: the recording cannot be read: {error}") from error
    prompts: dict[str, str] = {}
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            written = dict(json.loads(line))
            if "reply" in written:
                reply_from(written["reply"])
            if "prompt" in written:
                prompts[written["prompt"]] = written["text"]
                continue
            if "system_prompt" in written:
                written["system"] = prompts[written.pop("system_prompt")]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CassetteError(
                f"{path}, line {number}: this is no line of a recording: {error!r}"
            ) from error
        found.append(written)
    return found


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines as a whole file."""
    from pytest_realtime_eval.reports.files import write_text

    write_text(path, "".join(to_line(line) for line in lines))


def to_line(value: Mapping[str, Any]) -> str:
    """Return plain JSON as a line of a tape."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def with_prompts(calls: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Yield lines in which system prompts are named, each prompt before its first use."""
    seen: set[str] = set()
    for call in calls:
        line = dict(call)
        system = line.pop("system", None)
        if system is not None:
            name = hashlib.sha256(system.encode("utf-8", "replace")).hexdigest()[:_NAME_LENGTH]
            if name not in seen:
                seen.add(name)
                yield {"prompt": name, "text": system}
            line = {"system_prompt": name, **line}
        yield line


def _canonical(request: Mapping[str, Any]) -> str:
    return json.dumps(request, sort_keys=True, ensure_ascii=False)
