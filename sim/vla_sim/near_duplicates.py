"""Scenes that look alike: small pictures of first moments, how far they are apart, and how near is too near.

A sketch is each camera's picture, averaged over cells of 8 pixels; two are as far apart as the cell in which they
differ most, 0 to 1. Re-encoding, noise, a change of a few grey levels or a shift of a millimetre hardly shows in it; a
block that stands elsewhere does. How far apart scenes are depends on the suite: on the tabletop the nearest of
different seeds are 0.38 apart, in some tasks of Meta-World, where nothing but a goal a few millimetres off differs,
0.01. So the scenes of the evaluation say themselves what is too near: half of what lies between two of the same task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

CELL_PX = 8
MOST = 0.1
"""Farther apart than this, whatever the suite, is another scene; JPEG moves a sketch by up to 0.06."""
_BLOCK = 256


def sketch(images: Mapping[str, UInt8[np.ndarray, "height width 3"]]) -> Float32[np.ndarray, " cells"]:
    """What a moment looks like from afar: every camera's cells, 0 to 1, by the cameras' names."""
    return np.concatenate([_cells(images[name]).ravel() for name in sorted(images)]) / np.float32(255)


def too_near(sketches: Float32[np.ndarray, "scenes cells"], tasks: Sequence[str]) -> float | None:
    """The distance below which a scene is one of these in disguise; None if no task has two scenes to tell it by."""
    gaps = []
    for task in dict.fromkeys(tasks):
        mine = sketches[[index for index, name in enumerate(tasks) if name == task]]
        apart = distances(mine, mine)
        np.fill_diagonal(apart, np.inf)
        gaps.append(float(apart.min()))
    found = [gap for gap in gaps if np.isfinite(gap)]
    return min(MOST, min(found) / 2) if found else None


def distances(
    some: Float32[np.ndarray, "scenes cells"], others: Float32[np.ndarray, "others cells"]
) -> Float64[np.ndarray, "scenes others"]:
    """How far each is from each: the cell in which they differ most."""
    apart = np.empty((len(some), len(others)))
    for begin in range(0, len(others), _BLOCK):
        for index, one in enumerate(some):
            apart[index, begin : begin + _BLOCK] = np.abs(others[begin : begin + _BLOCK] - one).max(axis=1)
    return apart


def _cells(picture: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "rows columns 3"]:
    height, width = picture.shape[:2]
    size = (max(1, width // CELL_PX), max(1, height // CELL_PX))
    return cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA)
