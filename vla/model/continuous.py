"""Heads that say actions as numbers, in normalised units, beside those that say them as tokens.

    regression   [prefix][slot 0 ... slot H-1] ─► backbone ─► perceptron ─► chunk

    flow         [prefix] ─► backbone ─► features ────────────────┐ every layer of the expert attends to these,
                 noise x(0) ─► expert ─► x(1/K) ─► ... ─► x(1) = chunk           and actions to each other

Who attends to whom is said by shapes: a prefix never sees what follows it, so that its hidden states are the same
whatever head stands behind them, and a text answer may be read from the same prefix.

Actions that are committed to are known: regression reads them in their slots, the flow holds them at their values and
at flow time 1 while the others come out of the noise (in-painting; arXiv:2512.05964 trains it, as `committed_share`
does here).

Sources: L1 regression from parallel slots is OpenVLA-OFT's (arXiv:2502.19645); flow matching with an expert that
attends to a vision-language model is π0's (arXiv:2410.24164), there to keys and values of every layer, here to the
hidden states of the last.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from vla.model.transformer import attend

LONGEST_PERIOD, SHORTEST_PERIOD = 4.0, 4e-3
"""Of the waves that tell the expert the flow time, which runs from 0 to 1."""
NUM_PERIODS = 16
LAST_TIME = 0.999
"""The largest flow time that is trained."""


@dataclasses.dataclass
class ExpertConfig:
    """The size of the action expert of the heads `flow` and `insulated`."""

    width: int = 128
    """Of every action token in the expert."""
    layers: int = 3
    heads: int = 4
    mlp_ratio: int = 2
    euler_steps: int = 10
    """Steps from noise to actions; each costs one pass of the expert, none of the backbone."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> ExpertConfig:
        """The configuration that `to_json` wrote; what it lacks has its default."""
        return ExpertConfig(**tree)


@dataclasses.dataclass(frozen=True)
class Committed:
    """Actions of a chunk that are known beforehand."""

    actions: Float[Tensor, "batch horizon action_dim"]
    """Normalised; what is not known is any finite number."""
    is_known: Bool[Tensor, "batch horizon"]


@dataclasses.dataclass(frozen=True)
class ChunkTargets:
    """What a continuous head learns from: all randomness of a step is in here."""

    actions: Float[Tensor, "batch horizon action_dim"]
    """Normalised."""
    is_committed: Bool[Tensor, "batch horizon"]
    is_padding: Bool[Tensor, "batch horizon"]
    """What does not count: past the end of the episode, or committed to."""
    noise: Float[Tensor, "batch horizon action_dim"]
    """Where the flow begins."""
    time: Float[Tensor, " batch"]
    """How far it has come: 0 is noise, 1 the actions."""

    @property
    def committed(self) -> Committed:
        return Committed(self.actions, self.is_committed)


@runtime_checkable
class Reader(Protocol):
    """What of a backbone a continuous head asks for."""

    @property
    def width(self) -> int:
        """Of hidden states."""
        ...

    def hidden(
        self, prefix: Any, new: Float[Tensor, "batch new width"], is_causal: bool
    ) -> Float[Tensor, "batch tokens width"]:
        """Hidden states of a prefix and of what follows it."""
        ...

    def forward(
        self, prefix: Any, slots: Float[Tensor, "batch slots width"], is_causal: bool
    ) -> Float[Tensor, "batch slots width"]:
        """Hidden states of what follows a prefix alone."""
        ...


@runtime_checkable
class ContinuousHead(Protocol):
    """Says a chunk as numbers, given a prefix."""

    def predict(
        self, backbone: Reader, prefix: Any, noise: Float[Tensor, "batch horizon action_dim"], committed: Committed
    ) -> Float[Tensor, "batch horizon action_dim"]:
        """The chunk in normalised units; where it is committed to, it need not be exact.

        Args:
            noise: what a head that draws from a distribution begins with.
        """
        ...


