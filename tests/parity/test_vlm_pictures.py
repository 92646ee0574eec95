"""Pictures as each family's own image processor prepares them: nearly all within a level of 255, none off by three."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vla.embodiment import CameraSpec
from vla.model.vlm.families import family_named, transformers_config
from vla.model.vlm.pictures import prepare
from vla.model.vlm.qwen_family import patches_of

transformers = pytest.importorskip("transformers")
pytest.importorskip("torchvision")

from vla.testing.tiny_vlms import tiny_architecture  # noqa: E402

SIZES = [(48, 48), (40, 64), (16, 16)]


def picture(height: int, width: int) -> Tensor:
    """Smooth and sharp parts, so that resampling has something to do."""
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    smooth = np.stack([row * 255 / height, column * 255 / width, (row + column) % 17 * 15], axis=-1)
    smooth[height // 3 : height // 2, width // 4 : width // 2] = 255
    return torch.from_numpy(smooth.astype(np.uint8))[None]


def processed(processor: Any, image: Tensor) -> Tensor:
    given = image[0].permute(2, 0, 1)
    return torch.as_tensor(processor(images=[given], return_tensors="pt")["pixel_values"])


def assert_alike(ours: Tensor, theirs: Tensor, style: Any) -> None:
    """Within rounding: the libraries round their weights, and whole levels in between."""
    levels = (ours - theirs).abs() * 255 * torch.tensor(style.std)[:, None, None]
    assert levels.max() < 2.1
    assert (levels < 1.1).float().mean() > 0.99
    assert theirs.std() > 0.1


@pytest.mark.parametrize("size", SIZES)
def test_paligemmas_pictures(size: tuple[int, int]) -> None:
    style, image = family_named("paligemma").style, picture(*size)
    theirs = processed(transformers.SiglipImageProcessor(size={"height": 32, "width": 32}), image)
    assert_alike(prepare(image, (32, 32), style)[0], theirs[0], style)


@pytest.mark.filterwarnings("ignore:.*LANCZOS.*")
@pytest.mark.parametrize("size", SIZES)
def test_smolvlms_pictures(size: tuple[int, int]) -> None:
    style, image = family_named("smolvlm").style, picture(*size)
    processor = transformers.SmolVLMImageProcessor(
        do_image_splitting=False, size={"longest_edge": max(size)}, max_image_size={"longest_edge": 32}
    )
    theirs = processed(processor, image).flatten(0, 1)
    assert_alike(prepare(image, (32, 32), style)[0], theirs[0], style)


@pytest.mark.parametrize("size", SIZES)
def test_internvls_pictures(size: tuple[int, int]) -> None:
    style, image = family_named("internvl").style, picture(*size)
    processor = transformers.GotOcr2ImageProcessor(
        crop_to_patches=False, size={"height": 32, "width": 32}, image_mean=style.mean, image_std=style.std
    )
    theirs = processed(processor, image)
    assert_alike(prepare(image, (32, 32), style)[0], theirs[0], style)


@pytest.mark.parametrize("size", SIZES)
def test_florences_pictures(size: tuple[int, int]) -> None:
    """Its processor is CLIP's, without a crop, as its files say."""
    style, image = family_named("florence2").style, picture(*size)
    processor = transformers.CLIPImageProcessor(
        do_center_crop=False, size={"height": 32, "width": 32}, image_mean=style.mean, image_std=style.std
    )
    assert_alike(prepare(image, (32, 32), style)[0], processed(processor, image)[0], style)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_qwens_pictures_are_the_same_patches_in_the_same_order(name: str, size: tuple[int, int]) -> None:
    family, image = family_named(name), picture(*size)
    config = transformers_config(family, tiny_architecture(name))
    vision = config.vision_config
    processor = transformers.Qwen2VLImageProcessor(
        patch_size=vision.patch_size,
        merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
        size={"shortest_edge": 64, "longest_edge": 10_000},
        image_mean=family.style.mean,
        image_std=family.style.std,
    )
    theirs = processor(images=[image[0].permute(2, 0, 1)], return_tensors="pt")
    rows, columns = family.picture_size(config, CameraSpec("scene", *size), 0)
    ours, grid = patches_of(prepare(image, (rows, columns), family.style), vision)
    assert torch.equal(grid, torch.as_tensor(theirs["image_grid_thw"]))
    assert (ours - torch.as_tensor(theirs["pixel_values"])).abs().max() <= 2.1 / 255 / min(family.style.std)


def test_a_wished_for_side_keeps_the_shape() -> None:
    family = family_named("qwen3_vl")
    config = transformers_config(family, tiny_architecture("qwen3_vl"))
    assert family.picture_size(config, CameraSpec("scene", 48, 96), 192) == (96, 192)
    assert family.picture_size(config, CameraSpec("scene", 1, 300), 0) == (8, 304)
