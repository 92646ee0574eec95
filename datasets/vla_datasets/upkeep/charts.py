"""Geometry of small charts, to be drawn as SVG by a template: histograms and lines of one field each.

Coordinates are SVG's, in px from the upper left corner; they are rounded, so that a page of many charts stays small.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from vla.embodiment import Field
from vla.normalization import Distribution

WIDTH, HEIGHT = 160.0, 56.0
BINS = 40
_MARGIN = 3.0


@dataclasses.dataclass(frozen=True)
class Line:
    """One field over the steps of an episode."""

    name: str
    unit: str
    points: str
    """For a polyline: `x,y x,y ...`."""
    limits: tuple[float, ...]
    """Heights of the field's limits that are in sight."""
    low: str
    """The least value that occurs."""
    high: str
    limit_text: str
    """The field's limits: `-0.04 to 0.04 m`."""
    is_beyond: bool
    """Whether a value lies beyond them."""


@dataclasses.dataclass(frozen=True)
class Histogram:
    """The values of one field."""

    name: str
    unit: str
    bars: tuple[tuple[float, float, float, float], ...]
    """x, y, width and height."""
    limits: tuple[float, ...]
    """Where the field's limits are, if in sight."""
    marks: tuple[float, ...]
    """Where the quantiles are that were asked for."""
    low: str
    """The value at the left end."""
    high: str


def line(field: Field, values: Float[np.ndarray, " steps"], *, shows_limits: bool, beyond_share: float) -> Line:
    """The field's values in order.

    Args:
        shows_limits: whether the chart reaches from limit to limit; else only as far as the values do.
        beyond_share: how far a value may lie beyond its limits, as a share of their distance.
    """
    column = values.astype(np.float64)
    low, high = _sight(field, float(column.min()), float(column.max()), shows_limits)
    x = np.linspace(_MARGIN, WIDTH - _MARGIN, len(column))
    y = _heights(column, low, high)
    excess = float(np.maximum(field.low - column, column - field.high).max())
    return Line(
        name=field.name,
        unit=_unit(field),
        points=" ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)),
        limits=tuple(
            round(float(_heights(np.array([limit]), low, high)[0]), 1)
            for limit in (field.low, field.high)
            if low <= limit <= high
        ),
        low=rounded(field, float(column.min())),
        high=rounded(field, float(column.max())),
        limit_text=f"{field.low:.4g} to {field.high:.4g} {_unit(field)}".rstrip(),
        is_beyond=excess > beyond_share * (field.high - field.low),
    )


def histogram(field: Field, distribution: Distribution, marks: Float[np.ndarray, " marks"]) -> Histogram:
    """How often the field has which values, in `BINS` equal bins from the least to the greatest.

    Args:
        marks: values to mark, quantiles for instance.
    """
    low, high = _sight(field, float(distribution.values[0]), float(distribution.values[-1]), False)
    counts, edges = np.histogram(distribution.values, BINS, (low, high), weights=distribution.counts)
    heights = counts / counts.max() * (HEIGHT - _MARGIN)
    x = (edges - low) / (high - low) * WIDTH
    bars = np.stack([x[:-1], HEIGHT - heights, np.diff(x) - 0.4, heights], axis=1)[counts > 0].round(1).tolist()
    return Histogram(
        name=field.name,
        unit=_unit(field),
        bars=tuple((left, top, wide, tall) for left, top, wide, tall in bars),
        limits=tuple(_place(limit, low, high) for limit in (field.low, field.high) if low <= limit <= high),
        marks=tuple(_place(float(mark), low, high) for mark in marks),
        low=rounded(field, low),
        high=rounded(field, high),
    )


def rounded(field: Field, value: float) -> str:
    """The value to a thousandth of the field's range, or a little less: what the eye can use."""
    digits = 3 - math.floor(math.log10(field.high - field.low))
    return f"{round(value, digits) + 0.0:.6g}"


def _sight(field: Field, low: float, high: float, shows_limits: bool) -> tuple[float, float]:
    """From where to where a chart reaches: a little beyond the values, at least 4 % of the field's range."""
    if shows_limits:
        low, high = min(low, field.low), max(high, field.high)
    span, least = high - low, 0.04 * (field.high - field.low)
    pad = max(0.02 * span, (least - span) / 2)
    return low - pad, high + pad


def _heights(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return HEIGHT - _MARGIN - (values - low) / (high - low) * (HEIGHT - 2 * _MARGIN)


def _place(value: float, low: float, high: float) -> float:
    return round((value - low) / (high - low) * WIDTH, 1)


def _unit(field: Field) -> str:
    return "" if field.unit == "1" else field.unit
