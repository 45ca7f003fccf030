"""From a simulation file and the options to everything that a conversation needs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pytest_realtime_eval.exceptions import ConfigurationError, FileError
from pytest_realtime_eval.graders import build_graders
from pytest_realtime_eval.schemas.document import is_file, read_bytes, read_json, read_text
from pytest_realtime_eval.schemas.tools import validate_tools

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_realtime_eval.options import Options
    from pytest_realtime_eval.schemas.simulation import Simulation

DEFAULT_MODEL: Final = "gpt-realtime"
DEFAULT_MAX_TURNS: Final = 1
PCM_RATE_HZ: Final = 24_000
G711_RATE_HZ: Final = 8_000
#: Rates at which PCM16 makes whole samples in whole milliseconds.
PCM_RATES_HZ: Final = (8_000, 16_000, 24_000, 48_000)
#: Keeps a chunk far below any server's limit on the size of an event (15 MiB at OpenAI).
MAX_CHUNK_MS: Final = 10_000


@dataclass(frozen=True)
class ConversationSetup:
    """A simulation with every setting decided.

    Attributes:
        assistant_model, simulator_model: ``None`` leaves the choice to the endpoint.
        instructions: The assistant's system prompt.
        tools: Function tools in the Realtime API's form.
        persona: The simulator's system prompt.
        input_format, output_format: ``pcm16``, ``g711_ulaw`` or ``g711_alaw``.
        sample_rate_hz: Of PCM16 on the wire; G.711 is always 8,000.
        response_timeout: Seconds of silence after which a server is given up.
        file_hashes: SHA-256 of every file that shaped this setup, by its path.
        path: The simulation's file; its recordings stand beside it.
    """

    simulation: Simulation
    assistant_model: str | None
    simulator_model: str | None
    assistant_voice: str | None
    simulator_voice: str | None
    instructions: str
    tools: tuple[dict[str, Any], ...]
    persona: str
    input_format: str
    output_format: str
    sample_rate_hz: int
    chunk_ms: int
    real_time: bool
    max_turns: int
    response_timeout: float
    file_hashes: tuple[tuple[str, str], ...]
    path: Path | None = None

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain JSON: what a record and the content key hold."""
        return {
            "assistant_model": self.assistant_model,
            "simulator_model": self.simulator_model,
            "assistant_voice": self.assistant_voice,
            "simulator_voice": self.simulator_voice,
            "instructions_sha256": sha256(self.instructions),
            "tools_sha256": sha256(json.dumps(self.tools, sort_keys=True)),
            "persona_sha256": sha256(self.persona),
            "input_format": self.input_format,
            "output_format": self.output_format,
            "sample_rate_hz": self.sample_rate_hz,
            "chunk_ms": self.chunk_ms,
            "real_time": self.real_time,
            "max_turns": self.max_turns,
            "instructions": self.instructions,
            "thresholds": list(self.simulation.thresholds),
            "files": dict(self.file_hashes),
        }


