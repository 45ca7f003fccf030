"""Turn detection by loudness, for clients that leave it to the server.

The harness commits its audio itself; this is there so that other clients of the protocol
work too. ``threshold`` and ``idle_timeout_ms`` are accepted and have no effect.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

__all__ = ["FRAME_MS", "TurnDetector"]

FRAME_MS: Final = 20
#: So many loud frames are speech; fewer are a click.
_LOUD_FRAMES: Final = 3
#: Root mean square of a loud frame: -46 dBFS.
_LOUD_RMS: Final = 164


class TurnDetector:
    """Tells where speech starts and stops, frame by frame.

    Args:
        silence_ms: How long it must be quiet for speech to have stopped.
    """

    def __init__(self, silence_ms: int) -> None:
        self.speaking = False
        self._silence_ms = silence_ms
        # Frames in a row that speak for a change of state.
        self._frames = 0

    def frame(self, pcm16: bytes) -> Literal["started", "stopped"] | None:
        """Take the next 20 ms of linear samples; return what they change."""
        samples = np.frombuffer(pcm16, "<i2").astype(np.float32)
        loud = float(np.sqrt(np.mean(samples**2))) > _LOUD_RMS
        self._frames = 0 if loud == self.speaking else self._frames + 1
        needed = self._silence_ms / FRAME_MS if self.speaking else _LOUD_FRAMES
        if self._frames < needed:
            return None
        self.speaking, self._frames = not self.speaking, 0
        return "started" if self.speaking else "stopped"
