from __future__ import annotations

import asyncio
import sys
import threading
import time
import types
from typing import TYPE_CHECKING, Any

import pytest

from pytest_realtime_eval.exceptions import ConfigurationError, InfraError
from pytest_realtime_eval.text.callable import CallableSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_realtime_eval.text.request import TextReply


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CallableSource]:
    """``source(function, batch_size=…, timeout_s=…)``: the source of a function in a module."""

    def make(function: object, batch_size: int = 5, timeout_s: float = 10.0) -> CallableSource:
        module = types.ModuleType("users_module")
        vars(module)["function"] = function
        monkeypatch.setitem(sys.modules, "users_module", module)
        target = "users_module:function"
        return CallableSource(target, batch_size=batch_size, timeout_s=timeout_s)

    return make


async def _translate(source: CallableSource, *texts: str) -> list[Any]:
    """Ask for all texts at once; an error stands for its answer."""
    asked = (source.translate(text, "be brief") for text in texts)
    replies = await asyncio.gather(*asked, return_exceptions=True)
    await source.aclose()
    return [getattr(reply, "text", reply) for reply in replies]


def run(source: CallableSource, *texts: str) -> list[Any]:
    return asyncio.run(_translate(source, *texts))


def test_a_plain_function_runs_in_threads_side_by_side(source: Callable[..., Any]) -> None:
    together = threading.Barrier(3, timeout=5)

    def function(text: str) -> str:
        together.wait()
        return f"{text} {threading.current_thread() is threading.main_thread()}"

    assert run(source(function), "a", "b", "c") == ["a False", "b False", "c False"]


def test_a_coroutine_function_runs_on_the_loop(source: Callable[..., Any]) -> None:
    async def function(text: str) -> str:
        await asyncio.sleep(0)
        return f"{text} {threading.current_thread() is threading.main_thread()}"

    assert run(source(function), "a", "b") == ["a True", "b True"]


def test_objects_and_builtins_are_functions(source: Callable[..., Any]) -> None:
    class Upper:
        async def __call__(self, text: str) -> str:
            return text.upper()

    assert run(source(Upper()), "a") == ["A"]
    assert run(source(str.upper), "a") == ["A"]


def test_the_reply_is_measured_and_named(source: Callable[..., Any]) -> None:
    def function(text: str) -> str:
        time.sleep(0.05)
        return text

    async def scenario() -> TextReply:
        reply: TextReply = await source(function).translate("a", "")
        return reply

    reply = asyncio.run(scenario())
    assert (reply.text, reply.model_id) == ("a", "callable:users_module:function")
    assert reply.latency_s >= 0.05


def test_the_prompt_is_given_to_those_who_take_it(source: Callable[..., Any]) -> None:
    def function(text: str, *, system_prompt: str) -> str:
        return f"{system_prompt}: {text}"

    assert run(source(function), "a") == ["be brief: a"]


def _list(texts: list[str]) -> list[str]:
    return [f"{text} of {len(texts)}" for text in texts]


def _sequence(batch: Sequence[str]) -> Sequence[str]:
    return tuple(_list(list(batch)))


def _iterable(batch: Iterable[str]) -> Iterable[str]:
    return iter(_list(list(batch)))


def _bare(texts):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - without annotation
    return _list(texts)


async def _coroutine(batch: tuple[str, ...]) -> list[str]:
    return _list(list(batch))


def _unknown(batch: list[NotImported]) -> list[str]:  # type: ignore[name-defined] # noqa: F821 - as with TYPE_CHECKING
    return _list(batch)


@pytest.mark.parametrize(
    "function", [_list, _sequence, _iterable, _bare, _coroutine, _unknown], ids=lambda f: f.__name__
)
def test_a_batch_function_is_given_what_waits(source: Callable[..., Any], function: object) -> None:
    answers = run(source(function, batch_size=3), *"abcde")
    assert answers == ["a of 3", "b of 3", "c of 3", "d of 2", "e of 2"]


