"""The big layouts' code at a size for a CPU: towers, projector, language model, both heads."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from vla.decoding.llama_tokens import LlamaTokens
from vla.decoding.token_decoder import TokenDecoder
from vla.model.llama import LlamaConfig
from vla.model.prismatic import (
    OPENVLA_7B,
    PALIGEMMA_3B,
    PrismaticBackbone,
    PrismaticConfig,
    PrismaticPrefix,
    TowerConfig,
)
from vla.model.vla_model import TOKEN_HEADS, Head
from vla.tokens.bins import line_grammar

pytest.importorskip("timm")

TOWER = TowerConfig(width=16, blocks=2, heads=2, image_size=28, registers=2, has_class_token=True, layer_scale=1.0)
LANGUAGE = LlamaConfig(vocabulary_size=40, width=32, layers=2, heads=4, key_value_heads=2, head_dim=8, mlp_width=48)
SMALL = PrismaticConfig(
    towers=(TOWER, dataclasses.replace(TOWER, width=8, registers=0, has_class_token=False)),
    language=LANGUAGE,
    projector_widths=(24,),
    text_tokens=5,
)


def make_backbone(config: PrismaticConfig) -> PrismaticBackbone:
    torch.manual_seed(0)
    return PrismaticBackbone.with_random_weights(config, torch.device("cpu"), torch.float32)


def make_prefix(backbone: PrismaticBackbone, seed: int = 0) -> PrismaticPrefix:
    config, random = backbone.config, torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, config.views, 28, 28, 3), generator=random).to(torch.uint8)
    is_padding = torch.arange(config.text_tokens) >= torch.tensor([[3], [5]])
    with torch.no_grad():
        return backbone.embed(images, torch.ones(2, config.text_tokens, dtype=torch.int64), is_padding)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("text_first", [False, True])
def test_the_prefix_has_a_token_for_every_patch_and_word(views: int, text_first: bool) -> None:
    config = dataclasses.replace(SMALL, views=views, text_first=text_first)
    prefix = make_prefix(make_backbone(config))
    assert prefix.tokens.shape == (2, 4 * views + 5, 32)
    assert prefix.is_padding[0].nonzero().flatten().tolist() == (
        [3, 4] if text_first else [4 * views + 3, 4 * views + 4]
    )


@pytest.mark.parametrize("head", TOKEN_HEADS)
@pytest.mark.parametrize("is_prefix_causal", [False, True])
def test_a_small_model_of_the_layout_decodes(head: Head, is_prefix_causal: bool) -> None:
    backbone = make_backbone(SMALL)
    tokens = LlamaTokens(backbone.decoder, head, 10, 6, 30, 1, is_prefix_causal)
    decoder = TokenDecoder(tokens, line_grammar(6, 10))
    one, other = decoder.decode(make_prefix(backbone)), decoder.decode(make_prefix(backbone, seed=1))
    assert one.ids.shape == (2, 6)
    assert not torch.equal(one.log_probability, other.log_probability)


def number_of_weights(config: PrismaticConfig) -> float:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in PrismaticBackbone(config).parameters()) / 1e9


@pytest.mark.parametrize(("config", "billions"), [(OPENVLA_7B, 7.5), (PALIGEMMA_3B, 2.9)])
def test_the_published_layouts_have_their_published_sizes(config: PrismaticConfig, billions: float) -> None:
    assert number_of_weights(config) == pytest.approx(billions, abs=0.06)
