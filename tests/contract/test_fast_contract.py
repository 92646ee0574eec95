from __future__ import annotations

import numpy as np
import pytest

from vla.testing import SMALL_EMBODIMENT, check_action_tokenizer
from vla.tokens.fast import FastTokenizer

_LOW, _HIGH = SMALL_EMBODIMENT.action_low.astype(float), SMALL_EMBODIMENT.action_high.astype(float)


def _chunks(horizon: int) -> np.ndarray:
    """From noise to stillness, both ends of the limits among them."""
    generator = np.random.default_rng(0)
    noise = generator.uniform(_LOW, _HIGH, (400, horizon, len(_LOW)))
    still = np.repeat(noise[:, :1], horizon, axis=1)
    ends = [np.tile(end, (20, horizon, 1)) for end in (_LOW, _HIGH)]
    return np.concatenate([noise, still, *ends]).astype(np.float32)


@pytest.mark.parametrize("horizon", [1, 4])
def test_fast_keeps_the_tokenizer_contract(horizon: int) -> None:
    tokenizer = FastTokenizer.fit(_chunks(horizon), SMALL_EMBODIMENT, vocabulary_size=128)
    check_action_tokenizer(
        tokenizer,
        low=_LOW - 1e-6,
        high=_HIGH + 1e-6,
        bound=0.15 * (_HIGH - _LOW),
        from_json=FastTokenizer.from_json,
        trials=24,
    )
