"""Frames of a video by their number, read forward without decoding anything twice."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import UInt8

from vla.errors import DataError

TOLERANCE_FRAMES = 0.25
"""How far a frame may lie from its number's time."""


class VideoStream:
    """One video file. Frame `i` is the one that is shown at `i / fps`."""

    def __init__(self, path: Path, fps: float, shape: tuple[int, int, int]) -> None:
        self._path = path
        self._fps = Fraction(fps).limit_denominator(1_000_000)
        self._shape = shape
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._next = 0

    def read(self, first: int, count: int) -> UInt8[np.ndarray, "count height width 3"]:
        """Frames `first` to `first + count`, RGB.

        Raises:
            DataError: naming the file, if it is damaged, of another size, or lacks one of these frames.
        """
        try:
            if self._container is None or first != self._next:
                self._seek(first)
            return self._read(first, count)
        except (FFmpegError, OSError, ValueError, IndexError) as error:
            self.close()
            raise DataError(f"{self._path} is not a readable video: {' '.join(str(error).split())}") from None
        except DataError:
            self.close()
            raise

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = None

    def _seek(self, first: int) -> None:
        self.close()
        # Protocols and formats by name: a playlist would make FFmpeg open other files.
        self._container = av.open(str(self._path), format="mp4")
        if not self._container.streams.video:
            raise DataError(f"{self._path} has no pictures")
        stream = self._container.streams.video[0]
        if stream.codec_context is None:
            raise DataError(f"{self._path} is compressed by nothing that is known")
        # Threads that decode frames ahead may tell of damage while the file is closed, which waits for them, and they
        # for Python: a damaged file would hang. Threads within a frame do not outlive it.
        stream.thread_type = "SLICE"
        self._require_size(stream.height, stream.width)
        if first:
            self._container.seek(int(first / self._fps / stream.time_base), stream=stream, backward=True)
        self._frames = self._container.decode(stream)
        self._next = first

    def _read(self, first: int, count: int) -> np.ndarray:
        images = np.empty((count, *self._shape), np.uint8)
        filled = 0
        while filled < count:
            frame = next(self._frames, None)
            if frame is None:
                raise DataError(f"{self._path} ends before frame {first + filled}, which its dataset promises")
            number = self._number(frame)
            if number < first + filled:
                continue
            if number > first + filled:
                raise DataError(f"{self._path} has no frame {first + filled}: {number} comes next")
            self._require_size(frame.height, frame.width)
            images[filled] = frame.to_ndarray(format="rgb24")
            filled += 1
        self._next = first + count
        return images

    def _require_size(self, height: int, width: int) -> None:
        if (height, width) != self._shape[:2]:
            raise DataError(f"{self._path} is {height} x {width}, its dataset says {self._shape[0]} x {self._shape[1]}")

    def _number(self, frame: Any) -> int:
        if frame.pts is None:
            raise DataError(f"{self._path} has a frame without a time")
        exact = frame.pts * frame.time_base * self._fps
        number = round(exact)
        if abs(exact - number) > TOLERANCE_FRAMES:
            raise DataError(f"{self._path} has a frame at {float(exact):.3f} frame intervals: its rate is another")
        return number
