"""What training a model costs, from one device to a thousand: counted where it can be, reckoned where it cannot.

    operations of a sample ── counted, on the meta device ─┐
    parameters ────────────── counted ─────────────────────┼─► seconds a step, memory a device, how often to save
    devices, network, share of their peak: given ──────────┘

The reckoning is for weights, gradients and optimizer state sharded over all devices (ZeRO stage 3, arXiv:1910.02054;
FSDP, arXiv:2304.11277): every device gathers the weights twice a step and scatters the gradients once, in bf16. Or they
are sharded over the devices of a host alone, and gradients are summed over hosts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vla.errors import ConfigError

BACKWARD = 2.0
"""Operations of the backward pass, to one of the forward pass."""
STATE_BYTES = 16
"""A parameter: float32 weight, gradient and both moments of Adam."""
SAVED_BYTES = 12
"""Of them, what a checkpoint holds."""
_WIRE_BYTES = 2
_EXCHANGES = 3


@dataclasses.dataclass(frozen=True)
class ModelCost:
    """Of one model and one shape of samples."""

    parameters: int
    blocks: int
    """Of equal size, about; one after the other is gathered."""
    forward_operations: float
    """Multiplications and additions of a sample's forward pass."""

    @property
    def operations(self) -> float:
        """Of a sample in training, nothing computed twice: what a share of a device's peak is told of."""
        return self.forward_operations * (1 + BACKWARD)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Devices of one kind, and what joins them."""

    devices: int
    devices_per_host: int = 8
    peak_operations_s: float = 989e12
    """Of a device, a second: an H200's in bf16, without sparsity."""
    memory_bytes: float = 141e9
    link_bytes_s: float = 450e9
    """Of a device to others in its host, one way."""
    network_bytes_s: float = 50e9
    """Of a device to other hosts, one way."""
    storage_bytes_s: float = 10e9
    """Of the shared storage, for all devices together."""
    hours_between_failures: float = 50_000.0
    """Of one device: 419 interruptions of 16,384 in 54 days (Llama 3, arXiv:2407.21783)."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How it is trained."""

    samples_per_device: int
    utilisation: float = 0.45
    """Share of the peak that computation reaches while it does not wait. Measure it: nothing else moves the result as
    much."""
    recomputes: bool = False
    """Whether activations are computed again in the backward pass instead of being kept."""
    shards_within_host: bool = False
    """Whether each host holds everything, and its devices a part."""
    restart_s: float = 300.0
    """From a failure to the next step."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What comes of it."""

    compute_s: float
    """Of a step."""
    exchange_s: float
    """Of a step, between devices."""
    samples_per_s: float
    """Of all devices, if exchange and computation overlap wholly, failures and saving included."""
    samples_per_s_at_worst: float
    """The same, if they do not overlap at all."""
    state_bytes: float
    """A device, without activations."""
    fits: bool
    """Whether that leaves a tenth of the memory for activations; they are not reckoned."""
    save_every_s: float
    """How often to write a checkpoint, so that writing and work that is lost cost the least together."""
    lost_share: float
    """Of the time: writing checkpoints, doing again what was lost, starting again."""


def model_cost(model: nn.Module, blocks: int, run: Callable[[], object]) -> ModelCost:
    """Count a model; on the meta device no memory is used.

    Args:
        blocks: of the largest part.
        run: the forward pass of one sample through it.
    """
    with FlopCounterMode(display=False) as counter:
        run()
    return ModelCost(
        sum(parameter.numel() for parameter in model.parameters()), blocks, float(counter.get_total_flops())
    )


def estimate(cost: ModelCost, cluster: Cluster, recipe: Recipe) -> Estimate:
    """Reckon a training run.

    Raises:
        ConfigError: if a number is not above 0, or a share is above 1.
    """
    for thing in (cost, cluster, recipe):
        for field in dataclasses.fields(thing):
            if not isinstance(value := getattr(thing, field.name), bool):
                _require_positive(field.name, float(value))
    if recipe.utilisation > 1:
        raise ConfigError(f"utilisation is a share of the peak, at most 1, got {recipe.utilisation}")
    again = 1.0 if recipe.recomputes else 0.0
    done = cost.forward_operations * (1 + BACKWARD + again) * recipe.samples_per_device
    compute_s = done / (cluster.peak_operations_s * recipe.utilisation)
    shards = min(cluster.devices, cluster.devices_per_host) if recipe.shards_within_host else cluster.devices
    exchange_s = _exchange_s(cost, cluster, shards)
    save_every_s, lost_share = _saving(cost, cluster, recipe)
    samples = cluster.devices * recipe.samples_per_device * (1 - lost_share)
    state = cost.parameters * (STATE_BYTES / shards + 2 * _WIRE_BYTES / cost.blocks)
    return Estimate(
        compute_s=compute_s,
        exchange_s=exchange_s,
        samples_per_s=samples / max(compute_s, exchange_s),
        samples_per_s_at_worst=samples / (compute_s + exchange_s),
        state_bytes=state,
        fits=state < 0.9 * cluster.memory_bytes,
        save_every_s=save_every_s,
        lost_share=lost_share,
    )


def _exchange_s(cost: ModelCost, cluster: Cluster, shards: int) -> float:
    """Gathering and scattering among those that share a copy, then summing each part over the copies."""
    speed = cluster.link_bytes_s if shards <= cluster.devices_per_host else cluster.network_bytes_s
    weights = _WIRE_BYTES * cost.parameters
    copies = cluster.devices / shards
    summed = 2 * weights / shards * max(0.0, 1 - 1 / copies) / cluster.network_bytes_s
    return _EXCHANGES * weights * (1 - 1 / shards) / speed + summed


def _saving(cost: ModelCost, cluster: Cluster, recipe: Recipe) -> tuple[float, float]:
    """The interval of Young (1974), sqrt(2 * time to save * time between failures), and what is lost with it."""
    save_s = SAVED_BYTES * cost.parameters / cluster.storage_bytes_s
    between_s = 3600 * cluster.hours_between_failures / cluster.devices
    every_s = math.sqrt(2 * save_s * between_s)
    lost = save_s / (every_s + save_s) + (every_s / 2 + recipe.restart_s) / between_s
    return every_s, min(lost, 1.0)


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name} must be finite and above 0, got {value:g}")
