r"""PaliGemma 1 and 2 (arXiv:2407.07726, arXiv:2412.03555): SigLIP, one linear layer, Gemma 1 or 2.

    picture picture ... <bos> instruction state "\n" | actions          the prefix sees all of itself

Positions begin at 1.
"""

from __future__ import annotations

from typing import Any

from vla.model.vlm.family import Family, Levels, Pixels
from vla.model.vlm.fixed_size import fixed_picture_size
from vla.model.vlm.prompt import Prompt
from vla.tokens.words import PLACE

PROMPT = Prompt(opening="<bos>", closing="\n", question=f"answer en {PLACE}", end="<eos>", specials=("<bos>", "<eos>"))


def _attention(config: Any) -> str:
    # Gemma 2 caps its scores, which the fused kernel cannot.
    return "eager" if config.text_config.model_type == "gemma2" else "sdpa"


def _grid(config: Any, size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // config.vision_config.patch_size, size[1] // config.vision_config.patch_size


def _look(model: Any, pixels: Pixels) -> Levels:
    return (model.multi_modal_projector(model.vision_tower(pixels).last_hidden_state),)


PALIGEMMA = Family(
    "paligemma",
    "PaliGemma",
    ("gemma", "gemma2"),
    PROMPT,
    fixed_picture_size("paligemma"),
    _grid,
    _look,
    is_prefix_causal=False,
    first_position=1,
    attention=_attention,
)
