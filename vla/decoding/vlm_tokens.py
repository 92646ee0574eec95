"""A pretrained backbone as the token decoder reads it.

The first token's logits are those of the prefix's last token, which is never padding; token `index` is read behind
token `index - 1`, which stands `index - 1` places behind the prefix.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vla.model.cache import KeyValueCache, continuing
from vla.model.masks import as_bias, following
from vla.model.vla_model import Head
from vla.model.vlm.vlm_backbone import VlmBackbone, VlmPrefix
from vla.model.vlm.vlm_model import VlmModel


class VlmTokens:
    """A `TokenModel` of a `VlmModel`."""

    def __init__(self, model: VlmModel) -> None:
        self._model, self._backbone = model, model.backbone

    @property
    def head(self) -> Head:
        return self._model.head

    @property
    def num_actions(self) -> int:
        return self._model.vocabulary.num_action

    @property
    def num_action_tokens(self) -> int:
        return self._model.num_action_tokens

    @property
    def is_prefix_causal(self) -> bool:
        return self._backbone.is_prefix_causal

    @property
    def device(self) -> torch.device:
        return self._model.slots.device

    def new_cache(self, tokens: Float[Tensor, "batch prefix width"], num_tokens: int) -> KeyValueCache:
        return self._backbone.new_cache(tokens, num_tokens)

    def start(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        cache: KeyValueCache,
        num_known: int = 0,
    ) -> Float[Tensor, "batch actions"]:
        known = min(num_known, tokens.shape[1] - 1)  # the last token is read again: its hidden state is wanted
        return self._logits(read_prefix(self._backbone, VlmPrefix(tokens, is_padding), cache, known))[:, 0]

    def extend(
        self, ids: Int64[Tensor, "batch tokens"], index: Int64[Tensor, " tokens"], cache: KeyValueCache
    ) -> Float[Tensor, "batch tokens actions"]:
        return self._logits(read_behind(self._backbone, self._model.embed_actions(ids), index - 1, cache))

    def slots(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        forced: Int64[Tensor, "batch forced"],
    ) -> Float[Tensor, "batch tokens actions"]:
        inputs = self._model.slot_inputs(len(tokens), forced)
        return self._logits(self._backbone(VlmPrefix(tokens, is_padding), inputs, False))

    def _logits(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens actions"]:
        return self._model.logits_of_actions(hidden).float()


def read_prefix(
    backbone: VlmBackbone, prefix: VlmPrefix, cache: KeyValueCache, num_known: int = 0
) -> Float[Tensor, "batch 1 width"]:
    """The hidden state of a prefix's last token; the cache is filled.

    Args:
        num_known: so many tokens of the prefix, not all, stand in the cache already.
    """
    cache.is_padding[:, : cache.num_prefix] = prefix.is_padding
    blocked = following(prefix.is_padding, 0, is_prefix_causal=backbone.is_prefix_causal)
    place, blocked = continuing(blocked, num_known, cache)
    position = backbone.places(is_question=prefix.is_question).of(prefix.is_padding)[:, :, num_known:]
    tokens = prefix.tokens[:, num_known:]
    return backbone.read(tokens, as_bias(blocked, tokens.dtype), position, cache, place)[:, -1:]


def read_behind(
    backbone: VlmBackbone,
    new: Float[Tensor, "batch tokens width"],
    behind: Int64[Tensor, " tokens"],
    cache: KeyValueCache,
    *,
    is_question: bool = False,
) -> Float[Tensor, "batch tokens width"]:
    """Hidden states of what stands `behind` places behind the prefix; the cache holds all before."""
    position = backbone.places(is_question=is_question).behind(cache.is_padding, behind)
    x = backbone.widened(new.to(cache.layers[0].keys.dtype))
    return backbone.read(x, cache.blocked(behind), position, cache, cache.num_prefix + behind)
