"""The real voice and ear: what is said is heard, and the same is always the same."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pytest_realtime_eval.embedded.ear import MoonshineEar
from pytest_realtime_eval.embedded.speech import Speech
from pytest_realtime_eval.embedded.voice import HibariVoice, ProgramVoice, pitch_of
from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.realtime.audio import AudioFormat, decode, encode, resample

if TYPE_CHECKING:
    from pathlib import Path

BOOKING = "I'd like to book a table for two people on Friday at 7:30 pm."


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower().replace(".m", "m").replace(" pm", "pm"))


@pytest.mark.parametrize("pitch", [1.0, 0.9])
@pytest.mark.parametrize(
    "text",
    [
        BOOKING,
        "My name is David Chen.",
        "Please ship it to 42 Baker Street.",
        "Yes, that's correct.",
        "It was the wrong item.",
    ],
)
def test_the_ear_hears_what_the_voice_says(
    voice: HibariVoice, ear: MoonshineEar, text: str, pitch: float
) -> None:
    assert words(ear.hear(voice.speak(text, pitch), 24_000)) == words(text)


@pytest.mark.parametrize("identifier", ["ORD-1001", "ORD-1002", "RF-2048", "BK-7421", "CONF-5512"])
def test_identifiers_come_back(voice: HibariVoice, ear: MoonshineEar, identifier: str) -> None:
    heard = ear.hear(voice.speak(f"My order number is {identifier}."), 24_000)
    assert identifier.replace("-", "") in heard


@pytest.mark.parametrize("law", [AudioFormat.G711_ULAW, AudioFormat.G711_ALAW])
def test_the_ear_understands_the_telephone(
    voice: HibariVoice, ear: MoonshineEar, law: AudioFormat
) -> None:
    telephone = encode(resample(voice.speak(BOOKING), 24_000, 8_000), law)
    assert words(ear.hear(decode(telephone, law), 8_000)) == words(BOOKING)


def test_a_lost_chunk_changes_what_is_heard(voice: HibariVoice, ear: MoonshineEar) -> None:
    audio = voice.speak("My order number is ORD-1002.")
    second = 48_000
    assert "ORD1002" in ear.hear(audio, 24_000)
    assert "ORD1002" not in ear.hear(audio[:-second], 24_000)
    assert "ORD1002" not in ear.hear(audio[: 2 * second] + audio[3 * second :], 24_000)


def test_the_same_text_gives_the_same_bytes(voice: HibariVoice) -> None:
    assert voice.speak(BOOKING, 0.9) == HibariVoice().speak(BOOKING, 0.9)


def test_the_low_voice_is_lower_and_no_slower(voice: HibariVoice) -> None:
    usual, low = voice.speak(BOOKING), voice.speak(BOOKING, pitch_of("cedar"))
    assert len(low) == pytest.approx(len(usual), rel=0.15)
    assert _brightness(low) < 0.97 * _brightness(usual)


def _brightness(pcm16: bytes) -> float:
    """Return the centre of the spectrum, in Hz."""
    power = np.abs(np.fft.rfft(np.frombuffer(pcm16, "<i2").astype(float))) ** 2
    frequency = np.fft.rfftfreq(len(pcm16) // 2, 1 / 24_000)
    return float((power * frequency).sum() / power.sum())


@pytest.mark.parametrize("text", ["", " ", "...", "\N{GRINNING FACE}"])
def test_nothing_to_say_is_silence_or_nothing(voice: HibariVoice, text: str) -> None:
    assert len(voice.speak(text)) < 48_000


def test_silence_and_noise_say_nothing(ear: MoonshineEar) -> None:
    noise = np.random.default_rng(0).normal(0, 600, 48_000).astype("<i2").tobytes()
    for audio in (b"", b"\0", b"\0\0" * 100, b"\0\0" * 48_000, noise):
        assert ear.hear(audio, 24_000) == ""


def test_long_audio_is_heard_to_its_end(voice: HibariVoice, ear: MoonshineEar) -> None:
    audio = voice.speak(" ".join([BOOKING] * 8))
    assert len(audio) > 25 * 48_000
    assert words(ear.hear(audio, 24_000)) == words(" ".join([BOOKING] * 8))


def test_a_click_is_no_failure(ear: MoonshineEar) -> None:
    assert ear.hear(b"\x00\x40" * 50, 24_000) in ("", "You")


def test_side_by_side_gives_the_same_as_one_by_one(voice: HibariVoice, ear: MoonshineEar) -> None:
    texts = [BOOKING, "My name is David Chen.", "Yes, please.", "By the window, please."]
    alone = [(voice.speak(text), ear.hear(voice.speak(text), 24_000)) for text in texts]

    async def together() -> list[tuple[bytes, str]]:
        speech = Speech(HibariVoice(), MoonshineEar())

        async def one(text: str) -> tuple[bytes, str]:
            audio = await speech.speak(text, "marin")
            return audio, await speech.hear(audio, 24_000)

        try:
            return list(await asyncio.gather(*map(one, texts * 2)))
        finally:
            speech.close()

    assert asyncio.run(together()) == alone * 2


class CountingVoice:
    """Fails the first time, then speaks; counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.may_go_on = threading.Event()

    def speak(self, text: str, pitch: float = 1.0) -> bytes:
        self.calls += 1
        self.may_go_on.wait(5)
        if self.calls == 1:
            raise ConfigurationError("not now")
        return f"{text}{pitch}".encode()


