"""Bare `websockets` clients that play the same conversations: what moving the frames costs.

``frames`` parses nothing: it knows the frames that it sends and looks only for the end of
a response. ``parse`` also parses every event, takes the audio out, writes an event log
and the WAVs. Run as a script in a process of its own; prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
import wave
from pathlib import Path
from typing import IO, Any, Final

from websockets.asyncio.client import ClientConnection, connect

_DONE: Final = b'{"type":"response.done"'
_CREATE: Final = b'{"type":"response.create"}'
_COMMIT: Final = b'{"type":"input_audio_buffer.commit"}'
_APPEND: Final = b'{"type":"input_audio_buffer.append","audio":"%s"}'
_BYTES_A_MS: Final = 48
_KEPT: Final = 400


class Frames:
    """One conversation that is not looked at."""

    def __init__(self, args: argparse.Namespace, number: int) -> None:
        self.args = args
        self.number = number
        self.voice = number % len(args.user_ms)
        self.errors_ms: list[float] = []
        self.turn = 0

    async def play(self) -> float:
        """Play the conversation; return how long it took, in s."""
        started = time.perf_counter()
        url, voice = self.args.url, f"{self.args.url}?model=voice-{self.voice}"
        options: dict[str, Any] = {"compression": None, "max_size": None, "proxy": None}
        async with connect(url, **options) as assistant, connect(voice, **options) as simulator:
            for websocket in (assistant, simulator):
                await self.send(websocket, b'{"type":"session.update","session":{}}')
            for turn in range(1, self.args.turns + 1):
                self.turn = turn
                audio = await self.respond(simulator, self.ask_user())
                await self.speak(assistant, audio)
                await self.send(assistant, _COMMIT)
                self.keep("assistant", await self.respond(assistant, _CREATE))
            self.turn += 1
            await self.respond(simulator, self.ask_user())
        self.close()
        return time.perf_counter() - started

    def ask_user(self) -> bytes:
        """Return the ``response.create`` of the user's turn."""
        messages = [{"type": "message"}] * 2 * (self.turn - 1)
        response = {"conversation": "none", "input": messages}
        return json.dumps({"type": "response.create", "response": response}).encode()

    async def respond(self, websocket: ClientConnection, create: bytes) -> list[bytes]:
        """Ask for a response and read it to its end; return chunks of its audio."""
        await self.send(websocket, create)
        while not (await websocket.recv(decode=False)).startswith(_DONE):
            pass
        lengths = self.args.user_ms
        length: int = lengths[(self.voice + self.turn - 1) % len(lengths)]
        return [b""] * (length // self.args.chunk_ms)

    async def speak(self, websocket: ClientConnection, chunks: list[bytes]) -> None:
        """Stream audio, in real time against absolute deadlines."""
        started = time.perf_counter()
        for index, chunk in enumerate(chunks):
            if self.args.real_time:
                due = started + index * self.args.chunk_ms / 1000
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                self.errors_ms.append(max(0.0, time.perf_counter() - due) * 1000)
            await self.send(websocket, self.append(chunk))
        if self.args.real_time:
            due = started + len(chunks) * self.args.chunk_ms / 1000
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    def append(self, _chunk: bytes) -> bytes:
        """Return an ``input_audio_buffer.append``, encoded long before."""
        frame: bytes = self.args.frame
        return frame

    async def send(self, websocket: ClientConnection, frame: bytes) -> None:
        await websocket.send(frame, text=True)

    def keep(self, speaker: str, chunks: list[bytes]) -> None:
        """Keep a turn's audio."""

    def close(self) -> None:
        """Close what was opened."""


class Parse(Frames):
    """One conversation with all that a run keeps of it."""

    def __init__(self, args: argparse.Namespace, number: int) -> None:
        super().__init__(args, number)
        self.log: IO[str] = (args.folder / f"{number}.jsonl").open("w")
        self.started = time.perf_counter()

    async def respond(self, websocket: ClientConnection, create: bytes) -> list[bytes]:
        await self.send(websocket, create)
        audio = bytearray()
        while True:
            event = json.loads(await websocket.recv())
            kind = event["type"]
            self.write(event)
            if kind == "response.output_audio.delta":
                audio += base64.b64decode(event["delta"])
            elif kind == "response.done":
                break
        if create is not _CREATE:
            self.keep("user", [audio])
        size = self.args.chunk_ms * _BYTES_A_MS
        return [bytes(audio[start : start + size]) for start in range(0, len(audio), size)]

    def append(self, chunk: bytes) -> bytes:
        audio = base64.b64encode(chunk)
        self.write({"type": "input_audio_buffer.append", "audio": audio.decode()})
        return _APPEND % audio

    def write(self, event: dict[str, Any]) -> None:
        """Log an event, with long strings cut as the harness cuts them."""
        for key in ("audio", "delta"):
            text = event.get(key, "")
            if len(text) > _KEPT:
                event = {**event, key: f"{text[:_KEPT]}… [{len(text) - _KEPT} more characters]"}
        at = round((time.perf_counter() - self.started) * 1000, 3)
        line = {"type": event["type"], "turn_index": self.turn, "event_time_ms": at}
        self.log.write(json.dumps({**line, "event": event}, ensure_ascii=False) + "\n")

    def keep(self, speaker: str, chunks: list[bytes] | list[bytearray]) -> None:
        name = f"{self.number}_{self.turn}_{speaker}.wav"
        with wave.open(str(self.args.folder / name), "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(24000)
            wav.writeframes(b"".join(chunks))

    def close(self) -> None:
        self.log.close()


async def main(args: argparse.Namespace) -> dict[str, Any]:
    """Play all conversations; return how long they took, and how late chunks were."""
    kind = {"frames": Frames, "parse": Parse}[args.mode]
    free = asyncio.Semaphore(args.concurrency)
    conversations = [kind(args, number) for number in range(args.conversations)]

    async def play(conversation: Frames) -> float:
        async with free:
            return await conversation.play()

    durations = await asyncio.gather(*map(play, conversations))
    return {
        "durations_s": durations,
        "schedule_errors_ms": [sorted(c.errors_ms) for c in conversations],
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["frames", "parse"])
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--conversations", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--turns", type=int, required=True)
    parser.add_argument("--user-ms", type=json.loads, required=True)
    parser.add_argument("--chunk-ms", type=int, default=20)
    parser.add_argument("--real-time", action="store_true")
    args = parser.parse_args()
    args.frame = _APPEND % base64.b64encode(bytes(args.chunk_ms * _BYTES_A_MS))
    args.folder.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(arguments()))) + "\n")
