"""Python functions as translation models: ``callable:package.module:function``.

What a function takes is read from its signature:

* ``def f(text: str) -> str``: one text. A plain function runs in a thread of its own,
  several at a time; ``async def`` runs on the event loop.
* ``def f(texts: list[str]) -> list[str]``: a batch. The first parameter is annotated
  with a list, ``Sequence``, ``Iterable`` or tuple, or has no annotation and the name
  ``texts``. The texts that are waiting are given to it together, at most a batch size
  of them, and it returns as many in the same order. One batch runs at a time.
* A parameter ``system_prompt`` is given the system prompt, by keyword.
"""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import importlib
import inspect
import threading
import time
import typing
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import ConfigurationError, InfraError
from pytest_realtime_eval.text.request import TextReply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["CallableSource"]

#: How long a batch waits for more texts, in seconds. Entries start within the same
#: moment, so this is long enough, and next to any translation it is nothing.
_GATHER_S: Final = 0.02

_BATCHES: Final = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)


class CallableSource:
    """Translates with a Python function.

    Args:
        target: ``package.module:function``; the function may be an attribute's attribute.
        batch_size: The most texts that a batch function is given.
        timeout_s: The longest that a call may take. A thread cannot be ended: one that
            takes longer is left behind, and does not keep the interpreter from ending.

    Raises:
        ConfigurationError: There is no such function, or it takes no text.
    """

    provider: Final = "callable"

    def __init__(self, target: str, *, batch_size: int = 5, timeout_s: float = 60.0) -> None:
        self.slug: Final = f"callable:{target}"
        self._function = _load(target)
        first, self._takes_prompt = _signature(self._function, self.slug)
        self._timeout_s: Final = timeout_s
        self._batches = _Batches(self._call, batch_size) if _is_batch(first) else None

    async def translate(self, text: str, system: str = "") -> TextReply:
        """Return what the function makes of ``text``.

        Raises:
            InfraError: It raised, took too long, or returned something else than text.
        """
        started = time.monotonic()
        if self._batches is not None:
            answer = await self._batches.add(text, system)
        else:
            answer = await self._call(text, system)
        if not isinstance(answer, str):
            what = type(answer).__name__
            raise _failed(f"{self.slug} returned {what} where text is needed")
        return TextReply(answer, model_id=self.slug, latency_s=time.monotonic() - started)

    async def _call(self, given: str | list[str], system: str) -> Any:  # noqa: ANN401 - users' function
        options = {"system_prompt": system} if self._takes_prompt else {}
        try:
            async with asyncio.timeout(self._timeout_s):
                if inspect.iscoroutinefunction(_body(self._function)):
                    return await self._function(given, **options)
                return await _in_thread(lambda: self._function(given, **options))
        except TimeoutError as error:
            raise InfraError(
                f"{self.slug} did not return within {self._timeout_s:g} s",
                failure_stage="response_timeout",
            ) from error
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            raise _failed(f"{self.slug} raised {problem}") from error

    async def aclose(self) -> None:
        """Do nothing: the function belongs to others."""


def _failed(message: str) -> InfraError:
    return InfraError(message, failure_stage="response_error", retryable=False)


def _load(target: str) -> Callable[..., Any]:
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise ConfigurationError(
            f"`callable:{target}` must name a module and a function, as in "
            "callable:package.module:function"
        )
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise ConfigurationError(f"`callable:{target}` cannot be imported: {error}") from error
    except AttributeError as error:
        raise ConfigurationError(f"`callable:{target}` is not there: {error}") from error
    if not callable(found):
        raise ConfigurationError(f"`callable:{target}` is no function")
    return typing.cast("Callable[..., Any]", found)


def _body(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what is called: of an object, its ``__call__``."""
    return function if inspect.isroutine(function) else type(function).__call__


def _signature(function: Callable[..., Any], slug: str) -> tuple[inspect.Parameter, bool]:
    """Return the parameter that takes the text, and whether the prompt is taken, too."""
    try:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    except (NameError, TypeError, ValueError):
        parameters = _unevaluated(function)
    takes_prompt = any(each.name == "system_prompt" for each in parameters)
    positional = [each for each in parameters if each.kind <= inspect.Parameter.VAR_POSITIONAL]
    if not positional or positional[0].name == "system_prompt":
        raise ConfigurationError(f"`{slug}` takes no text: its first parameter must")
    return positional[0], takes_prompt


def _unevaluated(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters with annotations as they are written; of builtins, a guess."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [inspect.Parameter("text", inspect.Parameter.POSITIONAL_ONLY)]


def _is_batch(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        return parameter.name == "texts"
    if isinstance(annotation, str):
        return annotation.split("[")[0].rsplit(".", 1)[-1].lower() in (
            *("list", "tuple", "sequence", "iterable"),
        )
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and origin is not str and origin in _BATCHES


async def _in_thread(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - users' function
    """Run a call in a daemon thread; unlike an executor's it never delays the exit."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:  # noqa: ANN401 - users' function
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:  # noqa: BLE001 - it is raised where it is awaited
            error = raised
        if isinstance(error, StopIteration | SystemExit | KeyboardInterrupt):
            error = RuntimeError(f"{type(error).__name__}: {error}")  # futures refuse these
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="eval-callable", daemon=True).start()
    return await answer


class _Batches:
    """Groups texts that are waiting at the same time under the same prompt."""

    def __init__(self, call: Callable[[list[str], str], Any], size: int) -> None:
        self._call = call
        self._size = max(1, size)
        self._waiting: list[tuple[str, str, asyncio.Future[Any]]] = []
        self._running: asyncio.Task[None] | None = None

    async def add(self, text: str, system: str) -> Any:  # noqa: ANN401 - users' function
        """Return the answer for ``text``."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, system, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._size:
                await asyncio.sleep(_GATHER_S)
            batch = self._take()
            if batch:
                await self._answer(batch)

    def _take(self) -> list[tuple[str, str, asyncio.Future[Any]]]:
        self._waiting = [each for each in self._waiting if not each[2].done()]
        batch = [each for each in self._waiting if each[1] == self._waiting[0][1]][: self._size]
        self._waiting = [each for each in self._waiting if each not in batch]
        return batch

    async def _answer(self, batch: Sequence[tuple[str, str, asyncio.Future[Any]]]) -> None:
        try:
            answers = await self._call([text for text, _, _ in batch], batch[0][1])
            answers = _as_many(answers, len(batch))
        except InfraError as error:
            for _, _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, _, answer), given in zip(batch, answers, strict=True):
            if not answer.done():
                answer.set_result(given)


def _as_many(answers: object, count: int) -> list[Any]:
    if isinstance(answers, str) or not isinstance(answers, collections.abc.Iterable):
        raise _failed(f"the batch function returned {type(answers).__name__} instead of a list")
    listed = list(answers)
    if len(listed) != count:
        raise _failed(f"the batch function returned {len(listed)} texts for {count}")
    return listed
