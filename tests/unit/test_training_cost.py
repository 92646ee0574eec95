"""What training costs: operations are counted right, and the reckoning goes the way it must."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vla.errors import ConfigError
from vla.model.cost import Cluster, ModelCost, Recipe, estimate, model_cost
from vla.model.llama import LlamaConfig, LlamaDecoder

SMALL = LlamaConfig(vocabulary_size=64, width=32, layers=3, heads=4, key_value_heads=2, head_dim=8, mlp_width=48)
COST = ModelCost(3_000_000_000, 18, 4e12)


def test_the_operations_of_a_decoder_are_those_of_its_matrix_products() -> None:
    tokens = 10
    with torch.device("meta"):
        decoder = LlamaDecoder(SMALL)
        x = torch.empty(1, tokens, SMALL.width)
        position = torch.zeros(1, tokens, dtype=torch.int64)
        found = model_cost(decoder, SMALL.layers, lambda: decoder.head(decoder(x, None, position)))
    block = SMALL.width * (4 + 2 * 2) * 8 + 4 * 8 * SMALL.width + 3 * SMALL.width * SMALL.mlp_width
    products = SMALL.layers * (block + 2 * tokens * 4 * 8) + SMALL.width * SMALL.vocabulary_size
    assert found.forward_operations == 2 * tokens * products
    assert found.operations == 3 * found.forward_operations
    assert found.parameters == sum(parameter.numel() for parameter in decoder.parameters())


def test_one_device_exchanges_nothing_and_holds_all() -> None:
    found = estimate(COST, Cluster(1), Recipe(8, utilisation=0.5))
    assert found.exchange_s == 0
    assert found.compute_s == pytest.approx(8 * 12e12 / (989e12 * 0.5))
    assert found.state_bytes == pytest.approx(16 * 3e9 + 4 * 3e9 / 18)


def test_computing_again_costs_a_forward_pass_more() -> None:
    once, again = (estimate(COST, Cluster(8), Recipe(8, recomputes=recomputes)) for recomputes in (False, True))
    assert again.compute_s == pytest.approx(once.compute_s * 4 / 3)


def test_what_does_not_fit_is_told() -> None:
    assert not estimate(dataclasses.replace(COST, parameters=8_000_000_000), Cluster(1), Recipe(1)).fits
    assert estimate(dataclasses.replace(COST, parameters=8_000_000_000), Cluster(2), Recipe(1)).fits


def test_hosts_that_hold_everything_exchange_less_over_the_network() -> None:
    over_all, within = (estimate(COST, Cluster(64), Recipe(8, shards_within_host=within)) for within in (False, True))
    assert within.exchange_s < over_all.exchange_s / 2
    assert within.state_bytes > over_all.state_bytes


@given(devices=st.integers(1, 5000), batch=st.integers(1, 64))
def test_more_devices_hold_less_each_and_fail_more_often(devices: int, batch: int) -> None:
    few, many = (estimate(COST, Cluster(number), Recipe(batch)) for number in (devices, 2 * devices))
    assert many.state_bytes < few.state_bytes
    assert many.save_every_s < few.save_every_s
    assert many.lost_share > few.lost_share
    assert few.samples_per_s_at_worst <= few.samples_per_s <= devices * batch / few.compute_s


@pytest.mark.parametrize(
    ("cluster", "recipe", "message"),
    [
        (Cluster(0), Recipe(1), "devices must be finite and above 0, got 0"),
        (Cluster(1, peak_operations_s=math.nan), Recipe(1), "peak_operations_s must be finite"),
        (Cluster(1), Recipe(1, utilisation=45.0), "a share of the peak, at most 1, got 45"),
    ],
)
def test_numbers_that_cannot_be_are_refused(cluster: Cluster, recipe: Recipe, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        estimate(COST, cluster, recipe)
