"""``python -m pytest_realtime_eval.embedded``: run the endpoint until its owner is gone.

Prints one line of JSON, ``{"url", "port", "token", "pid"}``, or ``{"error"}``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import shutil
import signal
import sys

from pytest_realtime_eval.embedded.process import missing_extra
from pytest_realtime_eval.processes import is_running

_POLL_SECONDS = 0.5


def main() -> int:
    """Run the endpoint; return the exit status."""
    arguments = _parser().parse_args()
    if problem := missing_extra(own_voice=bool(arguments.voice_command)):
        _announce({"error": problem})
        return 1
    if arguments.detach:
        _detach()
    asyncio.run(_serve(arguments.owner_pid, arguments.voice_command))
    if arguments.owner_folder and not is_running(arguments.owner_pid):
        shutil.rmtree(arguments.owner_folder, ignore_errors=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pytest_realtime_eval.embedded",
        description="The local endpoint: Realtime API and chat completions on a loopback port.",
    )
    parser.add_argument("--owner-pid", type=int, help="end when this process is gone")
    parser.add_argument("--owner-folder", help="remove it when the owner is gone")
    parser.add_argument(
        "--voice-command",
        metavar="COMMAND",
        help="a program that reads text and writes WAV, such as 'espeak-ng --stdout'",
    )
    parser.add_argument("--detach", action="store_true", help="go on in the background")
    return parser


def _detach() -> None:
    """Leave the starter: no parent has to wait for the server, and no terminal reaches it."""
    if not hasattr(os, "fork"):
        return
    if os.fork():
        os._exit(0)
    os.setsid()


async def _serve(owner_pid: int | None, voice_command: str | None) -> None:
    # Heavy imports come after the fork.
    from pytest_realtime_eval.embedded.server import EmbeddedServer
    from pytest_realtime_eval.embedded.speech import Speech
    from pytest_realtime_eval.embedded.voice import ProgramVoice

    voice = ProgramVoice(shlex.split(voice_command)) if voice_command else None
    server = EmbeddedServer(Speech(voice))
    await server.start()
    _stop_on_signals(server.stopped)
    watch = asyncio.create_task(_watch(owner_pid, server.stopped))
    url = f"ws://127.0.0.1:{server.port}/v1/realtime"
    _announce({"url": url, "port": server.port, "token": server.token, "pid": os.getpid()})
    await server.stopped.wait()
    watch.cancel()
    await server.stop()


def _stop_on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))


async def _watch(owner_pid: int | None, stopped: asyncio.Event) -> None:
    """Stop when the owner is gone, however it ended."""
    if owner_pid is None:
        return
    try:
        # Told by the kernel, and of this very process, even if its id is used again.
        descriptor = os.pidfd_open(owner_pid)
    except (AttributeError, OSError):
        await _poll(owner_pid)
        stopped.set()
    else:
        asyncio.get_running_loop().add_reader(descriptor, stopped.set)


async def _poll(owner_pid: int) -> None:
    while True:
        try:
            os.kill(owner_pid, 0)
        except OSError:
            return
        await asyncio.sleep(_POLL_SECONDS)


def _announce(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201 - the line is the interface
    # The starter reads one line and goes; later output must not fail on a closed pipe.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
