"""Pixels of a picture as location words (see `vla_datasets.web.samples`)."""

from __future__ import annotations

from vla_datasets.web.samples import location_words


def point_words(point: tuple[int, int], height: int, width: int) -> str:
    """The middle of a pixel.

    Args:
        point: row and column, px.
    """
    return location_words((point[0] + 0.5) / height, (point[1] + 0.5) / width)


def box_words(box: tuple[int, int, int, int], height: int, width: int) -> str:
    """The edges of a box.

    Args:
        box: top, left, bottom, right, px; the last two are one past it.
    """
    top, left, bottom, right = box
    return location_words(top / height, left / width, bottom / height, right / width)
