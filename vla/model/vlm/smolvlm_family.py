r"""SmolVLM (arXiv:2504.05299) and Idefics3 (arXiv:2408.12637): SigLIP, neighbouring patches merged, a Llama.

    <|im_start|>User: [<fake_token_around_image><global-img> picture <fake_token_around_image>] ...
    instruction state <end_of_utterance>\nAssistant: | actions          causal

Each camera gives one picture of the tower's own size, `<global-img>`; pictures are not split into tiles.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from vla.embodiment import CameraSpec
from vla.model.vlm.fixed_size import fixed_picture_size
from vla.model.vlm.pictures import PictureStyle
from vla.model.vlm.prompt import Prompt

PROMPT = Prompt(
    before="<|im_start|>User:",
    picture_open="<fake_token_around_image><global-img>",
    picture_close="<fake_token_around_image>",
    closing="<end_of_utterance>\nAssistant:",
    end="<end_of_utterance>",
    specials=("<|im_start|>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
)


@dataclasses.dataclass(frozen=True)
class SmolVLMFamily:
    """See the top of this file."""

    name: str
    stem: str
    """Of the class names in `transformers`."""
    text_types: tuple[str, ...] = ("llama",)
    prompt: Prompt = PROMPT
    style: PictureStyle = PictureStyle()  # noqa: RUF009 (frozen)
    is_prefix_causal: bool = True
    first_position: int = 0
    axes: int = 1
    do_actions_descend: bool = False

    @property
    def class_name(self) -> str:
        return f"{self.stem}ForConditionalGeneration"

    @property
    def config_name(self) -> str:
        return f"{self.stem}Config"

    def attention(self, config: Any) -> str:
        return "sdpa"

    def picture_size(self, config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
        return fixed_picture_size(self.name, config.vision_config, longest_side)

    def grid(self, config: Any, size: tuple[int, int]) -> tuple[int, int]:
        pixels = config.vision_config.patch_size * config.scale_factor
        return size[0] // pixels, size[1] // pixels

    def look(
        self, model: nn.Module, pixels: Float[Tensor, "batch 3 rows columns"]
    ) -> tuple[Float[Tensor, "batch tokens width"], ...]:
        parts = cast(Any, model)
        return (parts.connector(parts.vision_model(pixel_values=pixels).last_hidden_state),)

    def num_levels(self, config: Any) -> int:
        return 1

    def language(self, model: nn.Module) -> nn.Module:
        return cast(nn.Module, model.text_model)
