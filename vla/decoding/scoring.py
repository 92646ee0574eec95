"""How likely given tokens are under a model and a grammar: nothing is chosen, every distribution is looked up.

    slots            one pass; the slots do not read the tokens that are scored, only those that are forced
    autoregressive   the prefix, then one pass over all tokens, each after the true ones before it

The numbers are those of `Decoded.log_probability` for tokens that decoding has chosen itself.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vla.decoding.choosing import Chooser
from vla.decoding.grammar_table import GrammarTable
from vla.decoding.token_model import EmbeddedPrefix, TokenModel
from vla.interfaces import PADDING_ID
from vla.model.vla_model import Head


@torch.no_grad()
def score(
    model: TokenModel,
    table: GrammarTable,
    chooser: Chooser,
    prefix: EmbeddedPrefix,
    ids: Int64[Tensor, "batch tokens"],
    forced: Int64[Tensor, "batch tokens"],
) -> Float[Tensor, "batch tokens"]:
    """The log-probability (nats) of each id where it stands; 0 behind the end of a row, -inf where it is not allowed.

    Args:
        ids: padded with -1.
        forced: ids that the model knew beforehand, -1 where it knew none.
    """
    if model.head is Head.SLOTS:
        logits = model.slots(prefix.tokens, prefix.is_padding, forced)
    else:
        logits = _after_true_tokens(model, prefix, ids)
    state, found = torch.zeros_like(ids[:, 0]), []
    for index, column in enumerate(ids.unbind(1)):
        remaining = torch.full((1,), table.max_tokens - index, device=ids.device)
        masked = chooser.mask(logits[:, index], table.allowed(state, remaining))
        known = column.clamp(min=0)
        own = masked.log_softmax(-1).gather(1, known[:, None])[:, 0]
        found.append(own.masked_fill(column == PADDING_ID, 0))
        state = torch.where(column == PADDING_ID, table.end, table.next_state[state, known])
    return torch.stack(found, dim=1)


def _after_true_tokens(
    model: TokenModel, prefix: EmbeddedPrefix, ids: Int64[Tensor, "batch tokens"]
) -> Float[Tensor, "batch tokens actions"]:
    cache = model.new_cache(prefix.tokens, ids.shape[1])
    first = model.start(prefix.tokens, prefix.is_padding, cache)[:, None]
    if ids.shape[1] == 1:
        return first
    index = torch.arange(1, ids.shape[1], device=ids.device)
    return torch.cat([first, model.extend(ids[:, :-1].clamp(min=0), index, cache)], dim=1)
