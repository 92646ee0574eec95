"""From what a tower sees to what a language model reads: how many tokens, and what each is made of.

    mlp         every token through two layers, in its place                    (LLaVA 1.5, arXiv:2310.03744)
    pooled      the same behind a mean over neighbours: a quarter of the tokens (pool-adapter, arXiv:2311.06791)
    resampler   a fixed number of learned queries that read all tokens          (Flamingo, arXiv:2204.14198)
    q_former    the same by BLIP-2's transformer, as `transformers` has it      (BLIP-2, arXiv:2301.12597)
    causal_resampler   a fixed number of queries that read the frames of the last control steps (`causal_resampler.py`)

Padding is never read; a token made of nothing but padding is padding.
"""

from __future__ import annotations

import enum

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from vla.errors import ConfigError
from vla.libraries import require_library
from vla.model.causal_resampler import CausalResampler
from vla.model.perceiver import PerceiverResampler

Seen = tuple[Float[Tensor, "batch connected width"], Bool[Tensor, "batch connected"]]
"""Tokens, and which of them are padding."""


class ConnectorKind(enum.Enum):
    """What stands between a tower's own connector and the language model."""

    OWN = "own"
    """Nothing more than the model's own connector."""
    MLP = "mlp"
    """Two layers, token by token."""
    POOLED = "pooled"
    """A mean over two by two neighbours, then two layers."""
    RESAMPLER = "resampler"
    """A fixed number of queries, whatever the picture's size."""
    Q_FORMER = "q_former"
    """The same by BLIP-2's transformer: queries see each other in every block, and the picture in every second."""
    CAUSAL_RESAMPLER = "causal_resampler"
    """A fixed number of queries, whatever the history: they read the frames of the last control steps at once."""


class MlpProjector(nn.Module):
    """Two layers with GELU between them, token by token."""

    def __init__(self, seen: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(seen, width), nn.GELU(), nn.Linear(width, width))

    def forward(
        self, x: Float[Tensor, "batch tokens seen"], is_padding: Bool[Tensor, "batch tokens"], grid: tuple[int, int]
    ) -> Seen:
        """As many tokens as were seen."""
        return self.layers(x), is_padding

    def grid_of(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of what comes out."""
        return grid


class PooledProjector(nn.Module):
    """The mean of neighbours that are not padding, then two layers: positions stay, their number shrinks."""

    def __init__(self, seen: int, width: int, side: int = 2) -> None:
        super().__init__()
        self.side = side
        self.layers = nn.Sequential(nn.Linear(seen, width), nn.GELU(), nn.Linear(width, width))

    def forward(
        self, x: Float[Tensor, "batch tokens seen"], is_padding: Bool[Tensor, "batch tokens"], grid: tuple[int, int]
    ) -> Seen:
        """One token for each `side` by `side` neighbours; at the border, for what is left of them."""
        is_real = self._pooled((~is_padding)[..., None].to(x.dtype), grid)  # (batch, tokens, 1): their share
        shown = self._pooled(x.masked_fill(is_padding[..., None], 0.0), grid)
        return self.layers(shown / is_real.clamp(min=1e-6)), is_real[..., 0] == 0

    def _pooled(self, x: Float[Tensor, "batch tokens any"], grid: tuple[int, int]) -> Tensor:
        pictures = x.transpose(1, 2).unflatten(2, grid)
        pooled = functional.avg_pool2d(pictures, self.side, ceil_mode=True, count_include_pad=False)
        return pooled.flatten(2).transpose(1, 2)

    def grid_of(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of what comes out."""
        return -(-grid[0] // self.side), -(-grid[1] // self.side)


class QFormer(nn.Module):
    """BLIP-2's transformer between a tower and a language model, without words."""

    def __init__(self, seen: int, width: int, num_queries: int, *, layers: int = 2, heads: int = 4) -> None:
        """Make it with random weights.

        Raises:
            ConfigError: if `transformers` is not installed, there are no queries, or the heads do not divide the width.
        """
        super().__init__()
        if num_queries < 1 or width % heads:
            raise ConfigError(
                f"a q_former needs a query and {heads} heads that divide {width}, got {num_queries} queries"
            )
        require_library("transformers", what="connector=q_former", extra="backbones")
        from transformers import Blip2QFormerConfig, Blip2QFormerModel

        sizes = Blip2QFormerConfig(
            hidden_size=width,
            encoder_hidden_size=seen,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=width**-0.5,  # 0.02 would let little of a narrow picture through
        )
        self.queries = nn.Parameter(torch.randn(num_queries, width) * 0.02)
        self.former = Blip2QFormerModel(sizes)

    def forward(
        self, x: Float[Tensor, "batch tokens seen"], is_padding: Bool[Tensor, "batch tokens"], grid: tuple[int, int]
    ) -> Seen:
        """One token a query; all of them are padding where everything seen is."""
        found = self.former(
            query_embeds=self.queries.to(x.dtype).expand(len(x), -1, -1),
            encoder_hidden_states=x,
            encoder_attention_mask=(~is_padding).long(),
        ).last_hidden_state
        return found, is_padding.all(1, keepdim=True).expand(-1, found.shape[1])

    def grid_of(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of what comes out: the queries have no shape."""
        return 1, len(self.queries)


Connector = MlpProjector | PooledProjector | PerceiverResampler | QFormer | CausalResampler


def make_connector(kind: ConnectorKind, seen: int, width: int, num_tokens: int, history: int = 1) -> Connector | None:
    """The connector of this kind; none where the model's own is enough.

    Args:
        num_tokens: of a resampler.
        history: pictures of a camera that a resampler over time reads.
    """
    match kind:
        case ConnectorKind.OWN:
            return None
        case ConnectorKind.MLP:
            return MlpProjector(seen, width)
        case ConnectorKind.POOLED:
            return PooledProjector(seen, width)
        case ConnectorKind.RESAMPLER:
            return PerceiverResampler(seen, width, num_tokens)
        case ConnectorKind.Q_FORMER:
            return QFormer(seen, width, num_tokens)
        case ConnectorKind.CAUSAL_RESAMPLER:
            return CausalResampler(seen, width, num_tokens, history)
