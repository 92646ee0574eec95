"""The families of vision-language models that are known, by name.

Which classes of `transformers` a family is made of stands in it; nothing in a file chooses a class. `transformers` is
loaded when a model is made, not before.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from vla.errors import ConfigError, unknown
from vla.libraries import require_library
from vla.model.vlm.cpu_attention import attention_named
from vla.model.vlm.family import Family as Family
from vla.model.vlm.florence_family import FLORENCE
from vla.model.vlm.internvl_family import INTERNVL
from vla.model.vlm.openvla_family import OPENVLA as OPENVLA_FAMILY
from vla.model.vlm.openvla_parts import OpenVlaWhole, openvla_sizes
from vla.model.vlm.paligemma_family import PALIGEMMA
from vla.model.vlm.pictures import CLIP_MEAN, CLIP_STD, PictureStyle
from vla.model.vlm.qwen_family import qwen
from vla.model.vlm.smolvlm_family import smolvlm

OPENVLA = "openvla"
"""Not a class of `transformers`: put together here."""
DROPPED = ("auto_map", "quantization_config", "attn_implementation", "experts_implementation", "torch_dtype", "dtype")
"""What a configuration file may say that is not a size: code to fetch, kernels to fetch, types of numbers."""
RANDOM = (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "encoder_layerdrop",
    "decoder_layerdrop",
    "drop_path_rate",
)
"""Parts that are left out at random in training: none is, so that a step depends on its samples alone."""


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        PALIGEMMA,
        smolvlm("smolvlm", "SmolVLM"),
        smolvlm("idefics3", "Idefics3"),
        qwen("qwen2_5_vl", "Qwen2_5_VL", "qwen2_5_vl_text", PictureStyle(CLIP_MEAN, CLIP_STD)),
        qwen("qwen3_vl", "Qwen3VL", "qwen3_vl_text", PictureStyle()),
        INTERNVL,
        FLORENCE,
        OPENVLA_FAMILY,
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
    config._attn_implementation = attention_named(family.attention(config))
    return _still(config)


def _still(config: Any) -> Any:
    for part in (config.vision_config, config.text_config):
        for name in set(RANDOM) & set(part.to_dict()):
            setattr(part, name, 0.0)
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
