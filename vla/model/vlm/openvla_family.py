r"""OpenVLA (arXiv:2406.09246) and the backbone of OpenVLA-OFT (arXiv:2502.19645).

    <s> picture picture ... In: What action should the robot take to INSTRUCTION?\nOut: state ▁ | actions       causal

The instruction is in lower case. Action tokens are text ids that are given up, and run downwards: the last ordinary id
of the vocabulary stands for the lowest bin.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.model.vlm.openvla_parts import OpenVlaParts
from vla.model.vlm.pictures import PictureStyle
from vla.model.vlm.prompt import Prompt
from vla.tokens.words import PLACE

PROMPT = Prompt(
    before="<s>",
    closing="▁",
    instruction=f"In: What action should the robot take to {PLACE}?\nOut:",
    question=f"In: {PLACE}\nOut:",
    end="</s>",
    is_lower_case=True,
    specials=("<s>", "</s>", "▁"),
)
PLAIN = PictureStyle(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""Each tower normalises for itself."""


@dataclasses.dataclass(frozen=True)
class OpenVlaFamily:
    """See the top of this file."""

    name: str = "openvla"
    class_name: str = "OpenVLAForActionPrediction"
    config_name: str = "OpenVLAConfig"
    text_types: tuple[str, ...] = ("llama",)
    prompt: Prompt = PROMPT
    style: PictureStyle = PLAIN
    is_prefix_causal: bool = True
    first_position: int = 0
    axes: int = 1
    do_actions_descend: bool = True

    def attention(self, config: Any) -> str:
        return "sdpa"

    def picture_size(self, config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
        if longest_side not in (0, config.image_size):
            raise ConfigError(
                f"openvla sees pictures of {config.image_size} pixels: leave picture_side, got {longest_side}"
            )
        return config.image_size, config.image_size

    def grid(self, config: Any, size: tuple[int, int]) -> tuple[int, int]:
        return size[0] // config.patch, size[1] // config.patch

    def look(
        self, model: nn.Module, pixels: Float[Tensor, "batch 3 rows columns"]
    ) -> tuple[Float[Tensor, "batch tokens width"], ...]:
        return (cast(OpenVlaParts, model).look(pixels),)

    def num_levels(self, config: Any) -> int:
        return 1

    def language(self, model: nn.Module) -> nn.Module:
        return cast(nn.Module, model.language_model)
