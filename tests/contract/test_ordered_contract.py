from __future__ import annotations

import numpy as np
import pytest

from vla.testing import SMALL_EMBODIMENT, check_action_tokenizer
from vla.tokens.ordered import OrderedTokenizer


@pytest.mark.parametrize(("vocabulary_size", "horizon"), [(2, 1), (16, 4), (100, 8)])
def test_ordered_keeps_the_tokenizer_contract(vocabulary_size: int, horizon: int) -> None:
    shape = (300, horizon, SMALL_EMBODIMENT.action_dim)
    low, high = SMALL_EMBODIMENT.action_low.astype(float), SMALL_EMBODIMENT.action_high.astype(float)
    chunks = np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)
    tokenizer = OrderedTokenizer.fit(chunks, SMALL_EMBODIMENT, vocabulary_size)
    # No chunk is farther from another one than the range is wide.
    check_action_tokenizer(tokenizer, low=low, high=high, bound=high - low, from_json=OrderedTokenizer.from_json)
