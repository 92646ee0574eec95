"""Keys and values of a sequence that grows, in memory of one shape and at one address.

    places  0 .. num_prefix - 1     the prefix, whose padding nobody attends to
            num_prefix ..           what is decoded: place `num_prefix + i` belongs to token `i`

A captured graph replays the same kernels on the same addresses, so nothing here depends on how much is filled in: who
attends brings the mask of what to see.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from vla.model.masks import as_bias


@dataclasses.dataclass(frozen=True)
class LayerCache:
    """Keys and values of one layer."""

    keys: Float[Tensor, "batch heads capacity head_dim"]
    values: Float[Tensor, "batch heads capacity head_dim"]

    def write(
        self,
        key: Float[Tensor, "batch heads tokens head_dim"],
        value: Float[Tensor, "batch heads tokens head_dim"],
        place: Int64[Tensor, " tokens"] | None,
    ) -> tuple[Tensor, Tensor]:
        """Store new keys and values.

        Args:
            place: where; at the beginning if not given.

        Returns:
            The keys and values to attend to: the new ones alone at the beginning, else all places.
        """
        if place is None:
            self.keys[:, :, : key.shape[2]] = key
            self.values[:, :, : key.shape[2]] = value
            return key, value
        self.keys.index_copy_(2, place, key)
        self.values.index_copy_(2, place, value)
        return self.keys, self.values


@dataclasses.dataclass(frozen=True)
class KeyValueCache:
    """Keys and values of all layers, and which places nobody may see."""

    layers: tuple[LayerCache, ...]
    is_padding: Bool[Tensor, "batch capacity"]
    num_prefix: int

    @staticmethod
    def allocate(
        like: Float[Tensor, "batch prefix width"], num_tokens: int, *, layers: int, heads: int, head_dim: int
    ) -> KeyValueCache:
        """An empty cache for a prefix, on its device and of its type, and for `num_tokens` tokens behind it."""
        batch, num_prefix, _ = like.shape
        capacity = _round_up(num_prefix + num_tokens)
        shape = (batch, heads, capacity, head_dim)
        return KeyValueCache(
            layers=tuple(LayerCache(like.new_zeros(shape), like.new_zeros(shape)) for _ in range(layers)),
            is_padding=torch.zeros((batch, capacity), dtype=torch.bool, device=like.device),
            num_prefix=num_prefix,
        )

    def blocked(self, index: Int64[Tensor, " tokens"]) -> Float[Tensor, "batch 1 tokens capacity"]:
        """What to add to the scores of tokens `index`, so that they see neither padding nor what comes after them."""
        place = torch.arange(self.is_padding.shape[1], device=index.device) - self.num_prefix
        return as_bias(self.is_padding[:, None, None, :] | (place > index[:, None]), self.layers[0].keys.dtype)


def continuing(
    blocked: Bool[Tensor, "batch 1 tokens tokens"], num_known: int, cache: KeyValueCache | None
) -> tuple[Int64[Tensor, " new"] | None, Bool[Tensor, "batch 1 new seen"]]:
    """Where tokens go of which the first `num_known` are in the cache already, and what they may not see there."""
    if cache is None or num_known == 0:
        return None, blocked
    num_tokens, capacity = blocked.shape[-1], cache.is_padding.shape[1]
    place = torch.arange(num_known, num_tokens, device=blocked.device)
    return place, functional.pad(blocked[:, :, num_known:], (0, capacity - num_tokens), value=True)


def _round_up(places: int) -> int:
    """To a multiple of 8: fused attention kernels want the rows of a mask aligned."""
    return -(-places // 8) * 8
