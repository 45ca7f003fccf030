"""The endpoint's server: the Realtime API and chat completions on one loopback port.

aiohttp serves both, since it speaks HTTP and websockets on one port and is a dependency
already; it takes clients that offer no subprotocol and chooses ``realtime`` for those that
offer it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from aiohttp import WSMsgType, web

from pytest_realtime_eval.embedded import translator
from pytest_realtime_eval.embedded.items import new_id
from pytest_realtime_eval.embedded.session import RealtimeSession
from pytest_realtime_eval.embedded.speech import Speech
from pytest_realtime_eval.embedded.usage import text_tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["EmbeddedServer"]

_MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
_MAX_BODY_BYTES: Final = 8 * 1024 * 1024


class EmbeddedServer:
    """Serves until it is told to stop.

    Attributes:
        token: What clients must send as ``Authorization: Bearer``.
        stopped: Set when it should stop.
    """

    def __init__(self, speech: Speech | None = None) -> None:
        self.token = secrets.token_urlsafe(24)
        self.stopped = asyncio.Event()
        self._speech = speech or Speech()
        self._warm = False
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0)
        self._port = 0

    @property
    def port(self) -> int:
        """The port, once started."""
        return self._port

    async def start(self) -> None:
        """Listen on a free loopback port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End all sessions and free the port."""
        for socket in list(self._sockets):
            await socket.close(code=1001, message=b"the endpoint is shutting down")
        await self._runner.cleanup()
        self._speech.close()

    def _app(self) -> web.Application:
        app = web.Application(
            middlewares=[_authenticator(self.token)], client_max_size=_MAX_BODY_BYTES
        )
        app.router.add_get("/v1/realtime", self._realtime)
        app.router.add_post("/v1/chat/completions", _chat_completions)
        app.router.add_get("/health", _health)
        app.router.add_post("/shutdown", self._shutdown)
        return app

    async def _realtime(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            protocols=["realtime"] if "Sec-WebSocket-Protocol" in request.headers else [],
            max_msg_size=_MAX_MESSAGE_BYTES,
            compress=False,
        )
        await socket.prepare(request)
        self._sockets.add(socket)
        self._warm_up()
        session = RealtimeSession(
            _sender(socket), self._speech, request.query.get("model", "embedded")
        )
        try:
            await session.start()
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await session.receive(message.data)
                elif message.type is WSMsgType.BINARY:
                    await session.receive("binary frames are no JSON")
        finally:
            self._sockets.discard(socket)
            await session.close()
        return socket

    def _warm_up(self) -> None:
        if not self._warm:
            self._warm = True
            self._speech.warm_up()

    async def _shutdown(self, _request: web.Request) -> web.Response:
        self.stopped.set()
        return web.json_response({"status": "stopping"})


def _sender(socket: web.WebSocketResponse) -> Callable[[dict[str, Any]], Awaitable[None]]:
    async def send(event: dict[str, Any]) -> None:
        # A client that is gone needs no answer; its session is about to be closed.
        if not socket.closed:
            try:
                await socket.send_str(json.dumps(event))
            except ConnectionError:
                await socket.close()

    return send


def _authenticator(token: str) -> Any:  # noqa: ANN401 - aiohttp's middleware type is private
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def authenticate(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if hmac.compare_digest(given, expected):
            return await handler(request)
        return _problem(401, "invalid_api_key", "Incorrect API key provided.")

    return authenticate


def _problem(status: int, code: str, message: str, param: str | None = None) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return web.json_response({"error": error}, status=status)


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _chat_completions(request: web.Request) -> web.Response:
    """Answer a translation request; see :mod:`pytest_realtime_eval.embedded.translator`."""
    try:
        body = await request.json()
        messages = [(str(message["role"]), _content(message)) for message in body["messages"]]
        model = str(body["model"])
    except (ValueError, KeyError, TypeError) as error:
        return _problem(400, "invalid_value", f"Invalid chat completion request: {error!r}.")
    if body.get("stream"):
        return _problem(400, "unsupported_value", "Streaming is not supported here.", "stream")
    if body.get("response_format", {"type": "text"}) != {"type": "text"}:
        message = "The embedded endpoint translates; it grades nothing and writes no JSON."
        return _problem(400, "unsupported_value", message, "response_format")
    system = "\n".join(text for role, text in messages if role in ("system", "developer"))
    user = next((text for role, text in reversed(messages) if role == "user"), "")
    answer = translator.translate(system, user)
    return web.json_response(_completion(model, sum(text_tokens(t) for _, t in messages), answer))


def _content(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _completion(model: str, prompt_tokens: int, answer: str) -> dict[str, Any]:
    completion_tokens = text_tokens(answer)
    message = {"role": "assistant", "content": answer, "refusal": None}
    return {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }
