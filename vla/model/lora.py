"""Adapters: a model is adapted by few weights, and the others stay as they are, byte for byte.

    layer(x) = W x + b                  frozen, in 8 or 4 bits if wished (`vla.model.quantization`)
             + alpha / rank * B A x     trained; B begins as zeros, so that training begins with the model as it was

    [pictures] [prompt: vectors that train] [words] [state]          prompt tuning: nothing else moves

Merging writes W + alpha / rank * B A in place of W: in full, also where W was kept in few bits. A prompt stays a part
of the model. Names of frozen weights do not change, but for those in few bits.

Sources: LoRA (arXiv:2106.09685), QLoRA (arXiv:2305.14314; ours differs in its 4 bits, which are steps of one size),
prompt tuning (arXiv:2104.08691). peft does this for models of transformers; ours does it for every linear layer here,
the compact backbone's too, and can be written to a checkpoint as any weight.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vla.errors import ConfigError
from vla.model.quantization import GROUP, Int4Linear, Int8Linear, Weights

PROMPT = "backbone.prompt"
"""The name of a prompt's vectors among a model's weights."""


@dataclasses.dataclass
class AdapterConfig:
    """Which weights adapt, and how."""

    rank: int = 0
    """Of the adapters; 0 trains without any."""
    alpha: float = 16.0
    """Adapters count alpha / rank times."""
    targets: list[str] = dataclasses.field(default_factory=list)
    """Ends of the names of linear layers that get an adapter, as q_proj; all layers of the backbone if empty."""
    weights: Weights = Weights.FULL
    """How the frozen weights of these layers are kept while training: full, int8, or int4 (QLoRA)."""
    prompt_tokens: int = 0
    """Vectors before the instruction that train; without adapters nothing else does (prompt tuning)."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"weights": self.weights.value}

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> AdapterConfig:
        """The configuration that `to_json` wrote; what it lacks has its default."""
        return AdapterConfig(
            int(tree["rank"]),
            float(tree["alpha"]),
            [str(target) for target in tree["targets"]],
            Weights(tree.get("weights", Weights.FULL.value)),
            int(tree.get("prompt_tokens", 0)),
        )

    def behind(self, start: AdapterConfig | None) -> AdapterConfig:
        """The configuration of a run that begins with a checkpoint: a prompt that it has stays.

        Args:
            start: of the checkpoint; None if the run begins with none.

        Raises:
            ConfigError: if the run wishes for a prompt of another length, or would train a prompt for random weights.
        """
        if start is None and self.prompt_tokens and not self.rank:
            raise ConfigError(
                "adapter.prompt_tokens trains nothing but the prompt: begin with a policy (init=), or give adapter.rank"
            )
        if start is None or not start.prompt_tokens:
            return self
        if self.prompt_tokens not in (0, start.prompt_tokens):
            raise ConfigError(
                f"the checkpoint to begin with has a prompt of {start.prompt_tokens} tokens, not {self.prompt_tokens}"
            )
        return dataclasses.replace(self, prompt_tokens=start.prompt_tokens)


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


class QuantizedLoraLinear(nn.Module):
    """A linear layer that is kept in few bits, and its adapter."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, weights: Weights) -> None:
        super().__init__()
        self.base = Int8Linear(layer) if weights is Weights.INT8 else Int4Linear(layer, group_of(layer.in_features))
        self.scale = alpha / rank
        self.lora_down = nn.Parameter(torch.empty(rank, layer.in_features, device=layer.weight.device))
        self.lora_up = nn.Parameter(torch.zeros(layer.out_features, rank, device=layer.weight.device))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))

    @property
    def weight(self) -> Float[Tensor, "out width"]:
        """What the frozen ones stand for."""
        return self.base.unpacked()

    def forward(self, x: Float[Tensor, "*places width"]) -> Float[Tensor, "*places out"]:
        product = cast(Tensor, _FrozenProduct.apply(x, self.base))  # type: ignore[no-untyped-call]
        added = functional.linear(functional.linear(x, self.lora_down), self.lora_up)
        bias = self.base.bias
        return product + self.scale * added if bias is None else product + bias + self.scale * added

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A linear layer that does the same, in full."""
        out, width = len(self.lora_up), self.lora_down.shape[1]
        layer = nn.Linear(width, out, bias=self.base.bias is not None, device=self.lora_up.device)
        layer.weight.copy_(self.weight + self.scale * (self.lora_up @ self.lora_down))
        if self.base.bias is not None:
            layer.bias.copy_(self.base.bias)
        return layer


class _FrozenProduct(torch.autograd.Function):
    """x Wᵀ of weights in few bits, unpacked again on the way back: between the passes they take no more memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Int8Linear | Int4Linear) -> Tensor:
        ctx.base, ctx.dtype = base, x.dtype
        return functional.linear(x, base.unpacked().to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return (gradient @ ctx.base.unpacked().to(gradient.dtype)).to(ctx.dtype), None


def group_of(width: int) -> int:
    """How many of a row's weights share a scale: the largest even number up to the usual one that divides the row.

    Raises:
        ConfigError: if the row is odd.
    """
    if width % 2:
        raise ConfigError(
            f"a layer of {width} weights a row cannot be kept in 4 bits: adapter.weights=int8, or targets"
        )
    return max(group for group in range(2, GROUP + 1, 2) if width % group == 0)


def add_prompt(model: nn.Module, num_tokens: int) -> None:
    """Give a model's backbone a prompt, unless it has one or none is wished for."""
    backbone: Any = model.get_submodule("backbone")
    if num_tokens and backbone.prompt is None:
        backbone.add_prompt(num_tokens)


def adapt(model: nn.Module, config: AdapterConfig, published: tuple[str, ...]) -> None:
    """Freeze published weights, and put adapters beside their linear layers, and a prompt before the words.

    With a prompt alone all else freezes; with neither, nothing is done.

    Args:
        published: beginnings of the names of weights that were there before this robot: these freeze, and their
            linear layers adapt. All others train.

    Raises:
        ConfigError: if nothing is of a name that the configuration gives, or the rank is negative.
    """
    if config.rank < 0:
        raise ConfigError(f"adapter.rank={config.rank}: expected 0 or more")
    if config.prompt_tokens < 0:
        raise ConfigError(f"adapter.prompt_tokens={config.prompt_tokens}: expected 0 or more")
    if config.rank == 0 and config.weights is not Weights.FULL:
        raise ConfigError(f"adapter.weights={config.weights.value} freezes weights: give adapter.rank, of what trains")
    add_prompt(model, config.prompt_tokens)
    if config.rank:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name == PROMPT or not name.startswith(published))
        _add_adapters(model, config, published)
    elif config.prompt_tokens:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name == PROMPT)


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
        setattr(model.get_submodule(parent), own, _adapted(layers[name], config))


def _adapted(layer: nn.Linear, config: AdapterConfig) -> nn.Module:
    if config.weights is Weights.FULL:
        return LoraLinear(layer, config.rank, config.alpha)
    return QuantizedLoraLinear(layer, config.rank, config.alpha, config.weights)


def merge(model: nn.Module) -> int:
    """Put plain linear layers in place of those with adapters, and say how many there were."""
    adapted = {
        name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLinear | QuantizedLoraLinear)
    }
    for name, layer in adapted.items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer.merged())
    return len(adapted)
