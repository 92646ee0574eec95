"""The drawings of the comparison as numbers: where on a canvas every point, bar and tick is.

  y.end ┬ · ticks                 values ─► Axis.place ─► pixels, y downwards
        │      ●──┤ whiskers
y.begin ┴──┬──────┬──
      x.begin    x.end
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Float32, Int64

from vla_policies.tokens_measures import HISTOGRAM_HIGH, HISTOGRAM_LOW, Compared, Measured, histogram_edges

EXAMPLE_QUANTILE = 0.95
"""The example moves more than this share of all held-out chunks."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """A stretch of numbers on a stretch of pixels."""

    low: float
    high: float
    begin: float
    """The pixel of `low`."""
    end: float
    is_log: bool = True

    def place(self, value: float) -> float:
        """The pixel of a value; what lies outside is put on the edge."""
        value = min(max(value, self.low), self.high)
        share = (
            math.log(value / self.low) / math.log(self.high / self.low)
            if self.is_log
            else (value - self.low) / (self.high - self.low)
        )
        return round(self.begin + share * (self.end - self.begin), 2)

    def ticks(self, values: Iterable[float]) -> list[tuple[float, str]]:
        """Pixel and text of those values that lie on the axis."""
        return [(self.place(value), f"{value:g}") for value in values if self.low <= value <= self.high]


# --------------------------------------------------------------------------- tokens against error


@dataclasses.dataclass(frozen=True)
class Mark:
    """A tokenizer, or a prefix of its tokens: tokens and error as pixels."""

    name: str
    x: float
    x_p99: float
    y: float
    y_p99: float


@dataclasses.dataclass(frozen=True)
class RateDistortion:
    """Tokens a chunk to the right, error upwards, both logarithmic."""

    width: float
    height: float
    x: Axis
    y: Axis
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    marks: list[Mark]
    curves: dict[str, list[Mark]]
    """The prefixes of those tokenizers that decode them."""


def rate_distortion(compared: Compared, width: float = 1000.0, height: float = 440.0) -> RateDistortion:
    """Where every tokenizer stands: tokens a chunk against mean error, whiskers to the 99th percentiles."""
    measures = {name: measured.measures for name, measured in compared.measured.items()}
    prefixes = [prefix for measured in compared.measured.values() for prefix in measured.prefixes]
    longest = max(m.tokens_p99 for m in measures.values())
    errors = [m.mae for m in measures.values()] + [p.mae for p in prefixes]
    highest = max([m.error_p99 for m in measures.values()] + [p.error_p99 for p in prefixes])
    x = Axis(min(1.0, *(m.tokens_mean for m in measures.values())), 1.25 * longest, 64.0, width - 24)
    y = Axis(10.0 ** math.floor(math.log10(max(min(errors), 1e-6))), max(highest * 1.2, 1e-5), height - 48, 16.0)
    return RateDistortion(
        width=width,
        height=height,
        x=x,
        y=y,
        x_ticks=x.ticks(2.0**power for power in range(12)),
        y_ticks=y.ticks(10.0**power for power in range(-6, 2)),
        marks=[
            Mark(name, x.place(m.tokens_mean), x.place(m.tokens_p99), y.place(m.mae), y.place(m.error_p99))
            for name, m in measures.items()
        ],
        curves={
            name: [
                Mark(name, x.place(p.tokens_mean), x.place(p.tokens_mean), y.place(p.mae), y.place(p.error_p99))
                for p in measured.prefixes
            ]
            for name, measured in compared.measured.items()
            if measured.prefixes
        },
    )


# --------------------------------------------------------------------------- histograms


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Bars over an axis, the highest as high as the drawing."""

    width: float
    height: float
    bars: list[tuple[float, float, float, float]]
    """x, y, width, height."""
    ticks: list[tuple[float, str]]
    lines: list[tuple[float, str]]
    """Where the mean and the 99th percentile are, and their CSS class."""
    outside: float = 0.0
    """Share of what lies to the left of the axis."""


