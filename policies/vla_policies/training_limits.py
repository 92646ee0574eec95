"""The numbers of a training run that can be told to be wrong before anything is read or collected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from vla.errors import ConfigError

AT_LEAST = {
    "steps": 0,
    "batch_size": 1,
    "accumulate": 1,
    "horizon": 1,
    "vocabulary": 2,
    "log_every": 1,
    "checkpoint_every": 1,
    "keep_every": 1,
    "gate_samples": 0,
    "shift_pixels": 0,
    "threads": 0,
    "seed": 0,
    "peak_operations_s": 0,
    "optimizer.learning_rate": 0,
    "optimizer.warmup_steps": 0,
    "optimizer.weight_decay": 0,
    "optimizer.gradient_clip": 0,
    "optimizer.label_spread": 0,
}
"""The least value of each key."""
SHARES = ("validation_share", "committed_share", "ask_share", "web_share", "optimizer.ema_decay")
"""Keys from 0 to 1."""


def require_sensible(config: Mapping[str, Any]) -> None:
    """Return if every number of a resolved configuration of `vla train` can be meant.

    Raises:
        ConfigError: naming the first key that cannot, and what it may be.
    """
    for key, least in AT_LEAST.items():
        value = _value(config, key)
        if value is not None and not (value >= least and math.isfinite(value)):
            raise ConfigError(f"{key} is at least {least}, got {value}")
    for key in SHARES:
        if not 0 <= _value(config, key) <= 1:
            raise ConfigError(f"{key} is a share, from 0 to 1, got {_value(config, key)}")


def require_device(name: str) -> None:
    """Return if there is such a device on this machine.

    Raises:
        ConfigError: if PyTorch knows no such name, or cannot put a number there.
    """
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).partition("\n")[0]
        raise ConfigError(f"device={name} cannot be used: {first_line} (for instance cpu, cuda or cuda:1)") from error


def _value(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value
