r"""InternVL 2.5 and 3 (arXiv:2412.05271, arXiv:2504.10479): InternViT, patches shuffled together, Qwen2 or a Llama.

    <|im_start|>user\n [<img> picture </img>\n] ... instruction state <|im_end|>\n<|im_start|>assistant\n | actions

Causal. Each camera gives one picture of the tower's own size; pictures are not split into tiles.
"""

from __future__ import annotations

from typing import Any

from vla.model.vlm.family import Family, Levels, Pixels
from vla.model.vlm.fixed_size import fixed_picture_size, side
from vla.model.vlm.pictures import IMAGENET_MEAN, IMAGENET_STD, PictureStyle
from vla.model.vlm.prompt import Prompt

PROMPT = Prompt(
    before="<|im_start|>user\n",
    picture_open="<img>",
    picture_close="</img>\n",
    closing="<|im_end|>\n<|im_start|>assistant\n",
    end="<|im_end|>",
    specials=("<|im_start|>", "<|im_end|>", "<img>", "</img>"),
)


def _grid(config: Any, size: tuple[int, int]) -> tuple[int, int]:
    patch = side(config.vision_config.patch_size)
    rows, columns = (round(pixels // patch * config.downsample_ratio) for pixels in size)
    return rows, columns


def _look(model: Any, pixels: Pixels) -> Levels:
    found = model.get_image_features(
        pixel_values=pixels,
        vision_feature_layer=model.config.vision_feature_layer,
        vision_feature_select_strategy=model.config.vision_feature_select_strategy,
    )
    return (found.pooler_output,)


INTERNVL = Family(
    "internvl",
    "InternVL",
    ("qwen2", "llama"),
    PROMPT,
    fixed_picture_size("internvl"),
    _grid,
    _look,
    style=PictureStyle(IMAGENET_MEAN, IMAGENET_STD),
)
