"""The embedded endpoint of a run: found again, and started again, when its process is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from pytest_realtime_eval.exceptions import InfraError
from pytest_realtime_eval.realtime.connection import connect_websocket
from pytest_realtime_eval.realtime.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_realtime_eval.embedded.process import EmbeddedProcess
    from pytest_realtime_eval.realtime.connection import Connection
    from pytest_realtime_eval.text.request import TextReply
    from pytest_realtime_eval.text.sources import TextSource

T = TypeVar("T")


class EmbeddedEndpoint:
    """Where sessions of the embedded endpoint are opened, whichever process it is by now.

    Args:
        find: Returns the run's process, started if it is not there (any more); blocks.
    """

    def __init__(self, find: Callable[[], EmbeddedProcess]) -> None:
        self._find: Final = find
        self._running = find()

    def endpoint(self, model: str) -> Endpoint:
        """Return the endpoint for a model, as it stands now."""
        return _endpoint(self._running, model)

    async def connect(self, endpoint: Endpoint, timeout: float) -> Connection:  # noqa: ASYNC109 - the seam's signature
        """Open a websocket, as `connect_websocket` does."""
        return await self.use(
            lambda running: connect_websocket(_endpoint(running, endpoint.model), timeout)
        )

    async def use(self, work: Callable[[EmbeddedProcess], Awaitable[T]]) -> T:
        """Do something with the process; once more if there is another one when it fails.

        Raises:
            InfraError: It failed, and not for want of the process; or there is none.
        """
        running = self._running
        try:
            return await work(running)
        except InfraError:
            found = self._running = await asyncio.to_thread(self._find)
            if found == running:
                raise
        return await work(found)


def _endpoint(running: EmbeddedProcess, model: str) -> Endpoint:
    return Endpoint("embedded", running.url, model, {"Authorization": f"Bearer {running.token}"})


class EmbeddedSource:
    """Translations by the embedded endpoint.

    Args:
        embedded: The run's.
        open_: Returns the source of a process.
    """

    slug: Final = "embedded"
    provider: Final = "embedded"

    def __init__(
        self, embedded: EmbeddedEndpoint, open_: Callable[[EmbeddedProcess], TextSource]
    ) -> None:
        self._embedded: Final = embedded
        self._open: Final = open_
        # Those of earlier processes stay: somebody may be waiting for them to fail.
        self._sources: Final[dict[EmbeddedProcess, TextSource]] = {}

    async def translate(self, text: str, system: str) -> TextReply:
        """Return the translation of ``text``."""
        return await self._embedded.use(lambda running: self._of(running).translate(text, system))

    def _of(self, running: EmbeddedProcess) -> TextSource:
        if running not in self._sources:
            self._sources[running] = self._open(running)
        return self._sources[running]

    async def aclose(self) -> None:
        """Close the connections."""
        for source in self._sources.values():
            await source.aclose()
