"""Steps at which a human corrected a policy, drawn more often than others.

    rows        0  1  2  3  4  5        a human had taken over at 2 and 3
    weight 3    0  1  2  2  2  3  3  3  4  5

A policy is taken over from where it goes wrong, so that what was done there tells it most, and there is little of it.

Sources: the data are those of HG-DAgger (Kelly et al. 2019, arXiv:1810.02890), where the human alone decides when to
act; the weight is that of intervention-weighted regression (Mandlekar et al. 2020, arXiv:2012.06733), which draws
corrections and all else equally often. Ours differs: the ratio is given, and theirs is `weight = (1 - c) / c`, c being
the share of corrections; and HG-DAgger leaves the policy's own steps out, which here are imitated as before.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Int64

from vla.errors import ConfigError

MOST = 1000.0
"""A weight beyond this is a mistake, and would fill the memory with row numbers."""


def drawn_rows(
    rows: Int64[np.ndarray, " rows"], is_correction: Bool[np.ndarray, " frames"], weight: float, seed: int
) -> Int64[np.ndarray, " drawn"]:
    """The rows of one epoch: corrections `weight` times, all others once.

    What is left of a weight that is no whole number falls to that share of the corrections, chosen by the seed.

    Args:
        rows: to train on, each once.
        is_correction: of every frame, whether a human had taken over.
        weight: above 0.
        seed: of the choice.

    Raises:
        ConfigError: if the weight is out of range, or there is nothing that it would weigh.
    """
    if not (math.isfinite(weight) and 0.0 < weight <= MOST):
        raise ConfigError(f"correction_weight must be above 0 and at most {MOST:g}, got {weight}")
    if weight == 1.0:
        return rows
    corrections = rows[is_correction[rows]]
    if not len(corrections):
        raise ConfigError(
            f"correction_weight={weight:g} weighs steps at which a human had taken over from a policy, and the stores "
            f"have none to train on: give one that `vla deploy keep.store=` has made, or leave it at 1"
        )
    once = rows[~is_correction[rows]]
    whole = np.repeat(corrections, math.floor(weight))
    part = round((weight - math.floor(weight)) * len(corrections))
    some = np.random.default_rng([seed, 2]).permutation(corrections)[:part]
    return np.sort(np.concatenate([once, whole, some]))
