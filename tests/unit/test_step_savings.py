"""What a step leaves out, or does once, without changing what is learned."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.small_steps import make_model, make_robot
from vla.embodiment import CameraSpec
from vla.model.vla_model import Head
from vla.model.vlm.cpu_attention import FUSED, attention_named
from vla.model.vlm.pretrained_files import describe
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla.model.vlm.vlm_config import PretrainedConfig
from vla.testing.tiny_vlms import write_tiny_vlm
from vla_policies.batches import Batch
from vla_policies.frozen_casts import keep_frozen_cast
from vla_policies.objective import Objective, Weighing
from vla_policies.precision import Precision
from vla_policies.step_counts import StepCounts

CAMERAS = [CameraSpec("scene", 20, 24), CameraSpec("wrist", 20, 24)]
FAMILIES = ("smolvlm", "paligemma", "qwen2_5_vl", "qwen3_vl", "internvl", "florence2")

# --------------------------------------------------------------------------- padding


def padded() -> Batch:
    """Instructions of one token or two, with room for four."""
    robot = make_robot()
    is_padding = torch.ones_like(robot.text_is_padding)
    is_padding[:, 0] = is_padding[::2, 1] = False
    return dataclasses.replace(robot, text_is_padding=is_padding)


def trimmed(batch: Batch, longest: int) -> Batch:
    return dataclasses.replace(batch, text=batch.text[:, :longest], text_is_padding=batch.text_is_padding[:, :longest])


def gradients(head: Head, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model = make_model(head)
    loss, _ = Objective(model, Weighing(0.5, 0.0, 1.0, False), Precision.FP32)(batch, None, StepCounts.of(batch))
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("head", list(Head))
def test_padding_behind_the_longest_instruction_changes_no_loss_and_no_gradient(head: Head) -> None:
    loss, expected = gradients(head, padded())
    shorter, found = gradients(head, trimmed(padded(), 2))
    torch.testing.assert_close(shorter, loss)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def make_backbone(name: str, folder: Path) -> VlmBackbone:
    torch.manual_seed(0)
    side = 32 if name.startswith("qwen") else 0
    choice = PretrainedConfig(family=name, path=str(write_tiny_vlm(name, folder)), text_tokens=6, picture_side=side)
    return VlmBackbone(describe(choice)[0], CAMERAS, 3)


@pytest.mark.parametrize("name", FAMILIES)
def test_pretrained_models_make_the_same_of_an_instruction_without_its_padding(name: str, tmp_path: Path) -> None:
    backbone = make_backbone(name, tmp_path)
    random = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (2, 20, 24, 3), generator=random).to(torch.uint8)
    is_padding = torch.tensor([[False] * 4 + [True] * 2, [False] * 3 + [True] * 3])
    text, state = torch.randint(1, 200, (2, 6), generator=random), torch.randn(2, 3, generator=random)
    slots = torch.randn(2, 5, backbone.width, generator=random)

    def read(longest: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = {camera.name: image for camera in CAMERAS}
        prefix = backbone.embed(images, text[:, :longest], is_padding[:, :longest], state)
        hidden = backbone.hidden(prefix, slots, True)
        ahead = prefix.is_padding.shape[1]
        return hidden[:, :ahead][~prefix.is_padding], hidden[:, ahead:]

    with torch.no_grad():
        for found, expected in zip(read(4), read(6), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


# --------------------------------------------------------------------------- pictures


def test_a_tower_sees_the_pictures_of_all_cameras_at_once(tmp_path: Path) -> None:
    """Pictures of one colour are alike in every size; those of two sizes are seen one after the other."""
    backbone = make_backbone("smolvlm", tmp_path)
    sizes: list[int] = []
    backbone.vlm.get_submodule("vision_model").register_forward_pre_hook(
        lambda _, __, options: sizes.append(len(options["pixel_values"])), with_kwargs=True
    )
    text, state = torch.ones(2, 6, dtype=torch.int64), torch.zeros(2, 3)
    green, red = (torch.full((2, 20, 24, 3), level, dtype=torch.uint8) for level in (30, 200))

    def embed(wrist: torch.Tensor) -> torch.Tensor:
        return backbone.embed({"scene": green, "wrist": wrist}, text, text > 1, state).tokens

    with torch.no_grad():
        together, apart = embed(red), embed(red[:, :16, :16])
    assert sizes == [4, 2, 2]
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


# --------------------------------------------------------------------------- attention


def steps_to(tensor: torch.Tensor) -> list[str]:
    """What a backward pass will go through."""
    ahead, names = [tensor.grad_fn], []
    while ahead:
        step = ahead.pop()
        if step is not None:
            names.append(step.name())
            ahead += [before for before, _ in step.next_functions]
    return names


@pytest.mark.parametrize("is_told", [True, False], ids=["where to look", "what is added"])
def test_attention_in_training_on_a_cpu_is_that_of_the_fused_kernel(is_told: bool) -> None:
    from transformers.modeling_utils import AttentionInterface

    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, 5, 8, generator=random).bfloat16() for heads in (4, 2, 2))
    may_look = torch.ones(5, 5, dtype=torch.bool).tril()[None, None].expand(2, 1, -1, -1)
    mask = may_look if is_told else torch.where(may_look, 0.0, torch.finfo(torch.bfloat16).min).bfloat16()
    module = nn.Module()
    module.num_key_value_groups = 2  # type: ignore[assignment]

    def attended(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        asked = query.clone().requires_grad_()
        attention: Any = AttentionInterface()[name]
        mixed = attention(module, asked, key, value, mask, scaling=0.3, dropout=0.0)[0]
        assert any("ScaledDot" in step for step in steps_to(mixed)) is (name == FUSED)
        return mixed, torch.autograd.grad(mixed.square().sum(), asked)[0]

    for found, expected in zip(attended(attention_named(FUSED)), attended(FUSED), strict=True):
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


# --------------------------------------------------------------------------- frozen weights


def frozen_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, bias=False)).requires_grad_(False)


def said(layers: nn.Module) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return layers(torch.linspace(-1, 1, 12).view(2, 6))


def test_frozen_weights_that_are_cast_once_give_the_same_bits_and_stay_as_they_are() -> None:
    plain, once = frozen_layers(), frozen_layers()
    keep_frozen_cast(once)
    assert torch.equal(said(once), said(plain))
    assert all(torch.equal(tensor, once.state_dict()[name]) for name, tensor in plain.state_dict().items())
    x = torch.ones(2, 6)
    assert torch.equal(once(x), plain(x))


def test_frozen_weights_are_cast_again_once_others_are_loaded() -> None:
    plain, once = frozen_layers(), frozen_layers()
    keep_frozen_cast(once)
    before = said(once)
    loaded = {name: tensor * 2 for name, tensor in plain.state_dict().items()}
    plain.load_state_dict(loaded)
    once.load_state_dict(loaded)
    assert torch.equal(said(once), said(plain))
    assert not torch.equal(said(once), before)


def test_weights_that_train_are_cast_in_every_pass() -> None:
    layers = frozen_layers().requires_grad_(True)
    keep_frozen_cast(layers)
    said(layers).sum().backward()
    assert all(parameter.grad is not None for parameter in layers.parameters())


# --------------------------------------------------------------------------- memory

FAULTS = """
import resource, numpy as np
from vla_policies.kept_memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(8_000_000, 1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults(), keep_freed_memory(), faults() * 0 + faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_kept_memory_is_given_to_the_next_step_without_faults() -> None:
    before, is_kept, after = subprocess.check_output([sys.executable, "-c", FAULTS], text=True).split()
    assert is_kept == "True"
    assert int(after) < 0.1 * int(before)


def test_other_c_libraries_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from vla_policies import kept_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1"))
    assert not kept_memory.keep_freed_memory()
