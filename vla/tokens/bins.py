"""Bins: each number of a chunk becomes one token, read step by step.

    chunk (horizon, action_dim)  ──►  ids  [t0 field0, t0 field1, ..., t1 field0, ...]

Every id stands for a level in -1..1; a value becomes the id of the bin that it lies in. `Spacing` says where levels and
the edges between their bins stand. A value inside the range comes back to within half a bin, half the distance between
the two levels (for `openvla`, edges) around it.

Source: RT-1 (arXiv:2212.06817) and RT-2 (arXiv:2307.15818) discretise uniformly; OpenVLA (arXiv:2406.09246) takes the
percentiles. Our uniform bins differ in that levels, not edges, lie on the ends of the range.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from vla.embodiment import Embodiment
from vla.interfaces import Grammar
from vla.tokens.chunk_tokenizer import ChunkTokenizer, require_format
from vla.tokens.ranges import ActionRanges

FORMAT = "vla.bins/2"
MU = 255.0  # ITU-T G.711


class Spacing(enum.Enum):
    """Where the levels of `num_bins` ids stand in -1..1, and the edges between their bins."""

    UNIFORM = "uniform"
    """Levels evenly from -1 to 1, both included, edges midway: an odd number keeps a symmetric range's zero."""
    QUANTILE = "quantile"
    """Levels at evenly spaced ranks of a field's training values, from -1 to 1, edges midway. Levels that would
    coincide are spent on halving the widest gaps."""
    MU_LAW = "mu_law"
    """Levels even in sign(x) ln(1 + MU |x|) / ln(1 + MU), from -1 to 1, edges midway: finest around 0."""
    OPENVLA = "openvla"
    """Edges evenly from -1 to 1, both included, levels midway, as OpenVLA's ids are: the last id stands for values of
    exactly 1 and decodes to the level of the one before it."""


