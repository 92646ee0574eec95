r"""PaliGemma 1 and 2 (arXiv:2407.07726, arXiv:2412.03555): SigLIP, one linear layer, Gemma 1 or 2.

    picture picture ... <bos> instruction state "\n" | actions          the prefix sees all of itself

Positions begin at 1.
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
from vla.tokens.words import PLACE

PROMPT = Prompt(opening="<bos>", closing="\n", question=f"answer en {PLACE}", end="<eos>", specials=("<bos>", "<eos>"))


@dataclasses.dataclass(frozen=True)
class PaliGemmaFamily:
    """See the top of this file."""

    name: str = "paligemma"
    class_name: str = "PaliGemmaForConditionalGeneration"
    config_name: str = "PaliGemmaConfig"
    text_types: tuple[str, ...] = ("gemma", "gemma2")
    prompt: Prompt = PROMPT
    style: PictureStyle = PictureStyle()  # noqa: RUF009 (frozen)
    is_prefix_causal: bool = False
    first_position: int = 1
    axes: int = 1
    do_actions_descend: bool = False

    def attention(self, config: Any) -> str:
        # Gemma 2 caps its scores, which the fused kernel cannot.
        return "eager" if config.text_config.model_type == "gemma2" else "sdpa"

    def picture_size(self, config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
        return fixed_picture_size(self.name, config.vision_config, longest_side)

    def grid(self, config: Any, size: tuple[int, int]) -> tuple[int, int]:
        return size[0] // config.vision_config.patch_size, size[1] // config.vision_config.patch_size

    def look(
        self, model: nn.Module, pixels: Float[Tensor, "batch 3 rows columns"]
    ) -> tuple[Float[Tensor, "batch tokens width"], ...]:
        parts = cast(Any, model)
        return (parts.multi_modal_projector(parts.vision_tower(pixels).last_hidden_state),)

    def num_levels(self, config: Any) -> int:
        return 1

    def language(self, model: nn.Module) -> nn.Module:
        return cast(nn.Module, model.language_model)
