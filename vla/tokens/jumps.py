"""Piecewise constants whose jumps fall on any step: for a field that jumps, as a gripper does.

    steps        0 | 1   2   3   4 | 5   6   7   8         the first step, then two stretches of four
    actions      a | a   a   b   b | b   b   b   b
                 level a     level b, begun 2 steps into its stretch; before that the level before holds

The first level begins at the first step; the steps behind it are cut into even stretches, each with one level and the
step at which it begins. With at most one jump in a stretch nothing is lost but what rounding the levels costs.
"""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float64, Int64


def stretch_starts(horizon: int, num_stretches: int) -> Int64[np.ndarray, " stretches"]:
    """The first step of each stretch; the first stretch is the first step, or all of them if there is no other."""
    others = -(-np.arange(num_stretches - 1) * (horizon - 1) // max(num_stretches - 1, 1))
    return np.concatenate([[0], 1 + others])


def fit_levels(
    values: Float64[np.ndarray, "batch horizon"], starts: Int64[np.ndarray, " stretches"], num_delays: int
) -> tuple[Float64[np.ndarray, "batch stretches"], Int64[np.ndarray, "batch stretches"]]:
    """The levels, and how many steps late each begins, with the least squared error of all.

    It is found by dynamic programming: for each stretch and delay, the best way to get there.

    Args:
        num_delays: a level is 0 to this less one steps late, as far as its stretch is long; the first one never is.
    """
    batch, horizon = values.shape
    rows = np.arange(batch)
    sums = np.concatenate([np.zeros((batch, 1)), values.cumsum(axis=1)], axis=1)
    squares = np.concatenate([np.zeros((batch, 1)), np.square(values).cumsum(axis=1)], axis=1)

    def cost(begin: int, end: int) -> Float64[np.ndarray, " batch"]:
        return squares[:, end] - squares[:, begin] - np.square(sums[:, end] - sums[:, begin]) / (end - begin)

    places = [[0], *(_places(starts, stretch, horizon, num_delays) for stretch in range(1, len(starts))), [horizon]]
    best, origins = np.zeros((batch, 1)), []
    for before, after in itertools.pairwise(places):
        costs = np.stack([[best[:, i] + cost(begin, end) for i, begin in enumerate(before)] for end in after])
        origins.append(costs.argmin(axis=1))  # (after, batch)
        best = costs.min(axis=1).T
    begins = np.empty((batch, len(starts) + 1), np.int64)
    begins[:, -1] = horizon
    at = np.zeros(batch, np.int64)
    for stretch in reversed(range(len(starts))):
        at = origins[stretch][at, rows]
        begins[:, stretch] = np.array(places[stretch])[at]
    totals = np.take_along_axis(sums, begins, axis=1)
    return np.diff(totals, axis=1) / np.diff(begins, axis=1), begins[:, :-1] - starts


def held_levels(
    levels: Float64[np.ndarray, "batch stretches"],
    delays: Int64[np.ndarray, "batch stretches"],
    starts: Int64[np.ndarray, " stretches"],
    horizon: int,
) -> Float64[np.ndarray, "batch horizon"]:
    """The field over time; a delay longer than its stretch is cut to the stretch's last step."""
    lengths = np.diff(starts, append=horizon)
    begins = starts + np.minimum(delays, lengths - 1)
    begins[:, 0] = 0
    index = (np.arange(horizon) >= begins[:, :, None]).sum(axis=1) - 1  # (batch, horizon)
    return np.take_along_axis(levels, index, axis=1)


def _places(starts: Int64[np.ndarray, " stretches"], stretch: int, horizon: int, num_delays: int) -> list[int]:
    """The steps at which a stretch's level may begin."""
    end = horizon if stretch + 1 == len(starts) else int(starts[stretch + 1])
    return list(range(int(starts[stretch]), min(end, int(starts[stretch]) + num_delays)))
