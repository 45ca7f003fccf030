from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.exceptions import CassetteError
from pytest_realtime_eval.realtime.audio import AudioFormat
from pytest_realtime_eval.realtime.cassette import SessionPlayer, SessionRecorder, read_tape
from pytest_realtime_eval.realtime.endpoint import Endpoint
from pytest_realtime_eval.realtime.scrub import Pseudonyms, redact, redact_text
from pytest_realtime_eval.realtime.session import SessionConfig, open_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pytest_realtime_eval.realtime.connection import Connect
    from pytest_realtime_eval.realtime.protocol import Response
    from pytest_realtime_eval.realtime.session import Session
    from tests.realtime.conftest import Peer, RealtimeServer

    Record = Callable[[], Awaitable[tuple[Path, list[Response]]]]

pytestmark = pytest.mark.asyncio

NOWHERE = Endpoint("cassette", "ws://cassette.invalid", "gpt-realtime")
CONFIG = SessionConfig(instructions="Be brief.")
#: 45 ms of PCM16 at 24 kHz that is not the same anywhere: two chunks and a short one.
SPEECH = bytes(i * 7 % 251 for i in range(2160))
ANSWER = bytes(i * 3 % 241 for i in range(4800))


async def one_turn(peer: Peer) -> None:
    """Take a turn in, call a tool, and answer when its output came."""
    await peer.greet()
    await peer.take_audio()
    await peer.begin("resp_Aq9x81kLm")
    call = {"id": "item_77", "type": "function_call", "name": "book", "arguments": '{"id": "u"}'}
    call["call_id"] = "call_Zx81kLmAq"
    await peer.send("response.output_item.done", response_id="resp_Aq9x81kLm", item=call)
    await peer.done("resp_Aq9x81kLm", output=[call])
    await peer.expect("conversation.item.create")
    await peer.begin("resp_Bq9x81kLm")
    await peer.delta("output_audio_transcript", "It is ", "resp_Bq9x81kLm")
    await peer.audio(ANSWER[:1000], "resp_Bq9x81kLm")
    await peer.audio(ANSWER[1000:], "resp_Bq9x81kLm")
    await peer.delta("output_audio_transcript", "booked — done.", "resp_Bq9x81kLm")
    await peer.done("resp_Bq9x81kLm")
    await peer.stay()


async def talk(session: Session, speech: bytes = SPEECH, output: str = "ok") -> list[Response]:
    """Say something, answer the call, and listen."""
    await session.append(speech, chunk_ms=20, real_time=False)
    await session.commit()
    first = await session.respond(metadata={"turn": "1"})
    (call,) = first.function_calls
    item = {"type": "function_call_output", "call_id": call.call_id, "output": output}
    await session.create_item(item)
    return [first, await session.respond(metadata={"turn": "2"})]


def said(responses: list[Response]) -> list[dict[str, Any]]:
    """Return responses without clock readings and without ids but those of calls."""
    timed = {field.name for field in dataclasses.fields(responses[0]) if "_at" in field.name}
    return [
        {k: v for k, v in dataclasses.asdict(each).items() if k not in timed | {"id"}}
        for each in responses
    ]


@pytest.fixture
def record(server: RealtimeServer, tmp_path: Path) -> Record:
    """Record the turn; return the tape's file and what was heard."""

    async def recorded() -> tuple[Path, list[Response]]:
        server.script = one_turn
        recorder = SessionRecorder()
        async with open_session(server.endpoint, CONFIG, connect=recorder.connect) as session:
            heard = await talk(session)
        path = tmp_path / "cassette" / "assistant.jsonl"
        recorder.write(path)
        return path, heard

    return recorded


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def replay(path: Path, **said: object) -> list[Response]:
    player = SessionPlayer("assistant.jsonl", read_tape(path))
    async with open_session(NOWHERE, CONFIG, connect=player.connect) as session:
        heard = await talk(session, **said)  # type: ignore[arg-type]  # as talk has them
    player.check_finished()
    return heard


