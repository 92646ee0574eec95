"""Pictograms of one colour: digits, symbols and emblems, as masks that a drawing stamps onto its paper.

Each is drawn once, large, in a square of side 1 with x to the right and y down, and scaled where it is used. Cut-outs
show the paper; every pictogram hangs together, so that it can be found again as one piece.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from vla_sim.corpus.concepts import CATEGORIES, NUMBERS, SYMBOLS

SIDE = 128
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
"""Fonts of drawn digits; those of OpenCV, which need no files."""
THICKNESSES = (9, 13)
ARROWS = ("up", "right", "down", "left")
EMBLEMS = tuple(emblem for group in CATEGORIES.values() for emblem in group)

_Points = Sequence[tuple[float, float]]


@functools.cache
def stencil(name: str, variant: int = 0) -> UInt8[np.ndarray, "height width"]:
    """How much of each pixel a pictogram covers: 0 to 255.

    Args:
        name: a number word up to `nine`, a symbol, an emblem or `arrow left`.
        variant: of a digit, below `num_variants`.
    """
    if name in NUMBERS:
        return _cropped(_digit(NUMBERS.index(name), variant))
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    if name.startswith("arrow"):
        return _cropped(np.ascontiguousarray(np.rot90(_arrow(canvas), -ARROWS.index((name + " up").split()[1]))))
    _DRAWERS[name](canvas)
    return _cropped(canvas)


def num_variants(name: str) -> int:
    """In how many ways a pictogram is drawn."""
    return len(FONTS) * len(THICKNESSES) if name in NUMBERS else 1


def _cropped(canvas: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(canvas.any(1))[0], np.nonzero(canvas.any(0))[0]
    return np.ascontiguousarray(canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _digit(value: int, variant: int) -> np.ndarray:
    font, thickness = FONTS[variant % len(FONTS)], THICKNESSES[variant // len(FONTS)]
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    cv2.putText(canvas, str(value), (24, 112), font, 4.0, 255, thickness, cv2.LINE_AA)
    return canvas


# --------------------------------------------------------------------------- strokes


def _pixel(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0] * (SIDE - 1)), round(point[1] * (SIDE - 1))


def _disc(canvas: np.ndarray, x: float, y: float, radius: float, value: int = 255) -> None:
    cv2.circle(canvas, _pixel((x, y)), round(radius * SIDE), value, -1, cv2.LINE_AA)


def _oval(
    canvas: np.ndarray, x: float, y: float, wide: float, high: float, turn: float = 0.0, value: int = 255
) -> None:
    axes = (round(wide * SIDE), round(high * SIDE))
    cv2.ellipse(canvas, _pixel((x, y)), axes, math.degrees(turn), 0, 360, value, -1, cv2.LINE_AA)


def _shape(canvas: np.ndarray, points: _Points, value: int = 255) -> None:
    cv2.fillPoly(canvas, [np.array([_pixel(point) for point in points], np.int32)], value, cv2.LINE_AA)


def _line(canvas: np.ndarray, points: _Points, width: float, value: int = 255) -> None:
    dots = np.array([_pixel(point) for point in points], np.int32)
    cv2.polylines(canvas, [dots], False, value, round(width * SIDE), cv2.LINE_AA)


def _box(canvas: np.ndarray, left: float, top: float, right: float, bottom: float, value: int = 255) -> None:
    _shape(canvas, ((left, top), (right, top), (right, bottom), (left, bottom)), value)


# --------------------------------------------------------------------------- symbols


def _circle(canvas: np.ndarray) -> None:
    _disc(canvas, 0.5, 0.5, 0.45)


def _triangle(canvas: np.ndarray) -> None:
    _shape(canvas, ((0.5, 0.05), (0.98, 0.92), (0.02, 0.92)))


def _star(canvas: np.ndarray) -> None:
    angles = [math.pi * (k / 5 - 0.5) for k in range(10)]
    radii = [0.5 if k % 2 == 0 else 0.21 for k in range(10)]
    _shape(canvas, [(0.5 + r * math.cos(a), 0.52 + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)])


def _heart(canvas: np.ndarray) -> None:
    angles = np.linspace(0, 2 * math.pi, 60)
    x = 16 * np.sin(angles) ** 3
    y = 13 * np.cos(angles) - 5 * np.cos(2 * angles) - 2 * np.cos(3 * angles) - np.cos(4 * angles)
    _shape(canvas, [(0.5 + float(a) / 36, 0.46 - float(b) / 36) for a, b in zip(x, y, strict=True)])


def _cross(canvas: np.ndarray) -> None:
    _box(canvas, 0.36, 0.04, 0.64, 0.96)
    _box(canvas, 0.04, 0.36, 0.96, 0.64)


def _diamond(canvas: np.ndarray) -> None:
    _shape(canvas, ((0.5, 0.02), (0.85, 0.5), (0.5, 0.98), (0.15, 0.5)))


def _ring(canvas: np.ndarray) -> None:
    _disc(canvas, 0.5, 0.5, 0.46)
    _disc(canvas, 0.5, 0.5, 0.27, 0)


def _moon(canvas: np.ndarray) -> None:
    _disc(canvas, 0.5, 0.5, 0.46)
    _disc(canvas, 0.7, 0.42, 0.38, 0)


def _arrow(canvas: np.ndarray) -> np.ndarray:
    _shape(canvas, ((0.5, 0.03), (0.9, 0.45), (0.63, 0.45), (0.63, 0.97), (0.37, 0.97), (0.37, 0.45), (0.1, 0.45)))
    return canvas


# --------------------------------------------------------------------------- emblems


def _apple(canvas: np.ndarray) -> None:
    _oval(canvas, 0.36, 0.6, 0.26, 0.33)
    _oval(canvas, 0.64, 0.6, 0.26, 0.33)
    _line(canvas, ((0.5, 0.36), (0.53, 0.12)), 0.07)
    _oval(canvas, 0.67, 0.15, 0.15, 0.07, -0.5)


def _banana(canvas: np.ndarray) -> None:
    outer = [(0.5 + 0.48 * math.cos(a), 0.22 + 0.62 * math.sin(a)) for a in np.linspace(0.1, math.pi - 0.1, 30)]
    inner = [(0.5 + 0.46 * math.cos(a), 0.2 + 0.3 * math.sin(a)) for a in np.linspace(math.pi - 0.1, 0.1, 30)]
    _shape(canvas, [*outer, *inner])
    _line(canvas, ((0.95, 0.28), (0.97, 0.12)), 0.08)


def _cherry(canvas: np.ndarray) -> None:
    _disc(canvas, 0.24, 0.74, 0.21)
    _disc(canvas, 0.76, 0.78, 0.2)
    _line(canvas, ((0.26, 0.6), (0.36, 0.35), (0.58, 0.08), (0.7, 0.34), (0.76, 0.62)), 0.06)


def _hammer(canvas: np.ndarray) -> None:
    _box(canvas, 0.43, 0.25, 0.57, 0.98)
    _shape(canvas, ((0.14, 0.08), (0.74, 0.08), (0.94, 0.26), (0.74, 0.34), (0.14, 0.34)))


def _saw(canvas: np.ndarray) -> None:
    teeth = [(0.62 - 0.06 * k, 0.66 if k % 2 else 0.55) for k in range(11)]
    _shape(canvas, [(0.66, 0.32), (0.02, 0.46), *reversed(teeth), (0.66, 0.56)])
    _oval(canvas, 0.8, 0.46, 0.19, 0.23)
    _oval(canvas, 0.82, 0.46, 0.07, 0.11, 0.0, 0)


def _wrench(canvas: np.ndarray) -> None:
    _line(canvas, ((0.3, 0.3), (0.74, 0.74)), 0.15)
    for x, y, inward in ((0.22, 0.22, -1), (0.76, 0.76, 1)):
        _disc(canvas, x, y, 0.2)
        notch = inward * 0.26
        _line(canvas, ((x, y), (x + notch, y + notch)), 0.15, 0)


def _fish(canvas: np.ndarray) -> None:
    _oval(canvas, 0.4, 0.5, 0.36, 0.24)
    _shape(canvas, ((0.64, 0.5), (0.97, 0.22), (0.9, 0.5), (0.97, 0.78)))
    _disc(canvas, 0.22, 0.44, 0.05, 0)


def _cat(canvas: np.ndarray) -> None:
    _oval(canvas, 0.5, 0.6, 0.4, 0.34)
    _shape(canvas, ((0.1, 0.55), (0.12, 0.06), (0.48, 0.36)))
    _shape(canvas, ((0.9, 0.55), (0.88, 0.06), (0.52, 0.36)))
    for x in (0.34, 0.66):
        _oval(canvas, x, 0.54, 0.06, 0.08, 0.0, 0)
    _shape(canvas, ((0.43, 0.68), (0.57, 0.68), (0.5, 0.76)), 0)


def _rabbit(canvas: np.ndarray) -> None:
    _oval(canvas, 0.5, 0.72, 0.28, 0.25)
    _oval(canvas, 0.38, 0.3, 0.09, 0.3, -0.12)
    _oval(canvas, 0.62, 0.3, 0.09, 0.3, 0.12)
    for x in (0.4, 0.6):
        _disc(canvas, x, 0.67, 0.045, 0)
    _disc(canvas, 0.5, 0.8, 0.04, 0)


def _car(canvas: np.ndarray) -> None:
    _box(canvas, 0.02, 0.46, 0.98, 0.72)
    _shape(canvas, ((0.2, 0.47), (0.32, 0.22), (0.68, 0.22), (0.82, 0.47)))
    _shape(canvas, ((0.3, 0.45), (0.38, 0.29), (0.47, 0.29), (0.47, 0.45)), 0)
    _shape(canvas, ((0.54, 0.45), (0.54, 0.29), (0.64, 0.29), (0.72, 0.45)), 0)
    for x in (0.25, 0.75):
        _disc(canvas, x, 0.74, 0.14)
        _disc(canvas, x, 0.74, 0.055, 0)


def _boat(canvas: np.ndarray) -> None:
    _shape(canvas, ((0.02, 0.7), (0.98, 0.7), (0.8, 0.95), (0.18, 0.95)))
    _box(canvas, 0.46, 0.05, 0.53, 0.75)
    _shape(canvas, ((0.5, 0.05), (0.9, 0.6), (0.5, 0.6)))
    _shape(canvas, ((0.47, 0.18), (0.47, 0.6), (0.14, 0.6)))


def _rocket(canvas: np.ndarray) -> None:
    _shape(canvas, ((0.5, 0.0), (0.68, 0.3), (0.68, 0.78), (0.32, 0.78), (0.32, 0.3)))
    _shape(canvas, ((0.33, 0.5), (0.08, 0.9), (0.33, 0.78)))
    _shape(canvas, ((0.67, 0.5), (0.92, 0.9), (0.67, 0.78)))
    _shape(canvas, ((0.4, 0.77), (0.6, 0.77), (0.5, 1.0)))
    _disc(canvas, 0.5, 0.36, 0.09, 0)


_DRAWERS = {
    "circle": _circle,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "diamond": _diamond,
    "ring": _ring,
    "moon": _moon,
    "apple": _apple,
    "banana": _banana,
    "cherry": _cherry,
    "hammer": _hammer,
    "saw": _saw,
    "wrench": _wrench,
    "fish": _fish,
    "cat": _cat,
    "rabbit": _rabbit,
    "car": _car,
    "boat": _boat,
    "rocket": _rocket,
}
assert {*_DRAWERS, "arrow"} == {*SYMBOLS, *EMBLEMS}
