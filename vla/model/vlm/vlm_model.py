"""A pretrained backbone, a head, and the logits of words and actions.

    ids:   0 .. text_vocabulary_size - 1            words, as the model's own tokenizer numbers them
           text_vocabulary_size ..                  action tokens, in the action tokenizer's order

Action tokens have embeddings and logits of their own, or those of text ids that are given up for them: these then are
no words any more, and their logits stand where the action tokens' do.

An answer in words is what the model would say by itself behind a question, and ends as its own answers do.

The heads are those of `vla.model.vla_model`. The first token is predicted from the last one of the prefix, as the model
predicts the next word, so that the autoregressive head adds nothing to the sequence that was not there in pretraining.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from vla.model.continuous import FlowHead, Reader, RegressionHead
from vla.model.vla_model import Head, Vocabulary, require_what_acts
from vla.model.vlm.vlm_backbone import VlmBackbone, VlmPrefix
from vla.model.vlm.vlm_config import ActionIds


class VlmModel(nn.Module):
    """See the top of this file."""

    def __init__(
        self,
        backbone: VlmBackbone,
        head: Head,
        vocabulary: Vocabulary,
        num_action_tokens: int,
        continuous: RegressionHead | FlowHead | None = None,
    ) -> None:
        super().__init__()
        require_what_acts(head, continuous)
        self.backbone, self.head, self.vocabulary = backbone, head, vocabulary
        self.num_action_tokens = num_action_tokens
        self.num_answer_tokens = backbone.config.answer_tokens if backbone.config.prompt.end else 0
        self.slots = nn.Parameter(torch.zeros(num_action_tokens if head is Head.SLOTS else 0, backbone.width))
        if head.has_tokens and backbone.config.action_ids is ActionIds.APPENDED:
            self.action_embedding = nn.Embedding(vocabulary.num_action, backbone.width)
            self.action_logits = nn.Linear(backbone.width, vocabulary.num_action, bias=False)
        self.initialise_actions()
        self.continuous = continuous

    @torch.no_grad()
    def initialise_actions(self) -> None:
        """New embeddings as large as the words' are, new logits as small as a word's."""
        some = self.backbone.embed_words(torch.arange(min(256, self.vocabulary.num_text), device=self.slots.device))
        scale = float(some.std().clamp(min=1e-4))
        self.slots.normal_(std=scale)
        if self.head.has_tokens and self._first is None:
            self.action_embedding.weight.normal_(std=scale)
            self.action_logits.weight.normal_(std=0.02)

    @property
    def _first(self) -> int | None:
        return self.backbone.config.first_action_id

    def embed_actions(self, token: Int64[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """What stands for action tokens at the language model's entry."""
        return self.action_embedding(token) if self._first is None else self.backbone.embed_words(self.text_id(token))

    def text_id(self, token: Int64[Tensor, "*any"]) -> Int64[Tensor, "*any"]:
        """The text ids that stand for action tokens.

        Raises:
            ValueError: if action tokens have ids of their own.
        """
        if self._first is None:
            raise ValueError("these action tokens are no text ids")
        last = self.vocabulary.num_action - 1
        return self._first + (last - token if self.backbone.config.do_actions_descend else token)

    def slot_inputs(
        self, batch: int, forced: Int64[Tensor, "batch forced"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """What the slots head reads: where each slot stands, and the token in it where it is known."""
        slots = self.slots.expand(batch, -1, -1)
        if forced is None or forced.shape[1] == 0:
            return slots
        known = self.embed_actions(forced.clamp(min=0)).masked_fill(forced[..., None] < 0, 0.0)
        return slots + functional.pad(known, (0, 0, 0, slots.shape[1] - forced.shape[1])).to(slots.dtype)

    def forward(
        self,
        prefix: VlmPrefix,
        actions: Int64[Tensor, "batch tokens"],
        forced: Int64[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of every action token, given the true ones before it (autoregressive) or the forced ones (slots).

        Args:
            actions: action tokens, as the tokenizer numbers them; -1 is padding.
            forced: action tokens that are known; -1 where none is.
        """
        return self.read(prefix, actions, forced)[0]

    def read(
        self,
        prefix: VlmPrefix,
        actions: Int64[Tensor, "batch tokens"],
        forced: Int64[Tensor, "batch tokens"] | None = None,
        reader: Reader | None = None,
    ) -> tuple[Float[Tensor, "batch tokens vocabulary"], Float[Tensor, "batch prefix width"]]:
        """The logits of `forward`, and what the same pass made of the prefix, which sees no action token.

        Args:
            reader: what reads in place of the backbone (`vla.model.beside`).
        """
        read = (reader or self.backbone).hidden
        num_prefix = prefix.tokens.shape[1]
        if self.head is Head.SLOTS:
            hidden = read(prefix, self.slot_inputs(len(actions), forced), False)
            return self.logits(hidden[:, num_prefix:]), hidden[:, :num_prefix]
        before = self.embed_actions(actions[:, :-1].clamp(min=0))
        hidden = read(prefix, before, True)
        return self.logits(hidden[:, num_prefix - 1 :]), hidden[:, :num_prefix]

    @property
    def end_id(self) -> int:
        """Ends an answer in words."""
        return self.backbone.config.prompt.end[0]

    def answer_logits(
        self, prefix: VlmPrefix, answers: Int64[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of every token of an answer in words, given the true ones before it.

        Args:
            answers: ids, the end included; -1 is padding.
        """
        hidden = self.backbone.hidden(prefix, self.answer_teacher(answers), True)
        return self.answer_logits_of(*hidden.tensor_split([prefix.tokens.shape[1]], dim=1))

    def answer_teacher(self, answers: Int64[Tensor, "batch tokens"]) -> Float[Tensor, "batch inputs width"]:
        """What is read to predict an answer behind its first token: each true token before the last."""
        return self.backbone.embed_words(answers[:, :-1].clamp(min=0))

    def answer_logits_of(
        self, prefix: Float[Tensor, "batch prefix width"], answer: Float[Tensor, "batch inputs width"]
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of an answer, of the hidden states of a prefix and of `answer_teacher` behind it."""
        hidden = torch.cat([prefix[:, -1:], answer], dim=1)
        return self.logits(hidden) if self.head.has_tokens else self.logits_of_words(hidden)

    def logits(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens vocabulary"]:
        """Of words, then of action tokens."""
        return torch.cat([self.logits_of_words(hidden), self.logits_of_actions(hidden)], dim=-1)

    def logits_of_words(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens words"]:
        """Of words alone; an id that is given up for an action is never said."""
        words = self.backbone.word_logits(hidden)
        if self._first is None:
            return words
        given_up = torch.arange(words.shape[-1], device=words.device) - self._first
        is_action = (given_up >= 0) & (given_up < self.vocabulary.num_action)
        return words.masked_fill(is_action, torch.finfo(words.dtype).min)

    def logits_of_actions(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens actions"]:
        """Of action tokens alone."""
        if self._first is None:
            return self.backbone.capped(self.action_logits(hidden))
        rows = slice(self._first, self._first + self.vocabulary.num_action)
        logits = self.backbone.capped(self.backbone.raw_word_logits(hidden, rows))
        return logits.flip(-1) if self.backbone.config.do_actions_descend else logits