def sha256(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def resolve(
    simulation: Simulation, path: Path, options: Options, max_turns_override: int = 0
) -> ConversationSetup:
    """Decide every setting of a conversation.

    Args:
        simulation: The validated file.
        path: Where it stands; its own paths start there.
        options: Command line, ini and defaults.
        max_turns_override: The index row's; 0 leaves it to the others.

    Raises:
        FileError: A prompt or tools file is missing or wrong, or a format does not fit.
    """
    files = _Files(path, options)
    _check_graders(simulation, path)
    audio = simulation.audio
    input_format = options.get("input_audio_format", audio.input_format)
    output_format = options.get("output_audio_format", audio.output_format)
    assistant, simulator = simulation.assistant, simulation.simulator
    setup = ConversationSetup(
        simulation=simulation,
        assistant_model=options.assistant_model or assistant.model or options.ini_assistant_model,
        simulator_model=options.get("simulator_model", simulator.model),
        assistant_voice=assistant.voice,
        simulator_voice=simulator.voice,
        instructions=_instructions(files, simulation, options),
        tools=_tools(files, simulation, options),
        persona=_persona(files, simulation, options),
        input_format=input_format,
        output_format=output_format,
        sample_rate_hz=_sample_rate(simulation, path, options, {input_format, output_format}),
        chunk_ms=options.get("chunk_ms", audio.chunk_ms),
        real_time=options.get("real_time", audio.real_time),
        max_turns=options.get("max_turns", max_turns_override or None, simulation.turns.max_turns)
        or DEFAULT_MAX_TURNS,
        response_timeout=options.get("response_timeout"),
        file_hashes=(),
        path=path,
    )
    if setup.chunk_ms > MAX_CHUNK_MS:
        raise FileError(path, f"must be at most {MAX_CHUNK_MS}", "$.audio.chunk_ms")
    return replace(setup, file_hashes=tuple(sorted(files.hashes.items())))


def _check_graders(simulation: Simulation, path: Path) -> None:
    try:
        build_graders(simulation, None)
    except ConfigurationError as error:
        raise FileError(path, str(error), "$.graders") from error


class _Files:
    """Finds the files that a simulation names, and remembers what was read."""

    def __init__(self, simulation_path: Path, options: Options) -> None:
        self.path = simulation_path
        self._folders = [simulation_path.parent, options.rootdir, options.rootdir / "evals"]
        self._folders += [folder for folder in options.paths if folder not in self._folders]
        self._rootdir = options.rootdir
        self.hashes: dict[str, str] = {}
        self._remember(simulation_path)

    def option(self, options: Options, key: str, layer: str) -> Path | None:
        """Return the file that an option names in one of its layers, if it does."""
        named = getattr(options, layer).get(key)
        base = options.folder if layer == "command_line" else None
        return None if named is None else self._remember((base or options.rootdir) / named)

    def find(self, name: str, place: str) -> Path:
        """Return the file ``name``: beside the simulation, under the rootdir, its ``evals/``."""
        if "\0" in name:
            raise FileError(self.path, "a path cannot hold a NUL character", place)
        for folder in self._folders:
            candidate = folder / name
            if is_file(candidate):
                self._check_inside(candidate, place)
                return self._remember(candidate)
        looked = ", ".join(str(folder) for folder in dict.fromkeys(self._folders))
        raise FileError(self.path, f"no file {name!r}; looked in {looked}", place)

    def _check_inside(self, candidate: Path, place: str) -> None:
        target = candidate.resolve()
        roots = [folder.resolve() for folder in self._folders]
        if not any(target.is_relative_to(root) for root in roots):
            raise FileError(self.path, f"{candidate} lies outside the suite", place)

    def _remember(self, path: Path) -> Path:
        content = read_bytes(path)
        try:
            name = path.resolve().relative_to(self._rootdir.resolve()).as_posix()
        except ValueError:
            name = path.name
        self.hashes[name] = hashlib.sha256(content).hexdigest()
        return path


def _instructions(files: _Files, simulation: Simulation, options: Options) -> str:
    own = simulation.assistant
    path = files.option(options, "assistant_system_prompt_file", "command_line")
    if path is None and own.system_prompt is not None:
        return own.system_prompt
    if path is None and own.system_prompt_file is not None:
        path = files.find(own.system_prompt_file, "$.assistant.system_prompt_file")
    path = path or files.option(options, "assistant_system_prompt_file", "ini")
    return "" if path is None else read_text(path).strip()


def _persona(files: _Files, simulation: Simulation, options: Options) -> str:
    own = simulation.simulator
    in_file = own.system_prompt
    if in_file is None and own.system_prompt_file is not None:
        in_file = read_text(
            files.find(own.system_prompt_file, "$.simulator.system_prompt_file")
        ).strip()
    return options.get("simulator_system_prompt", in_file) or simulation.scenario


def _tools(files: _Files, simulation: Simulation, options: Options) -> tuple[dict[str, Any], ...]:
    own = simulation.assistant
    path = files.option(options, "assistant_tools_file", "command_line")
    if path is None and own.tools is not None:
        return validate_tools(own.tools, files.path, "$.assistant.tools")
    if path is None and own.tools_file is not None:
        path = files.find(own.tools_file, "$.assistant.tools_file")
    path = path or files.option(options, "assistant_tools_file", "ini")
    return () if path is None else validate_tools(read_json(path), path)


def _sample_rate(simulation: Simulation, path: Path, options: Options, formats: set[str]) -> int:
    """Return the wire's sample rate; G.711 is telephony and knows only 8,000."""
    default = PCM_RATE_HZ if "pcm16" in formats else G711_RATE_HZ
    rate = int(options.get("sample_rate_hz", simulation.audio.sample_rate_hz) or default)
    allowed = PCM_RATES_HZ if "pcm16" in formats else (G711_RATE_HZ,)
    if rate not in allowed:
        choice = " or ".join(f"{hz}" for hz in allowed)
        named = ", ".join(sorted(formats))
        raise FileError(path, f"{named} needs {choice} (it is {rate})", "$.audio.sample_rate_hz")
    return rate
