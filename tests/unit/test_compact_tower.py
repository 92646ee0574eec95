from __future__ import annotations

import pytest
import torch

from vla.embodiment import CameraSpec
from vla.model.compact import CompactBackbone, CompactConfig
from vla.model.tower import Tower
from vla.model.vla_model import Head, VlaModel, Vocabulary
from vla_policies.batches import Batch
from vla_policies.trainer import OptimizerConfig, Trainer

pytest.importorskip("timm")

NUM_TOKENS = 4
SAME = [CameraSpec("scene", 64, 96), CameraSpec("wrist", 64, 96)]
DIFFERENT = [CameraSpec("scene", 64, 96), CameraSpec("wrist", 32, 64)]


def _config() -> CompactConfig:
    return CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=16, text_tokens=4, tower=Tower.RESNET18)


def _backbone(cameras: list[CameraSpec]) -> CompactBackbone:
    torch.manual_seed(0)
    return CompactBackbone(_config(), cameras, 3, 20)


def _batch(cameras: list[CameraSpec], size: int = 6) -> Batch:
    random = torch.Generator().manual_seed(1)
    return Batch(
        images={
            c.name: torch.randint(0, 256, (size, c.height, c.width, 3), generator=random).to(torch.uint8)
            for c in cameras
        },
        text=torch.randint(1, 20, (size, 4), generator=random),
        text_is_padding=torch.zeros(size, 4, dtype=torch.bool),
        state=torch.randn(size, 3, generator=random),
        actions=torch.randint(0, 7, (size, NUM_TOKENS), generator=random),
        is_padding=torch.zeros(size, NUM_TOKENS, dtype=torch.bool),
        points=torch.rand(size, 2, 2, generator=random),
    )


@pytest.mark.parametrize("cameras", [SAME, DIFFERENT])
def test_a_tower_sees_each_camera_as_if_it_were_alone(cameras: list[CameraSpec]) -> None:
    backbone, batch = _backbone(cameras).eval(), _batch(cameras)
    prefix = backbone.embed(batch.images, batch.text, batch.text_is_padding, batch.state)
    row = {name: image[2:3] for name, image in batch.images.items()}
    alone = backbone.embed(row, batch.text[2:3], batch.text_is_padding[2:3], batch.state[2:3])
    torch.testing.assert_close(prefix.tokens[2:3], alone.tokens, rtol=1e-4, atol=1e-5)
    assert prefix.grounding.shape == (6, 2, 2 * 3)  # a cell for each 32 x 32 pixels


def test_cameras_share_the_tower() -> None:
    count = [sum(p.numel() for p in _backbone(SAME[:number]).parameters()) for number in (1, 2)]
    assert count[1] - count[0] < 0.01 * count[0]


def test_a_model_with_a_tower_learns_where_to_look() -> None:
    model = VlaModel(_backbone(SAME), Head.SLOTS, Vocabulary(20, 7), NUM_TOKENS)
    config = OptimizerConfig(learning_rate=1e-3, warmup_steps=3, grounding_weight=1.0)
    trainer = Trainer(model, config, 20)
    losses = [trainer.train_step(_batch(SAME)).grounding_loss for _ in range(20)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_configuration_with_a_tower_is_what_was_written() -> None:
    assert CompactConfig.from_json(_config().to_json()) == _config()
    assert CompactConfig.from_json({"width": 32}).tower is Tower.STEM


def test_a_camera_whose_size_the_tower_cannot_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32 pixels, got 64 x 80"):
        _backbone([CameraSpec("scene", 64, 80)])
