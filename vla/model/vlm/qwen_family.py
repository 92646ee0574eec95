r"""Qwen2.5-VL (arXiv:2502.13923) and Qwen3-VL (arXiv:2511.21631): a tower for pictures of any size, and a Qwen.

    <|im_start|>user\n [<|vision_start|> picture <|vision_end|>] ... instruction state
    <|im_end|>\n<|im_start|>assistant\n | actions                             causal

A picture keeps its shape: each side is rounded to whole tokens, which stand on three axes (`vla.model.vlm.places`).
Qwen3-VL adds features of earlier blocks of its tower behind the first layers of its language model.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vla.embodiment import CameraSpec
from vla.model.vlm.any_size import whole_tokens
from vla.model.vlm.family import Family, Levels, Pixels
from vla.model.vlm.pictures import PictureStyle
from vla.model.vlm.prompt import Prompt

PROMPT = Prompt(
    before="<|im_start|>user\n",
    picture_open="<|vision_start|>",
    picture_close="<|vision_end|>",
    closing="<|im_end|>\n<|im_start|>assistant\n",
    end="<|im_end|>",
    specials=("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
)


def _picture_size(config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
    token = config.vision_config.patch_size * config.vision_config.spatial_merge_size
    return whole_tokens(camera, longest_side, token)


def _grid(config: Any, size: tuple[int, int]) -> tuple[int, int]:
    token = config.vision_config.patch_size * config.vision_config.spatial_merge_size
    return size[0] // token, size[1] // token


def _look(model: Any, pixels: Pixels) -> Levels:
    patches, grid = patches_of(pixels, model.visual.config)
    seen = model.visual(patches, grid_thw=grid)
    levels = (seen.pooler_output, *getattr(seen, "deepstack_features", ()))
    return tuple(level.unflatten(0, (len(pixels), -1)) for level in levels)


def _num_levels(config: Any) -> int:
    return 1 + len(getattr(config.vision_config, "deepstack_visual_indexes", ()))


def qwen(name: str, stem: str, text_type: str, style: PictureStyle) -> Family:
    """One of the generations."""
    return Family(
        name,
        stem,
        (text_type,),
        PROMPT,
        _picture_size,
        _grid,
        _look,
        style=style,
        axes=3,
        num_levels=_num_levels,
    )


def patches_of(
    pixels: Float[Tensor, "batch 3 rows columns"], vision: Any
) -> tuple[Float[Tensor, "patches numbers"], Tensor]:
    """Pictures as rows of patches, those of one token beside each other, and (time, rows, columns) of each picture.

    A still picture fills every frame of the tower's patches in time.
    """
    patch, merge, frames = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
    rows, columns = pixels.shape[-2] // patch, pixels.shape[-1] // patch
    split = pixels.reshape(len(pixels), 3, rows // merge, merge, patch, columns // merge, merge, patch)
    ordered = split.permute(0, 2, 5, 3, 6, 1, 4, 7)  # (batch, R, C, merge, merge, 3, patch, patch)
    repeated = ordered.unsqueeze(6).expand(*ordered.shape[:6], frames, patch, patch)
    grid = torch.tensor([[1, rows, columns]] * len(pixels), device=pixels.device)
    return repeated.reshape(len(pixels) * rows * columns, -1), grid
