"""Constrained decoding: in every state of the grammar, one id among those allowed.

The grammar is a table on the device; choosing a token is a look-up, a mask and a reduction. What comes out is therefore
always a sentence of the grammar, which the tokenizer decodes to exactly one chunk. The decoder knows ids, not robots.
"""

from __future__ import annotations

import dataclasses
import enum

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vla.interfaces import Grammar
from vla.model.compact import Prefix
from vla.model.vla_model import Head, VlaModel


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Action tokens, and how sure the model was of each."""

    ids: Int64[Tensor, "batch tokens"]
    """As the action tokenizer numbers them."""
    log_probability: Float[Tensor, "batch tokens"]
    """Of each chosen id, among those allowed there."""
    entropy: Float[Tensor, "batch tokens"]
    """Of the choice among those allowed, in nats."""


class Choice(enum.Enum):
    """Which id is taken from a distribution over the allowed ones."""

    MODE = "mode"
    """The most likely one."""
    MEDIAN = "median"
    """The first one that half of the probability does not lie beyond: for ids whose order means something, as that of
    bins does, the choice with the least expected distance. A mode flips between "stay" and "full speed" where the
    distribution has a peak at each; the median goes to the middle of the belief."""


class TokenDecoder:
    """Deterministic decoding under a grammar, by either head."""

    def __init__(self, model: VlaModel, grammar: Grammar, choice: Choice = Choice.MODE) -> None:
        if grammar.next_state.shape[1] != model.vocabulary.num_action:
            raise ValueError(
                f"the grammar speaks of {grammar.next_state.shape[1]} action tokens, "
                f"the model of {model.vocabulary.num_action}"
            )
        self._model, self._choice = model, choice
        self._next_state = torch.from_numpy(grammar.next_state.astype("int64")).to(model.slots.device)
        self._num_tokens = grammar.max_tokens

    @torch.no_grad()
    def decode(self, prefix: Prefix, forced: Int64[Tensor, "batch forced"] | None = None) -> Decoded:
        """The chosen allowed tokens after a prefix.

        Args:
            forced: ids that the sequence must begin with, for instance of actions already under way.
        """
        batch = len(prefix.tokens)
        num_forced = 0 if forced is None else forced.shape[1]
        step_logits = self._slots(prefix) if self._model.head is Head.SLOTS else None
        cache = None if step_logits is not None else self._model.backbone.prefill(prefix, self._num_tokens)
        state = torch.zeros(batch, dtype=torch.int64, device=prefix.tokens.device)
        token: Tensor | None = None
        chosen: list[tuple[Tensor, Tensor, Tensor]] = []
        for index in range(self._num_tokens):
            if step_logits is not None:
                logits = step_logits[:, index]
            else:
                assert cache is not None
                new = self._model.next_input(token, batch, index).to(prefix.tokens.dtype)
                logits = self._action_logits(self._model.backbone.extend(prefix, cache, new, is_causal=True))[:, 0]
            log_probability = logits.masked_fill(self._next_state[state] < 0, -torch.inf).log_softmax(-1)
            token = forced[:, index] if forced is not None and index < num_forced else self._choose(log_probability)
            entropy = -(log_probability.exp() * log_probability.clamp(min=-1e4)).sum(-1)
            chosen.append((token, log_probability.gather(1, token[:, None])[:, 0], entropy))
            state = self._next_state[state, token]
        ids, log_probabilities, entropies = (torch.stack(parts, dim=1) for parts in zip(*chosen, strict=True))
        return Decoded(ids, log_probabilities, entropies)

    def _choose(self, log_probability: Float[Tensor, "batch actions"]) -> Int64[Tensor, " batch"]:
        if self._choice is Choice.MODE:
            return log_probability.argmax(-1)
        # Rounding may leave the whole sum a little below one, hence the last allowed id as a bound.
        below = log_probability.exp().cumsum(-1) < 0.5
        last = log_probability.shape[-1] - 1 - (log_probability > -torch.inf).flip(-1).int().argmax(-1)
        return torch.minimum(below.sum(-1), last)

    def _slots(self, prefix: Prefix) -> Float[Tensor, "batch tokens actions"]:
        slots = self._model.empty_slots(len(prefix.tokens)).to(prefix.tokens.dtype)
        cache = self._model.backbone.prefill(prefix, self._num_tokens)
        return self._action_logits(self._model.backbone.extend(prefix, cache, slots, is_causal=False))

    def _action_logits(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens actions"]:
        return self._model.logits(hidden)[..., self._model.vocabulary.num_text :].float()
