"""Answers in words: the most likely token after the other, behind a prefix whose keys and values are computed once.

    prefix, begin ─► token 0, cache filled ─► token 1 ─► ... ─► end

An id of an action token cannot be said: words are chosen among the words of the joint vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vla.decoding.token_model import EmbeddedPrefix
from vla.decoding.vlm_tokens import read_behind, read_prefix
from vla.interfaces import PADDING_ID
from vla.model.cache import KeyValueCache
from vla.model.kinds import AnyModel
from vla.model.masks import as_bias, following
from vla.model.transformer import project
from vla.model.vla_model import VlaModel
from vla.model.vlm.vlm_backbone import VlmPrefix
from vla.model.vlm.vlm_model import VlmModel


class Speaker(Protocol):
    """A model that says words behind one prefix; what it has said stands in its cache."""

    def begin(self) -> Float[Tensor, "batch words"]:
        """Logits of the first token."""
        ...

    def go_on(self, ids: Int64[Tensor, "batch 1"], index: int) -> Float[Tensor, "batch words"]:
        """Logits of token `index`, given the one before it."""
        ...


@torch.no_grad()
def answer_greedily(model: AnyModel, prefix: Any) -> Int64[Tensor, "batch tokens"]:
    """The ids of each row's answer, its end included, and -1 behind it.

    A row that does not end within the model's longest answer stops there.
    """
    speaker: Speaker = _VlaSpeaker(model, prefix) if isinstance(model, VlaModel) else _VlmSpeaker(model, prefix)
    batch, length, end = len(prefix.tokens), model.num_answer_tokens, model.end_id
    ids = torch.full((batch, length), PADDING_ID, dtype=torch.int64, device=prefix.tokens.device)
    is_done = ids.new_zeros(batch, dtype=torch.bool)
    logits = speaker.begin()
    for index in range(length):
        ids[:, index] = logits.argmax(-1).masked_fill(is_done, PADDING_ID)
        is_done |= ids[:, index] == end
        if is_done.all() or index + 1 == length:
            break
        logits = speaker.go_on(ids[:, index : index + 1].clamp(min=0), index + 1)
    return ids


class _VlaSpeaker:
    """A begin token stands between prefix and answer."""

    def __init__(self, model: VlaModel, prefix: EmbeddedPrefix) -> None:
        self._model, self._prefix, self._decoder = model, prefix, model.backbone.decoder
        self._cache: KeyValueCache = self._decoder.new_cache(prefix.tokens, model.num_answer_tokens)

    def begin(self) -> Float[Tensor, "batch words"]:
        tokens, is_padding = self._prefix.tokens, self._prefix.is_padding
        self._cache.is_padding[:, : self._cache.num_prefix] = is_padding
        begin = torch.full((len(tokens), 1), self._model.end_id, dtype=torch.int64, device=tokens.device)
        x = torch.cat([tokens, self._model.answer_inputs(begin, 0).to(tokens.dtype)], dim=1)
        blocked = as_bias(following(is_padding, 1, is_prefix_causal=False), tokens.dtype)
        return self._words(self._decoder(x, blocked, self._cache, None, num_wanted=1))

    def go_on(self, ids: Int64[Tensor, "batch 1"], index: int) -> Float[Tensor, "batch words"]:
        place = torch.tensor([index], device=ids.device)
        x = self._model.answer_inputs(ids, index).to(self._prefix.tokens.dtype)
        return self._words(self._decoder(x, self._cache.blocked(place), self._cache, self._cache.num_prefix + place))

    def _words(self, hidden: Tensor) -> Tensor:
        words = slice(self._model.vocabulary.num_text)
        return project(hidden, self._model.logits.weight[words], self._model.logits.bias[words])[:, -1]


class _VlmSpeaker:
    """The prefix's last token predicts the first of the answer."""

    def __init__(self, model: VlmModel, prefix: VlmPrefix) -> None:
        self._model, self._prefix = model, prefix
        self._cache = model.backbone.new_cache(prefix.tokens, model.num_answer_tokens)

    def begin(self) -> Float[Tensor, "batch words"]:
        return self._model.logits_of_words(read_prefix(self._model.backbone, self._prefix, self._cache))[:, -1]

    def go_on(self, ids: Int64[Tensor, "batch 1"], index: int) -> Float[Tensor, "batch words"]:
        backbone, behind = self._model.backbone, torch.tensor([index - 1], device=ids.device)
        words = backbone.embed_words(ids)
        hidden = read_behind(backbone, words, behind, self._cache, is_question=self._prefix.is_question)
        return self._model.logits_of_words(hidden)[:, -1]
