"""The statistics that LeRobot keeps beside a dataset: exact, in float64, over every frame.

Numbers are kept until the end; pictures are counted by level, from which mean, deviation and quantiles follow exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
LEVELS = 256

Statistics = dict[str, list[Any]]
"""By LeRobot's names: min, max, mean, std, count and the quantiles."""


def of_numbers(values: np.ndarray) -> Statistics:
    """Of each column.

    Args:
        values: (frames,) or (frames, columns), of any number type.
    """
    columns = values.reshape(len(values), -1).astype(np.float64)
    found = {
        "min": columns.min(axis=0),
        "max": columns.max(axis=0),
        "mean": columns.mean(axis=0),
        "std": columns.std(axis=0),
        **{name: np.quantile(columns, share, axis=0) for name, share in QUANTILES.items()},
    }
    return {name: row.tolist() for name, row in found.items()} | {"count": [len(values)]}


def count_levels(images: UInt8[np.ndarray, "steps height width 3"]) -> Int64[np.ndarray, "3 levels"]:
    """How often each level occurs in each channel; counts of several episodes add up."""
    return np.stack([np.bincount(images[..., channel].ravel(), minlength=LEVELS) for channel in range(3)])


def of_levels(counts: Int64[np.ndarray, "3 levels"], frames: int) -> Statistics:
    """Of each channel, in 0..1, shaped (3, 1, 1) as LeRobot wants it."""
    levels = np.arange(LEVELS) / (LEVELS - 1)
    mean = counts @ levels / counts.sum(axis=1)
    found = {
        "min": levels[np.argmax(counts > 0, axis=1)],
        "max": levels[LEVELS - 1 - np.argmax(counts[:, ::-1] > 0, axis=1)],
        "mean": mean,
        "std": np.sqrt(np.einsum("cl,cl->c", counts, (levels - mean[:, None]) ** 2) / counts.sum(axis=1)),
        **{name: levels[_rank(counts, share)] for name, share in QUANTILES.items()},
    }
    return {name: row.reshape(3, 1, 1).tolist() for name, row in found.items()} | {"count": [frames]}


def of_dataset(
    numbers: Mapping[str, Sequence[np.ndarray]], levels: Mapping[str, np.ndarray], frames: int
) -> dict[str, Statistics]:
    """Of a whole dataset, by feature."""
    found = {name: of_numbers(np.concatenate(parts)) for name, parts in numbers.items()}
    return found | {name: of_levels(counts, frames) for name, counts in levels.items()}


def _rank(counts: Float64[np.ndarray, "3 levels"] | Int64[np.ndarray, "3 levels"], share: float) -> np.ndarray:
    """The least level that at least this share of the pixels does not exceed."""
    cumulative = counts.cumsum(axis=1)
    return np.argmax(cumulative >= share * cumulative[:, -1:], axis=1)
