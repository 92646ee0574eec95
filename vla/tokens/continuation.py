"""A chunk that goes on from actions already committed to: the constrained inverse of a transform.

A tokenizer whose ids each stand for one action can be made to begin with given ids. One whose ids stand for the whole
chunk (coefficients, control points, codewords) cannot; its chunk is corrected by the least change r that makes the
first actions the committed ones, where least means

    sum_t r_t² + stiffness * sum_t (r_t - r_{t-1})²  =  sum_k (1 + stiffness * (2 - 2 cos(pi k / H))) R_k²,

R being the cosine transform of r: a high frequency costs more than a low one, so that the correction fades away after
the committed actions in place of breaking off. Without stiffness, it would be an overwriting; without the first term,
the same offset for ever.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float64

STIFFNESS = 1.0
"""The correction fades by a factor of 0.38 a step: (2 + 1/s - sqrt((2 + 1/s)² - 4)) / 2."""


def continued(
    chunk: Float64[np.ndarray, "horizon action_dim"],
    committed: Float64[np.ndarray, "steps action_dim"],
    *,
    is_forced: bool = False,
    stiffness: float = STIFFNESS,
) -> Float64[np.ndarray, "horizon action_dim"]:
    """The chunk, beginning with the committed actions.

    Args:
        is_forced: whether the chunk was made to begin with them, so that all else already takes them into account.

    Raises:
        ValueError: if more actions are committed than the chunk has.
    """
    steps, horizon = len(committed), len(chunk)
    if steps > horizon:
        raise ValueError(f"a chunk of {horizon} actions cannot begin with {steps} committed ones")
    if is_forced or steps == 0:
        return np.concatenate([committed, chunk[steps:]])
    return chunk + _spread(horizon, steps, stiffness) @ (committed - chunk[:steps])


@functools.cache
def _spread(horizon: int, steps: int, stiffness: float) -> Float64[np.ndarray, "horizon steps"]:
    """From a correction of the first steps to the least one of all."""
    roughness = 2 * np.eye(horizon) - np.eye(horizon, k=1) - np.eye(horizon, k=-1)
    roughness[0, 0] = roughness[-1, -1] = 1
    cost = np.eye(horizon) + stiffness * roughness
    free = np.linalg.solve(cost[steps:, steps:], -cost[steps:, :steps])
    return np.concatenate([np.eye(steps), free])
