"""Where a field's actions lie: the range that tokens are spent on.

    low ──────────────── high        physical units, by field
    -1  ──────────────── +1          what tokenizers see; whatever lies outside is clipped first

A field's range is the 1st to 99th percentile of its training actions, widened to a floor and kept inside the
embodiment's limits. Clipping comes before any transform: a value far out would otherwise ring through all of a chunk's
coefficients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64

from vla.embodiment import Embodiment
from vla.errors import ActionError

# A field whose percentiles are closer than this share of its limits gets a range of this share.
RANGE_FLOOR = 0.02
PERCENTILES = (0.01, 0.99)


@dataclasses.dataclass(frozen=True, eq=False)
class ActionRanges:
    """The range of every action field, and the map from it to -1..1."""

    names: tuple[str, ...]
    low: Float64[np.ndarray, " action_dim"]
    """In the field's unit; becomes -1."""
    high: Float64[np.ndarray, " action_dim"]
    """Becomes +1."""

    def __post_init__(self) -> None:
        shape = (len(self.names),)
        if self.low.shape != shape or self.high.shape != shape:
            raise ValueError(f"expected ranges of {len(self.names)} fields, got {self.low.shape} and {self.high.shape}")
        fits = np.isfinite(self.low) & np.isfinite(self.high) & (self.low < self.high)
        if not fits.all():
            field = int(fits.argmin())
            raise ValueError(
                f"expected a finite range low < high for field '{self.names[field]}', "
                f"got {self.low[field]} and {self.high[field]}"
            )

    @staticmethod
    def of(low: Float[np.ndarray, " action_dim"], high: Float[np.ndarray, " action_dim"]) -> ActionRanges:
        """Given ranges of fields that have a number for a name."""
        names = tuple(f"action[{index}]" for index in range(len(low)))
        return ActionRanges(names, low.astype(np.float64), high.astype(np.float64))

    @staticmethod
    def fit(chunks: Float32[np.ndarray, "chunks horizon action_dim"], embodiment: Embodiment) -> ActionRanges:
        """The ranges of these chunks, inside the embodiment's limits.

        Raises:
            ActionError: if there is no chunk, or one that is not finite, naming the field.
        """
        names = tuple(field.name for field in embodiment.action)
        check_finite(chunks, names)
        values = chunks.reshape(-1, chunks.shape[-1]).astype(np.float64)
        limit_low, limit_high = embodiment.action_low.astype(np.float64), embodiment.action_high.astype(np.float64)
        low, high = np.quantile(values, PERCENTILES, axis=0)
        floor = RANGE_FLOOR * (limit_high - limit_low)
        middle, half = (low + high) / 2, np.maximum(high - low, floor) / 2
        # Near a limit the floor is kept by moving the range inwards.
        middle = np.clip(middle, limit_low + np.minimum(half, floor / 2), limit_high - np.minimum(half, floor / 2))
        low, high = np.clip(middle - half, limit_low, limit_high), np.clip(middle + half, limit_low, limit_high)
        return ActionRanges(names, low, high)

    @property
    def action_dim(self) -> int:
        return len(self.names)

    def normalise(self, actions: Float[np.ndarray, "*any action_dim"]) -> Float64[np.ndarray, "*any action_dim"]:
        """From physical units to -1..1, clipped."""
        return np.clip(2 * (actions.astype(np.float64) - self.low) / (self.high - self.low) - 1, -1.0, 1.0)

    def denormalise(self, values: Float[np.ndarray, "*any action_dim"]) -> Float32[np.ndarray, "*any action_dim"]:
        """From -1..1, clipped, to physical units: never outside `low` to `high`."""
        actions = self.low + (np.clip(values, -1.0, 1.0) + 1) / 2 * (self.high - self.low)
        return np.clip(actions, self.low, self.high).astype(np.float32)

    def to_json(self) -> dict[str, object]:
        return {"names": list(self.names), "low": self.low.tolist(), "high": self.high.tolist()}

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> ActionRanges:
        """The ranges that `to_json` wrote."""
        return ActionRanges(tuple(tree["names"]), np.array(tree["low"], np.float64), np.array(tree["high"], np.float64))


def check_finite(chunks: Float[np.ndarray, "chunks horizon action_dim"], names: tuple[str, ...]) -> None:
    """Return if there are chunks and all are finite.

    Raises:
        ActionError: naming the field that is not.
    """
    if len(chunks) == 0:
        raise ActionError("a tokenizer needs at least one chunk, got none")
    if chunks.shape[-1] != len(names):
        raise ActionError(f"expected actions of {len(names)} fields ({', '.join(names)}), got {chunks.shape[-1]}")
    finite = np.isfinite(chunks)
    if not finite.all():
        chunk, step, field = np.argwhere(~finite)[0]
        raise ActionError(f"actions are not finite: '{names[field]}' at step {step} of chunk {chunk}")
