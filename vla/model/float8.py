"""Linear layers whose products are of eight-bit floats, for devices that multiply them at twice the speed of bf16.

    forward    y  = x wᵀ     e4m3 x e4m3       each tensor with one scale, from its largest number, every time anew
    backward   dx = dy w     e5m2 x e4m3
               dw = dyᵀ x    bf16: sums over many samples of small numbers, which eight bits lose

Weights stay float32, under the names that they had. Source: arXiv:2209.05433, for which format goes where.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

aten = torch.ops.aten

MULTIPLE = 16
"""Of a layer's inputs and outputs: what the devices' products ask for."""
LARGEST = {torch.float8_e4m3fn: 448.0, torch.float8_e5m2: 57344.0}


class Float8Linear(nn.Linear):
    """A linear layer in eight bits."""

    def forward(self, input: Float[Tensor, "*places width"]) -> Float[Tensor, "*places out"]:
        """In bf16."""
        flat = input.reshape(-1, input.shape[-1]).to(torch.bfloat16)
        product: Tensor = _Product.apply(flat, self.weight)  # type: ignore[no-untyped-call]
        product = product if self.bias is None else product + self.bias.to(product.dtype)
        return product.unflatten(0, input.shape[:-1])


def to_float8(module: nn.Module) -> int:
    """Let plain linear layers inside compute in eight bits, if their sizes allow it; how many do."""
    layers = [layer for layer in module.modules() if type(layer) is nn.Linear and _fits(layer)]
    for layer in layers:
        layer.__class__ = Float8Linear  # the same weights under the same names
    return len(layers)


def _fits(layer: nn.Linear) -> bool:
    return layer.in_features % MULTIPLE == 0 and layer.out_features % MULTIPLE == 0


class _Product(torch.autograd.Function):
    """x wᵀ."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x8, scale_x = _scaled(x, torch.float8_e4m3fn)
        weight8, scale_weight = _scaled(weight, torch.float8_e4m3fn)
        ctx.save_for_backward(x, weight8, scale_weight)
        return aten._scaled_mm(x8, weight8.t(), scale_a=scale_x, scale_b=scale_weight, out_dtype=torch.bfloat16)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight8, scale_weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        gradient8, scale = _scaled(gradient, torch.float8_e5m2)
        by_column = weight8.t().contiguous().t()  # as the second factor has to lie
        of_x = aten._scaled_mm(gradient8, by_column, scale_a=scale, scale_b=scale_weight, out_dtype=torch.bfloat16)
        return of_x, (gradient.t() @ x).float()


def _scaled(tensor: Tensor, kind: torch.dtype) -> tuple[Tensor, Float[Tensor, ""]]:
    """Eight bits, and what they are to be multiplied by."""
    scale = (tensor.abs().amax().float() / LARGEST[kind]).clamp(min=1e-12)
    return (tensor / scale).to(kind), scale
