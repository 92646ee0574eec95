"""Pictures of a source set upright and brought to a camera's size. Nothing is turned, cut or stretched unsaid."""

from __future__ import annotations

import enum

import numpy as np
from jaxtyping import UInt8

from vla.embodiment import CameraSpec
from vla.errors import DataError


class Orientation(enum.Enum):
    """How the source's pictures lie; the opposite is done to them."""

    UPRIGHT = "upright"
    UPSIDE_DOWN = "upside_down"
    """Turned by 180 degrees."""
    FLIP_VERTICAL = "flip_vertical"
    """Row 0 is at the bottom, as OpenGL renders and LIBERO stores."""
    FLIP_HORIZONTAL = "flip_horizontal"
    """Mirrored, left for right."""
    TURNED_LEFT = "turned_left"
    """By 90 degrees counter-clockwise: what should be up points left."""
    TURNED_RIGHT = "turned_right"
    """By 90 degrees clockwise: what should be up points right."""


class Resize(enum.Enum):
    """How pixels of another size are computed."""

    NONE = "none"
    """Pictures of another size are refused."""
    AREA = "area"
    """The mean over each new pixel: for making smaller."""
    LINEAR = "linear"
    NEAREST = "nearest"


class Aspect(enum.Enum):
    """What is done where the ratio of width to height differs."""

    SAME = "same"
    """It is refused."""
    CROP = "crop"
    """The middle is cut out."""
    PAD = "pad"
    """Black borders are added."""
    STRETCH = "stretch"
    """Squares become oblong."""


def fit_pictures(
    images: UInt8[np.ndarray, "steps height width 3"],
    camera: CameraSpec,
    orientation: Orientation,
    resize: Resize,
    aspect: Aspect,
) -> UInt8[np.ndarray, "steps camera_height camera_width 3"]:
    """The pictures upright and of the camera's size, in memory of their own.

    Raises:
        DataError: if the sizes or ratios differ and nothing was said on what to do.
    """
    upright = _upright(images, orientation)
    size = (camera.height, camera.width)
    if upright.shape[1:3] == size:
        return np.ascontiguousarray(upright)
    if resize is Resize.NONE:
        raise DataError(f"camera '{camera.name}': {_text(upright)} upright, not {_size(size)}: say 'resize: area'")
    shaped = _shaped(upright, camera, aspect)
    return _resized(shaped, size, resize)


def _upright(images: np.ndarray, orientation: Orientation) -> np.ndarray:
    match orientation:
        case Orientation.UPRIGHT:
            return images
        case Orientation.UPSIDE_DOWN:
            return images[:, ::-1, ::-1]
        case Orientation.FLIP_VERTICAL:
            return images[:, ::-1]
        case Orientation.FLIP_HORIZONTAL:
            return images[:, :, ::-1]
        case Orientation.TURNED_LEFT:
            return np.rot90(images, k=-1, axes=(1, 2))
        case Orientation.TURNED_RIGHT:
            return np.rot90(images, k=1, axes=(1, 2))


def _shaped(images: np.ndarray, camera: CameraSpec, aspect: Aspect) -> np.ndarray:
    """The pictures in the camera's ratio of width to height, to the nearest pixel."""
    _, height, width, _ = images.shape
    if height * camera.width == width * camera.height or aspect is Aspect.STRETCH:
        return images
    match aspect:
        case Aspect.CROP:
            rows = min(height, max(1, round(width * camera.height / camera.width)))
            columns = min(width, max(1, round(height * camera.width / camera.height)))
            top, left = (height - rows) // 2, (width - columns) // 2
            return images[:, top : top + rows, left : left + columns]
        case Aspect.PAD:
            rows = max(height, round(width * camera.height / camera.width))
            columns = max(width, round(height * camera.width / camera.height))
            padded = np.zeros((len(images), rows, columns, 3), np.uint8)
            top, left = (rows - height) // 2, (columns - width) // 2
            padded[:, top : top + height, left : left + width] = images
            return padded
        case _:
            wanted = _size((camera.height, camera.width))
            raise DataError(
                f"camera '{camera.name}': {_text(images)} and {wanted} differ in their ratio of width to height: "
                "say 'aspect: crop', 'pad' or 'stretch'"
            )


def _resized(images: np.ndarray, size: tuple[int, int], resize: Resize) -> np.ndarray:
    import cv2

    methods = {
        Resize.AREA: cv2.INTER_AREA,
        Resize.LINEAR: cv2.INTER_LINEAR,
        Resize.NEAREST: cv2.INTER_NEAREST_EXACT,
    }
    resized = np.empty((len(images), *size, 3), np.uint8)
    for step, image in enumerate(images):
        resized[step] = cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=methods[resize])
    return resized


def _text(images: np.ndarray) -> str:
    return f"its pictures are {_size((images.shape[1], images.shape[2]))}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
