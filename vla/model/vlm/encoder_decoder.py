"""An encoder and a decoder of `transformers` (BART), reading the one sequence that our backbones read.

    pictures  instruction  state  closing | begin | new
    └──────────── encoder ──────────────┘ └─ decoder ─┘

The prefix ends with what the decoder begins with, so that the first token is predicted from the prefix's last one, as
in every other family. Its hidden states are the encoder's, then the decoder's. Who sees whom is what the masks say of a
prefix that sees all of itself, but that begin tokens come one after the other, and that the encoder sees no decoder.

A cache has one row of places for each layer of the decoder:

    0 .. num_encoded - 1    keys and values of what the encoder found, which every token of the decoder attends to
    num_encoded ..          those of the decoder's own tokens

Positions are embedded, and begin anew in the decoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from vla.errors import ConfigError
from vla.model.cache import KeyValueCache, LayerCache

Bias = Float[Tensor, "#batch 1 tokens seen"]


@dataclasses.dataclass(frozen=True)
class EncoderDecoder:
    """See the top of this file."""

    language: Any
    """With an `encoder` and a `decoder`, each with `embed_positions`, `layernorm_embedding` and `layers`."""
    num_begin: int
    """Tokens at the prefix's end that the decoder reads."""

    def read(
        self,
        x: Float[Tensor, "batch tokens width"],
        blocked: Bias,
        position: Int64[Tensor, "batch tokens"],
        num_prefix: int,
        cache: KeyValueCache | None,
        place: Int64[Tensor, " tokens"] | None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Hidden states of `x`: a whole prefix and what follows it, or, with a place, tokens of the decoder alone.

        Args:
            blocked: what is added to the scores.
            position: in the whole sequence, where padding does not count.
            cache: the keys and values of `x` are written to it.
            place: where in the cache.
        """
        n = num_prefix - self.num_begin
        if place is not None:
            assert cache is not None, "places are those of a cache"
            own = (place - n).expand(len(x), -1)
            return self._decode(x, blocked[..., n:], blocked[..., :n], own, x[:, :0], _view(cache, n, place))
        found = self._encode(x[:, :n], blocked[..., :n, :n], position[:, :n])
        own = position[:, n:] - position[:, n, None]
        past = None if cache is None else _view(cache, n, None)
        decoded = self._decode(x[:, n:], self._ordered(blocked[..., n:, n:]), blocked[..., n:, :n], own, found, past)
        return torch.cat([found, decoded], dim=1)

    def new_cache(self, prefix: Float[Tensor, "batch prefix width"], num_tokens: int, text: Any) -> KeyValueCache:
        """An empty cache for a prefix and `num_tokens` tokens behind it.

        Args:
            text: sizes of the language model.
        """
        heads = text.decoder_attention_heads
        return KeyValueCache.allocate(
            prefix, num_tokens, layers=text.decoder_layers, heads=heads, head_dim=text.d_model // heads
        )

    def _encode(self, x: Tensor, blocked: Tensor, position: Tensor) -> Tensor:
        encoder = self.language.encoder
        state = _entered(encoder, x, position)
        for layer in encoder.layers:
            state = layer(state, blocked)
        return state

    def _decode(
        self, x: Tensor, blocked: Tensor, blocked_found: Tensor, position: Tensor, found: Tensor, past: Any
    ) -> Tensor:
        decoder = self.language.decoder
        state = _entered(decoder, x, position)
        for layer in decoder.layers:
            state = layer(state, blocked, found, encoder_attention_mask=blocked_found, past_key_values=past)
        return state

    def _ordered(self, blocked: Bias) -> Tensor:
        """The mask of the decoder's tokens, in which those it begins with see none behind them."""
        ahead = torch.ones(blocked.shape[-2:], dtype=torch.bool, device=blocked.device).triu(1)
        ahead[self.num_begin :] = False
        return blocked.masked_fill(ahead, torch.finfo(blocked.dtype).min)


def give_one_name(language: Any) -> None:
    """Leave the embedding of words under its own name alone: the encoder and the decoder hold it under theirs too."""
    language.encoder.embed_tokens = None
    language.decoder.embed_tokens = None


def require_room(num_encoded: int, num_begin: int, text: Any) -> None:
    """Return if a prompt has as many tokens as there are positions for.

    Raises:
        ConfigError: with both numbers.
    """
    most = int(text.max_position_embeddings)
    if max(num_encoded, num_begin) > most:
        raise ConfigError(
            f"this model reads {most} tokens, the prompt has {num_encoded}: fewer or smaller pictures "
            f"(pretrained.picture_side=, pretrained.connector=resampler), or fewer pretrained.text_tokens"
        )


def _entered(part: Any, x: Tensor, position: Tensor) -> Tensor:
    places = part.embed_positions
    if x.shape[1] > places.num_embeddings - places.offset:
        raise ConfigError(f"this model decodes {places.num_embeddings - places.offset} tokens, got {x.shape[1]}")
    return part.layernorm_embedding(x + functional.embedding(position + places.offset, places.weight))


def _view(cache: KeyValueCache, num_encoded: int, place: Int64[Tensor, " tokens"] | None) -> Any:
    """Our cache, as the decoder's layers of `transformers` write to theirs: they ask for its class."""
    from transformers import EncoderDecoderCache

    view: Any = EncoderDecoderCache.__new__(EncoderDecoderCache)
    view.self_attention_cache = _Own(cache, num_encoded, place)
    view.cross_attention_cache = _Found(cache.layers, num_encoded)
    view.is_updated = dict.fromkeys(range(len(cache.layers)), place is not None)
    return view


@dataclasses.dataclass(frozen=True)
class _Own:
    """Of the decoder's tokens among themselves."""

    cache: KeyValueCache
    num_encoded: int
    place: Int64[Tensor, " tokens"] | None

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if self.place is None:
            end = self.num_encoded + key.shape[2]
            self.cache.layers[layer].write(key, value, torch.arange(self.num_encoded, end, device=key.device))
            return key, value
        keys, values = self.cache.layers[layer].write(key, value, self.place)
        return keys[:, :, self.num_encoded :], values[:, :, self.num_encoded :]


class _Found:
    """Of what the encoder found: written with the prefix, then looked up."""

    def __init__(self, layers: Sequence[LayerCache], num_encoded: int) -> None:
        self._layers = layers
        found = slice(num_encoded)
        self.layers = [LayerCache(layer.keys[:, :, found], layer.values[:, :, found]) for layer in layers]

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        self._layers[layer].write(key, value, None)
        return key, value