def test_texts_that_come_later_are_answered_too(source: Callable[..., Any]) -> None:
    async def scenario() -> list[str]:
        batches = source(_list)
        first = asyncio.create_task(batches.translate("a", ""))
        await asyncio.sleep(0.1)
        replies = [await first, await batches.translate("b", "")]
        return [reply.text for reply in replies]

    assert asyncio.run(scenario()) == ["a of 1", "b of 1"]


def test_prompts_are_not_mixed_in_a_batch(source: Callable[..., Any]) -> None:
    def function(texts: list[str], system_prompt: str) -> list[str]:
        return [f"{system_prompt} {text} {len(texts)}" for text in texts]

    async def scenario() -> list[str]:
        batches = source(function)
        asked = (
            batches.translate(text, prompt) for text, prompt in [("a", "x"), ("b", "y"), ("c", "x")]
        )
        return [reply.text for reply in await asyncio.gather(*asked)]

    assert asyncio.run(scenario()) == ["x a 2", "y b 1", "x c 2"]


def test_who_no_longer_waits_is_left_out_of_the_batch(source: Callable[..., Any]) -> None:
    async def scenario() -> str:
        batches = source(_list)
        asked = [asyncio.create_task(batches.translate(text, "")) for text in "ab"]
        await asyncio.sleep(0)
        asked[0].cancel()
        return str((await asked[1]).text)

    assert asyncio.run(scenario()) == "b of 1"


def _raise(text: str) -> str:
    raise ValueError(f"no {text}")


def _raise_batch(texts: list[str]) -> list[str]:
    raise ValueError(f"no {texts}")


def _exit(text: str) -> str:
    sys.exit(f"bye {text}")


def _stop(text: str) -> str:
    raise StopIteration(text)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_raise, "raised ValueError: no a"),
        (_raise_batch, "raised ValueError: no \\['a'\\]"),
        (_exit, "raised RuntimeError: SystemExit: bye a"),
        (_stop, "raised RuntimeError: StopIteration: a"),
        (lambda text: len(text), "returned int where text is needed"),
        (lambda texts: "a", "the batch function returned str instead of a list"),  # noqa: ARG005
        (lambda texts: [*texts, "b"], "the batch function returned 2 texts for 1"),
        (lambda texts: [None for _ in texts], "returned NoneType where text is needed"),
    ],
)
def test_what_a_function_does_wrong_is_an_error(
    source: Callable[..., Any], function: object, message: str
) -> None:
    (error,) = run(source(function), "a")
    assert isinstance(error, InfraError)
    assert error.retryable is False
    with pytest.raises(InfraError, match=message):
        raise error


def test_one_bad_batch_does_not_stop_the_next(source: Callable[..., Any]) -> None:
    def function(texts: list[str]) -> list[str]:
        if "bad" in texts:
            raise ValueError
        return texts

    answers = run(source(function, batch_size=1), "bad", "good")
    assert isinstance(answers[0], InfraError)
    assert answers[1] == "good"


def test_a_function_that_hangs_is_left_behind(source: Callable[..., Any]) -> None:
    release = threading.Event()

    def function(text: str) -> str:
        release.wait(20)
        return text

    started = time.monotonic()
    (error,) = run(source(function, timeout_s=0.1), "a")
    release.set()
    assert isinstance(error, InfraError)
    assert error.failure_stage == "response_timeout"
    assert time.monotonic() - started < 5


def _no_parameters() -> str:
    return ""


def _only_prompt(system_prompt: str) -> str:
    return system_prompt


@pytest.mark.parametrize("function", [_no_parameters, _only_prompt, 3, None])
def test_what_takes_no_text_is_refused(source: Callable[..., Any], function: object) -> None:
    with pytest.raises(ConfigurationError):
        source(function)


@pytest.mark.parametrize(
    "target",
    ["", "json", "json:", ":dumps", "no_such_module_at_all:f", "json:no_such", "json:dumps.x"],
)
def test_a_target_that_is_not_there_is_refused(target: str) -> None:
    with pytest.raises(ConfigurationError, match="callable:"):
        CallableSource(target)
