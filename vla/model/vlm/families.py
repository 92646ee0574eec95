"""The families of vision-language models that are known, by name.

A family says how its pictures are prepared and how its prompt reads, and finds the parts of its model. Which class of
`transformers` it is made of stands here; nothing in a file chooses a class. `transformers` is loaded when a model is
made, not before.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from vla.embodiment import CameraSpec
from vla.errors import ConfigError, unknown
from vla.libraries import require_library
from vla.model.vlm.internvl_family import InternVLFamily
from vla.model.vlm.openvla_family import OpenVlaFamily
from vla.model.vlm.openvla_parts import OpenVlaWhole, openvla_sizes
from vla.model.vlm.paligemma_family import PaliGemmaFamily
from vla.model.vlm.pictures import CLIP_MEAN, CLIP_STD, PictureStyle
from vla.model.vlm.prompt import Prompt
from vla.model.vlm.qwen_family import QwenFamily
from vla.model.vlm.smolvlm_family import SmolVLMFamily

OPENVLA = "openvla"
"""Not a class of `transformers`: put together here."""
DROPPED = ("auto_map", "quantization_config", "attn_implementation", "experts_implementation", "torch_dtype", "dtype")
"""What a configuration file may say that is not a size: code to fetch, kernels to fetch, types of numbers."""


@runtime_checkable
class Family(Protocol):
    """What the models of one family have in common."""

    @property
    def name(self) -> str: ...

    @property
    def class_name(self) -> str:
        """Of the model, in `transformers`."""
        ...

    @property
    def config_name(self) -> str:
        """Of its configuration, in `transformers`."""
        ...

    @property
    def text_types(self) -> tuple[str, ...]:
        """Language models that it may have."""
        ...

    @property
    def prompt(self) -> Prompt: ...

    @property
    def style(self) -> PictureStyle: ...

    @property
    def is_prefix_causal(self) -> bool: ...

    @property
    def first_position(self) -> int: ...

    @property
    def axes(self) -> int:
        """Of rotary positions."""
        ...

    @property
    def do_actions_descend(self) -> bool:
        """Whether text ids that stand for actions run downwards."""
        ...

    def attention(self, config: Any) -> str:
        """The implementation of attention that computes what this model does, on every device."""
        ...

    def picture_size(self, config: Any, camera: CameraSpec, longest_side: int) -> tuple[int, int]:
        """Rows and columns of pixels that a camera's picture is resized to.

        Args:
            longest_side: what is wished for, in pixels, where the family leaves a choice; 0 if nothing.

        Raises:
            ConfigError: if the family does not leave that choice.
        """
        ...

    def grid(self, config: Any, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of tokens that a picture of this size becomes."""
        ...

    def look(
        self, model: nn.Module, pixels: Float[Tensor, "batch 3 rows columns"]
    ) -> tuple[Float[Tensor, "batch tokens width"], ...]:
        """What the language model reads of pictures: at its entry, then behind its first layers."""
        ...

    def num_levels(self, config: Any) -> int:
        """How many parts `look` returns."""
        ...

    def language(self, model: nn.Module) -> nn.Module:
        """The language model: its `embed_tokens`, `layers`, `norm` and `rotary_emb`."""
        ...


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        PaliGemmaFamily(),
        SmolVLMFamily("smolvlm", "SmolVLM"),
        SmolVLMFamily("idefics3", "Idefics3"),
        QwenFamily("qwen2_5_vl", "Qwen2_5_VL", "qwen2_5_vl_text", PictureStyle(CLIP_MEAN, CLIP_STD)),
        QwenFamily("qwen3_vl", "Qwen3VL", "qwen3_vl_text", PictureStyle()),
        InternVLFamily(),
        OpenVlaFamily(),
    )
}


def family_named(name: str) -> Family:
    """The family of this name.

    Raises:
        ConfigError: naming the nearest that is known.
    """
    if name not in FAMILIES:
        raise unknown("backbone family", name, FAMILIES)
    return FAMILIES[name]


def transformers_config(family: Family, architecture: Mapping[str, Any]) -> Any:
    """The configuration object of `transformers`.

    Raises:
        ConfigError: if `transformers` is not installed, or the configuration is of another family.
    """
    library = _transformers()
    given = architecture.get("model_type")
    if given != family.name:
        raise ConfigError(f"backbone={family.name} needs a model of type '{family.name}', its configuration: '{given}'")
    text = architecture.get("text_config") or {}
    if text.get("model_type", family.text_types[0]) not in family.text_types:
        raise ConfigError(
            f"a {family.name} model has a language model of type {' or '.join(family.text_types)}, "
            f"the configuration says '{text['model_type']}'"
        )
    if family.name == OPENVLA:
        return openvla_sizes(sizes_only(architecture))
    config = getattr(library, family.config_name).from_dict(sizes_only(architecture))
    config._attn_implementation = family.attention(config)
    return config


def make_transformers_model(family: Family, config: Any) -> nn.Module:
    """The model with random weights."""
    if family.name == OPENVLA:
        return OpenVlaWhole(config)
    return getattr(_transformers(), family.class_name)(config)


def transformers_class(family: Family) -> Any:
    """The model's class."""
    return getattr(_transformers(), family.class_name)


def sizes_only(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without whatever could fetch code, or choose how numbers are stored."""
    kept: dict[str, Any] = {}
    for key, value in architecture.items():
        if key.lstrip("_") in DROPPED or key.lstrip("_").startswith("attn_implementation"):
            continue
        kept[key] = sizes_only(value) if isinstance(value, Mapping) else copy.deepcopy(value)
    return kept


def _transformers() -> Any:
    return require_library("transformers", what="a pretrained backbone", extra="backbones")
