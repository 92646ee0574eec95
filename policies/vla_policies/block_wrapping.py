"""What stands around the forward pass of each block of a model: compiled code, eight bits, or being computed again.

Names of weights do not change, so neither do checkpoints.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vla.model.float8 import to_float8
from vla_policies.spreading import blocks_of


def wrap_blocks(model: nn.Module, *, recomputes: bool, compiles: bool, float8: bool = False) -> None:
    """Change how the blocks of a model compute, and not what.

    Args:
        recomputes: keep what goes into each block, and compute in the backward pass again what is inside: a fraction of
            the memory for activations, a third more computation, the same bits.
        compiles: by `torch.compile`, block by block: blocks are alike, so the first is compiled and the others follow.
        float8: in linear layers whose sizes allow it.
    """
    for block in blocks_of(model):
        if float8:
            to_float8(block)
        forward: Any = block.forward
        if compiles:
            forward = torch.compile(forward)
        if recomputes:
            forward = functools.partial(checkpoint, forward, use_reentrant=False)
        # Inside of what gathers a sharded block's weights, which hooks into the call and not into the forward pass.
        block.forward = forward
