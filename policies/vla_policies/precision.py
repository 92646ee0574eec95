"""In what numbers matrix products are computed; weights and their moments are float32 whatever is chosen."""

from __future__ import annotations

import contextlib
import enum

import torch

from vla.errors import ConfigError
from vla.model.device_peaks import stated_peak

FP8_CAPABILITY = (8, 9)
"""The first CUDA devices that multiply eight-bit numbers."""
FP8_GAIN = 2.0
"""Operations a second in eight-bit floats, to one in bf16, on devices that have them."""


class Precision(enum.Enum):
    """Of matrix products in training."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP8 = "fp8"
    """Eight-bit floats in the linear layers of blocks, bf16 elsewhere, where the device has them."""


def autocast(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[object]:
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


def peak_of(precision: Precision, device: torch.device, given: float = 0.0) -> float | None:
    """Operations a second that the device is said to do in such numbers; None where nobody says so, as of a CPU.

    Args:
        given: counts instead of what is stated, if it is not 0.

    Raises:
        ConfigError: if it is below 0.
    """
    if given < 0:
        raise ConfigError(f"peak_operations_s={given:g}: expected operations a second, or 0 for what the maker states")
    if given or device.type != "cuda" or precision is Precision.FP32:
        return given or None
    stated = stated_peak(torch.cuda.get_device_name(device))
    return stated if stated is None or precision is Precision.BF16 else FP8_GAIN * stated
