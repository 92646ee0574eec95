from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from vla.embodiment import CameraSpec
from vla.model.continuous import ExpertConfig, FlowHead, features_of
from vla.model.vlm.pretrained_files import describe
from vla.model.vlm.vlm_backbone import VlmBackbone, VlmPrefix
from vla.model.vlm.vlm_config import PretrainedConfig
from vla.testing.tiny_vlms import write_tiny_vlm

CAMERAS = [CameraSpec("scene", 20, 24), CameraSpec("wrist", 16, 16)]
CAUSAL = ("smolvlm", "qwen3_vl", "internvl")


def _backbone(name: str, folder: Path) -> VlmBackbone:
    side = 32 if name.startswith("qwen") else 0
    torch.manual_seed(0)
    choice = PretrainedConfig(family=name, path=str(write_tiny_vlm(name, folder)), text_tokens=6, picture_side=side)
    backbone = VlmBackbone(describe(choice)[0], CAMERAS, 3)
    backbone.vlm.requires_grad_(False)
    return backbone


def _prefix(backbone: VlmBackbone) -> VlmPrefix:
    random = torch.Generator().manual_seed(1)
    images = {
        c.name: torch.randint(0, 256, (2, c.height, c.width, 3), generator=random).to(torch.uint8) for c in CAMERAS
    }
    is_padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    text = torch.randint(1, 200, (2, 6), generator=random)
    return backbone.embed(images, text, is_padding, torch.randn(2, 3, generator=random))


def _gradients(backbone: VlmBackbone, head: FlowHead, *, settles: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    prefix = _prefix(backbone)
    assert prefix.num_settled > 0
    features = features_of(backbone, prefix if settles else dataclasses.replace(prefix, num_settled=0))
    trained = [*backbone.state_embedding.parameters(), *head.parameters()]
    random = torch.Generator().manual_seed(2)
    noise, time = torch.randn(2, 5, 4, generator=random), torch.rand(2, 5, generator=random)
    said = head.velocity(noise, time, head.context(features, prefix.is_padding)) + features.sum() * 1e-3
    return features.detach(), list(torch.autograd.grad(said.square().sum(), trained))


@pytest.mark.parametrize("name", CAUSAL)
def test_what_is_settled_changes_no_hidden_state_and_no_gradient(name: str, tmp_path: Path) -> None:
    backbone = _backbone(name, tmp_path)
    head = FlowHead(ExpertConfig(width=16, layers=2, heads=2), backbone.width, 5, 4)
    torch.nn.init.normal_(head.leave.weight)
    features, gradients = _gradients(backbone, head, settles=True)
    expected, wanted = _gradients(backbone, head, settles=False)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert any(gradient.abs().sum() > 0 for gradient in wanted[:4])
    for found, right in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-3, atol=1e-4)


def test_no_graph_is_kept_of_what_is_settled(tmp_path: Path) -> None:
    backbone = _backbone("smolvlm", tmp_path)
    prefix, sizes = _prefix(backbone), []

    def kept(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        features_of(backbone, prefix)
        settled = sum(sizes)
        sizes.clear()
        features_of(backbone, dataclasses.replace(prefix, num_settled=0))
    assert settled < 0.6 * sum(sizes)


def test_nothing_is_settled_where_the_words_train_or_the_prefix_sees_ahead(tmp_path: Path) -> None:
    backbone = _backbone("smolvlm", tmp_path)
    backbone.language.embed_tokens.requires_grad_(True)
    assert _prefix(backbone).num_settled == 0
    ahead = _backbone("paligemma", tmp_path / "paligemma")
    prefix = _prefix(ahead)
    assert features_of(ahead, prefix)[:, 0].requires_grad


def test_a_language_model_that_trains_gets_its_gradient(tmp_path: Path) -> None:
    backbone = _backbone("smolvlm", tmp_path)
    weight = dict(backbone.language.named_parameters())["layers.0.self_attn.k_proj.weight"]
    weight.requires_grad_(True)
    features_of(backbone, _prefix(backbone))[:, 0].sum().backward()
    assert weight.grad is not None
