"""In what numbers matrix products are computed; weights and their moments are float32 whatever is chosen."""

from __future__ import annotations

import contextlib
import enum

import torch

from vla.errors import ConfigError

FP8_CAPABILITY = (8, 9)
"""The first CUDA devices that multiply eight-bit numbers."""


class Precision(enum.Enum):
    """Of matrix products in training."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP8 = "fp8"
    """Eight-bit floats in the linear layers of blocks, bf16 elsewhere, where the device has them."""


def autocast(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """The context that a forward pass is to run in."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision is not Precision.FP32)


def require_precision(precision: Precision, device: torch.device) -> None:
    """Return if the device has such numbers.

    Raises:
        ConfigError: naming the device, if not.
    """
    if precision is not Precision.FP8:
        return
    if device.type != "cuda":
        raise ConfigError(f"precision=fp8 needs a GPU that multiplies eight-bit floats, got device={device}: take bf16")
    if torch.cuda.get_device_capability(device) < FP8_CAPABILITY:
        name = torch.cuda.get_device_name(device)
        raise ConfigError(f"precision=fp8: '{name}' does not multiply eight-bit floats: take bf16")
