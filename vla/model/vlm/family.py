"""What the models of one family have in common: how pictures are prepared, how a prompt reads, where parts are found.

A family is a value: what is the same in most of them is a default here, and its own file says the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vla.embodiment import CameraSpec
from vla.model.vlm.pictures import PictureStyle
from vla.model.vlm.prompt import Prompt

Pixels = Float[Tensor, "batch 3 rows columns"]
Levels = tuple[Float[Tensor, "batch tokens width"], ...]


def _fused(config: Any) -> str:
    return "sdpa"


def _one(config: Any) -> int:
    return 1


def _language_model(model: Any) -> nn.Module:
    return model.language_model  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True)
class Family:
    """See the top of this file."""

    name: str
    stem: str
    """Of the names of its classes in `transformers`."""
    text_types: tuple[str, ...]
    """Language models that it may have."""
    prompt: Prompt
    picture_size: Callable[[Any, CameraSpec, int], tuple[int, int]]
    """Rows and columns of pixels that a camera's picture is resized to.

    Of the model's configuration, the camera, and the longest side that is wished for, in pixels, where the family
    leaves a choice; 0 if nothing is. A `ConfigError` if the family does not leave that choice."""
    grid: Callable[[Any, tuple[int, int]], tuple[int, int]]
    """Rows and columns of tokens that a picture of this size becomes."""
    look: Callable[[Any, Pixels], Levels]
    """What the language model reads of pictures: at its entry, then behind its first layers."""
    style: PictureStyle = PictureStyle()  # noqa: RUF009 (frozen)
    is_prefix_causal: bool = True
    first_position: int = 0
    axes: int = 1
    """Of rotary positions."""
    do_actions_descend: bool = False
    """Whether text ids that stand for actions run downwards."""
    has_grid: bool = True
    """Whether a picture's tokens stand in rows and columns."""
    num_begin_tokens: int = 0
    """Of a prompt's last tokens, those that a decoder reads while an encoder reads all before them; 0 where one model
    reads everything."""
    attention: Callable[[Any], str] = _fused
    """The implementation of attention that computes what this model does, on every device."""
    num_levels: Callable[[Any], int] = _one
    """How many parts `look` returns."""
    language: Callable[[Any], nn.Module] = _language_model
    """The language model: its embedding of words, `layers`, `norm` and `rotary_emb`, or its `encoder` and `decoder`."""

    @property
    def class_name(self) -> str:
        """Of the model, in `transformers`."""
        return f"{self.stem}ForConditionalGeneration"

    @property
    def config_name(self) -> str:
        """Of its configuration, in `transformers`."""
        return f"{self.stem}Config"
