from __future__ import annotations

import numpy as np
import pytest

from vla.testing import SMALL_EMBODIMENT, check_action_tokenizer
from vla.tokens.bins import BinTokenizer, Spacing
from vla.tokens.ranges import ActionRanges


@pytest.mark.parametrize("num_bins", [2, 65, 256])
def test_bins_keep_the_tokenizer_contract(num_bins: int) -> None:
    low, high = SMALL_EMBODIMENT.action_low.astype(float), SMALL_EMBODIMENT.action_high.astype(float)
    check_action_tokenizer(
        BinTokenizer(ActionRanges.of(low, high), num_bins, horizon=3),
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


@pytest.mark.parametrize("spacing", Spacing)
def test_bins_of_every_spacing_keep_the_tokenizer_contract(spacing: Spacing) -> None:
    chunks = np.random.default_rng(0).uniform(
        SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high, (500, 3, SMALL_EMBODIMENT.action_dim)
    )
    tokenizer = BinTokenizer.fit(chunks.astype(np.float32), SMALL_EMBODIMENT, 64, spacing)
    check_action_tokenizer(
        tokenizer,
        low=tokenizer.ranges.low,
        high=tokenizer.ranges.high,
        bound=np.maximum(np.diff(tokenizer.centres, axis=0).max(axis=0) / 2, 0) + 2e-6,
        from_json=BinTokenizer.from_json,
        trials=16,
    )