@dataclasses.dataclass(frozen=True, eq=False)
class BinTokenizer(ChunkTokenizer):
    """`horizon * action_dim` tokens a chunk, each one of `num_bins`."""

    ranges: ActionRanges
    """What becomes -1 and +1."""
    num_bins: int
    horizon: int
    spacing: Spacing = Spacing.UNIFORM
    quantiles: Float64[np.ndarray, "num_bins action_dim"] | None = None
    """The levels of quantile spacing, ascending; nothing for any other."""

    def __post_init__(self) -> None:
        if self.num_bins < 2 or self.horizon < 1:
            raise ValueError(f"expected num_bins >= 2 and horizon >= 1, got {self.num_bins} and {self.horizon}")
        if (self.quantiles is not None) != (self.spacing is Spacing.QUANTILE):
            raise ValueError(f"quantile spacing has levels of its own and no other has; got {self.spacing.value}")
        if self.quantiles is not None:
            _check_levels(self.quantiles, (self.num_bins, self.action_dim))

    @staticmethod
    def fit(
        chunks: Float32[np.ndarray, "chunks horizon action_dim"],
        embodiment: Embodiment,
        vocabulary_size: int,
        spacing: Spacing = Spacing.UNIFORM,
    ) -> BinTokenizer:
        """The tokenizer whose ranges, and quantiles if it spaces by them, are these chunks'.

        Raises:
            ActionError: if there is no chunk, or one that is not finite.
        """
        ranges = ActionRanges.fit(chunks, embodiment)
        quantiles = None
        if spacing is Spacing.QUANTILE:
            values = ranges.normalise(chunks).reshape(-1, ranges.action_dim)
            quantiles = np.stack([_quantile_levels(field, vocabulary_size) for field in values.T], axis=1)
        return BinTokenizer(ranges, vocabulary_size, chunks.shape[1], spacing, quantiles)

    @property
    def name(self) -> str:
        return "bins"

    @property
    def vocabulary_size(self) -> int:
        return self.num_bins

    @property
    def is_ordered(self) -> bool:
        return True

    @property
    def centres(self) -> Float32[np.ndarray, "num_bins action_dim"]:
        """What each id stands for, in each field's unit."""
        return self.ranges.denormalise(self._levels)

    def num_committed(self, steps: int) -> int:
        return steps * self.action_dim

    def grammar(self) -> Grammar:
        return line_grammar(self.horizon * self.action_dim, self.num_bins)

    @functools.cached_property
    def _levels(self) -> Float64[np.ndarray, "num_bins action_dim"]:
        if self.quantiles is not None:
            return self.quantiles
        return np.repeat(_levels(self.spacing, self.num_bins)[:, None], self.action_dim, axis=1)

    @functools.cached_property
    def _edges(self) -> Float64[np.ndarray, "num_edges action_dim"]:
        """Where each id but the first begins."""
        if self.spacing is Spacing.OPENVLA:
            return np.repeat(np.linspace(-1.0, 1.0, self.num_bins)[1:, None], self.action_dim, axis=1)
        return (self._levels[:-1] + self._levels[1:]) / 2

    def _encode(self, values: Float64[np.ndarray, "batch horizon action_dim"]) -> Int64[np.ndarray, "batch tokens"]:
        fields = np.moveaxis(values, -1, 0)
        ids = [np.searchsorted(edges, field, side="right") for edges, field in zip(self._edges.T, fields, strict=True)]
        return np.stack(ids, axis=-1).reshape(len(values), -1)

    def _decode(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float64[np.ndarray, "batch horizon action_dim"]:
        by_step = ids.reshape(len(ids), self.horizon, self.action_dim)
        return self._levels[by_step, np.arange(self.action_dim)]

    def to_json(self) -> dict[str, object]:
        tree: dict[str, object] = {
            "format": FORMAT,
            "num_bins": self.num_bins,
            "horizon": self.horizon,
            "ranges": self.ranges.to_json(),
        }
        # Files of uniform bins say nothing of spacing, so that their fingerprints stay what they were.
        if self.spacing is not Spacing.UNIFORM:
            tree["spacing"] = self.spacing.value
        if self.quantiles is not None:
            tree["quantiles"] = self.quantiles.tolist()
        return tree

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> BinTokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            CheckpointError: if the format is not one this version reads.
        """
        require_format(tree, FORMAT)
        quantiles = np.array(tree["quantiles"], np.float64) if "quantiles" in tree else None
        return BinTokenizer(
            ActionRanges.from_json(tree["ranges"]),
            int(tree["num_bins"]),
            int(tree["horizon"]),
            Spacing(tree.get("spacing", Spacing.UNIFORM.value)),
            quantiles,
        )


def line_grammar(num_tokens: int, vocabulary_size: int) -> Grammar:
    """A line of states, one a token: every id is allowed until the chunk is whole."""
    next_state = np.full((num_tokens + 1, vocabulary_size), -1, np.int32)
    next_state[:-1] = np.arange(1, num_tokens + 1, dtype=np.int32)[:, None]
    accepting = np.zeros(num_tokens + 1, bool)
    accepting[-1] = True
    return Grammar(next_state=next_state, accepting=accepting, max_tokens=num_tokens)


def _levels(spacing: Spacing, num_bins: int) -> Float64[np.ndarray, " num_bins"]:
    """Levels that need no data."""
    even = np.linspace(-1.0, 1.0, num_bins)
    if spacing is Spacing.MU_LAW:
        return np.sign(even) * np.expm1(np.abs(even) * np.log1p(MU)) / MU
    if spacing is Spacing.OPENVLA:
        middles = (even[:-1] + even[1:]) / 2
        return np.append(middles, middles[-1])
    return even


def _quantile_levels(values: Float64[np.ndarray, " numbers"], num_bins: int) -> Float64[np.ndarray, " num_bins"]:
    inner = np.quantile(values, np.linspace(0, 1, num_bins)[1:-1])
    levels = np.unique(np.concatenate([[-1.0], inner, [1.0]]))
    while len(levels) < num_bins:
        widest = int(np.diff(levels).argmax())
        levels = np.insert(levels, widest + 1, levels[widest : widest + 2].mean())
    return levels


def _check_levels(levels: Float64[np.ndarray, "num_bins action_dim"], shape: tuple[int, int]) -> None:
    if levels.shape != shape:
        raise ValueError(f"expected levels of {shape[0]} bins and {shape[1]} fields, got {levels.shape}")
    if not (np.isfinite(levels).all() and (np.abs(levels) <= 1).all() and (np.diff(levels, axis=0) > 0).all()):
        raise ValueError("expected finite levels in -1..1 that ascend in every field")
