"""The simulated user: a realtime model that speaks the other side of the call."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import InvalidSimulation, ResponseFailed
from pytest_realtime_eval.realtime.events import message_item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_realtime_eval.realtime.protocol import Response
    from pytest_realtime_eval.realtime.session import Session
    from pytest_realtime_eval.schemas.transcript import Turn, Usage

#: What the simulated user says when the call is over; such a turn is not streamed.
END_CALL: Final = "END_CALL"

#: Stands behind the persona in the simulator's session.
RULES: Final = f"""
You are the caller in a phone call, never the assistant. Speak only the caller's next
utterance, in one or two short sentences, in the first person. Answer what you are asked
from the facts above and invent none. When you have what you called for, or when the
assistant cannot help, say {END_CALL} and nothing else.
""".strip()

#: Turn 1 is scripted, so that every run of a simulation starts alike.
SAY_EXACTLY: Final = "Say exactly the following, word for word, and nothing else:\n"


@dataclass(frozen=True)
class Utterance:
    """What the simulated user said: its transcript, its audio on the wire, its tokens."""

    text: str
    audio: bytes
    usage: Usage

    @property
    def ends_call(self) -> bool:
        """Whether the user hangs up."""
        return END_CALL in self.text


async def first_utterance(session: Session, text: str) -> Utterance:
    """Have the simulator speak the fixed first turn.

    Raises:
        InvalidSimulation: It said something else, or nothing.
    """
    response = await _respond(session, turn=1, instructions=SAY_EXACTLY + text, input=[])
    if normalised(response.transcript) != normalised(text):
        raise InvalidSimulation(
            f"turn 1: the simulated user was to say {text!r} and said {response.transcript!r}"
        )
    return _with_audio(response, turn=1)


async def next_utterance(session: Session, turns: Sequence[Turn]) -> Utterance:
    """Have the simulator answer the conversation so far.

    Raises:
        InvalidSimulation: Its turn has no audio.
    """
    turn = len(turns) + 1
    response = await _respond(session, turn=turn, input=_as_input(turns))
    if END_CALL in response.transcript:
        return Utterance(response.transcript, b"", response.usage)
    return _with_audio(response, turn)


async def _respond(session: Session, turn: int, **fields: Any) -> Response:  # noqa: ANN401 - event fields
    response = await session.respond(
        conversation="none",
        output_modalities=["audio"],
        metadata={"turn": str(turn)},
        **fields,
    )
    check_completed(response, f"the simulated user's turn {turn}")
    return response


def check_completed(response: Response, what: str) -> None:
    """Pass a response that came to its end.

    Raises:
        ResponseFailed: Its status is ``failed``, ``incomplete`` or ``cancelled``.
    """
    if response.status != "completed":
        details = f": {response.status_details}" if response.status_details else ""
        raise ResponseFailed(
            f"{what}: the response ended as {response.status}{details}",
            failure_stage="response_status",
        )


def _with_audio(response: Response, turn: int) -> Utterance:
    if not response.audio:
        raise InvalidSimulation(f"turn {turn}: the simulated user's turn has no audio")
    return Utterance(response.transcript, response.audio, response.usage)


def _as_input(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return the conversation from the simulator's side: the assistant is its user."""
    messages = []
    for turn in turns:
        messages.append(message_item("assistant", turn.user_text))
        messages.append(message_item("user", turn.assistant_text))
    return messages


def normalised(text: str) -> str:
    """Return the words alone: without case, accents' spelling, punctuation and white space."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", re.sub(r"['\u2019]", "", folded)))
