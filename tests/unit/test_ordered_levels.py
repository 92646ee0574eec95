from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla.tokens.nested_levels import DEPTH, NestedLevels

NUMBERS = np.random.default_rng(0).laplace(size=20000)
LEVELS = NestedLevels.fit(NUMBERS, np.random.default_rng(0))


def test_the_one_cell_of_no_bits_stands_for_zero() -> None:
    assert LEVELS.means[0] == pytest.approx(0.0, abs=1e-9)


def test_the_first_bit_is_the_sign() -> None:
    assert (LEVELS.cells(NUMBERS) >> (DEPTH - 1) == (NUMBERS > 0)).all()


def test_cells_of_full_depth_rise_with_the_number() -> None:
    assert (np.diff(LEVELS.cells(np.linspace(-20, 20, 5001))) >= 0).all()


@pytest.mark.parametrize("depth", range(DEPTH + 1))
def test_the_error_at_each_depth_is_what_is_written_beside_it(depth: int) -> None:
    cells = LEVELS.cells(NUMBERS) >> (DEPTH - depth)
    values = LEVELS.values(cells, np.full_like(cells, depth))
    assert np.square(values - NUMBERS).mean() == pytest.approx(LEVELS.errors[depth], rel=0.02, abs=1e-6)


def test_each_bit_at_least_halves_the_error_from_the_second_on() -> None:
    errors = np.array(LEVELS.errors)
    assert (errors[1:] < 0.52 * errors[:-1]).all()


def test_numbers_that_are_all_alike_leave_no_error() -> None:
    levels = NestedLevels.fit(np.zeros(10), np.random.default_rng(0))
    assert max(levels.errors) == 0.0
    assert not levels.means.any()


def test_means_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="the cells of depths 0 to 10"):
        dataclasses.replace(LEVELS, means=LEVELS.means[:-1])


def test_errors_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite errors"):
        dataclasses.replace(LEVELS, errors=(float("nan"), *LEVELS.errors[1:]))
