from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.tokens.bins import BinTokenizer


@st.composite
def tokenizers(draw: st.DrawFn) -> BinTokenizer:
    fields = draw(st.integers(1, 4))
    low = draw(hnp.arrays(np.float64, fields, elements=st.floats(-10, 10)))
    width = draw(hnp.arrays(np.float64, fields, elements=st.floats(1e-3, 10)))
    return BinTokenizer(low, low + width, draw(st.integers(2, 300)), draw(st.integers(1, 5)))


@given(tokenizers(), st.data())
def test_a_value_inside_the_range_comes_back_to_within_half_a_bin(tokenizer: BinTokenizer, data: st.DataObject) -> None:
    shape = (tokenizer.horizon, tokenizer.action_dim)
    ratio = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))
    chunk = (tokenizer.low + ratio * (tokenizer.high - tokenizer.low)).astype(np.float32)
    half_bin = (tokenizer.high - tokenizer.low) / (tokenizer.num_bins - 1) / 2
    assert (np.abs(tokenizer.decode(tokenizer.encode(chunk)) - chunk) <= half_bin + 1e-5).all()


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
