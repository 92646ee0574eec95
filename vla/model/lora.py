"""Low-rank adapters: a model is adapted by few weights, and the others stay as they are, byte for byte.

    layer(x) = W x + b                  frozen
             + alpha / rank * B A x     trained; B begins as zeros, so that training begins with the model as it was

Merging writes W + alpha / rank * B A in place of W. Names of frozen weights do not change.

Source: LoRA (arXiv:2106.09685). peft does this for models of transformers; ours does it for every linear layer here,
the compact backbone's too, and can be written to a checkpoint as any weight.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vla.errors import ConfigError


@dataclasses.dataclass
class AdapterConfig:
    """Which weights adapt, and how."""

    rank: int = 0
    """Of the adapters; 0 trains without any."""
    alpha: float = 16.0
    """Adapters count alpha / rank times."""
    targets: list[str] = dataclasses.field(default_factory=list)
    """Ends of the names of linear layers that get an adapter, as q_proj; all layers of the backbone if empty."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> AdapterConfig:
        """The configuration that `to_json` wrote."""
        return AdapterConfig(int(tree["rank"]), float(tree["alpha"]), [str(target) for target in tree["targets"]])


@dataclasses.dataclass(frozen=True)
class Share:
    """How many of a model's weights train."""

    trained: int
    total: int

    @staticmethod
    def of(model: nn.Module) -> Share:
        """As it is now."""
        parameters = list(model.parameters())
        trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        return Share(trained, sum(parameter.numel() for parameter in parameters))

    def __str__(self) -> str:
        return f"{self.trained:,} of {self.total:,} weights train ({self.trained / max(self.total, 1):.2%})"


class LoraLinear(nn.Module):
    """A linear layer that stays as it is, and its adapter."""

    bias: Tensor | None

    def __init__(self, layer: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.weight, self.scale = layer.weight, alpha / rank
        self.register_parameter("bias", layer.bias)
        self.lora_down = nn.Parameter(torch.empty(rank, layer.in_features, device=layer.weight.device))
        self.lora_up = nn.Parameter(torch.zeros(layer.out_features, rank, device=layer.weight.device))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "*places width"]) -> Float[Tensor, "*places out"]:
        added = functional.linear(functional.linear(x, self.lora_down), self.lora_up)
        return functional.linear(x, self.weight, self.bias) + self.scale * added

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A linear layer that does the same."""
        out, width = self.weight.shape
        layer = nn.Linear(width, out, bias=self.bias is not None, device=self.weight.device, dtype=self.weight.dtype)
        layer.weight.copy_(self.weight + self.scale * (self.lora_up @ self.lora_down))
        if self.bias is not None:
            layer.bias.copy_(self.bias)
        return layer


def adapt(model: nn.Module, config: AdapterConfig, published: tuple[str, ...]) -> None:
    """Freeze published weights, and put adapters beside their linear layers; without a rank, do nothing.

    Args:
        published: beginnings of the names of weights that were there before this robot: these freeze, and their
            linear layers adapt. All others train.

    Raises:
        ConfigError: if nothing is of a name that the configuration gives, or the rank is negative.
    """
    if config.rank < 0:
        raise ConfigError(f"adapter.rank={config.rank}: expected 0 or more")
    if config.rank == 0:
        return
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(published))
    _add_adapters(model, config, published)


def _add_adapters(model: nn.Module, config: AdapterConfig, published: tuple[str, ...]) -> None:
    layers = {
        name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear and name.startswith(published)
    }
    chosen = [name for name in layers if not config.targets or name.endswith(tuple(config.targets))]
    lonely = [target for target in config.targets if not any(name.endswith(target) for name in layers)]
    if lonely or not chosen:
        ends = sorted({name.rpartition(".")[2] for name in layers})
        raise ConfigError(f"no linear layer ends in {', '.join(lonely) or 'anything'} (ends: {', '.join(ends)})")
    for name in chosen:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, LoraLinear(layers[name], config.rank, config.alpha))


def merge(model: nn.Module) -> int:
    """Put plain linear layers in place of those with adapters, and say how many there were."""
    adapted = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLinear)}
    for name, layer in adapted.items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer.merged())
    return len(adapted)
