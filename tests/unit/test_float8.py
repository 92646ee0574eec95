"""Linear layers in eight bits: near to those in float32, and good enough to learn with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.small_steps import make_model, make_robot
from vla.model.float8 import Float8Linear, to_float8
from vla_policies.precision import Precision
from vla_policies.trainer import OptimizerConfig, Trainer


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected).detach().norm() / expected.detach().norm())


def test_products_and_gradients_are_near_those_in_float32() -> None:
    torch.manual_seed(0)
    plain, eight = nn.Linear(64, 48), nn.Linear(64, 48)
    eight.load_state_dict(plain.state_dict())
    assert to_float8(eight) == 1
    inputs = [torch.randn(3, 20, 64, requires_grad=True) for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    target = torch.randn(3, 20, 48)
    outputs = [layer(given) for layer, given in zip((plain, eight), inputs, strict=True)]
    for output in outputs:
        (output.float() * target).sum().backward()
    assert outputs[1].dtype is torch.bfloat16
    assert 1e-4 < distance(outputs[1], outputs[0]) < 0.06
    for found, expected in ((inputs[1].grad, inputs[0].grad), (eight.weight.grad, plain.weight.grad)):
        assert found is not None
        assert expected is not None
        assert 1e-4 < distance(found, expected) < 0.1


def test_layers_whose_sizes_do_not_fit_stay_as_they_are() -> None:
    layers = nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 7), nn.Linear(7, 16))
    assert to_float8(layers) == 1
    assert [type(layer) for layer in layers] == [Float8Linear, nn.Linear, nn.Linear]


def test_numbers_that_are_all_zero_stay_finite() -> None:
    layer = nn.Linear(16, 16, bias=False)
    to_float8(layer)
    assert torch.equal(layer(torch.zeros(2, 16)).float(), torch.zeros(2, 16))


def test_a_batch_is_learned_in_eight_bits() -> None:
    model = make_model()
    names = list(model.state_dict())
    trainer = Trainer(model, OptimizerConfig(learning_rate=4e-3, warmup_steps=5), 40, precision=Precision.FP8)
    assert any(isinstance(layer, Float8Linear) for layer in model.modules())
    losses = [trainer.train_step(make_robot()).action_loss for _ in range(40)]
    assert losses[-1] < 0.8 * losses[0]
    assert list(model.state_dict()) == names