class RegressionHead(nn.Module):
    """One slot an action, read by the backbone together; the chunk in one pass."""

    def __init__(self, width: int, horizon: int, action_dim: int) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.randn(horizon, width) * 0.02)
        self.known = nn.Linear(action_dim, width)
        self.read = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, action_dim))

    def predict(
        self, backbone: Reader, prefix: Any, noise: Float[Tensor, "batch horizon action_dim"], committed: Committed
    ) -> Float[Tensor, "batch horizon action_dim"]:
        """See `ContinuousHead`; the noise is not looked at."""
        known = self.known(committed.actions) * committed.is_known[..., None]
        slots = self.slots + known  # (batch, horizon, width)
        return self.read(backbone.forward(prefix, slots, False)).float()

    def loss(
        self, backbone: Reader, prefix: Any, targets: ChunkTargets, count: Int64[Tensor, ""] | None = None
    ) -> Float[Tensor, ""]:
        """Mean absolute difference over the numbers that count; see `mean_over`."""
        found = self.predict(backbone, prefix, targets.noise, targets.committed)
        return mean_over((found - targets.actions).abs(), targets.is_padding, count)


class FlowHead(nn.Module):
    """A velocity field from noise to actions, which a small expert reads off the prefix's hidden states.

    x(τ) = τ actions + (1 - τ) noise        dx/dτ = actions - noise,  which the expert learns to say
    """

    def __init__(self, config: ExpertConfig, width: int, horizon: int, action_dim: int) -> None:
        super().__init__()
        own = config.width
        if own % config.heads:
            raise ValueError(f"expert.width must be a multiple of expert.heads, got {own} and {config.heads}")
        self.config = config
        self.enter = nn.Sequential(nn.Linear(action_dim + 2 * NUM_PERIODS, own), nn.ReLU(), nn.Linear(own, own))
        self.place = nn.Parameter(torch.randn(horizon, own) * 0.02)
        self.blocks = nn.ModuleList(
            ExpertBlock(own, width, config.heads, config.mlp_ratio) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(own)
        self.leave = nn.Linear(own, action_dim)
        nn.init.zeros_(self.leave.weight)  # the first velocity is 0, whatever the noise
        nn.init.zeros_(self.leave.bias)

    def predict(
        self, backbone: Reader, prefix: Any, noise: Float[Tensor, "batch horizon action_dim"], committed: Committed
    ) -> Float[Tensor, "batch horizon action_dim"]:
        """See `ContinuousHead`: Euler steps from the noise."""
        context = self.context(features_of(backbone, prefix), prefix.is_padding)
        num_steps, x = self.config.euler_steps, noise
        for step in range(num_steps):
            time = torch.full_like(noise[..., 0], step / num_steps).masked_fill(committed.is_known, 1.0)
            x = torch.where(committed.is_known[..., None], committed.actions, x)
            x = x + self.velocity(x, time, context) / num_steps
        return x

    def loss(
        self,
        features: Float[Tensor, "batch prefix width"],
        is_padding: Bool[Tensor, "batch prefix"],
        targets: ChunkTargets,
        count: Int64[Tensor, ""] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean squared difference of velocities over the numbers that count; see `mean_over`."""
        time = targets.time[:, None].expand(targets.is_committed.shape).masked_fill(targets.is_committed, 1.0)
        x = time[..., None] * targets.actions + (1 - time[..., None]) * targets.noise
        velocity = self.velocity(x, time, self.context(features, is_padding))
        return mean_over((velocity - (targets.actions - targets.noise)).square(), targets.is_padding, count)

    def context(
        self, features: Float[Tensor, "batch prefix width"], is_padding: Bool[Tensor, "batch prefix"]
    ) -> Context:
        """What all Euler steps attend to, computed once."""
        blocked = torch.cat([is_padding, is_padding.new_zeros((len(is_padding), len(self.place)))], dim=1)
        return Context([cast(ExpertBlock, block).look(features) for block in self.blocks], blocked[:, None, None, :])

    def velocity(
        self,
        x: Float[Tensor, "batch horizon action_dim"],
        time: Float[Tensor, "batch horizon"],
        context: Context,
    ) -> Float[Tensor, "batch horizon action_dim"]:
        """dx/dτ at flow time τ, which every action has for itself."""
        state = self.enter(torch.cat([x, waves(time)], dim=-1)) + self.place
        for block, seen in zip(self.blocks, context.keys_values, strict=True):
            state = block(state, seen, context.blocked)
        return self.leave(self.norm(state)).float()


@dataclasses.dataclass(frozen=True)
class Context:
    """Keys and values of a prefix in every layer of the expert, and where there is nothing to see."""

    keys_values: list[tuple[Tensor, Tensor]]
    """Each (batch, heads, prefix, head_dim)."""
    blocked: Bool[Tensor, "batch 1 1 seen"]


class ExpertBlock(nn.Module):
    """Attention to the prefix and to all actions, then a two-layer perceptron, each around a residual."""

    def __init__(self, width: int, width_prefix: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.key_value_prefix = nn.Linear(width_prefix, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_ratio * width), nn.ReLU(), nn.Linear(mlp_ratio * width, width))

    def look(self, features: Float[Tensor, "batch prefix width"]) -> tuple[Tensor, Tensor]:
        """Keys and values of a prefix: each (batch, heads, prefix, head_dim)."""
        key, value = self.key_value_prefix(features).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return key, value

    def forward(
        self,
        x: Float[Tensor, "batch horizon width"],
        seen: tuple[Tensor, Tensor],
        blocked: Bool[Tensor, "batch 1 1 seen"],
    ) -> Float[Tensor, "batch horizon width"]:
        qkv = self.query_key_value(self.norm_attention(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)  # each (batch, heads, horizon, head_dim)
        mixed = attend(query, torch.cat([seen[0], key], dim=2), torch.cat([seen[1], value], dim=2), blocked)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_mlp(x))


def features_of(backbone: Reader, prefix: Any) -> Float[Tensor, "batch prefix width"]:
    """Hidden states of a prefix with nothing behind it; what stood behind it would not change them."""
    tokens = prefix.tokens  # some families' prefixes are several widths wide
    return backbone.hidden(prefix, tokens.new_zeros((len(tokens), 0, backbone.width)), False)


def waves(time: Float[Tensor, "batch horizon"]) -> Float[Tensor, "batch horizon waves"]:
    """Sines and cosines of the flow time, from waves longer than it to such as tell a thousandth."""
    ratio = torch.linspace(0, 1, NUM_PERIODS, device=time.device, dtype=time.dtype)
    period = LONGEST_PERIOD * (SHORTEST_PERIOD / LONGEST_PERIOD) ** ratio
    angle = 2 * math.pi * time[..., None] / period
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def draw_times(count: int, generator: torch.Generator) -> Float[Tensor, " count"]:
    """Flow times to train at: more of them near the noise, where there is most to decide.

    τ = 0.999 (1 - u^(2/3)) for a uniform u, so that (0.999 - τ) / 0.999 is distributed as Beta(1.5, 1).

    Source: arXiv:2410.24164, appendix B.
    """
    return LAST_TIME * (1 - torch.rand(count, generator=generator) ** (2 / 3))


def mean_over(
    errors: Float[Tensor, "batch horizon action_dim"],
    is_padding: Bool[Tensor, "batch horizon"],
    count: Int64[Tensor, ""] | None = None,
) -> Float[Tensor, ""]:
    """The mean over what is not padding; 0 if all is.

    Args:
        count: actions that the sum is divided by, where this is a part of a batch; those here if not given.
    """
    keep = ~is_padding[..., None]
    count = keep.sum() if count is None else count
    return (errors * keep).sum() / (count * errors.shape[-1]).clamp(min=1)
