"""The endpoint's ear: speech to text.

:class:`Ear` is the interface; :class:`MoonshineEar` runs the Moonshine tiny-en weights that
come inside the ``moonshine-voice`` package through onnxruntime, with greedy decoding: the
package's own transcriber is not repeatable.
"""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import soxr

from pytest_realtime_eval.embedded.spoken import readable
from pytest_realtime_eval.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Ear", "MoonshineEar"]

_RATE_HZ: Final = 16_000
_FRAME: Final = _RATE_HZ // 50

# The model, as its paper and its files have it.
_START, _END = 1, 2
_TOKENS_PER_SECOND: Final = 6.5
_LAYERS, _HEADS, _HEAD_SIZE = 6, 8, 36
_CACHE: Final = tuple(
    f"{layer}.{side}.{kind}"
    for layer in range(_LAYERS)
    for side in ("decoder", "encoder")
    for kind in ("key", "value")
)

#: Frames below this root mean square are silence (-46 dBFS; the voice speaks at about -20).
_SILENCE_RMS: Final = 0.005
#: On noise the decoder says "You" with a mean log-probability of -1.2; speech has -0.5 and up.
_LEAST_LOG_PROBABILITY: Final = -0.9
#: The encoder's convolutions need some tenths of a second.
_SHORTEST: Final = _RATE_HZ // 2
#: The model was trained on utterances; longer audio is cut at its pauses.
_LONGEST_SECONDS: Final = 12.0
_PAUSE_FRAMES: Final = 10


class Ear(Protocol):
    """Something that hears."""

    def hear(self, pcm16: bytes, rate_hz: int) -> str:
        """Return what is said in mono PCM16 audio; empty for silence and noise.

        The same audio gives the same text. Called from several threads.

        Raises:
            ConfigurationError: The ear is not installed.
        """
        ...


class MoonshineEar:
    """Moonshine tiny-en; loaded at its first use."""

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._model: _Model | None = None

    def hear(self, pcm16: bytes, rate_hz: int) -> str:
        """Return what is said; see :meth:`Ear.hear`."""
        whole = pcm16[: len(pcm16) // 2 * 2]
        samples = np.frombuffer(whole, "<i2").astype(np.float32) / np.float32(32768)
        if rate_hz != _RATE_HZ and len(samples):
            samples = soxr.resample(samples, rate_hz, _RATE_HZ)
        heard = (self._loaded().transcribe(part) for part in _utterances(samples))
        return readable(" ".join(text for text in heard if text))

    def _loaded(self) -> _Model:
        with self._loading:
            if self._model is None:
                self._model = _Model.load(_weights())
        return self._model


def _weights() -> Path:
    found = importlib.util.find_spec("moonshine_voice")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            "the embedded endpoint's ear is not installed: "
            'pip install "pytest-realtime-eval[embedded]"'
        )
    # Only the files are used: importing the package would load its native library.
    folder = Path(found.submodule_search_locations[0], "assets", "tiny-en")
    if not (folder / "encoder_model.ort").is_file():
        raise ConfigurationError(
            "the installed moonshine-voice has no weights inside (only 0.0.73 is known to): "
            'pip install "pytest-realtime-eval[embedded]"'
        )
    return folder


