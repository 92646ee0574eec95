"""Frozen weights in bf16, cast once: for training on a CPU.

Autocast remembers what it cast for weights that train, within a pass; what is frozen it casts wherever it is used, in
every step, though it never changes. The weights themselves stay as they are, in float32: checkpoints hold them byte by
byte. The copies take half as much memory again.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def keep_frozen_cast(model: nn.Module) -> None:
    """Have the linear layers that do not train cast their weights once: the same bits in every pass under autocast."""
    for layer in model.modules():
        if type(layer) is nn.Linear and not any(parameter.requires_grad for parameter in layer.parameters()):
            forward: Any = _CastOnce(layer)
            cast(nn.Module, layer).forward = forward


class _CastOnce:
    """The forward pass of a linear layer that is frozen."""

    def __init__(self, layer: nn.Linear) -> None:
        self._layer = layer
        self._made_of: tuple[int, ...] | None = None
        self._cast: list[Tensor | None] = []

    def __call__(self, x: Tensor) -> Tensor:
        layer = self._layer
        if not torch.is_autocast_enabled("cpu"):
            return functional.linear(x, layer.weight, layer.bias)
        given = (layer.weight, layer.bias)
        # A checkpoint that is loaded writes into the weights, which count how often they were written to.
        state = tuple(number for part in given if part is not None for number in (part.data_ptr(), part._version))
        if state != self._made_of:
            self._cast = [None if part is None else part.detach().to(torch.bfloat16) for part in given]
            self._made_of = state
        weight, bias = self._cast
        assert weight is not None
        return functional.linear(x, weight, bias)
