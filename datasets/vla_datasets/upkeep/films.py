"""One camera of an episode as an MP4 that every browser plays: H.264, 4:2:0, its index in front, in real time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import UInt8

LEAST_HEIGHT = 240
"""px; smaller pictures are enlarged by a whole factor, pixel by pixel, so that nothing is invented."""
QUALITY = 23
"""Constant rate factor of H.264: 18 looks lossless, each 6 more halve the size."""


def write_film(path: Path, images: UInt8[np.ndarray, "steps height width 3"], rate_hz: float) -> None:
    """Write the pictures in order, each for as long as a control step takes."""
    enlarged = _enlarged(images[:1])
    options = {"preset": "veryfast", "crf": str(QUALITY), "threads": "1"}
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        rate = Fraction(rate_hz).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = enlarged.shape[1], enlarged.shape[2], "yuv420p"
        for image in images:
            frame = av.VideoFrame.from_ndarray(_enlarged(image[None])[0], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_poster(path: Path, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write one picture as JPEG, of the size that its film has."""
    path.write_bytes(cv2.imencode(".jpg", _enlarged(image[None])[0][:, :, ::-1])[1].tobytes())


def _enlarged(images: UInt8[np.ndarray, "steps height width 3"]) -> UInt8[np.ndarray, "steps tall wide 3"]:
    """Of even height and width, as 4:2:0 needs them: an odd row or column at the edge is doubled."""
    factor = -(-LEAST_HEIGHT // images.shape[1])
    large = images.repeat(factor, axis=1).repeat(factor, axis=2)
    odd = [(0, 0), (0, large.shape[1] % 2), (0, large.shape[2] % 2), (0, 0)]
    return np.ascontiguousarray(np.pad(large, odd, mode="edge"))
