"""B-splines: each field of a chunk becomes the control points of a curve, each control point one token.

    field over time  ──least squares──►  control points c_0 .. c_{N-1}  ──uniform bins──►  ids

    ids: [c_0 of field 0, c_0 of field 1, ..., c_1 of field 0, ...]                 (time-major)

The curve is a clamped B-spline: it begins at c_0, ends at c_{N-1}, and lies in the convex hull of its control points.
These minimise

    |actions - basis @ c|² + RIDGE * sum_n (c_n - c_{n-1})²        over  -bound <= c <= bound;

the ridge keeps the solution unique, and leaves constants exact. A curve that is to turn near an end of its range needs
control points beyond it, so the bound lies outside -1..1, and what leaves -1..1 is clipped once decoded: waves of 12
steps on 6 control points come back to 0.006 on average with a bound of 1.5, to 0.041 with 1 (measured).

A field that jumps (a gripper that opens or closes) is no curve. It becomes N levels, each held until the next; an id
then tells a level and the step of its stretch at which it begins (`jumps`): id = level * num_delays + delay. Which
fields are of which kind is measured: the one with the lower error on the chunks.

Neighbouring ids are neighbouring control points, or levels. Smooth streams of absolute positions fit well; for deltas
that break off at their limits, as scripted experts give, `vq` and `ordered` are far better.

Source: BEAST (arXiv:2506.06072) for the tokens; de Boor, A Practical Guide to Splines, for the basis. Ours differs in
that control points are bounded inside the least squares, not clipped after it, that the ridge is on differences, and in
the fields that jump.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from vla.embodiment import Embodiment
from vla.errors import ConfigError
from vla.interfaces import Grammar
from vla.tokens.bins import line_grammar
from vla.tokens.chunk_tokenizer import ChunkTokenizer, require_format
from vla.tokens.jumps import fit_levels, held_levels, stretch_starts
from vla.tokens.ranges import ActionRanges

FORMAT = "vla.spline/1"

DEGREE = 3
"""Of fields that do not jump: curves whose acceleration does not jump."""
BOUND = 1.5
RIDGE = 1e-6
SWEEPS = 50
"""Of coordinate descent over control points that meet their bounds; what is left is then far below a bin (measured)."""
LEAST_LEVELS = 8
"""A small vocabulary is spent on so many levels before it is on delays."""
MEASURED_CHUNKS = 8192
"""Which fields jump is measured on at most so many chunks, evenly spaced."""


@dataclasses.dataclass(frozen=True, eq=False)
class SplineTokenizer(ChunkTokenizer):
    """`num_points * action_dim` tokens a chunk, each one of `num_bins`."""

    ranges: ActionRanges
    horizon: int
    num_points: int
    """Control points, or levels, of every field."""
    num_bins: int
    """The vocabulary."""
    degrees: tuple[int, ...]
    """Of every field: 0 where it jumps, 1 to 3 where it is a curve."""
    bound: float = BOUND
    """Of a curve's control points, in half-ranges."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_points <= self.horizon:
            raise ValueError(f"expected 1 to horizon = {self.horizon} control points, got {self.num_points}")
        if not 1 <= self.bound < np.inf:
            raise ValueError(f"expected a finite bound >= 1, got {self.bound}")
        if self.num_bins < 2:
            raise ValueError(f"expected a vocabulary of at least 2 ids, got {self.num_bins}")
        if len(self.degrees) != self.ranges.action_dim:
            raise ValueError(f"expected a degree for each of {self.ranges.action_dim} fields, got {self.degrees}")
        for name, degree in zip(self.ranges.names, self.degrees, strict=True):
            if not 0 <= degree <= min(DEGREE, self.num_points - 1):
                raise ValueError(
                    f"field '{name}' needs a degree of 0 to {min(DEGREE, self.num_points - 1)} "
                    f"with {self.num_points} control points, got {degree}"
                )

    @staticmethod
    def fit(
        chunks: Float32[np.ndarray, "chunks horizon action_dim"],
        embodiment: Embodiment,
        vocabulary_size: int,
        *,
        num_points: int | None = None,
        degree: int = DEGREE,
        zero_order: Sequence[str] | None = None,
    ) -> SplineTokenizer:
        """The tokenizer for these chunks.

        Args:
            num_points: control points of every field; half of the horizon, rounded up, if not given.
            degree: of the fields that do not jump; lower where there are too few control points.
            zero_order: the names of the fields that jump; measured if not given.

        Raises:
            ActionError: if there is no chunk, or one that is not finite.
            ConfigError: if an option does not fit the chunks.
        """
        ranges, horizon = ActionRanges.fit(chunks, embodiment), chunks.shape[1]
        count = (horizon + 1) // 2 if num_points is None else num_points
        strangers = sorted(set(zero_order or ()) - set(ranges.names))
        if strangers:
            raise ConfigError(f"no field is named {', '.join(strangers)}; fields: {', '.join(ranges.names)}")
        make = functools.partial(SplineTokenizer, ranges, horizon, count, vocabulary_size)
        try:
            smooth, steps = (make((min(kind, count - 1),) * ranges.action_dim) for kind in (degree, 0))
        except ValueError as error:
            raise ConfigError(f"a spline tokenizer cannot be fitted: {error}") from error
        if zero_order is None:
            some = chunks[:: -(-len(chunks) // MEASURED_CHUNKS)]
            jumps = steps._error(some) < smooth._error(some)
        else:
            jumps = np.array([name in zero_order for name in ranges.names])
        return make(tuple(np.where(jumps, 0, smooth.degrees).tolist()))

    @property
    def name(self) -> str:
        return "spline"

    @property
    def vocabulary_size(self) -> int:
        return self.num_bins

    @property
    def is_ordered(self) -> bool:
        return True

    def num_committed(self, steps: int) -> int:
        return 0

    @property
    def num_delays(self) -> int:
        """How many steps late, at most, less one, a level of a field that jumps may begin."""
        longest = -(-(self.horizon - 1) // max(self.num_points - 1, 1))
        return max(1, min(longest, self.num_bins // LEAST_LEVELS))

    @property
    def num_levels(self) -> int:
        """Of a field that jumps; its ids from `num_levels * num_delays` on are never used."""
        return self.num_bins // self.num_delays

    def grammar(self) -> Grammar:
        grammar = line_grammar(self.num_points * self.action_dim, self.num_bins)
        places = np.flatnonzero(np.tile(np.array(self.degrees) == 0, self.num_points))
        grammar.next_state[places, self.num_levels * self.num_delays :] = -1
        return grammar

    def _encode(self, values: Float64[np.ndarray, "batch horizon action_dim"]) -> Int64[np.ndarray, "batch tokens"]:
        ids = np.empty((len(values), self.num_points, self.action_dim), np.int64)
        for field, degree in enumerate(self.degrees):
            if degree:
                weights = basis(self.horizon, self.num_points, degree)
                points = _bounded_fit(values[:, :, field], weights, self.bound)
                ids[:, :, field] = _rounded(points / self.bound, self.num_bins)
            else:
                levels, delays = fit_levels(values[:, :, field], self._starts, self.num_delays)
                ids[:, :, field] = _rounded(levels, self.num_levels) * self.num_delays + delays
        return ids.reshape(len(values), -1)

    def _decode(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float64[np.ndarray, "batch horizon action_dim"]:
        values = np.empty((len(ids), self.horizon, self.action_dim))
        for field, degree in enumerate(self.degrees):
            column = ids[:, field :: self.action_dim]  # (batch, points)
            if degree:
                points = np.linspace(-self.bound, self.bound, self.num_bins)[column]
                values[:, :, field] = points @ basis(self.horizon, self.num_points, degree).T
            else:
                levels = np.linspace(-1.0, 1.0, self.num_levels)[column // self.num_delays]
                values[:, :, field] = held_levels(levels, column % self.num_delays, self._starts, self.horizon)
        return values

    @property
    def _starts(self) -> Int64[np.ndarray, " points"]:
        return stretch_starts(self.horizon, self.num_points)

    def _error(self, chunks: Float32[np.ndarray, "chunks horizon action_dim"]) -> Float64[np.ndarray, " action_dim"]:
        """Mean absolute error of each field, in -1..1."""
        values = self.ranges.normalise(chunks)
        return np.abs(self._decode(self._encode(values)) - values).mean(axis=(0, 1))

    def to_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "horizon": self.horizon,
            "num_points": self.num_points,
            "num_bins": self.num_bins,
            "degrees": list(self.degrees),
            "bound": self.bound,
            "ranges": self.ranges.to_json(),
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> SplineTokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            CheckpointError: if the format is not one this version reads.
        """
        require_format(tree, FORMAT)
        return SplineTokenizer(
            ranges=ActionRanges.from_json(tree["ranges"]),
            horizon=int(tree["horizon"]),
            num_points=int(tree["num_points"]),
            num_bins=int(tree["num_bins"]),
            degrees=tuple(int(degree) for degree in tree["degrees"]),
            bound=float(tree["bound"]),
        )


@functools.cache
def basis(horizon: int, num_points: int, degree: int) -> Float64[np.ndarray, "horizon points"]:
    """How much each control point weighs at each step; rows are not negative and sum to 1.

    Steps lie evenly on 0..1. Knots do too, the first and last `degree + 1` times over (clamped).
    """
    inner = np.linspace(0.0, 1.0, num_points - degree + 1)
    knots = np.concatenate([np.zeros(degree), inner, np.ones(degree)])
    time = np.linspace(0.0, 1.0, horizon)
    # The interval of each step; the last step belongs to the last interval that is not empty.
    interval = np.clip(np.searchsorted(knots, time, side="right") - 1, degree, num_points - 1)
    weights = np.eye(len(knots) - 1)[interval]  # (horizon, intervals)
    for order in range(1, degree + 1):
        count = len(knots) - 1 - order
        left, right = knots[:count], knots[order + 1 : order + 1 + count]
        rise = _ratio(time[:, None] - left, knots[order : order + count] - left)
        fall = _ratio(right - time[:, None], right - knots[1 : 1 + count])
        weights = rise * weights[:, :count] + fall * weights[:, 1 : 1 + count]
    return weights


def _ratio(
    above: Float64[np.ndarray, "horizon n"], below: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, "horizon n"]:
    """The quotient, 0 where a knot is repeated (Cox and de Boor's convention)."""
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0)


def _rounded(points: Float64[np.ndarray, "batch points"], num_bins: int) -> Int64[np.ndarray, "batch points"]:
    """The nearest of evenly spaced bins on -1..1, both ends included."""
    return np.rint((points + 1) / 2 * (num_bins - 1)).astype(np.int64)


def _bounded_fit(
    values: Float64[np.ndarray, "batch horizon"], weights: Float64[np.ndarray, "horizon points"], bound: float
) -> Float64[np.ndarray, "batch points"]:
    """The control points in -bound..bound with the least squared error."""
    differences = np.diff(np.eye(weights.shape[1]), axis=0)
    gram = weights.T @ weights + RIDGE * differences.T @ differences
    target = values @ weights
    points = np.linalg.solve(gram, target.T).T
    outside = np.flatnonzero((np.abs(points) > bound).any(axis=1))
    points[outside] = _descended(np.clip(points[outside], -bound, bound), gram, target[outside], bound)
    return points


def _descended(
    points: Float64[np.ndarray, "batch points"],
    gram: Float64[np.ndarray, "points points"],
    target: Float64[np.ndarray, "batch points"],
    bound: float,
) -> Float64[np.ndarray, "batch points"]:
    """The least squares of control points in -bound..bound, by coordinate descent: one at a time, again and again."""
    points = points.copy()
    for _ in range(SWEEPS):
        for n in range(len(gram)):
            slope = target[:, n] - points @ gram[n]
            points[:, n] = np.clip(points[:, n] + slope / gram[n, n], -bound, bound)
    return points
