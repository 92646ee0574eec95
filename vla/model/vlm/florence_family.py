r"""Florence-2 (arXiv:2311.06242): DaViT, one linear layer, and BART: an encoder that reads, a decoder that answers.

    picture picture ... <s> instruction state </s>  |  </s> <s> | actions
    encoder: all sees all of itself                    decoder: sees the encoder's, and what came before

The tower sees pictures of any size, each side rounded to whole cells of its last stage; a picture is a token for their
mean, then one a cell. Positions are embedded, and padding counts in none.
"""

from __future__ import annotations

import math
from typing import Any

from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.model.vlm.any_size import whole_tokens
from vla.model.vlm.family import Family, Levels, Pixels
from vla.model.vlm.pictures import IMAGENET_MEAN, IMAGENET_STD, PictureStyle
from vla.model.vlm.prompt import Prompt

PROMPT = Prompt(opening="<s>", closing="</s></s><s>", end="</s>", specials=("<s>", "</s>"))


def _cell(config: Any) -> int:
    """Pixels along one side of a cell."""
    return math.prod(config.vision_config.patch_stride)


def _picture_size(config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
    size, cell, most = whole_tokens(camera, longest_side, _cell(config)), _cell(config), _most_cells(config)
    if max(size) > most * cell:
        raise ConfigError(
            f"florence2 sees pictures of up to {most * cell} pixels a side, got {size[0]} x {size[1]}: "
            f"give a smaller pretrained.picture_side"
        )
    return size


def _most_cells(config: Any) -> int:
    return int(config.vision_config.max_position_embeddings)


def _grid(config: Any, size: tuple[int, int]) -> tuple[int, int]:
    """One row: the mean stands before the cells."""
    cell = _cell(config)
    return 1, 1 + (size[0] // cell) * (size[1] // cell)


def _look(model: Any, pixels: Pixels) -> Levels:
    return (model.multi_modal_projector(model.vision_tower(pixels).last_hidden_state),)


FLORENCE = Family(
    "florence2",
    "Florence2",
    ("bart",),
    PROMPT,
    _picture_size,
    _grid,
    _look,
    style=PictureStyle(IMAGENET_MEAN, IMAGENET_STD),
    is_prefix_causal=False,
    has_grid=False,
    num_begin_tokens=2,
)
