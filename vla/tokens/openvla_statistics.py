"""Published statistics of OpenVLA, `norm_stats`, as our action tokenizer and our statistics.

    {"bridge_orig": {"action": {"q01": [...], "q99": [...], "mask": [...], "mean": [...], "std": [...], ...},
                     "proprio": {...}, "num_transitions": 1999410}, ...}

Bins lie between the percentiles q01 and q99; a field that is masked out (the gripper) is read as it is, from -1 to 1.
Names and units are not published, so what can be held against a robot is: how many fields, and whether their ranges lie
inside its limits.

Source: OpenVLA (arXiv:2406.09246), section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from vla.embodiment import Embodiment
from vla.errors import StatisticsError
from vla.normalization import LEVELS, Statistics
from vla.tokens.bins import BinTokenizer, Spacing
from vla.tokens.ranges import ActionRanges

NUM_BINS = 256
TOLERANCE = 1e-6
"""Of a limit, as a share of its range: published numbers were once float32."""


def bins_of_openvla(
    norm_stats: Mapping[str, Any], key: str | None, embodiment: Embodiment, horizon: int
) -> BinTokenizer:
    """The tokenizer whose ids decode as OpenVLA's do.

    Args:
        key: of a dataset; None where there is but one.

    Raises:
        StatisticsError: if there is no such dataset, or its actions are not this robot's, field by field.
    """
    own = _of_dataset(norm_stats, key, "action")
    low, high = _numbers(own, "q01"), _numbers(own, "q99")
    mask = np.array(own.get("mask", [True] * len(low)), bool)
    _check_width(embodiment.action_dim, low, high, mask)
    low, high = np.where(mask, low, -1.0), np.where(mask, high, 1.0)
    _check_limits(embodiment, low, high)
    names = tuple(field.name for field in embodiment.action)
    return BinTokenizer(ActionRanges(names, low, high), NUM_BINS, horizon, Spacing.OPENVLA)


def proprioception_of_openvla(norm_stats: Mapping[str, Any], key: str | None, embodiment: Embodiment) -> Statistics:
    """The statistics of a dataset's proprioception.

    Raises:
        StatisticsError: if there are none, or they have another width than the robot's proprioception.
    """
    own = _of_dataset(norm_stats, key, "proprio")
    arrays = {ours: _numbers(own, theirs) for ours, theirs in _NAMES.items()}
    if {len(array) for array in arrays.values()} != {embodiment.state_dim}:
        widths = sorted({len(array) for array in arrays.values()})
        raise StatisticsError(f"proprioception has {embodiment.state_dim} fields, the published statistics {widths}")
    return Statistics(
        names=tuple(field.name for field in embodiment.proprioception),
        count=int(_dataset(norm_stats, key).get("num_transitions", 1)),
        mean=arrays["mean"],
        deviation=arrays["deviation"],
        low=arrays["low"],
        high=arrays["high"],
        levels=LEVELS,
        quantiles=np.stack([arrays["q01"], arrays["q99"]]),
    )


_NAMES = {"mean": "mean", "deviation": "std", "low": "min", "high": "max", "q01": "q01", "q99": "q99"}


def _dataset(norm_stats: Mapping[str, Any], key: str | None) -> Mapping[str, Any]:
    if key is None and len(norm_stats) == 1:
        return next(iter(norm_stats.values()))
    if key is None or key not in norm_stats:
        known = ", ".join(sorted(norm_stats)) or "none"
        raise StatisticsError(f"statistics of which dataset? got '{key}' (published: {known})")
    return norm_stats[key]


def _of_dataset(norm_stats: Mapping[str, Any], key: str | None, what: str) -> Mapping[str, Any]:
    own = _dataset(norm_stats, key)
    if not isinstance(own, Mapping) or not isinstance(own.get(what), Mapping):
        raise StatisticsError(f"the published statistics of '{key}' say nothing of '{what}'")
    return own[what]


def _numbers(own: Mapping[str, Any], name: str) -> Float64[np.ndarray, " fields"]:
    try:
        array = np.array(own[name], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise StatisticsError(f"the published statistics lack numbers '{name}'") from error
    if array.ndim != 1 or not np.isfinite(array).all():
        raise StatisticsError(f"the published statistics '{name}' are not one finite number a field")
    return array


def _check_width(action_dim: int, *arrays: np.ndarray) -> None:
    widths = [len(array) for array in arrays]
    if widths != [action_dim] * len(arrays):
        raise StatisticsError(
            f"the statistics are of another embodiment: actions have {action_dim} fields, q01, q99 and mask {widths}"
        )


def _check_limits(
    embodiment: Embodiment, low: Float64[np.ndarray, " fields"], high: Float64[np.ndarray, " fields"]
) -> None:
    slack = TOLERANCE * (embodiment.action_high - embodiment.action_low)
    complaints = [
        f"{field.name} {low[index]:g} to {high[index]:g}, limits {field.low:g} to {field.high:g}"
        for index, field in enumerate(embodiment.action)
        if not field.low - slack[index] <= low[index] < high[index] <= field.high + slack[index]
    ]
    if complaints:
        raise StatisticsError(f"the statistics are of another embodiment: {'; '.join(complaints)}")