def token_histogram(measured: Measured, longest: int, width: float = 420.0, height: float = 84.0) -> Histogram:
    """How many chunks have how many tokens.

    Args:
        longest: at the axis's end.
    """
    axis = Axis(0.0, longest + 1.0, 8.0, width - 8, is_log=False)
    m = measured.measures
    return Histogram(
        width=width,
        height=height,
        bars=_bars(axis, np.arange(len(measured.lengths) + 1, dtype=np.float64), measured.lengths, height),
        ticks=[(axis.place(value + 0.5), f"{value:g}") for value in _round_steps(longest)],
        lines=[(axis.place(m.tokens_mean + 0.5), "mean"), (axis.place(m.tokens_p99 + 0.5), "p99")],
    )


def error_histogram(measured: Measured, width: float = 420.0, height: float = 84.0) -> Histogram:
    """How large errors are, in half-ranges, logarithmic."""
    axis = Axis(HISTOGRAM_LOW, HISTOGRAM_HIGH, 8.0, width - 8)
    m = measured.measures
    return Histogram(
        width=width,
        height=height,
        bars=_bars(axis, histogram_edges(), measured.errors, height),
        ticks=axis.ticks([1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        lines=[(axis.place(m.mae), "mean"), (axis.place(m.error_p99), "p99")],
        outside=measured.smaller,
    )


def _bars(
    axis: Axis, edges: Float[np.ndarray, " edges"], counts: Int64[np.ndarray, " bins"], height: float
) -> list[tuple[float, float, float, float]]:
    found = []
    for low, high, count in zip(edges[:-1], edges[1:], counts / max(1, counts.max()), strict=True):
        left, right = axis.place(float(low)), axis.place(float(high))
        if count > 0:
            tall = max(1.0, round(float(count) * height, 2))
            found.append((left, round(height - tall, 2), max(1.0, round(right - left - 0.8, 2)), tall))
    return found


def _round_steps(longest: int) -> list[int]:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if longest <= 8 * step)
    return list(range(0, longest + 1, step))


# --------------------------------------------------------------------------- an example


@dataclasses.dataclass(frozen=True)
class Panel:
    """One field of the example, and what one tokenizer makes of it, as points of polylines."""

    original: list[tuple[float, float]]
    decoded: list[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Example:
    """One chunk and what its tokens decode to: a row for each field, a column for each tokenizer."""

    width: float
    height: float
    columns: list[tuple[str, int]]
    """Tokenizers, and how many tokens each writes."""
    rows: list[tuple[str, str, str, str, list[Panel]]]
    """Name, unit, least and greatest value, panels."""


def example(compared: Compared, width: float = 168.0, height: float = 72.0) -> Example:
    """A chunk that moves more than most."""
    chunk = compared.held_out.chunks[_lively(compared)]
    ids = {name: tokenizer.encode(chunk) for name, tokenizer in compared.tokenizers.items()}
    decoded = {name: tokenizer.decode(ids[name]) for name, tokenizer in compared.tokenizers.items()}
    rows = []
    for index, field in enumerate(compared.data.embodiment.action):
        shown = [chunk[:, index], *(actions[:, index] for actions in decoded.values())]
        span = max(float(np.ptp(shown)), 0.04 * (field.high - field.low))
        middle = (float(np.min(shown)) + float(np.max(shown))) / 2
        y = Axis(middle - 0.6 * span, middle + 0.6 * span, height - 1, 1.0, is_log=False)
        lines = [_line(values, y, width) for values in shown]
        panels = [Panel(lines[0], line) for line in lines[1:]]
        rows.append((field.name, field.unit, f"{y.low:.2g}", f"{y.high:.2g}", panels))
    return Example(width, height, [(name, len(tokens)) for name, tokens in ids.items()], rows)


def _lively(compared: Compared) -> int:
    """The index of the example among the held-out chunks."""
    values = compared.ranges.normalise(compared.held_out.chunks)
    motion = np.abs(np.diff(values, axis=1)).sum(axis=(1, 2))
    return int(np.argsort(motion, kind="stable")[int(EXAMPLE_QUANTILE * (len(motion) - 1))])


def _line(values: Float32[np.ndarray, " steps"], y: Axis, width: float) -> list[tuple[float, float]]:
    x = Axis(0.0, max(1.0, len(values) - 1.0), 6.0, width - 6, is_log=False)
    return [(x.place(float(step)), y.place(float(value))) for step, value in enumerate(values)]
