"""A decoder of Llama's shape as the token decoder reads it.

Action tokens are consecutive ids of its vocabulary: OpenVLA (arXiv:2406.09246) takes the last 256, FAST the last ones
that fit. A begin token stands between prefix and actions; slots are empty but for where they stand, and see each other
and the whole prefix (OpenVLA-OFT, arXiv:2502.19645). Ours differs from the latter in that the prefix does not see the
slots, and so is the same for both heads.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vla.model.cache import KeyValueCache, continuing
from vla.model.llama import LlamaDecoder
from vla.model.masks import as_bias, following
from vla.model.transformer import project
from vla.model.vla_model import Head


@dataclasses.dataclass(frozen=True)
class LlamaTokens:
    """A `TokenModel` of a `LlamaDecoder`."""

    decoder: LlamaDecoder
    head: Head
    num_actions: int
    num_action_tokens: int
    first_action_id: int
    """In the language model's vocabulary; the others follow it."""
    begin_id: int
    """Of the token from which the first action is predicted."""
    is_prefix_causal: bool = True

    @property
    def device(self) -> torch.device:
        return self.decoder.norm.weight.device

    def new_cache(self, tokens: Float[Tensor, "batch prefix width"], num_tokens: int) -> KeyValueCache:
        return self.decoder.new_cache(tokens, num_tokens)

    def start(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        cache: KeyValueCache,
        num_known: int = 0,
    ) -> Float[Tensor, "batch actions"]:
        cache.is_padding[:, : cache.num_prefix] = is_padding
        begin = torch.full_like(is_padding[:, :1], self.begin_id, dtype=torch.int64)
        return self._follow(tokens, is_padding, self.decoder.embed(begin), cache, num_known)[:, 0]

    def extend(
        self, ids: Int64[Tensor, "batch tokens"], index: Int64[Tensor, " tokens"], cache: KeyValueCache
    ) -> Float[Tensor, "batch tokens actions"]:
        num_real = cache.num_prefix - cache.is_padding.sum(1)
        return self._logits(
            self.decoder(
                self.decoder.embed(ids + self.first_action_id),
                cache.blocked(index),
                num_real[:, None] + index,
                cache,
                cache.num_prefix + index,
            )
        )

    def slots(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        forced: Int64[Tensor, "batch forced"],
    ) -> Float[Tensor, "batch tokens actions"]:
        new = tokens.new_zeros((len(tokens), self.num_action_tokens, tokens.shape[2]))
        known = self.decoder.embed(forced.clamp(min=0) + self.first_action_id)
        new[:, : forced.shape[1]] = known.masked_fill(forced[..., None] < 0, 0)
        return self._follow(tokens, is_padding, new, None)

    def _follow(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        new: Float[Tensor, "batch tokens width"],
        cache: KeyValueCache | None,
        num_known: int = 0,
    ) -> Float[Tensor, "batch tokens actions"]:
        """Logits of new tokens that see each other and the prefix, which does not see them."""
        x = torch.cat([tokens, new], dim=1)[:, num_known:]
        is_real = torch.cat([~is_padding, is_padding.new_ones(new.shape[:2])], dim=1)
        position = (is_real.cumsum(1) - 1).clamp(min=0)[:, num_known:]
        blocked = following(is_padding, new.shape[1], is_prefix_causal=self.is_prefix_causal)
        place, blocked = continuing(blocked, num_known, cache)
        bias = as_bias(blocked, x.dtype)
        return self._logits(self.decoder(x, bias, position, cache, place, num_wanted=new.shape[1]))

    def _logits(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens actions"]:
        rows = slice(self.first_action_id, self.first_action_id + self.num_actions)
        return project(hidden, self.decoder.head.weight[rows], None).float()
