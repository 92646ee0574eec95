"""Towers that see pictures of one size only, whatever the camera's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vla.embodiment import CameraSpec
from vla.errors import ConfigError


def fixed_picture_size(family: str) -> Callable[[Any, CameraSpec, int], tuple[int, int]]:
    """The size that a family's tower was made for, as `Family.picture_size` gives it."""

    def picture_size(config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
        size = config.vision_config.image_size
        rows, columns = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if longest_side not in (0, max(rows, columns)):
            raise ConfigError(
                f"{family} sees pictures of {rows} x {columns} pixels: leave picture_side, got {longest_side}"
            )
        return rows, columns

    return picture_size


def side(size: Any) -> int:
    """One side of what is square, and given as one number or as two."""
    return size if isinstance(size, int) else int(size[0])
