from __future__ import annotations

import numpy as np
import pytest

from vla.errors import ActionError, CheckpointError
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.bins import BinTokenizer
from vla.tokens.ranges import ActionRanges


def _chunks(low: float, high: float) -> np.ndarray:
    values = np.linspace(low, high, 1001, dtype=np.float32)
    return np.repeat(values[:, None, None], SMALL_EMBODIMENT.action_dim, axis=2)


def test_the_range_is_the_percentiles_of_the_chunks() -> None:
    high = float(SMALL_EMBODIMENT.action_high.min())
    tokenizer = BinTokenizer.fit(_chunks(0.0, high / 2), SMALL_EMBODIMENT, vocabulary_size=11)
    np.testing.assert_allclose(tokenizer.ranges.high, 0.99 * high / 2, rtol=1e-5)


def test_the_range_never_leaves_the_limits_of_the_embodiment() -> None:
    tokenizer = BinTokenizer.fit(_chunks(-1e3, 1e3), SMALL_EMBODIMENT, vocabulary_size=11)
    assert (tokenizer.ranges.low >= SMALL_EMBODIMENT.action_low - 1e-7).all()
    assert (tokenizer.ranges.high <= SMALL_EMBODIMENT.action_high + 1e-7).all()


def test_a_constant_field_gets_a_range_of_some_width() -> None:
    tokenizer = BinTokenizer.fit(_chunks(0.0, 0.0), SMALL_EMBODIMENT, vocabulary_size=11)
    assert (tokenizer.ranges.high > tokenizer.ranges.low).all()


def test_an_odd_number_of_bins_keeps_the_zero_of_a_symmetric_range() -> None:
    tokenizer = BinTokenizer(ActionRanges.of(np.array([-0.04]), np.array([0.04])), num_bins=65, horizon=1)
    assert tokenizer.decode(tokenizer.encode(np.zeros((1, 1), np.float32)))[0, 0] == pytest.approx(0.0, abs=1e-9)


def test_ids_outside_the_vocabulary_are_refused() -> None:
    tokenizer = BinTokenizer(ActionRanges.of(np.array([-1.0]), np.array([1.0])), num_bins=3, horizon=2)
    with pytest.raises(ActionError, match=r"token 3 at place 1 of sequence 0 .* 'bins' .* it has 3 ids"):
        tokenizer.decode([0, 3])


def test_a_chunk_that_is_not_finite_is_refused() -> None:
    tokenizer = BinTokenizer(ActionRanges.of(np.array([-1.0]), np.array([1.0])), num_bins=3, horizon=1)
    with pytest.raises(ActionError, match="finite"):
        tokenizer.encode(np.array([[np.nan]], np.float32))


def test_a_file_of_another_format_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"vla\.bins/2"):
        BinTokenizer.from_json({"format": "vla.bins/0"})
