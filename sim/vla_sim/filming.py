"""Frames to an MP4 that every browser plays: H.264, 4:2:0, in memory."""

from __future__ import annotations

import dataclasses
import io

import av
import numpy as np
from jaxtyping import UInt8

from vla.errors import ConfigError

FILMING = ("videos", "failure_videos", "film", "expert_videos", "film_as_in", "explain")
"""Options of an evaluation that say what is filmed, and how; no outcome depends on them."""
_HOLD_S = 0.6
"""How long the last frame stands, so that the end can be seen."""


@dataclasses.dataclass
class FilmConfig:
    """How episodes are filmed."""

    height: int = 320
    """Pixels; even."""
    width: int = 400
    """Pixels; even."""
    speed: float = 0.5
    """Of the video; 1 is real time."""
    quality: int = 26
    """Constant rate factor of H.264: 18 looks lossless, each 6 more halve the size."""


def check_film(config: FilmConfig, max_height: int, max_width: int) -> None:
    """Return if a video can be made like this.

    Args:
        max_height: of a picture of the world, px.
        max_width: the same.

    Raises:
        ConfigError: if it cannot.
    """
    for name, size, limit in (("height", config.height, max_height), ("width", config.width, max_width)):
        if size % 2 or not 2 <= size <= limit:
            raise ConfigError(f"film.{name} is even and at most {limit} px, got {size}")
    if not 0.1 <= config.speed <= 10:
        raise ConfigError(f"film.speed is from 0.1 to 10, got {config.speed}")
    if not 0 <= config.quality <= 51:
        raise ConfigError(f"film.quality is from 0 to 51, got {config.quality}")


def frames_per_second(config: FilmConfig, control_hz: float) -> int:
    """Of a video, of which every frame is one control step."""
    return max(1, round(config.speed * control_hz))


class Film:
    """One video in the making; frames are encoded as they come, none is kept."""

    def __init__(self, config: FilmConfig, control_hz: float) -> None:
        """Begin a video without frames; one frame is one control step."""
        self._frames_per_second = frames_per_second(config, control_hz)
        self._buffer = io.BytesIO()
        self._container = av.open(self._buffer, "w", format="mp4")
        options = {"preset": "veryfast", "crf": str(config.quality), "threads": "1"}
        self._stream = self._container.add_stream("libx264", rate=self._frames_per_second, options=options)
        self._stream.height, self._stream.width, self._stream.pix_fmt = config.height, config.width, "yuv420p"
        self._last: np.ndarray | None = None

    def add(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
        """Append one frame."""
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        self._last = frame

    def finish(self) -> bytes:
        """The MP4; nothing can be added after it."""
        if self._last is not None:
            for _ in range(round(_HOLD_S * self._frames_per_second)):
                self.add(self._last)
        self._container.mux(self._stream.encode())
        self._container.close()
        return self._buffer.getvalue()
