"""Exact statistics of numbers, and the normalising that follows from them.

    values ── Statistics.of ──► Statistics ── Normalizer.of ──► Normalizer
                                    ▲  │                          normalise: about -1..1 for the model
                              merge └──┘                        unnormalise: back to rad, m

All is computed in float64: a joint that stands at 180 ± 0.01 reports a deviation of 0.01. Quantiles are those of the
values themselves, after a merge too, because the sorted distinct values are kept until `without_values` or JSON
drops them. What cannot be computed exactly is refused, never estimated.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Num

from vla.embodiment import Field
from vla.errors import StatisticsError

FORMAT = "vla-statistics"
VERSION = 1
LEVELS = (0.01, 0.99)
"""The quantiles that are kept unless others are asked for."""
FLOOR_OF_RANGE = 1e-4
"""A field that moves less than this part of its physical range is taken for constant: 8 µm of a ± 40 mm step."""

_ARRAYS = ("mean", "deviation", "low", "high", "quantiles")


@dataclasses.dataclass(frozen=True, eq=False)
class Distribution:
    """The values of one field: sorted and distinct, with how often each occurred."""

    values: Float64[np.ndarray, " distinct"]
    counts: Int64[np.ndarray, " distinct"]

    @staticmethod
    def of(values: Float64[np.ndarray, " samples"]) -> Distribution:
        """The distribution of unsorted values."""
        return Distribution(*np.unique(values, return_counts=True))

    def merge(self, other: Distribution) -> Distribution:
        """The distribution of both sets of values together."""
        values, inverse = np.unique(np.concatenate([self.values, other.values]), return_inverse=True)
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, inverse, np.concatenate([self.counts, other.counts]))
        return Distribution(values, counts)

    def quantile(self, level: float) -> float:
        """The value below which a part `level` of the values lies.

        Between two neighbouring ranks it is interpolated linearly: with n sorted values x[0..n-1],
        position p = level (n - 1), it is x[⌊p⌋] + (p - ⌊p⌋) (x[⌈p⌉] - x[⌊p⌋]).

        Source: Hyndman and Fan 1996, definition 7, which is NumPy's default.
        """
        ranks = np.cumsum(self.counts)
        position = level * (int(ranks[-1]) - 1)
        low, high = (self.values[np.searchsorted(ranks, rank, side="right")] for rank in _around(position))
        return float(low + (position - np.floor(position)) * (high - low))


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    """What is known of each field of a set of vectors."""

    names: tuple[str, ...]
    count: int
    """How many vectors."""
    mean: Float64[np.ndarray, " fields"]
    deviation: Float64[np.ndarray, " fields"]
    """Of the population: the root of the mean squared distance from `mean`."""
    low: Float64[np.ndarray, " fields"]
    high: Float64[np.ndarray, " fields"]
    levels: tuple[float, ...]
    quantiles: Float64[np.ndarray, "levels fields"]
    distributions: tuple[Distribution, ...] | None = None
    """One a field; what makes `merge` exact. Absent after JSON."""

    def __post_init__(self) -> None:
        _check(self.names, self.count, self.levels, {name: getattr(self, name) for name in _ARRAYS})

    @property
    def width(self) -> int:
        return len(self.names)

    @staticmethod
    def of(
        values: Num[np.ndarray, "*batch fields"],
        names: Sequence[str] | None = None,
        levels: Sequence[float] = LEVELS,
    ) -> Statistics:
        """The statistics of all vectors in `values`.

        Args:
            names: of the fields; `0`, `1`, ... if not given.
            levels: which quantiles to keep, each in 0..1.

        Raises:
            StatisticsError: if there are no vectors, one is not finite, or `names` has another width.
        """
        fields = np.ascontiguousarray(values.reshape(-1, values.shape[-1]).T, np.float64)  # (fields, samples)
        names = tuple(names) if names is not None else tuple(map(str, range(len(fields))))
        _check_values(fields, names)
        mean, deviation = _moments(fields)
        distributions = tuple(map(Distribution.of, fields))
        return Statistics(
            names=names,
            count=fields.shape[1],
            mean=mean,
            deviation=deviation,
            low=fields.min(axis=1),
            high=fields.max(axis=1),
            levels=_check_levels(levels),
            quantiles=_quantiles(distributions, levels),
            distributions=distributions,
        )

    def merge(self, other: Statistics) -> Statistics:
        """The statistics of both sets of vectors together, as if computed from all of them at once.

        With n = n_a + n_b and d = mean_b - mean_a:

            mean = mean_a + d n_b / n
            n deviation² = n_a deviation_a² + n_b deviation_b² + d² n_a n_b / n

        Raises:
            StatisticsError: if fields or levels differ, or either has lost its values.

        Source: Chan, Golub and LeVeque 1979, Stanford STAN-CS-79-773, equation 1.5.
        """
        pairs = _mergeable(self, other)
        n = self.count + other.count
        share_a, share_b, d = self.count / n, other.count / n, other.mean - self.mean
        variance = share_a * self.deviation**2 + share_b * other.deviation**2 + d**2 * share_a * share_b
        distributions = tuple(a.merge(b) for a, b in pairs)
        return Statistics(
            names=self.names,
            count=n,
            mean=self.mean + d * share_b,
            deviation=np.sqrt(variance),
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
            levels=self.levels,
            quantiles=_quantiles(distributions, self.levels),
            distributions=distributions,
        )

    def quantile(self, level: float) -> Float64[np.ndarray, " fields"]:
        """One quantile of each field: a kept one, or any other while the values are there.

        Raises:
            StatisticsError: if it is not kept, and neither are the values.
        """
        if level in self.levels:
            return self.quantiles[self.levels.index(level)]
        if self.distributions is None:
            kept = ", ".join(map(str, self.levels))
            raise StatisticsError(f"quantile {level} was not kept; kept: {kept}. Compute the statistics with it")
        return _quantiles(self.distributions, _check_levels([level]))[0]

    def without_values(self) -> Statistics:
        """The same, without what `merge` needs: a few numbers a field."""
        return dataclasses.replace(self, distributions=None)

    def require(self, names: Sequence[str], what: str) -> None:
        """Return if these are the statistics of the fields `names`, in this order.

        Args:
            what: what the statistics are of, for the error: `proprioception of checkpoint runs/a`.

        Raises:
            StatisticsError: if width or names differ.
        """
        if len(names) != self.width:
            raise StatisticsError(f"statistics of {what} should have {len(names)} fields, got {self.width}")
        if tuple(names) != self.names:
            raise StatisticsError(f"statistics of {what} should be of {list(names)}, got {list(self.names)}")

    def to_json(self) -> dict[str, Any]:
        """A tree of JSON values that `from_json` reads back, bit for bit; the values are left out."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "names": list(self.names),
            "count": self.count,
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "levels": list(self.levels),
            "quantiles": self.quantiles.tolist(),
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any] | None) -> Statistics:
        """The statistics that `to_json` wrote.

        Raises:
            StatisticsError: if they are absent, of another version, incomplete, of uneven width or not finite.
        """
        if not tree:
            raise StatisticsError("the statistics are absent: nothing can be normalised without them")
        if (tree.get("format"), tree.get("version")) != (FORMAT, VERSION):
            got = f"{tree.get('format')} {tree.get('version')}"
            raise StatisticsError(f"expected {FORMAT} {VERSION}, got {got}")
        try:
            arrays = {name: np.array(tree[name], np.float64) for name in _ARRAYS}
            names, levels = tuple(map(str, tree["names"])), tuple(map(float, tree["levels"]))
            count = int(tree["count"])
        except (KeyError, TypeError, ValueError) as error:
            raise StatisticsError(f"the statistics are incomplete or malformed: {error}") from None
        _check(names, count, levels, arrays)
        mean, deviation, low, high, quantiles = arrays.values()
        return Statistics(names, count, mean, deviation, low, high, levels, quantiles)


