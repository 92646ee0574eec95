from __future__ import annotations

import numpy as np
import pytest

from vla.tokens.bit_plan import planned_bits

ERRORS = (1.0, 0.25, 0.0625, 0.0)
"""Each bit halves the distance, but the third leaves nothing."""


def test_the_next_bit_goes_to_the_latent_that_leaves_most() -> None:
    plan = planned_bits(np.array([[4.0, 3.0, 1.0]], np.float32), ERRORS, num_tokens=2, bits_per_token=2)
    # Squared errors: 16 9 1, then 4 9 1, then 4 2.25 1, then 1 2.25 1.
    assert plan.latent.tolist() == [[0, 1, 0, 1]]
    assert plan.order.tolist() == [[0, 0, 1, 1]]


def test_classes_plan_by_their_own_spreads() -> None:
    plan = planned_bits(np.array([[4.0, 1.0], [1.0, 4.0]], np.float32), ERRORS, num_tokens=1, bits_per_token=2)
    assert plan.latent.tolist() == [[0, 0], [1, 1]]


def test_depths_count_the_bits_known_after_each_token() -> None:
    plan = planned_bits(np.array([[4.0, 3.0, 1.0]], np.float32), ERRORS, num_tokens=2, bits_per_token=2)
    assert plan.depths.tolist() == [[[0, 0, 0], [1, 1, 0], [2, 2, 0]]]


def test_no_latent_takes_more_bits_than_it_has() -> None:
    plan = planned_bits(np.array([[100.0, 1e-3]], np.float32), ERRORS, num_tokens=3, bits_per_token=2)
    assert plan.depths[0, -1].tolist() == [3, 3]


def test_latents_without_spread_left_still_take_their_bits() -> None:
    plan = planned_bits(np.array([[1.0, 1.0]], np.float32), (0.0, 0.0, 0.0), num_tokens=2, bits_per_token=2)
    assert plan.depths[0, -1].tolist() == [2, 2]


def test_no_tokens_behind_the_class_are_an_empty_plan() -> None:
    plan = planned_bits(np.ones((2, 3), np.float32), ERRORS, num_tokens=0, bits_per_token=4)
    assert plan.latent.shape == (2, 0)
    assert plan.depths.tolist() == [[[0, 0, 0]]] * 2


def test_more_bits_than_the_latents_can_take_are_refused() -> None:
    with pytest.raises(ValueError, match="2 latents of 3 bits cannot take 7 x 1"):
        planned_bits(np.ones((1, 2), np.float32), ERRORS, num_tokens=7, bits_per_token=1)
