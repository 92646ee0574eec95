"""Flamingo's resampler: a fixed number of learned queries that read all tokens (arXiv:2204.14198).

Padding is never read; where all is padding, so is what comes out.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from vla.errors import ConfigError


class PerceiverResampler(nn.Module):
    """Learned queries that attend to all tokens and to each other, then think, in a few rounds."""

    def __init__(self, seen: int, width: int, num_queries: int, *, rounds: int = 2, heads: int = 4) -> None:
        super().__init__()
        if num_queries < 1 or width % heads:
            raise ConfigError(
                f"a resampler needs a query and {heads} heads that divide {width}, got {num_queries} queries"
            )
        self.heads = heads
        self.queries = nn.Parameter(torch.randn(num_queries, width) * 0.02)
        self.entry = nn.Linear(seen, width)
        self.rounds = nn.ModuleList(_Round(width, heads) for _ in range(rounds))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "batch tokens seen"], is_padding: Bool[Tensor, "batch tokens"], grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "batch queries width"], Bool[Tensor, "batch queries"]]:
        """One token a query; all of them are padding where everything seen is."""
        seen, found = self.entry(x), self.queries.to(x.dtype).expand(len(x), -1, -1)
        for each in self.rounds:
            found = each(found, seen, is_padding)
        return self.norm(found), is_padding.all(1, keepdim=True).expand(-1, found.shape[1])

    def grid_of(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of what comes out: the queries have no shape."""
        return 1, len(self.queries)


class _Round(nn.Module):
    """Cross-attention over what is seen and the queries themselves, then a perceptron, each around a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_query, self.norm_seen, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self,
        found: Float[Tensor, "batch queries width"],
        seen: Float[Tensor, "batch tokens width"],
        is_padding: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch queries width"]:
        own = self.norm_query(found)
        query = self._by_head(self.query(own))
        key, value = self.key_value(torch.cat([self.norm_seen(seen), own], dim=1)).chunk(2, dim=-1)
        is_real = torch.cat([~is_padding, is_padding.new_ones(own.shape[:2])], dim=1)[:, None, None]
        mixed = functional.scaled_dot_product_attention(
            query, self._by_head(key), self._by_head(value), attn_mask=is_real.expand(-1, -1, query.shape[2], -1)
        )
        found = found + self.out(mixed.transpose(1, 2).flatten(2))
        return found + self.mlp(self.norm_mlp(found))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
