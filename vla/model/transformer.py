"""A pre-norm transformer over one sequence, with a key-value cache that its caller owns.

Positions are not added here: whoever embeds a token says where it stands.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from vla.model.cache import KeyValueCache, LayerCache

Mask = Bool[Tensor, "#batch #heads #tokens seen"] | Float[Tensor, "#batch #heads #tokens seen"]
"""True where the row's token may not attend to the column's; or what is added to the scores."""


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
        blocked: Mask | None,
        past: LayerCache | None = None,
        place: Int64[Tensor, " tokens"] | None = None,
        num_wanted: int | None = None,
    ) -> Float[Tensor, "batch wanted width"]:
        qkv = linear(self.query_key_value, x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)  # each (batch, heads, tokens, head_dim)
        if past is not None:
            key, value = past.write(key, value, place)
        if num_wanted is not None:
            query, blocked = query[:, :, -num_wanted:], None if blocked is None else blocked[:, :, -num_wanted:]
        mixed = attend(query, key, value, blocked)
        return linear(self.out, mixed.transpose(1, 2).flatten(2))


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
        blocked: Mask | None,
        past: LayerCache | None = None,
        place: Int64[Tensor, " tokens"] | None = None,
        num_wanted: int | None = None,
    ) -> Float[Tensor, "batch wanted width"]:
        mixed = self.attention(self.norm_attention(x), blocked, past, place, num_wanted)
        x = (x if num_wanted is None else x[:, -num_wanted:]) + mixed
        widen, _, narrow = self.mlp
        return x + linear(narrow, torch.relu_(linear(widen, self.norm_mlp(x))))


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
        blocked: Mask | None,
        cache: KeyValueCache | None = None,
        place: Int64[Tensor, " tokens"] | None = None,
        num_wanted: int | None = None,
    ) -> Float[Tensor, "batch wanted width"]:
        """Hidden states of `x`.

        Args:
            cache: the keys and values of `x` are written to it.
            place: where in the cache; `x` then attends to all places, else to itself alone, as the first in the cache.
            num_wanted: of the last tokens, whose hidden states are returned; all of them if not given. The others
                pass only as far as their keys and values.
        """
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            past = None if cache is None else cache.layers[index]
            x = block(x, blocked, past, place, num_wanted if index == last else None)
        return self.norm(x)

    def new_cache(self, prefix: Float[Tensor, "batch prefix width"], num_tokens: int) -> KeyValueCache:
        """An empty cache for a prefix and `num_tokens` tokens behind it."""
        return KeyValueCache.allocate(
            prefix, num_tokens, layers=len(self.blocks), heads=self.heads, head_dim=self.head_dim
        )


def attend(
    query: Float[Tensor, "batch heads tokens head_dim"],
    key: Float[Tensor, "batch heads seen head_dim"],
    value: Float[Tensor, "batch heads seen head_dim"],
    blocked: Mask | None,
) -> Float[Tensor, "batch heads tokens head_dim"]:
    """softmax(QKᵀ/√d)V, with no weight where `blocked`."""
    if query.shape[2] == 1 and not query.is_cuda and torch.compiler.is_compiling():
        return _attend_one(query, key, value, blocked)
    if query.is_cuda or not torch.is_grad_enabled():
        allowed = ~blocked if blocked is not None and blocked.dtype is torch.bool else blocked
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    # The fused kernel's bf16 backward is several times slower than these three lines on a CPU.
    scores = _masked((query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2), blocked)
    return scores.softmax(-1).to(value.dtype) @ value


def _attend_one(query: Tensor, key: Tensor, value: Tensor, blocked: Mask | None) -> Tensor:
    """For one query a head, as sums: inductor makes of them loops that stream keys and values once."""
    scores = _masked((query * query.shape[-1] ** -0.5 * key).sum(-1).unsqueeze(2), blocked)
    return (scores.softmax(-1).to(value.dtype).transpose(-1, -2) * value).sum(2, keepdim=True)


def _masked(scores: Tensor, blocked: Mask | None) -> Tensor:
    if blocked is None:
        return scores
    if blocked.dtype is torch.bool:
        return scores.masked_fill(blocked, torch.finfo(scores.dtype).min)
    return scores + blocked


def linear(layer: nn.Module, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens out"]:
    """What a linear layer, of any storage, makes of `x`."""
    return project(x, layer.weight, layer.bias) if type(layer) is nn.Linear else layer(x)


def project(
    x: Float[Tensor, "batch tokens width"], weight: Float[Tensor, "out width"], bias: Float[Tensor, " out"] | None
) -> Float[Tensor, "batch tokens out"]:
    """xWᵀ + b.

    For one row on a CPU, inductor's loop over the weights is faster than the library's matrix product, whose calls cost
    as much as the work; written as a sum, it also becomes one loop with what comes before and after.
    """
    if x.shape[0] * x.shape[1] == 1 and not x.is_cuda and torch.compiler.is_compiling():
        product = (x[0] * weight).sum(-1)[None, None]
        return product if bias is None else product + bias
    return functional.linear(x, weight, bias)
