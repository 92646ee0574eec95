r"""Qwen2.5-VL (arXiv:2502.13923) and Qwen3-VL (arXiv:2511.21631): a tower for pictures of any size, and a Qwen.

    <|im_start|>user\n [<|vision_start|> picture <|vision_end|>] ... instruction state
    <|im_end|>\n<|im_start|>assistant\n | actions                             causal

A picture keeps its shape: each side is rounded to whole tokens, which stand on three axes (`vla.model.vlm.places`).
Qwen3-VL adds features of earlier blocks of its tower behind the first layers of its language model.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vla.embodiment import CameraSpec
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


@dataclasses.dataclass(frozen=True)
class QwenFamily:
    """See the top of this file."""

    name: str
    stem: str
    """Of the class names in `transformers`."""
    text_type: str
    style: PictureStyle
    prompt: Prompt = PROMPT
    is_prefix_causal: bool = True
    first_position: int = 0
    axes: int = 3
    do_actions_descend: bool = False

    @property
    def text_types(self) -> tuple[str, ...]:
        return (self.text_type,)

    @property
    def class_name(self) -> str:
        return f"{self.stem}ForConditionalGeneration"

    @property
    def config_name(self) -> str:
        return f"{self.stem}Config"

    def attention(self, config: Any) -> str:
        return "sdpa"

    def picture_size(self, config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
        token = config.vision_config.patch_size * config.vision_config.spatial_merge_size
        scale = longest_side / max(camera.height, camera.width) if longest_side else 1.0
        rows, columns = (max(1, round(pixels * scale / token)) for pixels in (camera.height, camera.width))
        return rows * token, columns * token

    def grid(self, config: Any, size: tuple[int, int]) -> tuple[int, int]:
        token = config.vision_config.patch_size * config.vision_config.spatial_merge_size
        return size[0] // token, size[1] // token

    def look(
        self, model: nn.Module, pixels: Float[Tensor, "batch 3 rows columns"]
    ) -> tuple[Float[Tensor, "batch tokens width"], ...]:
        tower = cast(Any, model).visual
        patches, grid = patches_of(pixels, tower.config)
        seen = tower(patches, grid_thw=grid)
        levels = (seen.pooler_output, *getattr(seen, "deepstack_features", ()))
        return tuple(level.unflatten(0, (len(pixels), -1)) for level in levels)

    def num_levels(self, config: Any) -> int:
        return 1 + len(getattr(config.vision_config, "deepstack_visual_indexes", ()))

    def language(self, model: nn.Module) -> nn.Module:
        return cast(nn.Module, model.language_model)


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
