"""A chunk that goes on from committed actions: it begins with them, bends no more than it must, and comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.tokens.continuation import continued

horizons, seeds, stiffnesses = st.integers(1, 20), st.integers(0, 2**16), st.floats(0.0, 10.0)


def drawn(horizon: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    steps = int(generator.integers(0, horizon + 1))
    return generator.uniform(-1, 1, (horizon, 3)), generator.uniform(-1, 1, (steps, 3))


@given(horizons, seeds, stiffnesses, st.booleans())
def test_it_begins_with_exactly_the_committed_actions(horizon: int, seed: int, stiffness: float, forced: bool) -> None:
    chunk, committed = drawn(horizon, seed)
    result = continued(chunk, committed, is_forced=forced, stiffness=stiffness)
    np.testing.assert_allclose(result[: len(committed)], committed, atol=1e-12)


@given(horizons, seeds)
def test_a_chunk_that_begins_so_already_stays(horizon: int, seed: int) -> None:
    chunk, committed = drawn(horizon, seed)
    np.testing.assert_allclose(continued(chunk, chunk[: len(committed)]), chunk, atol=1e-12)


@given(st.integers(2, 20), seeds, stiffnesses)
def test_no_other_change_costs_less(horizon: int, seed: int, stiffness: float) -> None:
    chunk, committed = drawn(horizon, seed)
    committed = committed[:-1] if len(committed) == horizon else committed

    def cost(change: np.ndarray) -> float:
        return float((change**2).sum() + stiffness * (np.diff(change, axis=0) ** 2).sum())

    change = continued(chunk, committed, stiffness=stiffness) - chunk
    other = change.copy()
    other[len(committed) :] += np.random.default_rng(seed).normal(0, 0.1, other[len(committed) :].shape)
    assert cost(change) <= cost(other) + 1e-9


def test_the_correction_fades_by_the_factor_that_is_stated() -> None:
    change = continued(np.zeros((40, 1)), np.ones((1, 1)))[:, 0]
    assert change[10] / change[9] == pytest.approx(0.38, abs=0.005)


def test_forced_tokens_leave_the_rest_as_it_was_decoded() -> None:
    chunk = np.zeros((4, 2))
    result = continued(chunk, np.ones((2, 2)), is_forced=True)
    np.testing.assert_array_equal(result[2:], 0)


def test_more_actions_than_the_chunk_has_are_refused() -> None:
    with pytest.raises(ValueError, match="4 actions cannot begin with 5"):
        continued(np.zeros((4, 2)), np.zeros((5, 2)))
