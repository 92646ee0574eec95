"""Camera pictures as a vision tower wants them: of its size, and normalised. On the device, in one batch.

Resizing rounds to whole levels in between, as libraries for pictures do, so that what a tower sees here is what it saw
in training within a level or two of 255.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

Triple = tuple[float, float, float]

HALVES: Triple = (0.5, 0.5, 0.5)
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)


@dataclasses.dataclass(frozen=True)
class PictureStyle:
    """What is subtracted from a picture's channels in 0..1, and what they are divided by."""

    mean: Triple = HALVES
    std: Triple = HALVES


def prepare(
    images: UInt8[Tensor, "batch height width 3"], size: tuple[int, int], style: PictureStyle
) -> Float[Tensor, "batch 3 rows columns"]:
    """Resized, bicubic with antialiasing, and normalised.

    Args:
        size: rows and columns.
    """
    pixels = images.permute(0, 3, 1, 2).float()
    if pixels.shape[-2:] != size:
        pixels = _resized(_resized(pixels, (pixels.shape[-2], size[1])), size)  # rows last, as image libraries do
    channels = zip((pixels / 255).unbind(1), style.mean, style.std, strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], dim=1)


def _resized(pixels: Float[Tensor, "batch 3 _ _"], size: tuple[int, int]) -> Float[Tensor, "batch 3 _ _"]:
    """In whole levels."""
    return functional.interpolate(pixels, size, mode="bicubic", antialias=True).round().clamp(0, 255)
