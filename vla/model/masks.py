"""Who attends to whom, once for every backbone.

                 prefix             new
    prefix       all, or earlier    none
    new          all                all of them

Nobody sees padding. What is new is a begin token, or slots; tokens that follow one after the other see by the cache.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def following(
    is_padding: Bool[Tensor, "batch prefix"], num_new: int, *, is_prefix_causal: bool
) -> Bool[Tensor, "batch 1 tokens tokens"]:
    """True where a token may not look, of a prefix and `num_new` tokens behind it."""
    num_prefix = is_padding.shape[1]
    place = torch.arange(num_prefix + num_new, device=is_padding.device)
    last_seen = place if is_prefix_causal else place.clamp(min=num_prefix - 1)
    last_seen = torch.where(place < num_prefix, last_seen, num_prefix + num_new)
    hidden = torch.cat([is_padding, is_padding.new_zeros((len(is_padding), num_new))], dim=1)
    return (place > last_seen[:, None]) | hidden[:, None, None, :]


def as_bias(blocked: Bool[Tensor, "*any"], dtype: torch.dtype) -> Float[Tensor, "*any"]:
    """0 where not blocked; else the most negative number: a row that sees nothing is then an average, not NaN."""
    return torch.where(blocked, torch.finfo(dtype).min, torch.zeros((), dtype=dtype, device=blocked.device))
