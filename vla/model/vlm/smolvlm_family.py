r"""SmolVLM (arXiv:2504.05299) and Idefics3 (arXiv:2408.12637): SigLIP, neighbouring patches merged, a Llama.

    <|im_start|>User: [<fake_token_around_image><global-img> picture <fake_token_around_image>] ...
    instruction state <end_of_utterance>\nAssistant: | actions          causal

Each camera gives one picture of the tower's own size, `<global-img>`; pictures are not split into tiles.
"""

from __future__ import annotations

from typing import Any

from vla.model.vlm.family import Family, Levels, Pixels
from vla.model.vlm.fixed_size import fixed_picture_size
from vla.model.vlm.prompt import Prompt

PROMPT = Prompt(
    before="<|im_start|>User:",
    picture_open="<fake_token_around_image><global-img>",
    picture_close="<fake_token_around_image>",
    closing="<end_of_utterance>\nAssistant:",
    end="<end_of_utterance>",
    specials=("<|im_start|>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
)


def _grid(config: Any, size: tuple[int, int]) -> tuple[int, int]:
    pixels = config.vision_config.patch_size * config.scale_factor
    return size[0] // pixels, size[1] // pixels


def _look(model: Any, pixels: Pixels) -> Levels:
    return (model.connector(model.vision_model(pixel_values=pixels).last_hidden_state),)


def smolvlm(name: str, stem: str) -> Family:
    """SmolVLM, or Idefics3, whose parts have the same names."""
    return Family(
        name,
        stem,
        ("llama",),
        PROMPT,
        fixed_picture_size(name),
        _grid,
        _look,
        language=lambda model: model.text_model,
    )
