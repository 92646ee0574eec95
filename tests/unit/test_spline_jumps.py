from __future__ import annotations

import itertools

import numpy as np
import pytest

from vla.tokens.jumps import fit_levels, held_levels, stretch_starts


@pytest.mark.parametrize(("horizon", "stretches"), [(8, 4), (7, 3), (10, 4), (5, 5), (4, 1), (1, 1)])
def test_behind_the_first_step_stretches_are_even(horizon: int, stretches: int) -> None:
    starts = stretch_starts(horizon, stretches)
    lengths = np.diff(starts, append=horizon)[1:]
    assert starts[0] == 0
    assert len(starts) == stretches
    assert ((lengths >= 1) & (lengths <= -(-(horizon - 1) // max(stretches - 1, 1)))).all()


@pytest.mark.parametrize("jump", range(1, 9))
def test_one_jump_on_any_step_comes_back_exactly(jump: int) -> None:
    values = np.where(np.arange(9) < jump, 0.25, -0.5)[None]
    starts = stretch_starts(9, 3)
    levels, delays = fit_levels(values, starts, 4)
    np.testing.assert_allclose(held_levels(levels, delays, starts, 9), values, atol=1e-12)


def test_no_other_levels_and_delays_come_nearer() -> None:
    generator = np.random.default_rng(0)
    values, starts = generator.uniform(-1, 1, (5, 8)), stretch_starts(8, 3)
    levels, delays = fit_levels(values, starts, 3)
    found = np.square(held_levels(levels, delays, starts, 8) - values).sum(axis=1)
    for tried in itertools.product([0], range(3), range(3)):
        begins = [*(starts + tried), 8]
        pieces = [values[:, a:b] for a, b in itertools.pairwise(begins)]
        error = sum(np.square(piece - piece.mean(axis=1, keepdims=True)).sum(axis=1) for piece in pieces)
        assert (found <= error + 1e-12).all()


def test_a_delay_beyond_its_stretch_is_cut() -> None:
    levels = np.array([[0.0, 1.0]])
    held = held_levels(levels, np.array([[3, 9]]), stretch_starts(4, 2), 4)
    assert held.tolist() == [[0.0, 0.0, 0.0, 1.0]]
