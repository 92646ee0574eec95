from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.tokens.bins import BinTokenizer, Spacing
from vla.tokens.ranges import ActionRanges


@st.composite
def tokenizers(draw: st.DrawFn) -> BinTokenizer:
    fields = draw(st.integers(1, 4))
    low = draw(hnp.arrays(np.float64, fields, elements=st.floats(-10, 10)))
    width = draw(hnp.arrays(np.float64, fields, elements=st.floats(1e-3, 10)))
    num_bins, horizon, spacing = draw(st.integers(2, 300)), draw(st.integers(1, 5)), draw(st.sampled_from(Spacing))
    quantiles = np.sort(draw(_levels(num_bins, fields)), axis=0) if spacing is Spacing.QUANTILE else None
    return BinTokenizer(ActionRanges.of(low, low + width), num_bins, horizon, spacing, quantiles)


def _levels(num_bins: int, fields: int) -> st.SearchStrategy[np.ndarray]:
    """From -1 to 1, distinct."""

    def from_steps(steps: np.ndarray) -> np.ndarray:
        ends = np.concatenate([np.zeros((1, fields)), np.cumsum(steps, axis=0)])
        return np.clip(2 * ends / ends[-1] - 1, -1, 1)

    return hnp.arrays(np.float64, (num_bins - 1, fields), elements=st.floats(0.01, 10)).map(from_steps)


@given(tokenizers(), st.data())
def test_a_value_inside_the_range_comes_back_to_within_half_a_bin(tokenizer: BinTokenizer, data: st.DataObject) -> None:
    shape = (tokenizer.horizon, tokenizer.action_dim)
    ratio = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))
    chunk = (tokenizer.ranges.low + ratio * (tokenizer.ranges.high - tokenizer.ranges.low)).astype(np.float32)
    apart = np.abs(tokenizer.decode(tokenizer.encode(chunk)) - chunk)
    assert (apart <= _half_bins(tokenizer, chunk) + 1e-5).all()


def _half_bins(tokenizer: BinTokenizer, chunk: np.ndarray) -> np.ndarray:
    """Half the distance between the two levels around each value, for openvla's the two edges."""
    ends = tokenizer.centres
    if tokenizer.spacing is Spacing.OPENVLA:
        return np.broadcast_to(
            (tokenizer.ranges.high - tokenizer.ranges.low) / (tokenizer.num_bins - 1) / 2, chunk.shape
        )
    above = np.stack([np.searchsorted(end, values) for end, values in zip(ends.T, chunk.T, strict=True)], axis=1)
    above = np.clip(above, 1, tokenizer.num_bins - 1)
    fields = np.arange(tokenizer.action_dim)
    return (ends[above, fields] - ends[above - 1, fields]) / 2


@given(tokenizers(), st.data())
def test_any_finite_chunk_encodes_to_ids_that_the_grammar_allows(tokenizer: BinTokenizer, data: st.DataObject) -> None:
    shape = (tokenizer.horizon, tokenizer.action_dim)
    chunk = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
    grammar, state = tokenizer.grammar(), 0
    for token in tokenizer.encode(chunk):
        state = grammar.next_state[state, token]
        assert state >= 0
    assert grammar.accepting[state]


@given(tokenizers())
def test_json_reads_back_to_the_same_centres(tokenizer: BinTokenizer) -> None:
    copy = BinTokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    np.testing.assert_array_equal(copy.centres, tokenizer.centres)
