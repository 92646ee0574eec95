"""Pictures between conventions: ours are uint8 height x width x 3, theirs often float 3 x height x width in 0..1."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8


def to_planes(image: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "3 height width"]:
    """The picture as LeRobot's policies take it: channels first, 0..1."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 255


def from_planes(planes: Float32[np.ndarray, "3 height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """The picture that `to_planes` was given, exactly."""
    return np.ascontiguousarray((planes * 255).round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def resized(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    """The picture at this size: means of areas where it shrinks, straight lines between pixels where it grows."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(small, np.uint8)
