"""Answers in words: the most likely token after the other, behind a prefix whose keys and values are computed once.

    prefix, begin ─► token 0, cache filled ─► token 1 ─► ... ─► end

An id of an action token cannot be said: words are chosen among the words of the joint vocabulary.
"""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from vla.decoding.token_model import EmbeddedPrefix
from vla.interfaces import PADDING_ID
from vla.model.masks import as_bias, following
from vla.model.transformer import project
from vla.model.vla_model import END_ID, VlaModel


@torch.no_grad()
def answer_greedily(model: VlaModel, prefix: EmbeddedPrefix) -> Int64[Tensor, "batch tokens"]:
    """The ids of each row's answer, its end included, and -1 behind it.

    A row that does not end within the model's longest answer stops there.
    """
    tokens, is_padding = prefix.tokens, prefix.is_padding
    batch, length = len(tokens), model.num_answer_tokens
    decoder = model.backbone.decoder
    cache = decoder.new_cache(tokens, length)
    cache.is_padding[:, : cache.num_prefix] = is_padding
    before = torch.full((batch, 1), END_ID, dtype=torch.int64, device=tokens.device)
    ids = before.new_full((batch, length), PADDING_ID)
    is_done = before.new_zeros(batch, dtype=torch.bool)
    x = torch.cat([tokens, model.answer_inputs(before, 0).to(tokens.dtype)], dim=1)
    blocked = as_bias(following(is_padding, 1, is_prefix_causal=False), tokens.dtype)
    hidden = decoder(x, blocked, cache, None, num_wanted=1)
    for index in range(length):
        ids[:, index] = _most_likely(model, hidden).masked_fill(is_done, PADDING_ID)
        is_done |= ids[:, index] == END_ID
        if is_done.all() or index + 1 == length:
            break
        place = torch.tensor([index + 1], device=tokens.device)
        x = model.answer_inputs(ids[:, index : index + 1].clamp(min=END_ID), index + 1).to(tokens.dtype)
        hidden = decoder(x, cache.blocked(place), cache, cache.num_prefix + place)
    return ids


def _most_likely(model: VlaModel, hidden: Tensor) -> Int64[Tensor, " batch"]:
    words = slice(model.vocabulary.num_text)
    return project(hidden, model.logits.weight[words], model.logits.bias[words])[:, -1].argmax(-1)
