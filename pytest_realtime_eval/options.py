"""Command line and ini settings, read once into one frozen value.

Precedence, for every setting: command line, index row, simulation file, ini, default.
The first and the last two are layers of `Options`; whoever resolves a setting hands in
the layers between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from pytest_realtime_eval.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pytest

AUDIO_FORMATS: Final = ("pcm16", "g711_ulaw", "g711_alaw")
#: User and password of a URL, and its query: not for messages.
_CREDENTIALS: Final = re.compile(r"(?<=://).*@|\?.*", re.DOTALL)
ENDPOINT_NAMES: Final = ("auto", "embedded", "openai")


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("must be 1 or more")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError("must be 0 or more")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("must be above 0")
    return value


def _number(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError("must be 0 or more")
    return value


def _sessions(text: str) -> int:
    value = int(text)
    if value < 2:
        raise ValueError("must be 2 or more: a conversation has two sessions")
    return value


def _switch(text: str) -> bool:
    states = {"1": True, "true": True, "yes": True, "on": True}
    states |= {"0": False, "false": False, "no": False, "off": False}
    if text.strip().lower() not in states:
        raise ValueError("must be true or false")
    return states[text.strip().lower()]


def _one_of(*choices: str) -> Callable[[str], str]:
    """Return a conversion that lets only these through."""

    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return convert


_audio_format: Final = _one_of(*AUDIO_FORMATS)


def _endpoint(text: str) -> str:
    if text not in ENDPOINT_NAMES and not _is_websocket(text):
        raise ValueError(f"must be {', '.join(ENDPOINT_NAMES)}, or a ws:// or wss:// URL")
    return text


def _is_websocket(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@dataclass(frozen=True)
class Option:
    """One setting: ``--eval-<name>`` on the command line, ``eval_<name>`` in the ini."""

    name: str
    help: str
    convert: Callable[[str], Any] = str
    default: Any = None
    aliases: tuple[str, ...] = ()
    metavar: str | None = None
    many: bool = False

    @property
    def key(self) -> str:
        """The name as an identifier: ``chunk_ms``."""
        return self.name.replace("-", "_")

    @property
    def is_flag(self) -> bool:
        """Whether the option stands alone on the command line."""
        return self.convert is _switch


OPTIONS: Final = (
    Option(
        "endpoint",
        "where sessions are opened: auto (OpenAI when OPENAI_API_KEY is set, else embedded), "
        "embedded, openai, or a ws:// or wss:// URL",
        _endpoint,
        "auto",
        metavar="NAME|URL",
    ),
    Option("assistant-model", "realtime model under test"),
    Option(
        "model",
        "model under test: alias of --eval-assistant-model for simulations, and for datasets a "
        "slug (openai/gpt-4o), command:PROGRAM, callable:package.module:function or embedded",
    ),
    Option("simulator-model", "realtime model that plays the user"),
    Option("judge-model", "model of the llm_as_judge graders that name none"),
    Option("judge-base-url", "OpenAI-compatible API that judges", metavar="URL"),
    Option(
        "judge-timeout",
        "seconds that the judge has for an answer, before it is asked again",
        _positive_float,
        60.0,
        metavar="SECONDS",
    ),
    Option("base-url", "OpenAI-compatible API that translates", metavar="URL"),
    Option(
        "assistant-system-prompt-file",
        "system prompt of the model under test, in place of the simulations' own",
        aliases=("system-prompt-file",),
        metavar="FILE",
    ),
    Option(
        "assistant-tools-file",
        "tools of the assistant, in place of the simulations' own",
        aliases=("tools-file",),
        metavar="FILE",
    ),
    Option("simulator-system-prompt", "persona of the simulated user, in place of the files'"),
    Option("data-csv", "index of the simulations to play; others are left out", metavar="FILE"),
    Option("results-dir", "folder of run folders", default="results", metavar="DIR"),
    Option("run-name", "name of this run's folder (default: the UTC time)"),
    Option("chunk-ms", "length of the audio chunks sent", _positive_int, 20, metavar="MS"),
    Option("sample-rate-hz", "sample rate of the audio on the wire", _positive_int, metavar="HZ"),
    Option("input-audio-format", "format of the audio sent", _audio_format, "pcm16"),
    Option("output-audio-format", "format of the audio received", _audio_format, "pcm16"),
    Option("real-time", "send audio at the pace of speech", _switch, False),
    Option("max-turns", "turns of a conversation at most", _positive_int, metavar="N"),
    Option(
        "max-examples",
        "simulations to play, and entries of each dataset to translate, at most",
        _positive_int,
        metavar="N",
    ),
    Option(
        "response-timeout",
        "seconds of silence after which a server is given up",
        _positive_float,
        45.0,
        metavar="SECONDS",
    ),
    Option(
        "record",
        "record into cassettes beside the evals: none, once (where there is none), new (also "
        "what no longer fits) or all; what is not recorded is replayed, but for none",
        _one_of("none", "once", "new", "all"),
        "none",
        metavar="WHAT",
    ),
    Option(
        "replay",
        "replay cassettes: no endpoint, no key, nothing is called",
        _switch,
        False,
    ),
    Option(
        "replay-pace",
        "pace of a replay: fast (no latencies then) or recorded",
        _one_of("fast", "recorded"),
        "fast",
        metavar="PACE",
    ),
    Option("skip-plots", "write no plots", _switch, False),
    Option("skip-report", "write no report page", _switch, False),
    Option(
        "concurrency",
        "conversations in flight at once, in each process",
        _positive_int,
        8,
        metavar="N",
    ),
    Option(
        "resume",
        "take up an interrupted run: results that are there are kept, the rest runs "
        "(a run's name, or last)",
        metavar="RUN",
    ),
    Option(
        "retries",
        "further attempts of a conversation whose infrastructure failed",
        _count,
        2,
        metavar="N",
    ),
    Option(
        "rate-limit",
        "sessions opened, and text requests sent, per minute in the whole run",
        _positive_int,
        metavar="N",
    ),
    Option("max-sessions", "sessions open at once in the whole run", _sessions, metavar="N"),
    Option(
        "max-cost-usd",
        "start nothing more once the run has cost that much; the exit status is 1 then",
        _positive_float,
        metavar="USD",
    ),
    Option(
        "max-lag-ms",
        "mark conversations whose audio was sent later than that (99th percentile)",
        _positive_float,
        50.0,
        metavar="MS",
    ),
    Option("condition", "label of the experiment in run cards", default="baseline"),
    Option("temperature", "sampling temperature of translations", _number, 0.3, metavar="T"),
    Option("max-tokens", "tokens of a translation at most", _positive_int, metavar="N"),
    Option("batch-size", "dataset entries in flight at once", _positive_int, 5, metavar="N"),
    Option(
        "fst-analyzer",
        "morphological analyser: a program (a word a line in, word<TAB>analysis out) "
        "or a .hfstol file",
        metavar="PROGRAM|FILE",
    ),
    Option(
        "threshold",
        "what the run must reach, such as 'chrf_plus_plus>=40'; repeatable",
        many=True,
        metavar="CONDITION",
    ),
    Option(
        "baseline",
        "run (its name, its folder) or run card that this run is compared with; gives the "
        "summary its count of regressions",
        metavar="RUN",
    ),
    Option("submit", "post the run cards to the leaderboard", _switch, False),
    Option("leaderboard-url", "where run cards are posted", metavar="URL"),
    Option("price-file", "price table that replaces the packaged one", metavar="FILE"),
)

_BY_KEY: Final = {option.key: option for option in OPTIONS}
_INI_NAMES: Final = {"threshold": "thresholds"}
_FILES: Final = ("data_csv", "assistant_system_prompt_file", "assistant_tools_file", "price_file")


def add_options(parser: pytest.Parser) -> None:
    """Declare every option and its ini setting."""
    group = parser.getgroup("evals", "evals: voice simulations and translation datasets")
    for option in OPTIONS:
        flags = [f"--eval-{name}" for name in (option.name, *option.aliases)]
        dest = f"eval_{option.key}"
        default = f" (default: {option.default})" if option.default else ""
        ini_type: Literal["linelist", "string"] = "linelist" if option.many else "string"
        if option.is_flag:
            group.addoption(*flags, dest=dest, action="store_const", const="true", help=option.help)
        else:
            group.addoption(
                *flags,
                dest=dest,
                action="append" if option.many else "store",
                metavar=option.metavar or "NAME",
                help=option.help + default,
            )
        parser.addini(
            _ini_name(option),
            help=f"ini form of {flags[0]}",
            type=ini_type,
            default=None,
        )
    parser.addini(
        "eval_paths",
        help="folders in which simulations, indexes and datasets are looked for",
        type="args",
        default=["evals"],
    )


def _ini_name(option: Option) -> str:
    return f"eval_{_INI_NAMES.get(option.key, option.key)}"


@dataclass(frozen=True)
class Options:
    """All settings of a run; the same in every process of it.

    Attributes:
        rootdir: pytest's rootdir; relative paths in the ini start there.
        folder: Where pytest was started; relative paths on the command line start there.
        paths: The folders of ini ``eval_paths``, absolute.
        command_line: Converted values that were named on the command line.
        ini: Converted values that stand in the ini.
    """

    rootdir: Path
    paths: tuple[Path, ...] = ()
    # Out of `repr`, which tracebacks show: URLs among them may hold credentials.
    command_line: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ini: Mapping[str, Any] = field(default_factory=dict, repr=False)
    folder: Path | None = None

    def get(self, key: str, *between: object) -> Any:  # noqa: ANN401 - each setting its own type
        """Return the first layer's value that is not ``None``.

        Args:
            key: The setting, such as ``chunk_ms``.
            between: Values of the layers between command line and ini, in their order.
        """
        layers = (self.command_line.get(key), *between, self.ini.get(key))
        return next((value for value in layers if value is not None), _BY_KEY[key].default)

    def path(self, key: str) -> Path | None:
        """Return a setting that names a file, absolute; ``None`` when it is not set."""
        if (named := self.command_line.get(key)) is not None:
            return (self.folder or self.rootdir) / str(named)
        value = self.get(key)
        return None if value is None else self.rootdir / value

    @property
    def replays(self) -> bool:
        """Whether everything is replayed; recording that is asked for by hand comes before ini."""
        named = self.command_line
        if "replay" in named or named.get("record", "none") == "none":
            return bool(self.get("replay"))
        return False

    @property
    def assistant_model(self) -> str | None:
        """The realtime model named on the command line, if any.

        ``--eval-model`` names it too, unless its form says that it is a text model.
        """
        return self.command_line.get("assistant_model") or self._realtime_alias(self.command_line)

    @property
    def ini_assistant_model(self) -> str | None:
        """The realtime model named in the ini, if any."""
        return self.ini.get("assistant_model") or self._realtime_alias(self.ini)

    @staticmethod
    def _realtime_alias(layer: Mapping[str, Any]) -> str | None:
        model: str | None = layer.get("model")
        is_text = model is None or "/" in model or ":" in model or model == "embedded"
        return None if is_text else model


def read_options(config: pytest.Config) -> Options:
    """Read and convert the settings of a pytest run.

    Raises:
        ConfigurationError: A value does not fit; names the option.
    """
    command_line, ini = {}, {}
    for option in OPTIONS:
        given = config.getoption(f"eval_{option.key}")
        if given is not None:
            command_line[option.key] = _convert(option, given, f"--eval-{option.name}")
        written = config.getini(_ini_name(option))
        if written:
            ini[option.key] = _convert(option, written, f"ini setting {_ini_name(option)}")
    paths = tuple(config.rootpath / path for path in config.getini("eval_paths"))
    return Options(config.rootpath, paths, command_line, ini, config.invocation_params.dir)


def check_cassette_options(options: Options) -> None:
    """Refuse to record and to replay at once.

    Raises:
        ConfigurationError: Both are named on the command line.
    """
    named = options.command_line
    if named.get("replay") and named.get("record", "none") != "none":
        raise ConfigurationError(
            f"--eval-replay replays what is recorded, and --eval-record {named['record']} "
            "records: choose one (--eval-record once replays what it has)"
        )


def check_files(options: Options) -> None:
    """Refuse files that are not there, before anything is paid for.

    Raises:
        ConfigurationError: There is no such file.
        FileError: A system prompt is not UTF-8.
    """
    for key in _FILES:
        path = options.path(key)
        if path is not None and not path.is_file():
            raise ConfigurationError(f"--eval-{_BY_KEY[key].name}: no file {path}")
    if (prompt := options.path("assistant_system_prompt_file")) is not None:
        from pytest_realtime_eval.schemas.document import read_text

        read_text(prompt)


def check_thresholds(options: Options) -> None:
    """Refuse thresholds that are none; their names are looked at when the metrics are known.

    Raises:
        ConfigurationError: One is not of the form ``name>=value``.
    """
    for place, layer in (("command line", options.command_line), ("ini", options.ini)):
        if texts := layer.get("threshold"):
            from pytest_realtime_eval.thresholds import parse_thresholds

            parse_thresholds(texts, place)


def _convert(option: Option, given: str | list[str], place: str) -> Any:  # noqa: ANN401 - as above
    try:
        if isinstance(given, list):
            return tuple(option.convert(text) for text in given)
        return option.convert(given)
    except ValueError as error:
        reason = str(error)
        if reason.startswith(("invalid literal", "could not convert")):
            reason = "must be a number"
        shown = _CREDENTIALS.sub("***", given) if isinstance(given, str) else given
        raise ConfigurationError(f"{place}: {shown!r} {reason}") from error