async def test_a_replayed_session_is_the_recorded_one(record: Record) -> None:
    path, heard = await record()
    again = await replay(path)
    assert said(again) == said(heard)
    assert again[1].audio == ANSWER
    assert again[1].transcript == "It is booked — done."


async def test_the_server_gets_its_own_call_id_back(record: Record, server: RealtimeServer) -> None:
    _, heard = await record()
    assert heard[0].function_calls[0].call_id == "call_1"
    (created,) = [e for e in server.peers[0].received if e["type"] == "conversation.item.create"]
    assert created["item"]["call_id"] == "call_Zx81kLmAq"


async def test_the_tape_is_lines_with_audio_beside_it(record: Record) -> None:
    path, _ = await record()
    kinds = [
        (k, line[k]["type"]) for line in lines(path) for k in ("sent", "received") if k in line
    ]
    assert kinds[:6] == [
        ("sent", "session.update"),
        ("received", "session.created"),
        ("received", "session.updated"),
        ("sent", "input_audio_buffer.append"),
        ("sent", "input_audio_buffer.commit"),
        ("received", "input_audio_buffer.committed"),
    ]
    (append,) = [line for line in lines(path) if line.get("sent", {}).get("audio")]
    assert append["chunk_bytes"] == 960
    assert append["sent"]["audio"].endswith("[0:2160]")
    deltas = [e["delta"] for line in lines(path) if "delta" in (e := line.get("received", {}))]
    assert [delta.partition("[")[2] for delta in deltas if "audio/" in delta] == [
        "0:1000]",
        "1000:4800]",
    ]
    assert len(list((path.parent / "audio").glob("*.flac"))) == 2


async def test_no_credential_and_no_id_of_the_server_is_kept(
    server: RealtimeServer, tmp_path: Path, key: str
) -> None:
    async def leak(peer: Peer) -> None:
        await peer.send("session.created", session={"id": "sess_Qq1", "client_secret": "abc"})
        await peer.expect("session.update")
        await peer.send("session.updated", session={"id": "sess_Qq1", "expires_at": 99})
        await peer.begin("resp_Aq9x81kLm")
        await peer.delta("output_audio_transcript", f"Key {key}.", "resp_Aq9x81kLm")
        await peer.done("resp_Aq9x81kLm")
        await peer.stay()

    server.script = leak
    recorder = SessionRecorder()
    async with open_session(server.endpoint, CONFIG, connect=recorder.connect) as session:
        await session.respond()
    recorder.write(tmp_path / "tape.jsonl")
    text = (tmp_path / "tape.jsonl").read_text(encoding="utf-8")
    for secret in (key, "sess_Qq1", "resp_Aq9x81kLm", "abc", "event_1", "expires_at", "127.0.0.1"):
        assert secret not in text
    assert '"sess_1"' in text
    assert '"resp_1"' in text


async def test_recording_again_leaves_the_same_tape(record: Record) -> None:
    def timeless(path: Path) -> list[dict[str, Any]]:
        return [{k: v for k, v in line.items() if "_ms" not in k} for line in lines(path)]

    first = timeless((await record())[0])
    assert timeless((await record())[0]) == first


