from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vla.errors import ConfigError
from vla.model.llama import LlamaConfig, LlamaDecoder
from vla.model.quantization import Int4Linear, Int8Linear, Weights, num_bytes, quantize
from vla.model.transformer import Transformer

LEVELS = {Weights.INT8: 127, Weights.INT4: 7}


def make_layer(width: int = 64, out: int = 24, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(width, out, bias=bias)


@pytest.mark.parametrize("group", [32, 64])
def test_no_int4_weight_is_off_by_more_than_half_its_scale(group: int) -> None:
    layer = make_layer()
    small = Int4Linear(layer, group)
    error = (small.unpacked() - layer.weight).abs().unflatten(1, (-1, group))
    assert (error <= small.scale[..., None] / 2 * (1 + 1e-5)).all()
    largest = layer.weight.abs().unflatten(1, (-1, group)).amax(2)
    torch.testing.assert_close(small.scale, largest / 7)


def test_no_int8_weight_is_off_by_more_than_half_its_scale() -> None:
    layer = make_layer()
    small = Int8Linear(layer)
    assert ((small.unpacked() - layer.weight).abs() <= small.scale[:, None] / 2 * (1 + 1e-5)).all()
    torch.testing.assert_close(small.scale, layer.weight.abs().amax(1) / 127)


@pytest.mark.parametrize("kind", [Int8Linear, Int4Linear])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_computes_with_the_weights_it_stands_for(kind: type, bias: bool) -> None:
    layer = make_layer(bias=bias)
    small, x = kind(layer), torch.randn(2, 3, 64)
    torch.testing.assert_close(small(x), nn.functional.linear(x, small.unpacked(), layer.bias))


@pytest.mark.parametrize("kind", [Int8Linear, Int4Linear])
@pytest.mark.parametrize("out", [24, 32])
def test_in_bfloat16_a_layer_agrees_with_the_weights_it_stands_for(kind: type, out: int) -> None:
    small = kind(make_layer(out=out).to(torch.bfloat16))
    x = torch.randn(2, 3, 64, dtype=torch.bfloat16)
    plain = nn.functional.linear(x.float(), small.unpacked().float(), small.bias.float())
    torch.testing.assert_close(small(x).float(), plain, atol=0.03, rtol=0.02)


@pytest.mark.parametrize("kind", [Int8Linear, Int4Linear])
def test_rows_of_zeros_stay_zeros(kind: type) -> None:
    layer = make_layer(bias=False)
    layer.weight.data[3] = 0
    assert (kind(layer)(torch.randn(1, 64))[:, 3] == 0).all()


@pytest.mark.parametrize("weights", [Weights.INT8, Weights.INT4])
@pytest.mark.parametrize("model", [Transformer(64, 2, 2, 2), LlamaDecoder(LlamaConfig(40, 64, 2, 2, 1, 32, 96))])
def test_every_linear_layer_is_replaced_and_the_output_stays_near(model: nn.Module, weights: Weights) -> None:
    small = copy.deepcopy(model)
    assert quantize(small, weights) == sum(type(layer) is nn.Linear for layer in model.modules())
    assert not any(type(layer) is nn.Linear for layer in small.modules())
    x = torch.randn(2, 5, 64)
    rest = () if isinstance(model, Transformer) else (torch.arange(5).expand(2, 5),)
    with torch.no_grad():
        one, other = model(x, None, *rest), small(x, None, *rest)
    assert (one - other).norm() / one.norm() < (0.02 if weights is Weights.INT8 else 0.25)


@pytest.mark.parametrize(("weights", "share"), [(Weights.INT8, 0.27), (Weights.INT4, 0.17)])
def test_weights_take_a_quarter_and_an_eighth_and_their_scales(weights: Weights, share: float) -> None:
    model = nn.Sequential(make_layer(256, 256, bias=False))
    full = num_bytes(model)
    quantize(model, weights)
    assert num_bytes(model) / full < share


def test_full_weights_are_left_alone() -> None:
    model = nn.Sequential(make_layer())
    before = model[0]
    assert quantize(model, Weights.FULL) == 0
    assert model[0] is before


def test_a_row_that_has_no_whole_groups_is_named() -> None:
    model = nn.Sequential(make_layer(), nn.Sequential(make_layer(width=24)))
    with pytest.raises(ConfigError, match=r"layer '1.0' has 24 weights a row: no groups of 32"):
        quantize(model, Weights.INT4)
    assert type(model[0]) is nn.Linear
