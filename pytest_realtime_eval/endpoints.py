"""From the settings and the environment to where sessions are opened and who judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_realtime_eval.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_realtime_eval.conversation.loop import Endpoints
    from pytest_realtime_eval.execution.embedded import EmbeddedEndpoint
    from pytest_realtime_eval.execution.identity import RunIdentity
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.options import Options
    from pytest_realtime_eval.text.client import Gate

#: Judges where nothing names a model.
DEFAULT_JUDGE_MODEL: Final = "gpt-5-mini"
#: Translates where a key is there and nothing names a model.
DEFAULT_TEXT_MODEL: Final = "openai/gpt-4o"
#: What the embedded endpoint's assistant and caller are called.
EMBEDDED_MODELS: Final = ("embedded-agent", "embedded-caller")
OPENAI_KEYS: Final = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY")


def choose_endpoint(options: Options, environ: Mapping[str, str]) -> str:
    """Return ``embedded``, ``openai`` or a URL.

    Raises:
        ConfigurationError: There is no key, and the extra is not installed.
    """
    named: str = options.get("endpoint")
    if named != "auto":
        return named
    if any(environ.get(key) for key in OPENAI_KEYS):
        return "openai"
    from pytest_realtime_eval.embedded.process import missing_extra

    if missing_extra() is None:
        return "embedded"
    raise ConfigurationError(
        "no endpoint for voice simulations: set OPENAI_API_KEY to talk to OpenAI, or install "
        'the local endpoint with `pip install "pytest-realtime-eval[embedded]"`'
    )


def open_endpoints(
    options: Options, identity: RunIdentity, environ: Mapping[str, str]
) -> Endpoints:
    """Return where both sessions of a conversation are opened.

    Starts the embedded endpoint when the run talks to it and no process of the run has.
    """
    from pytest_realtime_eval.conversation.loop import Endpoints
    from pytest_realtime_eval.realtime.endpoint import openai_endpoint, url_endpoint

    chosen = choose_endpoint(options, environ)
    if chosen == "embedded":
        embedded = embedded_endpoint(identity)
        # The stand-in says so wherever a model is named, whatever the simulations ask for.
        assistant, simulator = map(embedded.endpoint, EMBEDDED_MODELS)
        return Endpoints(assistant, simulator, embedded.connect, embedded.connect)
    endpoint = openai_endpoint(environ) if chosen == "openai" else url_endpoint(chosen, environ)
    return Endpoints(assistant=endpoint, simulator=endpoint)


def embedded_endpoint(identity: RunIdentity) -> EmbeddedEndpoint:
    """Return the run's embedded endpoint, started if no process of the run has."""
    from pytest_realtime_eval.embedded.process import ensure_running
    from pytest_realtime_eval.execution.embedded import EmbeddedEndpoint

    return EmbeddedEndpoint(lambda: ensure_running(_rendezvous(identity), identity.controller_pid))


def close_endpoints(identity: RunIdentity) -> None:
    """Shut the embedded endpoint of a run down, if one was started."""
    rendezvous = _rendezvous(identity)
    if rendezvous.exists():
        from pytest_realtime_eval.embedded.process import shut_down

        shut_down(rendezvous)


def _rendezvous(identity: RunIdentity) -> Path:
    """Return the file through which the processes of a run find the embedded endpoint."""
    return identity.meeting_place / "endpoint.json"


def endpoint_name(options: Options, environ: Mapping[str, str]) -> str:
    """Return the endpoint's name for reports, a URL without credentials; empty without one."""
    if options.replays:
        return "cassette"
    try:
        return _shown(choose_endpoint(options, environ))
    except ConfigurationError:
        return ""


def _shown(endpoint: str) -> str:
    from pytest_realtime_eval.realtime.endpoint import without_credentials

    return without_credentials(endpoint) if "://" in endpoint else endpoint


def describe(options: Options, environ: Mapping[str, str]) -> list[str]:
    """Return what the report header says of endpoint, models and judge."""
    if options.replays:
        at = "at full speed" if options.get("replay_pace") == "fast" else "at the recorded pace"
        return [f"evals: replaying cassettes {at}, nothing is called"]
    try:
        endpoint = _shown(choose_endpoint(options, environ))
    except ConfigurationError as error:
        endpoint = f"none ({error})"
    assistant = options.assistant_model or "as the simulations say"
    simulator = options.get("simulator_model") or "as the simulations say"
    if endpoint == "embedded":
        assistant, simulator = EMBEDDED_MODELS
        endpoint = "embedded (a local stand-in: rules, not a language model)"
    judge = judge_name(options, environ) or "none (llm_as_judge verdicts stay ungraded)"
    record = options.get("record")
    return [
        f"evals: endpoint {endpoint}" + (f", recording {record}" if record != "none" else ""),
        f"evals: assistant {assistant}, simulator {simulator}, judge {judge}",
        f"evals: translations by {text_model(options, environ)}",
    ]


def text_model(options: Options, environ: Mapping[str, str]) -> str:
    """Return the model that translates: the named one, else OpenAI's, else the embedded.

    ``--eval-model gpt-realtime`` is about simulations: such models answer no text requests.
    """
    named: str | None = options.get("model")
    if named and ("/" in named or ":" in named or "realtime" not in named):
        return named
    has_key = environ.get("OPENROUTER_API_KEY") or environ.get("OPENAI_API_KEY")
    if options.get("endpoint") == "embedded" or not (has_key or options.get("base_url")):
        return "embedded"
    return DEFAULT_TEXT_MODEL


def judge_name(options: Options, environ: Mapping[str, str]) -> str:
    """Return the model that judges where a grader names none; empty without a judge."""
    named: str | None = options.get("judge_model")
    if options.get("judge_base_url") or environ.get("OPENAI_API_KEY"):
        return named or DEFAULT_JUDGE_MODEL
    return ""


def configured_judge(
    options: Options, environ: Mapping[str, str], gate: Gate | None = None
) -> Judge | None:
    """Return the judge, or ``None`` when there is no server to ask.

    OpenAI is asked through its Responses API, every other server through chat completions.

    Raises:
        ConfigurationError: A server that is not OpenAI's needs a model.
    """
    from pytest_realtime_eval.graders.judge import Judge
    from pytest_realtime_eval.text.client import ChatCompletions, Responses, TextClient, is_openai
    from pytest_realtime_eval.text.sources import key_for, openai_base_url

    model = judge_name(options, environ)
    if not model:
        return None
    url = options.get("judge_base_url") or openai_base_url(environ)
    if not is_openai(url) and not options.get("judge_model"):
        raise ConfigurationError("a judge that is not OpenAI's needs --eval-judge-model")
    dialect = (Responses if is_openai(url) else ChatCompletions)(url, key_for(url, environ))
    return Judge(TextClient(dialect, timeout_s=options.get("judge_timeout"), gate=gate), model)
