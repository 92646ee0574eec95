"""A model over processes: all of it in each, or a part in each and the blocks gathered one after the other.

    replicate   DistributedDataParallel around the objective
    shard       FSDP2 (`fully_shard`): a unit a block, and one of all that is left
    hybrid      the same within a host, gradients summed over hosts

Weights are gathered as they are, in float32: an hour of training is then the same whatever the number of processes, and
exchange costs twice what it does in bf16.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from vla.model.llama import LlamaBlock
from vla.model.transformer import Block
from vla.model.vlm.openvla_parts import OpenVlaParts
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla_policies.processes import Parallel, Processes


def spread(objective: nn.Module, processes: Processes, device: torch.device, *, has_idle: bool) -> nn.Module:
    """What to call in place of the objective; its weights may be parts of tensors from now on.

    Args:
        has_idle: whether some weights that train get no gradient.
    """
    if processes.among == 1:
        return objective
    if processes.parallel is Parallel.REPLICATE:
        return DistributedDataParallel(objective, broadcast_buffers=False, find_unused_parameters=has_idle)
    mesh = processes.mesh(device)
    for block in blocks_of(objective):
        fully_shard(block, mesh=mesh)
    fully_shard(objective, mesh=mesh)
    return objective


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The layers that make up most of a model, and that are only ever called: those of towers and of decoders."""
    own = [layer for layer in module.modules() if isinstance(layer, Block | LlamaBlock)]
    pretrained = [part.vlm for part in module.modules() if isinstance(part, VlmBackbone)]
    stacks = [stack for part in pretrained for stack in _stacks(part)]
    listed = [layer for stack in stacks for layer in stack.children() if not isinstance(layer, nn.ModuleList)]
    others = [layer for layer in listed if any(True for _ in layer.parameters())]
    known = dict.fromkeys([*own, *others])
    inner = {below for layer in known for below in list(layer.modules())[1:]}
    return [layer for layer in known if layer not in inner]


def _stacks(vlm: nn.Module) -> list[nn.Module]:
    """Lists of layers in a pretrained model."""
    parts = [part for part in vlm.modules() if isinstance(part, OpenVlaParts)]
    # These towers are asked for what their layers make, and not called.
    towers = [tower for part in parts for tower in part.towers]
    asked = {id(part.towers) for part in parts}
    lists = [found for found in vlm.modules() if isinstance(found, nn.ModuleList) and id(found) not in asked]
    return [*lists, *(tower.get_submodule("blocks") for tower in towers)]


@contextlib.contextmanager
def gradients_kept(module: nn.Module, *, is_last: bool) -> Iterator[None]:
    """While a step's earlier parts pass: copies of a model sum their gradients with the last part alone.

    Shards sum theirs with every part: to keep whole gradients would take the memory that sharding saves.
    """
    with module.no_sync() if isinstance(module, DistributedDataParallel) and not is_last else contextlib.nullcontext():
        yield


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its parts; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, or this process's part of it, as the other one is; a copy, where the other one is."""
    moved = tensor.to(other.device, copy=True)
    if not isinstance(other, DTensor):
        return moved
    return distribute_tensor(moved, other.device_mesh, other.placements, src_data_rank=None)
