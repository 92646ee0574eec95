"""Videos that hold one episode after another, every frame at its number, each episode beginning with a key frame.

Times are integers: frame `n` is at `n / fps`, whatever came before. A group of pictures is two frames, so that a random
frame costs at most two to decode.
"""

from __future__ import annotations

import dataclasses
import enum
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType
from jaxtyping import UInt8

from vla.errors import ConfigError

GROUP_OF_PICTURES = 2
PIXEL_FORMAT = "yuv420p"


class VideoCodec(enum.Enum):
    """What videos are compressed with."""

    H264 = "h264"
    AV1 = "av1"


@dataclasses.dataclass(frozen=True)
class VideoSettings:
    """How videos are compressed."""

    codec: VideoCodec
    quality: int
    """Constant rate factor: less is better and larger; 0 to 51 for H.264, to 63 for AV1."""

    def __post_init__(self) -> None:
        highest = 51 if self.codec is VideoCodec.H264 else 63
        if not 0 <= self.quality <= highest:
            raise ConfigError(f"quality of {self.codec.value} is from 0 (best) to {highest}, got {self.quality}")

    @property
    def encoder(self) -> str:
        return {VideoCodec.H264: "libx264", VideoCodec.AV1: "libsvtav1"}[self.codec]

    @property
    def options(self) -> dict[str, str]:
        own = {
            # Without B-frames and scene cuts: pictures in order, key frames where we put them.
            VideoCodec.H264: {"preset": "medium", "bf": "0", "x264-params": "scenecut=0"},
            VideoCodec.AV1: {"preset": "8", "svtav1-params": "scd=0"},
        }
        return {"crf": str(self.quality), "g": str(GROUP_OF_PICTURES)} | own[self.codec]


class VideoWriter:
    """One video file in the making."""

    def __init__(self, path: Path, fps: int, height: int, width: int, settings: VideoSettings) -> None:
        """Open the file.

        Raises:
            ConfigError: if the pictures have an odd side, which halved colours cannot have, or the encoder is absent.
        """
        if height % 2 or width % 2:
            raise ConfigError(
                f"{path.parent.parent.name}: videos need even sides, got {height} x {width}: export images"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.num_frames = 0
        self.num_bytes = 0
        """Written so far; what the encoder still holds comes later."""
        self._fps = fps
        self._container: Any = av.open(str(path), "w", format="mp4")
        try:
            stream = self._container.add_stream(settings.encoder, rate=fps, options=settings.options)
        except (FFmpegError, ValueError) as error:
            self._container.close()
            raise ConfigError(f"this build of PyAV cannot encode {settings.codec.value}: {error}") from None
        self._stream = cast(Any, stream)
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, PIXEL_FORMAT
        self._stream.codec_context.time_base = Fraction(1, fps)

    def append(self, images: UInt8[np.ndarray, "steps height width 3"]) -> int:
        """Add an episode's pictures; the number of its first frame in this file."""
        first = self.num_frames
        for offset, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = first + offset, Fraction(1, self._fps)
            if offset == 0:
                frame.pict_type = PictureType.I
            self._mux(frame)
        self.num_frames += len(images)
        return first

    def close(self) -> None:
        """Write what the encoder still holds, and the file's index."""
        self._mux(None)
        self._container.close()

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
            self.num_bytes += packet.size
