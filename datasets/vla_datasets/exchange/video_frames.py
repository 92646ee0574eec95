"""The frames of an MP4 as they are coded: every one, in order, RGB, neither turned nor scaled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import UInt8

from vla.errors import DataError
from vla_datasets.web.pictures import MAX_PIXELS


def frame_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels of the first frame.

    Raises:
        DataError: if the file is no MP4 video that can be decoded.
    """
    with _frames(path) as frames:
        first = next(frames, None)
        if first is None:
            raise DataError(f"{path} has no frames")
        return _size(first, path)


def read_frames(path: Path, steps: int, shape: tuple[int, ...]) -> UInt8[np.ndarray, "steps height width 3"]:
    """The frames of a video that has exactly `steps` of them.

    Args:
        shape: height, width and 3, of every frame.

    Raises:
        DataError: if the video is damaged, of another size, or of another length (with both numbers).
    """
    count = 0
    with _frames(path) as frames:
        images = np.empty((steps, *shape), np.uint8)
        for frame in frames:
            if (size := _size(frame, path)) != shape[:2]:
                raise DataError(f"{path}: frame {count} is {size[0]} x {size[1]}, expected {shape[0]} x {shape[1]}")
            if count < steps:
                images[count] = frame.to_ndarray(format="rgb24")
            count += 1
    if count != steps:
        raise DataError(f"{path} has {count} frames, its data have {steps} steps")
    return images


@contextlib.contextmanager
def _frames(path: Path) -> Iterator[Iterator[av.VideoFrame]]:
    """The decoded frames; whatever goes wrong with them inside the `with` is a DataError."""
    try:
        # The format is said, not probed: a playlist could name other files.
        with av.open(str(path), format="mp4") as container:
            if not container.streams.video:
                raise DataError(f"{path} has no video in it")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
                raise DataError(f"{path} has frames of more than {MAX_PIXELS} pixels")
            yield container.decode(stream)
    except (FFmpegError, OSError, ValueError, MemoryError) as error:
        raise DataError(f"{path} is not a video that can be read: {error}") from None


def _size(frame: av.VideoFrame, path: Path) -> tuple[int, int]:
    if frame.is_corrupt or frame.width * frame.height > MAX_PIXELS:
        raise DataError(f"{path} is damaged: a frame cannot be decoded, or has more than {MAX_PIXELS} pixels")
    return frame.height, frame.width