def test_an_utterance_is_synthesised_once_and_a_failure_is_forgotten() -> None:
    async def scenario() -> None:
        voice = CountingVoice()
        speech = Speech(voice, MoonshineEar())
        failing = [asyncio.create_task(speech.speak("Hi", "marin")) for _ in range(2)]
        await asyncio.sleep(0)
        voice.may_go_on.set()
        outcomes = await asyncio.gather(*failing, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConfigurationError] * 2
        assert await speech.speak("Hi", "marin") == await speech.speak("Hi", "coral") == b"Hi1.0"
        assert await speech.speak("Hi", "cedar") == b"Hi0.9"
        assert voice.calls == 3
        speech.close()

    asyncio.run(scenario())


WAV_PROGRAM = """
import sys, wave
text = sys.stdin.read()
with wave.open(sys.stdout.buffer, "wb") as file:
    file.setnchannels({channels}); file.setsampwidth(2); file.setframerate(12000)
    file.writeframes(b"\\x10\\x00" * 12000 * {channels})
sys.exit({status})
"""


def program(tmp_path: Path, channels: int = 1, status: int = 0) -> ProgramVoice:
    script = tmp_path / "say.py"
    script.write_text(WAV_PROGRAM.format(channels=channels, status=status))
    return ProgramVoice([sys.executable, str(script)])


def test_a_program_can_be_the_voice(tmp_path: Path) -> None:
    voice = program(tmp_path)
    assert len(voice.speak("Hello")) == pytest.approx(48_000, abs=200)
    assert len(voice.speak("Hello", 1.1)) == pytest.approx(48_000 / 1.1, abs=200)
    assert voice.speak(" ") == b""


@pytest.mark.parametrize(
    ("voice", "problem"),
    [
        (ProgramVoice(["no-such-program"]), "no-such-program"),
        (ProgramVoice([sys.executable, "-c", "import sys; sys.exit('broken')"]), "broken"),
        (ProgramVoice([sys.executable, "-c", "print('no wav')"]), "wrote no WAV"),
        (ProgramVoice([sys.executable, "-c", "import time; time.sleep(9)"], 0.1), "timed out"),
    ],
)
def test_a_program_that_does_not_speak_is_named(voice: ProgramVoice, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        voice.speak("Hello")


def test_a_program_that_speaks_stereo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="2 channels"):
        program(tmp_path, channels=2).speak("Hello")


def test_a_missing_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r'pip install "pytest-realtime-eval\[embedded\]"'):
        MoonshineEar().hear(b"\x00\x40" * 24_000, 24_000)
