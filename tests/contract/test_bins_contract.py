from __future__ import annotations

import numpy as np
import pytest

from vla.testing import SMALL_EMBODIMENT, check_action_tokenizer
from vla.tokens.bins import BinTokenizer


@pytest.mark.parametrize("num_bins", [2, 65, 256])
def test_bins_keep_the_tokenizer_contract(num_bins: int) -> None:
    low, high = SMALL_EMBODIMENT.action_low.astype(float), SMALL_EMBODIMENT.action_high.astype(float)
    check_action_tokenizer(
        BinTokenizer(low, high, num_bins, horizon=3),
        low=low - 1e-6,
        high=high + 1e-6,
        bound=(high - low) / (num_bins - 1) / 2 + 2e-6,
        from_json=BinTokenizer.from_json,
    )


def test_fitted_bins_decode_to_nothing_outside_the_limits() -> None:
    chunks = np.random.default_rng(0).normal(0, 10, (200, 3, SMALL_EMBODIMENT.action_dim)).astype(np.float32)
    centres = BinTokenizer.fit(chunks, SMALL_EMBODIMENT, 65).centres
    assert (centres >= SMALL_EMBODIMENT.action_low).all()
    assert (centres <= SMALL_EMBODIMENT.action_high).all()