async def test_connecting_again_forgets_the_attempt_before(
    server: RealtimeServer, tmp_path: Path
) -> None:
    server.script = one_turn
    recorder = SessionRecorder()
    for _ in range(2):
        async with open_session(server.endpoint, CONFIG, connect=recorder.connect) as session:
            await talk(session)
    recorder.write(tmp_path / "tape.jsonl")
    updates = [line for line in lines(tmp_path / "tape.jsonl") if "session.update" in str(line)]
    assert len(updates) == 2  # sent, and updated


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"output": "not ok"},
            r"assistant.jsonl, line \d+: the harness sends another conversation.item.create than "
            r'was recorded: \$.item.output is "not ok", recorded "ok"',
        ),
        (
            {"speech": SPEECH[:960]},
            r"sends another input_audio_buffer.commit than was recorded: \$.type is "
            r"input_audio_buffer.commit, recorded input_audio_buffer.append",
        ),
        (
            {"speech": SPEECH + SPEECH},
            r"another input_audio_buffer.append .* \$.audio is 960 bytes, recorded 240 bytes",
        ),
        (
            {"speech": SPEECH[:1000] + b"\x55\xaa" + SPEECH[1002:]},
            r"\$.audio, byte 1000 of audio/\w+\[0:2160\] is 55 aa .*, recorded \w\w \w\w",
        ),
    ],
)
async def test_what_is_sent_otherwise_is_named(
    record: Record, change: dict[str, Any], message: str
) -> None:
    path, _ = await record()
    with pytest.raises(CassetteError, match=message) as caught:
        await replay(path, **change)
    assert caught.value.failure_stage == "cassette"
    assert not caught.value.retryable


async def test_other_instructions_are_named(record: Record) -> None:
    path, _ = await record()
    player = SessionPlayer("tape", read_tape(path))
    config = SessionConfig(instructions="Be long.")
    match = r'line 1: .* session.update .* \$.session.instructions is "Be long.", recorded "Be b'
    with pytest.raises(CassetteError, match=match):
        async with open_session(NOWHERE, config, connect=player.connect):
            pass


async def test_saying_more_than_was_recorded_is_an_error(record: Record) -> None:
    path, _ = await record()
    player = SessionPlayer("tape", read_tape(path))
    async with open_session(NOWHERE, CONFIG, connect=player.connect) as session:
        await talk(session)
        with pytest.raises(CassetteError, match=r"tape: the recording ends here.*response.create"):
            await session.respond()


async def test_saying_less_than_was_recorded_is_an_error(record: Record) -> None:
    path, _ = await record()
    player = SessionPlayer("tape", read_tape(path))
    with pytest.raises(CassetteError, match=r"line 1: the harness is done, and session.update"):
        player.check_finished()
    async with open_session(NOWHERE, CONFIG, connect=player.connect) as session:
        await session.append(SPEECH, chunk_ms=20, real_time=False)
    with pytest.raises(CassetteError, match=r"done, and input_audio_buffer.commit was recorded"):
        player.check_finished()


async def test_nothing_is_heard_before_what_caused_it_was_sent(record: Record) -> None:
    path, _ = await record()
    player = SessionPlayer("tape", read_tape(path))
    connection = await player.connect(NOWHERE, 1.0)
    waiting = asyncio.ensure_future(connection.recv())
    await asyncio.sleep(0)
    assert not waiting.done()
    await connection.send(json.dumps(lines(path)[0]["sent"]).encode())
    assert json.loads(await waiting)["type"] == "session.created"


@pytest.mark.parametrize("law", [AudioFormat.G711_ULAW, AudioFormat.G711_ALAW])
async def test_g711_is_replayed_byte_by_byte(
    server: RealtimeServer, tmp_path: Path, law: AudioFormat
) -> None:
    answer = bytes(range(256))

    async def speak(peer: Peer) -> None:
        wire = {"format": law.wire(8_000)}
        await peer.greet(audio={"input": wire, "output": wire})
        await peer.take_audio()
        await peer.begin()
        await peer.audio(answer)
        await peer.done()
        await peer.stay()

    async def hear(endpoint: Endpoint, connect: Connect) -> bytes:
        config = SessionConfig(input_format=law, output_format=law, sample_rate_hz=8_000)
        async with open_session(endpoint, config, connect=connect) as session:
            await session.append(answer, chunk_ms=20, real_time=False)
            await session.commit()
            return (await session.respond()).audio

    server.script = speak
    recorder = SessionRecorder()
    assert await hear(server.endpoint, recorder.connect) == answer
    recorder.write(tmp_path / "tape.jsonl")
    # Heard and said are the same here, so they are one clip.
    assert [path.suffix for path in (tmp_path / "audio").iterdir()] == [".wav"]
    player = SessionPlayer("tape", read_tape(tmp_path / "tape.jsonl"))
    assert await hear(NOWHERE, player.connect) == answer


