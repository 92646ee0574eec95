"""Towers that see pictures of one size only, whatever the camera's."""

from __future__ import annotations

from typing import Any

from vla.errors import ConfigError


def fixed_picture_size(family: str, vision: Any, longest_side: int) -> tuple[int, int]:
    """The size that the tower was made for.

    Raises:
        ConfigError: if another was wished for.
    """
    size = vision.image_size
    rows, columns = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if longest_side not in (0, max(rows, columns)):
        raise ConfigError(
            f"{family} sees pictures of {rows} x {columns} pixels: leave picture_side, got {longest_side}"
        )
    return rows, columns


def side(size: Any) -> int:
    """One side of what is square, and given as one number or as two."""
    return size if isinstance(size, int) else int(size[0])
