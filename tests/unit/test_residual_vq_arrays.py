from __future__ import annotations

import json

import numpy as np
import pytest

from vla.tokens.packed_arrays import pack, unpack


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3), (4, 1, 2)])
def test_float32_comes_back_to_the_bit(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    back = unpack(json.loads(json.dumps(pack(array))), *shape)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, array)


def test_an_array_laid_out_by_columns_is_written_row_after_row() -> None:
    array = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(unpack(pack(array), 2, 3), array)


def test_any_length_will_do_where_none_is_asked_for() -> None:
    assert unpack(pack(np.zeros((2, 3), np.float32)), -1, 3).shape == (2, 3)


@pytest.mark.parametrize("shape", [(3, 2), (6,), (2, 3, 1)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected an array of shape .*, got \(2, 3\)"):
        unpack(pack(np.zeros((2, 3), np.float32)), *shape)


def test_an_array_cut_short_is_refused() -> None:
    tree = pack(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"shape \(4,\) takes 16 bytes, got 12"):
        unpack({**tree, "shape": [4]}, -1)


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        unpack(pack(np.array([0.0, np.nan], np.float32)), 2)
