"""The cosine transform against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dct, idct

from vla.tokens.fast import FastTokenizer
from vla.tokens.phrases import GRID
from vla.tokens.ranges import ActionRanges

_SCALE = 1024.0


@pytest.mark.parametrize("horizon", [1, 2, 7, 16])
def test_tokens_of_single_coefficients_are_scipys_coefficients_to_half_a_step(horizon: int) -> None:
    largest = int(np.ceil(_SCALE * np.sqrt(horizon)))
    ranges = ActionRanges.of(np.array([-1.0, -1.0]), np.array([1.0, 1.0]))
    singles = tuple((number,) for number in range(-largest, largest + 1))
    tokenizer = FastTokenizer(ranges, horizon, _SCALE, singles, token_cost=0.0)
    chunk = np.random.default_rng(horizon).uniform(-1, 1, (horizon, 2)).astype(np.float32)
    expected = np.asarray(dct(chunk.astype(np.float64), norm="ortho", axis=0)).ravel() * _SCALE
    apart = np.abs(np.array(tokenizer.encode(chunk)) - largest - expected)
    assert (apart <= 0.5 + GRID / 2).all()


@pytest.mark.parametrize("horizon", [1, 2, 7, 16])
def test_decoding_is_scipys_inverse(horizon: int) -> None:
    ranges = ActionRanges.of(np.array([-1e3, -1e3]), np.array([1e3, 1e3]))
    singles = tuple((number,) for number in range(-9, 10))
    tokenizer = FastTokenizer(ranges, horizon, _SCALE, singles)
    ids = np.random.default_rng(horizon).integers(0, len(singles), 2 * horizon)
    expected = np.asarray(idct((ids.reshape(horizon, 2) - 9) / _SCALE, norm="ortho", axis=0))
    np.testing.assert_allclose(tokenizer.decode(ids.tolist()) / 1e3, expected, atol=1e-6)
