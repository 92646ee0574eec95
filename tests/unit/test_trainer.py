from __future__ import annotations

import dataclasses

import pytest
import torch

from vla.embodiment import CameraSpec
from vla.errors import CheckpointError
from vla.model.compact import CompactBackbone, CompactConfig
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary
from vla_policies.batches import Batch, shifted
from vla_policies.trainer import OptimizerConfig, Trainer

CAMERA = CameraSpec("scene", 8, 8)
NUM_TOKENS = 4


def _model(head: Head = Head.SLOTS) -> VlaModel:
    torch.manual_seed(0)
    config = CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=8, text_tokens=4)
    return VlaModel(CompactBackbone(config, [CAMERA], 3, 20), head, Vocabulary(20, 7), NUM_TOKENS)


def _batch(seed: int) -> Batch:
    random = torch.Generator().manual_seed(seed)
    return Batch(
        images={"scene": torch.randint(0, 256, (16, 8, 8, 3), generator=random).to(torch.uint8)},
        text=torch.randint(1, 20, (16, 4), generator=random),
        text_is_padding=torch.zeros(16, 4, dtype=torch.bool),
        state=torch.randn(16, 3, generator=random),
        actions=torch.randint(0, 7, (16, NUM_TOKENS), generator=random),
        is_padding=torch.zeros(16, NUM_TOKENS, dtype=torch.bool),
        points=torch.rand(16, 2, 2, generator=random),
    )


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_a_batch_is_learned_by_heart(head: Head) -> None:
    trainer = Trainer(_model(head), OptimizerConfig(learning_rate=3e-3, warmup_steps=5, label_spread=0.0), 150)
    losses = [trainer.train_step(_batch(0)).action_loss for _ in range(150)]
    assert losses[-1] < 0.2 * losses[0]


def test_where_to_look_is_learned() -> None:
    trainer = Trainer(_model(), OptimizerConfig(learning_rate=3e-3, warmup_steps=5, grounding_weight=1.0), 100)
    losses = [trainer.train_step(_batch(0)).grounding_loss for _ in range(100)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_restored_trainer_goes_on_with_the_same_losses() -> None:
    whole = Trainer(_model(), OptimizerConfig(), total_steps=8)
    for seed in range(4):
        whole.train_step(_batch(seed))
    restored = Trainer(_model(), OptimizerConfig(), total_steps=8)
    restored.load_state_dict(whole.state_dict(), dict(whole.average), whole.step)
    expected = [whole.train_step(_batch(seed)) for seed in range(4, 8)]
    assert [restored.train_step(_batch(seed)) for seed in range(4, 8)] == expected
    for name, tensor in whole.average.items():
        assert torch.equal(restored.average[name], tensor)


def test_the_rate_rises_then_falls_to_nothing() -> None:
    trainer = Trainer(_model(), OptimizerConfig(learning_rate=1.0, warmup_steps=10), total_steps=100)
    rates = [trainer.learning_rate(step) for step in range(101)]
    assert rates[9] == rates[10] == max(rates) == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.0)


def test_training_state_of_another_model_is_refused() -> None:
    trainer = Trainer(_model(), OptimizerConfig(), total_steps=8)
    with pytest.raises(CheckpointError, match="another model"):
        trainer.load_state_dict({"weights/none": torch.zeros(1)}, {}, 0)


def test_slots_read_what_is_committed() -> None:
    trainer = Trainer(_model(), OptimizerConfig(), total_steps=8)
    forced = _batch(0).actions.masked_fill(torch.arange(NUM_TOKENS) > 0, -1)
    shown = trainer.validate(dataclasses.replace(_batch(0), forced=forced))
    assert shown.action_loss != trainer.validate(_batch(0)).action_loss


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    model = _model()
    with torch.no_grad():
        model.logits.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="not finite at step 0"):
        Trainer(model, OptimizerConfig(), total_steps=8).train_step(_batch(0))


def test_a_shift_moves_the_picture_and_repeats_its_border() -> None:
    frames = torch.arange(2 * 4 * 5 * 3, dtype=torch.uint8).reshape(2, 4, 5, 3)
    moved = shifted(frames, torch.tensor([1]), torch.tensor([[2, 1]]))  # right by 2, down by 1
    assert torch.equal(moved[0, 1:, 2:], frames[1, :-1, :-2])
    assert torch.equal(moved[0, 1:, 0], frames[1, :-1, 0])
    assert torch.equal(moved[0, 0, 2:], frames[1, 0, :-2])
