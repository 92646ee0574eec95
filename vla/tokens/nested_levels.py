"""Levels for a scalar that is told bit by bit: each bit halves the cell that the ones before it left.

    depth 0               ·                 one cell: all numbers
    depth 1         ·     |     ·           bit 0
    depth 2      ·  |  ·  |  ·  |  ·        bits 0 and 1; a dot is a cell's mean, a bar its edge

A cell is divided where its own two means divide it (Lloyd 1982, for two levels), so that cells are narrow where numbers
are dense and wide in the tails. The first edge is at 0: the numbers are taken to be as likely as their negatives.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

DEPTH = 10
"""Bits that a number can take."""
FITTING_NUMBERS = 1 << 18
"""Levels are fitted to at most so many numbers."""
ROUNDS = 8
"""Of Lloyd's two steps, at each depth."""


@dataclasses.dataclass(frozen=True, eq=False)
class NestedLevels:
    """The cells of every depth from 0 to `DEPTH`."""

    means: Float32[np.ndarray, " cells"]
    """2 ** (DEPTH + 1) - 1: the one cell of depth 0, the two of depth 1 from low to high, and so on."""
    errors: tuple[float, ...]
    """Mean squared distance of a number from its cell's mean, at every depth; falling."""

    def __post_init__(self) -> None:
        if self.means.shape != (2 ** (DEPTH + 1) - 1,) or len(self.errors) != DEPTH + 1:
            raise ValueError(f"expected the cells of depths 0 to {DEPTH}, got {self.means.shape}, {len(self.errors)}")
        if not np.isfinite(self.errors).all():
            raise ValueError(f"expected finite errors, got {self.errors}")

    @staticmethod
    def fit(numbers: Float[np.ndarray, " n"], generator: np.random.Generator) -> NestedLevels:
        """The levels for numbers like these and their negatives."""
        if len(numbers) > FITTING_NUMBERS:
            numbers = numbers[generator.choice(len(numbers), FITTING_NUMBERS, replace=False)]
        numbers = np.concatenate([numbers, -numbers]).astype(np.float64)
        cells, means = np.zeros(len(numbers), np.int64), np.zeros(1)
        every, errors = [means], [float(np.square(numbers).mean())]
        for _ in range(DEPTH):
            cells, means = _halved(numbers, cells, means)
            every.append(means)
            errors.append(float(np.square(numbers - means[cells]).mean()))
        return NestedLevels(np.concatenate(every).astype(np.float32), tuple(errors))

    def cells(self, numbers: Float[np.ndarray, "*any"]) -> Int64[np.ndarray, "*any"]:
        """The cell of each number at full depth; its first bits, from the highest, are its cell at a lower one."""
        return np.searchsorted(self._edges, numbers, side="left")

    def values(self, cells: Int64[np.ndarray, "*any"], depth: Int64[np.ndarray, "*any"]) -> Float32[np.ndarray, "*any"]:
        """The means of cells of these depths."""
        return self.means[(1 << depth) - 1 + cells]

    @functools.cached_property
    def _edges(self) -> Float64[np.ndarray, " edges"]:
        """Between the cells of full depth, rising: every cell's two halves meet half-way between their means."""
        halves = self.means[1:].astype(np.float64).reshape(-1, 2).mean(axis=1)
        edges = np.empty(2**DEPTH - 1)
        for depth in range(DEPTH):
            first, step = (1 << depth) - 1, 1 << (DEPTH - depth)
            edges[step // 2 - 1 :: step] = halves[first : 2 * first + 1]
        return np.maximum.accumulate(edges)


def _halved(
    numbers: Float64[np.ndarray, " n"], cells: Int64[np.ndarray, " n"], means: Float64[np.ndarray, " cells"]
) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " halves"]]:
    """The cell of each number one level deeper, and the means of those."""
    edges = means
    halves = np.repeat(means, 2)
    for _ in range(ROUNDS):
        deeper = 2 * cells + (numbers > edges[cells])
        counts = np.bincount(deeper, minlength=2 * len(means))
        sums = np.bincount(deeper, numbers, 2 * len(means))
        halves = np.where(counts > 0, sums / np.maximum(counts, 1), np.repeat(means, 2))
        edges = halves.reshape(-1, 2).mean(axis=1)
    return 2 * cells + (numbers > edges[cells]), halves
