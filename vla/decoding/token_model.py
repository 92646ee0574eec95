"""What the decoder asks of a model: logits of action tokens, after a prefix that only the model understands.

slots            prefix, forced ids             ──►  logits of all tokens, in one pass
autoregressive   start(prefix)                  ──►  logits of token 0, and the cache filled
                 extend(ids, index)             ──►  logits of tokens `index`, given the id before each
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vla.model.cache import KeyValueCache, continuing
from vla.model.masks import as_bias, following
from vla.model.transformer import project
from vla.model.vla_model import Head, VlaModel


@runtime_checkable
class EmbeddedPrefix(Protocol):
    """Everything seen and said, embedded."""

    @property
    def tokens(self) -> Float[Tensor, "batch prefix width"]: ...

    @property
    def is_padding(self) -> Bool[Tensor, "batch prefix"]: ...


@runtime_checkable
class TokenModel(Protocol):
    """A model that the decoder can read from. Every call has shapes that depend on those of its arguments alone."""

    @property
    def head(self) -> Head: ...

    @property
    def num_actions(self) -> int:
        """Action tokens in the vocabulary."""
        ...

    @property
    def num_action_tokens(self) -> int:
        """Of the longest sequence."""
        ...

    @property
    def is_prefix_causal(self) -> bool:
        """Whether prefix tokens see only those before them."""
        ...

    @property
    def device(self) -> torch.device: ...

    def new_cache(self, tokens: Float[Tensor, "batch prefix width"], num_tokens: int) -> KeyValueCache:
        """Room for a prefix and `num_tokens` tokens behind it."""
        ...

    def start(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        cache: KeyValueCache,
        num_known: int = 0,
    ) -> Float[Tensor, "batch actions"]:
        """Fill the cache with a prefix: float32 logits of token 0.

        Args:
            num_known: so many tokens of the prefix stand in the cache already.
        """
        ...

    def extend(
        self, ids: Int64[Tensor, "batch tokens"], index: Int64[Tensor, " tokens"], cache: KeyValueCache
    ) -> Float[Tensor, "batch tokens actions"]:
        """Float32 logits of tokens `index`, the cache holding all before them.

        Args:
            ids: the token before each.
            index: counted from 0; at least 1. Behind the longest sequence the logits do not matter.
        """
        ...

    def slots(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        forced: Int64[Tensor, "batch forced"],
    ) -> Float[Tensor, "batch tokens actions"]:
        """Float32 logits of all tokens at once.

        Args:
            forced: known ids of the first tokens or of all, -1 where none is known.
        """
        ...


class VlaTokens:
    """A `VlaModel` as the decoder reads it.

    Token 0 is predicted in the pass that fills the cache. The last layer of that pass computes keys and values for the
    prefix, and nothing else, since nobody reads the prefix's hidden states.
    """

    def __init__(self, model: VlaModel, *, is_prefix_causal: bool = False) -> None:
        """Take the model as it is.

        Args:
            is_prefix_causal: whether prefix tokens see only those before them, to compare with models that are so.
        """
        self._model, self.is_prefix_causal = model, is_prefix_causal
        self._decoder = model.backbone.decoder

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
    def device(self) -> torch.device:
        return self._model.slots.device

    def new_cache(self, tokens: Float[Tensor, "batch prefix width"], num_tokens: int) -> KeyValueCache:
        return self._decoder.new_cache(tokens, num_tokens)

    def start(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        cache: KeyValueCache,
        num_known: int = 0,
    ) -> Float[Tensor, "batch actions"]:
        cache.is_padding[:, : cache.num_prefix] = is_padding
        first = self._model.next_input(None, len(tokens), 0)
        return self._follow(tokens, is_padding, first, cache, num_known)[:, 0]

    def extend(
        self, ids: Int64[Tensor, "batch tokens"], index: Int64[Tensor, " tokens"], cache: KeyValueCache
    ) -> Float[Tensor, "batch tokens actions"]:
        slots = self._model.slots
        x = self._model.action_embedding(ids + 1) + slots[index.clamp(max=len(slots) - 1)]
        dtype = cache.layers[0].keys.dtype
        return self._logits(self._decoder(x.to(dtype), cache.blocked(index), cache, cache.num_prefix + index))

    def slots(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        forced: Int64[Tensor, "batch forced"],
    ) -> Float[Tensor, "batch tokens actions"]:
        return self._follow(tokens, is_padding, self._model.slot_inputs(len(tokens), forced), None)

    def _follow(
        self,
        tokens: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        new: Float[Tensor, "batch tokens width"],
        cache: KeyValueCache | None,
        num_known: int = 0,
    ) -> Float[Tensor, "batch tokens actions"]:
        """Logits of new tokens that see each other and the prefix, which does not see them."""
        x = torch.cat([tokens, new.to(tokens.dtype)], dim=1)[:, num_known:]
        blocked = following(is_padding, new.shape[1], is_prefix_causal=self.is_prefix_causal)
        place, blocked = continuing(blocked, num_known, cache)
        return self._logits(self._decoder(x, as_bias(blocked, x.dtype), cache, place, num_wanted=new.shape[1]))

    def _logits(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens actions"]:
        head, num_text = self._model.logits, self._model.vocabulary.num_text
        return project(hidden, head.weight[num_text:], head.bias[num_text:]).float()
