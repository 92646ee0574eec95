r"""InternVL 2.5 and 3 (arXiv:2412.05271, arXiv:2504.10479): InternViT, patches shuffled together, Qwen2 or a Llama.

    <|im_start|>user\n [<img> picture </img>\n] ... instruction state <|im_end|>\n<|im_start|>assistant\n | actions

Causal. Each camera gives one picture of the tower's own size; pictures are not split into tiles.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from vla.embodiment import CameraSpec
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


@dataclasses.dataclass(frozen=True)
class InternVLFamily:
    """See the top of this file."""

    name: str = "internvl"
    class_name: str = "InternVLForConditionalGeneration"
    config_name: str = "InternVLConfig"
    text_types: tuple[str, ...] = ("qwen2", "llama")
    prompt: Prompt = PROMPT
    style: PictureStyle = PictureStyle(IMAGENET_MEAN, IMAGENET_STD)  # noqa: RUF009 (frozen)
    is_prefix_causal: bool = True
    first_position: int = 0
    axes: int = 1
    do_actions_descend: bool = False

    def attention(self, config: Any) -> str:
        return "sdpa"

    def picture_size(self, config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
        return fixed_picture_size(self.name, config.vision_config, longest_side)

    def grid(self, config: Any, size: tuple[int, int]) -> tuple[int, int]:
        patch = side(config.vision_config.patch_size)
        return tuple(round(pixels // patch * config.downsample_ratio) for pixels in size)  # type: ignore[return-value]

    def look(
        self, model: nn.Module, pixels: Float[Tensor, "batch 3 rows columns"]
    ) -> tuple[Float[Tensor, "batch tokens width"], ...]:
        parts = cast(Any, model)
        found = parts.get_image_features(
            pixel_values=pixels,
            vision_feature_layer=parts.config.vision_feature_layer,
            vision_feature_select_strategy=parts.config.vision_feature_select_strategy,
        )
        return (found.pooler_output,)

    def num_levels(self, config: Any) -> int:
        return 1

    def language(self, model: nn.Module) -> nn.Module:
        return cast(nn.Module, model.language_model)