class Scheme(enum.Enum):
    """What becomes -1 and 1."""

    QUANTILE = "quantile"
    """The quantiles 0.01 and 0.99."""
    DEVIATION = "deviation"
    """One deviation below and above the mean."""


@dataclasses.dataclass(frozen=True, eq=False)
class Normalizer:
    """The affine map  normalised = (value - centre) / scale,  and back."""

    names: tuple[str, ...]
    centre: Float64[np.ndarray, " fields"]
    scale: Float64[np.ndarray, " fields"]
    clip: bool = False
    """Whether what lies beyond -1..1 is cut off. Un-normalising then gives the nearest value that was kept."""

    @staticmethod
    def of(
        statistics: Statistics, fields: Sequence[Field], scheme: Scheme = Scheme.QUANTILE, clip: bool = False
    ) -> Normalizer:
        """The normalizer of these fields.

        A field that hardly moves in the data is scaled by `FLOOR_OF_RANGE` of its physical range instead, so that
        noise of a constant field is not blown up.

        Raises:
            StatisticsError: if the statistics are not of these fields.
        """
        names = tuple(field.name for field in fields)
        statistics.require(names, "the fields to normalise")
        if scheme is Scheme.QUANTILE:
            low, high = statistics.quantile(0.01), statistics.quantile(0.99)
            centre, scale = low + (high - low) / 2, (high - low) / 2
        else:
            centre, scale = statistics.mean, statistics.deviation
        floor = np.array([FLOOR_OF_RANGE * (field.high - field.low) for field in fields], np.float64)
        return Normalizer(names, centre, np.maximum(scale, floor), clip)

    def normalise(self, values: Float[np.ndarray, "*batch fields"]) -> Float32[np.ndarray, "*batch fields"]:
        """Physical units to about -1..1."""
        normalised = (self._wide(values) - self.centre) / self.scale
        return (np.clip(normalised, -1, 1) if self.clip else normalised).astype(np.float32)

    def unnormalise(self, values: Float[np.ndarray, "*batch fields"]) -> Float32[np.ndarray, "*batch fields"]:
        """Back to physical units."""
        return (self._wide(values) * self.scale + self.centre).astype(np.float32)

    def _wide(self, values: np.ndarray) -> np.ndarray:
        if values.shape[-1:] != self.centre.shape:
            raise StatisticsError(f"expected vectors of {len(self.names)} fields, got shape {values.shape}")
        return values.astype(np.float64)


