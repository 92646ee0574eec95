"""Proprioception as tokens: each normalised number becomes one of 256 bins.

    -span ─────────── 0 ─────────── +span        in the normaliser's unit: deviations, or half-ranges
      0   1   2  ...  128  ...  254  255         what lies outside gets an end bin

A state token is an id for a model with an embedding table, or a number in the words of a prompt ("State: 12 240 7").

Source: pi0-FAST and pi0.5 (arXiv:2504.16054) write the ids of `digitize(x, linspace(-1, 1, 257)[:-1]) - 1` into the
prompt; with a span of 1 these are ours.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class StateTokenizer:
    """`num_bins` bins of equal width from -span to span."""

    num_bins: int = 256
    span: float = 3.0
    """Three deviations of a normal distribution leave out 0.3 % of it."""

    def __post_init__(self) -> None:
        if self.num_bins < 2 or not self.span > 0:
            raise ValueError(f"expected num_bins >= 2 and span > 0, got {self.num_bins} and {self.span}")

    def encode(self, state: Float[Tensor, "*batch state_dim"]) -> Int64[Tensor, "*batch state_dim"]:
        """The bin of each number."""
        place = (state.double() / self.span + 1) / 2 * self.num_bins
        return place.floor().long().clamp(0, self.num_bins - 1)

    def decode(self, ids: Int64[Tensor, "*batch state_dim"]) -> Float[Tensor, "*batch state_dim"]:
        """The middle of each bin."""
        return (((ids.double() + 0.5) / self.num_bins * 2 - 1) * self.span).to(torch.float32)

    @staticmethod
    def as_words(ids: Int64[Tensor, " state_dim"]) -> str:
        """The ids as they stand in a prompt."""
        return " ".join(str(int(index)) for index in ids)
