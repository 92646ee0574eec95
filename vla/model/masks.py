"""Who attends to whom, once for every backbone.

                 prefix             new
    prefix       all, or earlier    none
    new          all                all, or earlier

Nobody sees padding. What is new is a begin token or slots, which see each other, or tokens that follow one another.

                 prefix             new                  beside
    new          all                all, or earlier      none
    beside       all                none                 earlier
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def following(
    is_padding: Bool[Tensor, "batch prefix"], num_new: int, *, is_prefix_causal: bool, is_causal: bool = False
) -> Bool[Tensor, "batch 1 tokens tokens"]:
    """True where a token may not look, of a prefix and `num_new` tokens behind it.

    Args:
        is_causal: whether what is new sees only what came before.
    """
    num_prefix = is_padding.shape[1]
    place = torch.arange(num_prefix + num_new, device=is_padding.device)
    last_seen = place if is_prefix_causal else place.clamp(min=num_prefix - 1)
    last_seen = torch.where(place < num_prefix, last_seen, place if is_causal else num_prefix + num_new)
    hidden = torch.cat([is_padding, is_padding.new_zeros((len(is_padding), num_new))], dim=1)
    return (place > last_seen[:, None]) | hidden[:, None, None, :]


def side_by_side(
    is_padding: Bool[Tensor, "batch prefix"],
    num_new: int,
    num_beside: int,
    *,
    is_prefix_causal: bool,
    is_causal: bool,
) -> Bool[Tensor, "batch 1 tokens tokens"]:
    """True where a token may not look, of a prefix, what is new behind it, and what stands beside that.

    Args:
        is_causal: whether what is new sees only what came before.
    """
    blocked = following(is_padding, num_new + num_beside, is_prefix_causal=is_prefix_causal, is_causal=True)
    num_prefix = is_padding.shape[1]
    new, beside = slice(num_prefix, num_prefix + num_new), slice(num_prefix + num_new, None)
    if not is_causal:
        blocked[:, :, new, new] = False
    blocked[:, :, beside, new] = True
    return blocked


def as_bias(blocked: Bool[Tensor, "*any"], dtype: torch.dtype) -> Float[Tensor, "*any"]:
    """0 where not blocked; else the most negative number: a row that sees nothing is then an average, not NaN."""
    return torch.where(blocked, torch.finfo(dtype).min, torch.zeros((), dtype=dtype, device=blocked.device))
