"""Vision towers for the compact backbone: networks of timm's that turn a picture into a map of features.

    pixels ─► residual stages ─► features at every 32nd pixel      one tower for all cameras

They begin at random. Group normalisation in place of batch normalisation: the running average of the weights is what is
deployed, and statistics of batches would not be those of that average (arXiv:2303.04137, section 3.3).
"""

from __future__ import annotations

import enum
import functools
from typing import Any, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vla.embodiment import CameraSpec
from vla.libraries import require_library

CHANNELS_A_GROUP = 16
STRIDE = 32
"""Pixels between neighbouring features."""
WIDTH = 512
"""Of the features of both towers."""


class Tower(enum.Enum):
    """What looks at pictures."""

    STEM = "stem"
    """4 x 4 patches and two convolutions, for each camera its own."""
    RESNET18 = "resnet18"
    """A residual network of 11 million weights (arXiv:1512.03385), shared by all cameras."""
    RESNET34 = "resnet34"
    """The same with 21 million."""


class ResidualTower(nn.Module):
    """A residual network without its last layer."""

    def __init__(self, kind: Tower) -> None:
        """Make it, with random weights.

        Raises:
            ConfigError: if timm is not installed.
        """
        super().__init__()
        timm = require_library("timm", what=f"backbone.tower={kind.value}", extra="backbones")
        self.net: nn.Module = timm.create_model(kind.value, num_classes=0, norm_layer=_group_norm)

    def forward(
        self, image: UInt8[Tensor, "batch height width 3"], dtype: torch.dtype
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Features of pictures, whose levels are brought to -1..1."""
        pixels = image.permute(0, 3, 1, 2).to(dtype) * (2 / 255) - 1
        return cast(Any, self.net).forward_features(pixels)


class TowerMap(nn.Module):
    """What a camera makes of the tower's features: as many channels as its connector reads, each with its place."""

    def __init__(self, camera: CameraSpec, channels: int) -> None:
        super().__init__()
        if camera.height % STRIDE or camera.width % STRIDE:
            raise ValueError(
                f"camera '{camera.name}' must be a multiple of {STRIDE} pixels, got {camera.height} x {camera.width}"
            )
        rows, columns = camera.height // STRIDE, camera.width // STRIDE
        self.narrow = nn.Conv2d(WIDTH, channels, 1)
        self.position = nn.Parameter(torch.randn(channels, rows, columns) * 0.02)

    def forward(
        self, features: Float[Tensor, "batch tower_channels rows columns"]
    ) -> Float[Tensor, "batch cells channels"]:
        return (self.narrow(features) + self.position).flatten(2).transpose(1, 2)


@functools.wraps(nn.GroupNorm)
def _group_norm(channels: int, **options: Any) -> nn.GroupNorm:
    return nn.GroupNorm(channels // CHANNELS_A_GROUP, channels, **options)
