"""What a sensor does to a picture: blur, then noise, then compression; the same bits for the same step."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from vla_sim.worlds.variations import Sensor

CLEAN = Sensor()


def sense(
    picture: UInt8[np.ndarray, "height width 3"], sensor: Sensor, step: int, camera_index: int
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture as it arrives.

    Args:
        step: the control step, of which the noise depends.
        camera_index: which of the cameras took it.
    """
    if sensor == CLEAN:
        return picture
    seen = picture
    if sensor.blur_px > 0:
        seen = cv2.GaussianBlur(seen, (0, 0), sensor.blur_px)
    if sensor.noise > 0:
        generator = np.random.default_rng([sensor.seed, step, camera_index])
        noisy = seen + generator.normal(0.0, sensor.noise, seen.shape)
        seen = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return seen if sensor.jpeg_quality is None else _compressed(seen, sensor.jpeg_quality)


def _compressed(picture: UInt8[np.ndarray, "height width 3"], quality: int) -> UInt8[np.ndarray, "height width 3"]:
    _, code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None, "what was encoded is decoded"
    return np.ascontiguousarray(decoded[..., ::-1])
