"""How a session reaches its server: the seam, and the websocket behind it.

`Connect` is what `open_session` is given. The websocket is one implementation; a
cassette is another, so that replay goes through the same client code. Whatever breaks
is an `InfraError` that says what happened, without credentials.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from typing import TYPE_CHECKING, Final, Literal, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)
from websockets.frames import CloseCode

from pytest_realtime_eval.exceptions import ConnectionFailed, InfraError, ProtocolError
from pytest_realtime_eval.realtime.failures import close_failed, handshake_failed, shorten

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from websockets.asyncio.client import ClientConnection

    from pytest_realtime_eval.realtime.endpoint import Endpoint

__all__ = ["MAX_MESSAGE_BYTES", "Connect", "Connection", "connect_websocket"]

#: A whole minute of PCM16 in one base64 delta is 3.7 MiB.
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
#: For the server's half of the closing handshake, s.
_CLOSE_TIMEOUT: Final = 0.5
_HANG_UP_AFTER: Final = 0.5
#: What we ourselves close with when the other side breaks the websocket's rules.
_OUR_COMPLAINTS: Final = {
    CloseCode.PROTOCOL_ERROR: "broke the websocket protocol",
    CloseCode.INVALID_DATA: "sent text that is no UTF-8",
    CloseCode.MESSAGE_TOO_BIG: f"sent a message over {MAX_MESSAGE_BYTES >> 20} MiB",
}


class Connection(Protocol):
    """An open connection: JSON text both ways."""

    async def send(self, line: bytes) -> None:
        """Send one event, JSON in UTF-8.

        Raises:
            InfraError: The connection is gone.
        """

    async def recv(self) -> str:
        """Return the next event's text.

        Raises:
            InfraError: The connection is gone, or what came is no text.
        """

    async def close(self) -> None:
        """Close; bounded in time, never raises an `InfraError`."""


if TYPE_CHECKING:
    #: Takes the endpoint and a time-out in seconds.
    Connect = Callable[[Endpoint, float], Awaitable[Connection]]
else:
    Connect = "Connect"


class WebsocketConnection:
    """A websocket whose failures are this project's exceptions."""

    def __init__(self, websocket: ClientConnection, endpoint: Endpoint) -> None:
        self._websocket = websocket
        self._endpoint = endpoint

    async def send(self, line: bytes) -> None:
        """Send one event, JSON in UTF-8."""
        try:
            await self._websocket.send(line, text=True)
        except ConnectionClosed as error:
            raise self._closed(error) from None  # it repeats what the server said

    async def recv(self) -> str:
        """Return the next event's text."""
        try:
            message = await self._websocket.recv()
        except ConnectionClosed as error:
            raise self._closed(error) from None  # it repeats what the server said
        if isinstance(message, str):
            return message
        raise ProtocolError(f"the server sent a binary message of {len(message)} bytes")

    async def close(self) -> None:
        """Close; waits a moment for the server's half, and hangs up on one that stalls."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT + _HANG_UP_AFTER):
                await self._websocket.close()
        except TimeoutError:
            # The library waits without limit for what was sent to be read.
            self._websocket.transport.abort()
            await self._websocket.wait_closed()
        except asyncio.CancelledError:
            self._websocket.transport.abort()
            raise

    def _closed(self, error: ConnectionClosed) -> InfraError:
        where = self._endpoint.shown_url
        if error.sent is not None and (error.rcvd is None or not error.rcvd_then_sent):
            complaint = _OUR_COMPLAINTS.get(CloseCode(error.sent.code))
            if complaint:
                return ProtocolError(f"{where} {complaint}")
        if error.rcvd is None:
            return close_failed(where, None, "")
        return close_failed(where, error.rcvd.code, self._endpoint.redact(error.rcvd.reason))


async def connect_websocket(endpoint: Endpoint, timeout: float) -> Connection:  # noqa: ASYNC109 - the library bounds its own handshake
    """Open a websocket to the endpoint.

    Raises:
        ConnectionFailed: It could not be opened; with the handshake's status if there
            was one, and ``fatal`` for wrong credentials.
    """
    try:
        websocket = await connect(
            endpoint.connect_url,
            additional_headers=dict(endpoint.headers),
            user_agent_header="pytest-realtime-eval",
            open_timeout=timeout,
            close_timeout=_CLOSE_TIMEOUT,
            max_size=MAX_MESSAGE_BYTES,
            # Base64 audio hardly shrinks, and deflating it took 18 % of the CPU.
            compression=None,
            # Silence is judged in one place, by the session: pings keep idle
            # connections alive, and their answers are not waited for.
            ping_timeout=None,
            proxy=_proxy(endpoint.url),
            logger=_logger(),
        )
    except (OSError, TimeoutError, WebSocketException, ValueError) as error:
        raise _not_opened(endpoint, error, timeout) from None
    return WebsocketConnection(websocket, endpoint)


def _logger() -> logging.Logger:
    """Return a logger that leaves out what the library says of headers, at level DEBUG."""
    logger = logging.getLogger("pytest_realtime_eval.websockets")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    return logger


def _proxy(url: str) -> Literal[True] | None:
    """Use the environment's proxy, but never for this machine."""
    host = urlsplit(url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return None if local else True


def _not_opened(endpoint: Endpoint, error: Exception, timeout: float) -> ConnectionFailed:
    where = endpoint.shown_url
    if isinstance(error, InvalidStatus):
        response = error.response
        body = endpoint.redact(bytes(response.body or b"").decode(errors="replace"))
        headers = {"Retry-After": response.headers.get("Retry-After", "")}
        return handshake_failed(where, response.status_code, headers, body, time.time())
    if isinstance(error, TimeoutError):
        return ConnectionFailed(f"{where} did not open a session within {timeout:g} s")
    what = shorten(endpoint.redact(str(error))) or type(error).__name__
    if isinstance(error, InvalidHandshake | ValueError):
        return ConnectionFailed(f"{where} is no websocket endpoint: {what}")
    return ConnectionFailed(f"{where} could not be reached: {what}")
