"""Weight-only quantisation: weights in 8 or 4 bits, activations as they are.

    int8   one scale a row:                     w ≈ scale[row] * q,          q in -127..127
    int4   one scale a group within a row:      w ≈ scale[row, group] * q,   q in -7..7

Symmetric, rounded to nearest: no weight is off by more than half its scale. The gain is in memory, and in time where
reading weights takes most of it: one row at a time, in kernels that unpack on the way. Those exist for bfloat16 in
PyTorch, and inductor makes them of what is written here for one row on a CPU. Everywhere else the weights are unpacked
first, which takes longer than plain weights do.
"""

from __future__ import annotations

import enum

import torch
from jaxtyping import Float, Int8, UInt8
from torch import Tensor, nn
from torch.nn import functional

from vla.errors import ConfigError

aten = torch.ops.aten

GROUP = 32
ZERO = 8
"""Nibbles are unsigned."""


class Weights(enum.Enum):
    """How the weights of linear layers are stored."""

    FULL = "full"
    INT8 = "int8"
    INT4 = "int4"


class Int8Linear(nn.Module):
    """A linear layer with one scale a row."""

    weight: Int8[Tensor, "out width"]
    scale: Float[Tensor, " out"]

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        full = layer.weight.detach().float()
        scale = _scale(full.abs().amax(1), 127)
        self.register_buffer("weight", (full / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = layer.bias

    def forward(self, x: Float[Tensor, "*places width"]) -> Float[Tensor, "*places out"]:
        if _is_one_row_for_inductor(x):
            product = ((x.flatten() * self.weight.to(x.dtype)).sum(-1) * self.scale).expand(*x.shape[:-1], -1)
        elif x.dtype is torch.bfloat16 and not x.is_cuda:
            product = aten._weight_int8pack_mm(x.flatten(0, -2), self.weight, self.scale.to(x.dtype))
            product = product.unflatten(0, x.shape[:-1])
        else:
            product = functional.linear(x, self.unpacked().to(x.dtype))
        return product if self.bias is None else product + self.bias

    def unpacked(self) -> Float[Tensor, "out width"]:
        """The weights that the stored ones stand for."""
        return self.weight * self.scale[:, None]


class Int4Linear(nn.Module):
    """A linear layer with one scale a group of a row's weights."""

    weight: UInt8[Tensor, "out groups half_group"]
    """The first half of a group in the low nibbles, the second in the high ones."""
    scale: Float[Tensor, "out groups"]
    packed: Tensor
    scale_and_zero: Tensor

    def __init__(self, layer: nn.Linear, group: int = GROUP) -> None:
        super().__init__()
        full = layer.weight.detach().float().unflatten(1, (-1, group))
        scale = _scale(full.abs().amax(2), 7)
        nibbles = ((full / scale[..., None]).round() + ZERO).to(torch.uint8)
        low, high = nibbles.chunk(2, dim=2)
        self.register_buffer("weight", low | (high << 4))
        self.register_buffer("scale", scale)
        self.bias = layer.bias
        self._is_packed = _has_int4_kernel(layer, group)
        if self._is_packed:
            rows = nibbles.flatten(1).to(torch.int32)
            self.register_buffer("packed", aten._convert_weight_to_int4pack_for_cpu(rows, 2), persistent=False)
            pairs = torch.stack([scale.T, torch.zeros_like(scale.T)], dim=-1).to(torch.bfloat16)
            self.register_buffer("scale_and_zero", pairs.contiguous(), persistent=False)

    def forward(self, x: Float[Tensor, "*places width"]) -> Float[Tensor, "*places out"]:
        if _is_one_row_for_inductor(x):
            product = self._of_one_row(x.flatten()).expand(*x.shape[:-1], -1)
        elif self._is_packed and x.dtype is torch.bfloat16:
            group = 2 * self.weight.shape[2]
            rows = aten._weight_int4pack_mm_for_cpu(x.flatten(0, -2), self.packed, group, self.scale_and_zero)
            product = rows.unflatten(0, x.shape[:-1])
        else:
            product = functional.linear(x, self.unpacked().to(x.dtype))
        return product if self.bias is None else product + self.bias

    def unpacked(self) -> Float[Tensor, "out width"]:
        """The weights that the stored ones stand for."""
        signed = torch.cat([self.weight & 15, self.weight >> 4], dim=2).to(self.scale.dtype) - ZERO
        return (signed * self.scale[..., None]).flatten(1)

    def _of_one_row(self, x: Float[Tensor, " width"]) -> Float[Tensor, " out"]:
        first, second = x.unflatten(0, (self.weight.shape[1], 2, -1)).unbind(1)  # each (groups, half_group)
        low, high = (self.weight & 15).to(x.dtype) - ZERO, (self.weight >> 4).to(x.dtype) - ZERO
        return ((low * first + high * second) * self.scale[..., None]).sum((1, 2))


def quantize(module: nn.Module, weights: Weights, group: int = GROUP) -> int:
    """Replace the linear layers inside a module, and say how many there were.

    Norms, embeddings and everything that is no linear layer stay as they are.

    Args:
        group: weights that share a scale, in int4.

    Raises:
        ConfigError: naming a layer whose rows do not divide into groups.
    """
    if weights is Weights.FULL:
        return 0
    layers = {name: layer for name, layer in module.named_modules() if type(layer) is nn.Linear}
    for name, layer in layers.items():
        if weights is Weights.INT4 and (layer.in_features % group or group % 2):
            raise ConfigError(f"layer '{name}' has {layer.in_features} weights a row: no groups of {group}")
    for name, layer in layers.items():
        parent, _, own = name.rpartition(".")
        small = Int8Linear(layer) if weights is Weights.INT8 else Int4Linear(layer, group)
        setattr(module.get_submodule(parent), own, small)
    return len(layers)


def num_bytes(module: nn.Module) -> int:
    """What its weights take in memory and in a file."""
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def _scale(largest: Tensor, levels: int) -> Tensor:
    """So that the largest weight is the last level; rows of nothing but zeros keep their zeros."""
    return torch.where(largest > 0, largest / levels, torch.ones_like(largest))


def _has_int4_kernel(layer: nn.Linear, group: int) -> bool:
    """Whether PyTorch has one for this layer; it wants the weights in an order of its own."""
    weight = layer.weight
    is_known = group in (32, 64, 128, 256) and layer.out_features % 16 == 0
    return is_known and weight.dtype is torch.bfloat16 and not weight.is_cuda


def _is_one_row_for_inductor(x: Tensor) -> bool:
    return x.numel() == x.shape[-1] and not x.is_cuda and torch.compiler.is_compiling()
