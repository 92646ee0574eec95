"""Attention of `transformers`' models as they train on a CPU.

softmax(QKᵀ·scale + mask)V in three lines where a gradient in bf16 is to follow: the backward pass of torch's fused
kernel is several times slower there. Everywhere else it is that kernel, called as `transformers` calls it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

FUSED, NAME = "sdpa", "sdpa-but-in-training-on-a-cpu"
"""Among `transformers`' implementations of attention."""


def attention_named(name: str) -> str:
    """The implementation to ask for where a family asks for `name`: `transformers` knows it from now on."""
    if name != FUSED:
        return name
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
    from transformers.modeling_utils import AttentionInterface

    fused: Any = sdpa_attention_forward

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, None]:
        """What `transformers` asks of every implementation: (batch, tokens, heads, head_dim), and no weights."""
        if attention_mask is None or options.get("dropout") or not _is_trained_slowly(query, key):
            return fused(module, query, key, value, attention_mask, **options)
        return _plain(query, key, value, attention_mask, options["scaling"]), None

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def _is_trained_slowly(query: Tensor, key: Tensor) -> bool:
    trains = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad)
    return trains and query.device.type == "cpu" and query.dtype is torch.bfloat16


def _plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(groups, dim=1) if groups > 1 else part for part in (key, value))
    scores = (query * scaling) @ key.transpose(-1, -2)  # (batch, heads, tokens, seen)
    is_told = mask.dtype is torch.bool  # where to look; else what is added
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if is_told else scores + mask
    return (scores.softmax(-1).to(value.dtype) @ value).transpose(1, 2).contiguous()