async def test_the_recorded_pace_is_kept_between_cause_and_effect(record: Record) -> None:
    path, _ = await record()
    written = lines(path)
    committed = next(i for i, line in enumerate(written) if "committed" in str(line))
    for line in written[committed:]:
        line["at_ms"] += 150
    path.write_text("".join(json.dumps(line) + "\n" for line in written))
    took = {}
    for pace in ("fast", "recorded"):
        player = SessionPlayer("tape", read_tape(path), pace)
        async with open_session(NOWHERE, CONFIG, connect=player.connect) as session:
            await session.append(SPEECH, chunk_ms=20, real_time=False)
            started = time.perf_counter()
            await session.commit()
            took[pace] = time.perf_counter() - started
    assert took["fast"] < 0.1
    assert 0.14 < took["recorded"] < 0.4


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("not json", "line 3: this is no line"),
        ("[]", "line 3: this is no line"),
        ('{"at_ms": 1, "sent": {}}', "line 3: this is no line"),
        (
            '{"at_ms": 1, "received": {"type": "response.output_audio.delta", '
            '"delta": "audio/0123456789abcdef[0:4]"}}',
            "0123456789abcdef.flac: the recorded audio is missing",
        ),
    ],
)
async def test_a_damaged_tape_is_an_error_that_names_the_line(
    record: Record, damage: str, message: str
) -> None:
    path, _ = await record()
    text = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*text[:2], damage, *text[3:]]), encoding="utf-8")
    with pytest.raises(CassetteError, match=message):
        read_tape(path)


async def test_a_missing_tape_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match=r"nothing.jsonl: .* cannot be read"):
        read_tape(tmp_path / "nothing.jsonl")


async def test_texts_that_a_server_garbles_pass_through_and_fail_as_they_do_live(
    server: RealtimeServer,
) -> None:
    async def garble(peer: Peer) -> None:
        await peer.websocket.send("this is no JSON")
        await peer.stay()

    server.script = garble
    recorder = SessionRecorder()
    with pytest.raises(Exception, match="no JSON"):
        async with open_session(server.endpoint, CONFIG, connect=recorder.connect):
            pass


async def test_ids_are_named_by_kind_and_number() -> None:
    names = Pseudonyms()
    event = {
        "event_id": "event_9",
        "response": {"id": "resp_x", "conversation_id": "3f-uuid", "metadata": {"id": "mine"}},
        "item": {"id": "item_b", "previous_item_id": "item_a", "tools": [{"id": "theirs"}]},
    }
    assert names.scrub(event) == {
        "response": {
            "id": "resp_1",
            "conversation_id": "conversation_1",
            "metadata": {"id": "mine"},
        },
        "item": {"id": "item_1", "previous_item_id": "item_2", "tools": [{"id": "theirs"}]},
    }
    assert names.scrub({"item_id": "item_a"}) == {"item_id": "item_2"}
    assert names.known({"item_id": "item_a", "call_id": "call_new"}) == {
        "item_id": "item_2",
        "call_id": "call_new",
    }


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdef0123456789abcd",
        "Authorization: Bearer abcdef0123456789",
        "ek-0123456789abcdef",
    ],
)
async def test_credentials_in_texts_are_taken_out(text: str) -> None:
    assert "0123456789" not in redact_text(text)
    assert redact({"authorization": "x", "say": [text]})["authorization"] == "***"


@pytest.mark.parametrize(
    "text",
    [
        "the key-performance-indicators",
        "the bearer of this certificate",
        "task-oriented dialogue",
        "risk-management-of-2024",
        "disk-0123456789abcdef",
    ],
)
async def test_what_people_say_is_no_credential(text: str) -> None:
    assert redact_text(text) == text
