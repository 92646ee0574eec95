"""Uniform bins: each number of a chunk becomes one token, read step by step.

    chunk (horizon, action_dim)  ──►  ids  [t0 field0, t0 field1, ..., t1 field0, ...]

A field's range is the 1st to 99th percentile of its training actions, widened to a floor and clipped to the
embodiment's limits. `num_bins` centres stand evenly on it, both ends included, so a value inside the range comes
back to within half the distance between centres, and an odd number of bins keeps a symmetric range's zero exactly.

Source: RT-1 (arXiv:2212.06817) and RT-2 (arXiv:2307.15818) discretise uniformly; OpenVLA (arXiv:2406.09246) takes
the percentiles. Ours differs in that centres, not edges, lie on the ends of the range.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from vla.embodiment import Embodiment
from vla.errors import ActionError, CheckpointError
from vla.interfaces import Grammar

FORMAT = "vla.bins/1"

# A field whose percentiles are closer than this share of its limits gets a range of this share.
RANGE_FLOOR = 0.02


@dataclasses.dataclass(frozen=True)
class BinTokenizer:
    """`horizon * action_dim` tokens a chunk, each one of `num_bins`."""

    low: Float64[np.ndarray, " action_dim"]
    """The first bin's centre, in the field's unit."""
    high: Float64[np.ndarray, " action_dim"]
    """The last bin's centre."""
    num_bins: int
    horizon: int

    def __post_init__(self) -> None:
        if self.num_bins < 2 or self.horizon < 1:
            raise ValueError(f"expected num_bins >= 2 and horizon >= 1, got {self.num_bins} and {self.horizon}")
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all() and (self.low < self.high).all()):
            raise ValueError(f"expected finite ranges low < high, got {self.low} and {self.high}")

    @staticmethod
    def fit(
        chunks: Float32[np.ndarray, "chunks horizon action_dim"], embodiment: Embodiment, num_bins: int
    ) -> BinTokenizer:
        """The tokenizer whose ranges are the chunks' 1st to 99th percentiles, inside the embodiment's limits.

        Raises:
            ActionError: if there is no chunk, or one that is not finite.
        """
        if len(chunks) == 0 or not np.isfinite(chunks).all():
            raise ActionError(f"bins need finite chunks to fit, got {len(chunks)} chunks")
        values = chunks.reshape(-1, chunks.shape[-1]).astype(np.float64)
        limit_low, limit_high = embodiment.action_low.astype(np.float64), embodiment.action_high.astype(np.float64)
        low, high = np.quantile(values, [0.01, 0.99], axis=0)
        floor = RANGE_FLOOR * (limit_high - limit_low)
        middle, half = (low + high) / 2, np.maximum(high - low, floor) / 2
        low, high = np.clip(middle - half, limit_low, limit_high), np.clip(middle + half, limit_low, limit_high)
        return BinTokenizer(low=low, high=high, num_bins=num_bins, horizon=chunks.shape[1])

    @property
    def vocabulary_size(self) -> int:
        return self.num_bins

    @property
    def action_dim(self) -> int:
        return len(self.low)

    @property
    def num_tokens(self) -> int:
        return self.horizon * self.action_dim

    @property
    def centres(self) -> Float32[np.ndarray, "num_bins action_dim"]:
        """What each id stands for, in each field's unit."""
        return np.linspace(self.low, self.high, self.num_bins).astype(np.float32)

    def encode(self, actions: Float32[np.ndarray, "horizon action_dim"]) -> list[int]:
        """The ids of the nearest centres; values outside the range get the end bins.

        Raises:
            ActionError: if the chunk is not finite or has another shape.
        """
        if actions.shape != (self.horizon, self.action_dim) or not np.isfinite(actions).all():
            raise ActionError(f"expected a finite ({self.horizon}, {self.action_dim}) chunk, got {actions.shape}")
        return [int(index) for index in self.encode_batch(actions[None])[0]]

    def encode_batch(self, chunks: Float32[np.ndarray, "batch horizon action_dim"]) -> np.ndarray:
        """int64 (batch, tokens) ids of the nearest centres."""
        ratio = (chunks.astype(np.float64) - self.low) / (self.high - self.low)
        ids = np.rint(np.clip(ratio, 0.0, 1.0) * (self.num_bins - 1)).astype(np.int64)
        return ids.reshape(len(chunks), -1)

    def decode(self, ids: Sequence[int]) -> Float32[np.ndarray, "horizon action_dim"]:
        array = np.asarray(ids)
        if array.shape != (self.num_tokens,):
            raise ActionError(f"a chunk is {self.num_tokens} tokens, got {array.shape}")
        if array.min() < 0 or array.max() >= self.num_bins:
            raise ActionError(f"ids are 0 to {self.num_bins - 1}, got {array.min()} to {array.max()}")
        return self.decode_batch(array[None])[0]

    def decode_batch(self, ids: np.ndarray) -> Float32[np.ndarray, "batch horizon action_dim"]:
        """The chunks that int (batch, tokens) ids stand for; ids must be in range."""
        index = ids.reshape(len(ids), self.horizon, self.action_dim)
        return np.take_along_axis(self.centres[None], index.reshape(len(ids), -1, self.action_dim), axis=1).reshape(
            len(ids), self.horizon, self.action_dim
        )

    def grammar(self) -> Grammar:
        """A line of states, one a token: every id is allowed until the chunk is whole."""
        next_state = np.full((self.num_tokens + 1, self.num_bins), -1, np.int32)
        next_state[:-1] = np.arange(1, self.num_tokens + 1, dtype=np.int32)[:, None]
        accepting = np.zeros(self.num_tokens + 1, bool)
        accepting[-1] = True
        return Grammar(next_state=next_state, accepting=accepting, max_tokens=self.num_tokens)

    def to_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "num_bins": self.num_bins,
            "horizon": self.horizon,
            "low": self.low.tolist(),
            "high": self.high.tolist(),
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> BinTokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            CheckpointError: if the format is not one this version reads.
        """
        if tree.get("format") != FORMAT:
            raise CheckpointError(f"expected an action tokenizer of format '{FORMAT}', got {tree.get('format')!r}")
        return BinTokenizer(
            low=np.array(tree["low"], np.float64),
            high=np.array(tree["high"], np.float64),
            num_bins=int(tree["num_bins"]),
            horizon=int(tree["horizon"]),
        )
