"""Low-rank adapters: what they change, what they leave alone, and what is the same when they are merged."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from vla.errors import ConfigError
from vla.model.lora import AdapterConfig, LoraLinear, Share, adapt, merge
from vla.model.vla_model import VlaModel
from vla_policies.batches import Batch
from vla_policies.checkpoint import Checkpoint, published_weights
from vla_policies.trainer import OptimizerConfig, Trainer

ADAPTER = AdapterConfig(rank=2, alpha=8.0)


@pytest.fixture
def model(small_checkpoint: Checkpoint) -> VlaModel:
    made = small_checkpoint.build_model()
    assert isinstance(made, VlaModel)
    return made


def batch_of(checkpoint: Checkpoint, model: VlaModel) -> Batch:
    body, generator = checkpoint.embodiment, torch.Generator().manual_seed(0)
    images = {
        camera.name: torch.randint(0, 256, (4, camera.height, camera.width, 3), dtype=torch.uint8, generator=generator)
        for camera in body.cameras
    }
    text = torch.ones(4, 8, dtype=torch.int64)
    actions = torch.randint(0, 9, (4, model.num_action_tokens), generator=generator)
    hidden = torch.zeros_like(actions, dtype=torch.bool)
    points = torch.full((4, 2, 2), 0.5)
    return Batch(images, text, text == 0, torch.randn(4, body.state_dim, generator=generator), actions, hidden, points)


@torch.no_grad()
def logits(model: VlaModel, batch: Batch) -> Tensor:
    model.eval()
    prefix = model.backbone.embed(batch.images, batch.text, batch.text_is_padding, batch.state)
    return model(prefix, batch.actions)


def test_a_model_begins_as_it_was(small_checkpoint: Checkpoint, model: VlaModel) -> None:
    batch = batch_of(small_checkpoint, model)
    before = logits(model, batch)
    adapt(model, ADAPTER, published_weights(small_checkpoint.backbone))
    assert any(isinstance(layer, LoraLinear) for layer in model.modules())
    assert torch.equal(logits(model, batch), before)


def test_training_moves_adapters_and_no_published_weight(small_checkpoint: Checkpoint, model: VlaModel) -> None:
    published = published_weights(small_checkpoint.backbone)
    batch, before = batch_of(small_checkpoint, model), copy.deepcopy(model.state_dict())
    adapt(model, ADAPTER, published)
    share = Share.of(model)
    trainer = Trainer(model, OptimizerConfig(warmup_steps=0, learning_rate=1e-2), total_steps=10)
    for _ in range(3):
        trainer.train_step(batch)
    for state in (model.state_dict(), trainer.average):
        for name, tensor in before.items():
            if name.startswith(published):
                assert state[name].numpy().tobytes() == tensor.numpy().tobytes(), name
    assert not torch.equal(model.state_dict()["logits.weight"], before["logits.weight"])
    moved = [name for name, tensor in model.state_dict().items() if name.endswith("lora_up") and tensor.abs().max() > 0]
    assert moved
    assert 0 < share.trained < share.total
    assert f"{share.trained:,} of {share.total:,} weights train" in str(share)


def test_merged_is_within_a_hundred_thousandth_of_apart(small_checkpoint: Checkpoint, model: VlaModel) -> None:
    batch = batch_of(small_checkpoint, model)
    names = list(model.state_dict())
    adapt(model, ADAPTER, published_weights(small_checkpoint.backbone))
    trainer = Trainer(model, OptimizerConfig(warmup_steps=0, learning_rate=1e-2), total_steps=10)
    before = logits(model, batch)
    for _ in range(3):
        trainer.train_step(batch)
    apart = logits(model, batch)
    assert merge(model) > 0
    torch.testing.assert_close(logits(model, batch), apart, atol=1e-5, rtol=0)
    assert (apart - before).abs().max() > 1e-3
    assert list(model.state_dict()) == names
    assert {type(layer) for layer in model.modules()}.isdisjoint({LoraLinear})


def test_only_the_layers_that_are_asked_for_adapt(small_checkpoint: Checkpoint, model: VlaModel) -> None:
    adapt(model, AdapterConfig(rank=2, targets=["query_key_value"]), published_weights(small_checkpoint.backbone))
    adapted = [name for name, layer in model.named_modules() if isinstance(layer, LoraLinear)]
    assert adapted
    assert all(name.endswith("query_key_value") for name in adapted)


def test_a_name_that_nothing_has_is_refused_with_those_there_are(small_checkpoint: Checkpoint, model: VlaModel) -> None:
    published = published_weights(small_checkpoint.backbone)
    with pytest.raises(ConfigError, match=r"no linear layer ends in q_proj \(ends: .*query_key_value"):
        adapt(model, AdapterConfig(rank=2, targets=["q_proj"]), published)
    with pytest.raises(ConfigError, match=r"adapter.rank=-1: expected 0 or more"):
        adapt(model, AdapterConfig(rank=-1), published)


def test_a_layers_bias_is_merged_too() -> None:
    layer = LoraLinear(nn.Linear(3, 4), rank=1, alpha=2.0)
    nn.init.ones_(layer.lora_up)
    x = torch.randn(5, 3)
    torch.testing.assert_close(layer.merged()(x), layer(x), atol=1e-6, rtol=0)
    assert layer.merged().bias is not None
