r"""OpenVLA (arXiv:2406.09246) and the backbone of OpenVLA-OFT (arXiv:2502.19645).

    <s> picture picture ... In: What action should the robot take to INSTRUCTION?\nOut: state ▁ | actions       causal

The instruction is in lower case. Action tokens are text ids that are given up, and run downwards: the last ordinary id
of the vocabulary stands for the lowest bin.
"""

from __future__ import annotations

from typing import Any

from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.model.vlm.family import Family, Levels, Pixels
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


def _picture_size(config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
    if longest_side not in (0, config.image_size):
        raise ConfigError(
            f"openvla sees pictures of {config.image_size} pixels: leave picture_side, got {longest_side}"
        )
    return config.image_size, config.image_size


def _grid(config: Any, size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // config.patch, size[1] // config.patch


def _look(model: Any, pixels: Pixels) -> Levels:
    return (model.look(pixels),)


OPENVLA = Family(
    "openvla",
    "OpenVLA",
    ("llama",),
    PROMPT,
    _picture_size,
    _grid,
    _look,
    style=PLAIN,
    do_actions_descend=True,
)
