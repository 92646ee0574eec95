"""A pre-norm transformer over one sequence, with a key-value cache that its caller owns.

Positions are not added here: whoever embeds a token says where it stands.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


@dataclasses.dataclass
class KeyValueCache:
    """Keys and values of all layers, preallocated; `length` tokens are filled in."""

    keys: Float[Tensor, "layers batch heads capacity head_dim"]
    values: Float[Tensor, "layers batch heads capacity head_dim"]
    length: int = 0

    @staticmethod
    def allocate(transformer: Transformer, batch: int, capacity: int, like: Tensor) -> KeyValueCache:
        """An empty cache for `capacity` tokens, on the device and of the type of `like`."""
        shape = (len(transformer.blocks), batch, transformer.heads, capacity, transformer.head_dim)
        return KeyValueCache(like.new_zeros(shape), like.new_zeros(shape))


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        blocked: Bool[Tensor, "#batch #heads #tokens seen"] | None,
        past: tuple[Tensor, Tensor] | None,
        start: int,
    ) -> Float[Tensor, "batch tokens width"]:
        qkv = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)  # each (batch, heads, tokens, head_dim)
        if past is not None:
            end = start + key.shape[2]
            past[0][:, :, start:end] = key
            past[1][:, :, start:end] = value
            key, value = past[0][:, :, :end], past[1][:, :, :end]
        mixed = attend(query, key, value, blocked)
        return self.out(mixed.transpose(1, 2).flatten(2))


def attend(
    query: Float[Tensor, "batch heads tokens head_dim"],
    key: Float[Tensor, "batch heads seen head_dim"],
    value: Float[Tensor, "batch heads seen head_dim"],
    blocked: Bool[Tensor, "#batch #heads #tokens seen"] | None,
) -> Float[Tensor, "batch heads tokens head_dim"]:
    """softmax(QKᵀ/√d)V, with no weight where `blocked`."""
    if query.is_cuda:
        allowed = None if blocked is None else ~blocked
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    # The fused kernel's bf16 backward is several times slower than these three lines on a CPU.
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if blocked is not None:
        scores = scores.masked_fill(blocked, torch.finfo(scores.dtype).min)
    return scores.softmax(-1).to(value.dtype) @ value


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each around a residual."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        # ReLU: its backward is a fraction of GELU's on a CPU.
        self.mlp = nn.Sequential(nn.Linear(width, mlp_ratio * width), nn.ReLU(), nn.Linear(mlp_ratio * width, width))

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        blocked: Bool[Tensor, "#batch #heads #tokens seen"] | None,
        past: tuple[Tensor, Tensor] | None = None,
        start: int = 0,
    ) -> Float[Tensor, "batch tokens width"]:
        x = x + self.attention(self.norm_attention(x), blocked, past, start)
        return x + self.mlp(self.norm_mlp(x))


class Transformer(nn.Module):
    """A stack of blocks and a final norm."""

    def __init__(self, width: int, layers: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got {width} and {heads}")
        self.heads, self.head_dim = heads, width // heads
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        blocked: Bool[Tensor, "#batch #heads #tokens seen"] | None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Hidden states of `x`, which continues the cached tokens if there is a cache.

        Args:
            blocked: True where the row's token may not attend to the column's; `seen` counts the cached tokens first.
            cache: read and appended to in place.
        """
        start = cache.length if cache is not None else 0
        for index, block in enumerate(self.blocks):
            past = (cache.keys[index], cache.values[index]) if cache is not None else None
            x = block(x, blocked, past, start)
        if cache is not None:
            cache.length += x.shape[1]
        return self.norm(x)