@dataclass(frozen=True)
class _Model:
    encoder: Any  # onnxruntime has no type information
    decoder: Any
    vocabulary: tuple[bytes, ...]

    @classmethod
    def load(cls, folder: Path) -> _Model:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One thread for each call: calls run side by side, and results do not depend on
        # how sums are split.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        encoder, decoder = (
            onnxruntime.InferenceSession(
                folder / f"{name}.ort", options, providers=["CPUExecutionProvider"]
            )
            for name in ("encoder_model", "decoder_model_merged")
        )
        return cls(
            encoder, decoder, tuple(_read_vocabulary((folder / "tokenizer.bin").read_bytes()))
        )

    def transcribe(self, samples: NDArray[np.float32]) -> str:
        tokens, log_probability = self._decode(samples)
        if log_probability < _LEAST_LOG_PROBABILITY:
            return ""
        pieces = (self.vocabulary[token] for token in tokens)
        data = b"".join(piece for piece in pieces if not piece.startswith(b"<<"))
        return data.decode("utf-8", "replace").replace("\u2581", " ").strip()

    def _decode(self, samples: NDArray[np.float32]) -> tuple[list[int], float]:
        """Return the greedy tokens and their mean log-probability."""
        samples = np.pad(samples, (0, max(0, _SHORTEST - len(samples))))
        mask = np.ones((1, len(samples)), np.int64)
        hidden = self.encoder.run(None, {"input_values": samples[None], "attention_mask": mask})[0]
        feed = {
            "encoder_hidden_states": hidden,
            # In samples, not in encoder frames: the decoder thins it out itself.
            "encoder_attention_mask": mask,
            "use_cache_branch": np.array([False]),
            **{f"past_key_values.{name}": _no_past() for name in _CACHE},
        }
        tokens: list[int] = []
        log_probabilities: list[float] = []
        limit = int(len(samples) / _RATE_HZ * _TOKENS_PER_SECOND) + 2
        for _ in range(limit):
            feed["input_ids"] = np.array([[tokens[-1] if tokens else _START]], np.int64)
            logits, *present = self.decoder.run(None, feed)
            token, log_probability = _best(logits[0, -1])
            log_probabilities.append(log_probability)
            if token == _END:
                break
            tokens.append(token)
            _remember(feed, present)
        return tokens, float(np.mean(log_probabilities))


def _no_past() -> NDArray[np.float32]:
    return np.zeros((1, _HEADS, 0, _HEAD_SIZE), np.float32)


def _best(logits: NDArray[np.float32]) -> tuple[int, float]:
    token = int(logits.argmax())
    return token, float(-np.log(np.exp(logits - logits[token]).sum()))


def _remember(feed: dict[str, Any], present: list[Any]) -> None:
    # With the cache in use, the decoder returns nothing sensible for the encoder's side:
    # that is kept from the first step.
    first = not feed["use_cache_branch"][0]
    for name, value in zip(_CACHE, present, strict=True):
        if first or "decoder" in name:
            feed[f"past_key_values.{name}"] = value
    feed["use_cache_branch"] = np.array([True])


def _read_vocabulary(data: bytes) -> Iterator[bytes]:
    """Yield the tokens: each a length (two bytes from 128 on, low seven bits first), then bytes."""
    place = 0
    while place < len(data):
        size = data[place]
        place += 1
        if size >= 128:
            size += data[place] * 128 - 128
            place += 1
        yield data[place : place + size]
        place += size


def _utterances(samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield stretches with sound in them, cut at pauses where they would be too long."""
    sounding = _sounding_frames(samples)
    if not sounding.any():
        return
    start = 0
    longest = int(_LONGEST_SECONDS * _RATE_HZ / _FRAME)
    while len(sounding) - start > longest:
        cut = _last_pause(sounding, start, start + longest)
        if sounding[start:cut].any():
            yield samples[start * _FRAME : cut * _FRAME]
        start = cut
    if sounding[start:].any():
        yield samples[start * _FRAME :]


def _sounding_frames(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    padded = np.pad(samples, (0, -len(samples) % _FRAME))
    rms = np.sqrt(np.mean(padded.reshape(-1, _FRAME) ** 2, axis=1))
    sounding: NDArray[np.bool_] = rms > _SILENCE_RMS
    return sounding


def _last_pause(sounding: NDArray[np.bool_], start: int, end: int) -> int:
    """Return the middle of the last pause between two frames, or ``end`` without one."""
    for frame in range(end - _PAUSE_FRAMES, start + _PAUSE_FRAMES, -1):
        if not sounding[frame : frame + _PAUSE_FRAMES].any():
            return frame + _PAUSE_FRAMES // 2
    return end
