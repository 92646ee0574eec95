"""The contract of backbones, kept by the compact one and by every family of pretrained ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.model.backbone import Backbone, Past
from vla.model.compact import CompactBackbone, CompactConfig
from vla.model.connectors import ConnectorKind
from vla.model.vlm.families import family_named
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla.model.vlm.vlm_config import VlmConfig

pytest.importorskip("transformers")

from vla.testing.tiny_vlms import NAMES, family_of, tiny_architecture, tiny_words

CAMERAS = (CameraSpec("scene", 16, 16), CameraSpec("wrist", 16, 24))
TEXT, NEW = 12, 3


def make(name: str) -> Backbone:
    torch.manual_seed(0)
    if name == "compact":
        small = CompactConfig(width=32, layers=1, heads=2, channels=8, text_tokens=TEXT)
        return CompactBackbone(small, CAMERAS, state_dim=3, text_vocabulary_size=300).eval()
    family, words = family_named(family_of(name)), tiny_words(name)
    prompt, template = family.prompt.ids(words), family.prompt.instruction
    return VlmBackbone(VlmConfig(family.name, tiny_architecture(name), prompt, template, TEXT), CAMERAS, 3).eval()


def inputs(seed: int = 0) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = {
        camera.name: torch.randint(0, 256, (2, camera.height, camera.width, 3), dtype=torch.uint8, generator=generator)
        for camera in CAMERAS
    }
    text = torch.randint(3, 200, (2, TEXT), generator=generator)
    is_padding = torch.arange(TEXT) >= torch.tensor([[TEXT], [5]])
    return images, text, is_padding, torch.randn(2, 3, generator=generator)


@pytest.mark.parametrize("name", ["compact", *NAMES])
@torch.no_grad()
def test_a_backbone_keeps_its_promises(name: str) -> None:
    backbone = make(name)
    assert isinstance(backbone, Backbone)
    images, text, is_padding, state = inputs()
    prefix = backbone.embed(images, text, is_padding, state)
    assert prefix.tokens.shape[:2] == prefix.is_padding.shape == (2, backbone.num_prefix_tokens)
    assert prefix.is_padding.sum(1).tolist() == is_padding.sum(1).tolist()
    new = torch.randn(2, NEW, backbone.width, generator=torch.Generator().manual_seed(1))
    seen = backbone.forward(prefix, new, False)
    assert seen.shape == (2, NEW, backbone.width)

    scribbled = backbone.embed(images, torch.where(is_padding, text.flip(1), text), is_padding, state)
    torch.testing.assert_close(backbone.forward(scribbled, new, False), seen, atol=1e-5, rtol=0)

    other = new.clone()
    other[:, -1] *= -1.0
    causal, causal_other = backbone.forward(prefix, new, True), backbone.forward(prefix, other, True)
    torch.testing.assert_close(causal_other[:, :-1], causal[:, :-1], atol=1e-5, rtol=0)
    assert (backbone.forward(prefix, other, False)[:, 0] - seen[:, 0]).abs().max() > 1e-4

    moved = backbone.embed(images, text, is_padding, state + 1.0)
    assert (backbone.forward(moved, new, False) - seen).abs().max() > 1e-4
    cache = backbone.new_cache(prefix.tokens, 5)
    assert cache.num_prefix == backbone.num_prefix_tokens
    assert cache.layers[0].keys.shape[2] >= backbone.num_prefix_tokens + 5


def florence(**chosen: Any) -> VlmBackbone:
    prompt = family_named("florence2").prompt.ids(tiny_words("florence2"))
    config = VlmConfig("florence2", tiny_architecture("florence2"), prompt, "", TEXT)
    return VlmBackbone(dataclasses.replace(config, **chosen), CAMERAS, 3)


def test_an_encoder_refuses_more_tokens_than_it_has_positions_for() -> None:
    sizes = tiny_architecture("florence2")
    few = sizes | {"text_config": sizes["text_config"] | {"max_position_embeddings": 20}}
    with pytest.raises(ConfigError, match=r"reads 20 tokens, the prompt has 27"):
        florence(architecture=few)


def test_pictures_that_are_no_grid_are_not_pooled() -> None:
    with pytest.raises(ConfigError, match="pictures of florence2 are no grid of tokens"):
        florence(connector=ConnectorKind.POOLED)


@torch.no_grad()
def test_more_tokens_than_a_decoder_has_positions_for_are_refused() -> None:
    backbone = florence()
    prefix = backbone.embed(*inputs())
    with pytest.raises(ConfigError, match=r"decodes 512 tokens, got 513"):
        backbone.forward(prefix, torch.zeros(2, 511, backbone.width), True)


@pytest.mark.parametrize("name", ["compact", "smolvlm"])
def test_a_history_that_is_not_shown_is_refused(name: str) -> None:
    backbone = make(name)
    past = Past({camera.name: inputs()[0][camera.name][:, None] for camera in CAMERAS}, torch.zeros(2, 1).bool())
    with pytest.raises(ValueError, match="a history of 1 frames has 0 before the present one, got 1"):
        backbone.embed(*inputs(), past=past)


@pytest.mark.parametrize("name", ["compact", "smolvlm"])
def test_gradients_of_an_insulated_prefix_end_before_what_sees_and_reads(name: str) -> None:
    for insulated in (False, True):
        backbone = make(name)
        assert isinstance(backbone, CompactBackbone | VlmBackbone)
        prefix = backbone.embed(*inputs(), insulated=insulated)
        backbone(prefix, torch.randn(2, NEW, backbone.width), False).sum().backward()
        parts = ("vision", "text_embedding") if name == "compact" else ("vlm.vision_model", "vlm.connector")
        seen = [p.grad for n, p in backbone.named_parameters() if n.startswith(parts) and p.grad is not None]
        assert bool(seen) is not insulated
        own = [p.grad for n, p in backbone.named_parameters() if n.startswith("state_embedding")]
        assert all(gradient is not None for gradient in own)