# --------------------------------------------------------------------------- arithmetic


def _moments(
    fields: Float64[np.ndarray, "fields samples"],
) -> tuple[Float64[np.ndarray, " fields"], Float64[np.ndarray, " fields"]]:
    # In two passes from a value amid the data: no large numbers cancel.
    origin = fields[:, :1]
    shifted = fields - origin
    mean = shifted.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.square(shifted - mean).mean(axis=1))
    return (origin + mean)[:, 0], deviation


def _quantiles(distributions: Sequence[Distribution], levels: Sequence[float]) -> np.ndarray:
    return np.array([[d.quantile(level) for d in distributions] for level in levels]).reshape(len(levels), -1)


def _around(position: float) -> tuple[int, int]:
    return int(np.floor(position)), int(np.ceil(position))


# --------------------------------------------------------------------------- checks


def _check(
    names: Sequence[str], count: int, levels: Sequence[float], arrays: Mapping[str, Float64[np.ndarray, ...]]
) -> None:
    width = len(names)
    if count < 1 or width < 1:
        raise StatisticsError(f"statistics need one vector of one field at least, got {count} of {width}")
    for name, values in arrays.items():
        shape = (len(levels), width) if name == "quantiles" else (width,)
        if values.shape != shape:
            raise StatisticsError(f"'{name}' of the statistics should have shape {shape}, got {values.shape}")
        if not np.isfinite(values).all():
            bad = ~np.isfinite(np.atleast_2d(values)).all(axis=0)
            raise StatisticsError(f"'{name}' of the statistics is not finite: {_named(names, bad)}")


def _check_values(fields: np.ndarray, names: tuple[str, ...]) -> None:
    if len(names) != len(fields):
        raise StatisticsError(f"expected vectors of {len(names)} fields, got {len(fields)}")
    if not fields.size:
        raise StatisticsError("there are no values to compute statistics of")
    if not np.isfinite(fields).all():
        raise StatisticsError(f"values are not finite: {_named(names, ~np.isfinite(fields).all(axis=1))}")


def _check_levels(levels: Sequence[float]) -> tuple[float, ...]:
    for level in levels:
        if not 0 <= level <= 1:
            raise StatisticsError(f"a quantile's level lies in 0..1, got {level}")
    return tuple(levels)


def _mergeable(a: Statistics, b: Statistics) -> list[tuple[Distribution, Distribution]]:
    b.require(a.names, "what is merged")
    if a.levels != b.levels:
        raise StatisticsError(f"statistics to merge keep the same quantiles, got {a.levels} and {b.levels}")
    if a.distributions is None or b.distributions is None:
        raise StatisticsError("the values are gone, so merged quantiles would be guesses: merge before JSON")
    return list(zip(a.distributions, b.distributions, strict=True))


def _named(names: Sequence[str], chosen: np.ndarray) -> str:
    return ", ".join(itertools.compress(names, chosen))
