from __future__ import annotations

import functools
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.testing import SMALL_EMBODIMENT
from vla.tokens.fast import FastTokenizer

_DIM = SMALL_EMBODIMENT.action_dim
_LOW, _HIGH = SMALL_EMBODIMENT.action_low.astype(float), SMALL_EMBODIMENT.action_high.astype(float)

horizons = st.sampled_from([1, 2, 5, 8])


@functools.cache
def _fitted(horizon: int) -> FastTokenizer:
    steps = np.random.default_rng(horizon).normal(0, 0.5, (400, horizon, _DIM)).cumsum(axis=1)
    chunks = (_LOW + (np.clip(steps, -1, 1) + 1) / 2 * (_HIGH - _LOW)).astype(np.float32)
    return FastTokenizer.fit(chunks, SMALL_EMBODIMENT, vocabulary_size=192)


@st.composite
def chunks(draw: st.DrawFn, horizon: int) -> np.ndarray:
    """With steps at the ends of the range and beyond them, where clipping meets rounding."""
    ratio = st.one_of(st.floats(-0.2, 1.2), st.sampled_from([0.0, 0.5, 1.0]))
    return (_LOW + draw(hnp.arrays(np.float64, (horizon, _DIM), elements=ratio)) * (_HIGH - _LOW)).astype(np.float32)


@given(horizons, st.data())
def test_encoding_a_decoded_chunk_decodes_to_the_same_chunk(horizon: int, data: st.DataObject) -> None:
    tokenizer = _fitted(horizon)
    once = tokenizer.decode(tokenizer.encode(data.draw(chunks(horizon))))
    np.testing.assert_array_equal(tokenizer.decode(tokenizer.encode(once)), once)


@given(horizons, st.data())
def test_ids_do_not_depend_on_the_batch_that_a_chunk_stands_in(horizon: int, data: st.DataObject) -> None:
    tokenizer = _fitted(horizon)
    batch = np.stack(data.draw(st.lists(chunks(horizon), min_size=2, max_size=4)))
    ids = [row[row >= 0].tolist() for row in tokenizer.encode_batch(batch)]
    assert ids == [tokenizer.encode(chunk) for chunk in batch]


@given(horizons, st.data())
def test_any_walk_of_the_grammar_decodes_to_finite_actions_inside_the_limits(horizon: int, data: st.DataObject) -> None:
    tokenizer = _fitted(horizon)
    grammar, state, ids = tokenizer.grammar(), 0, []
    while not grammar.accepting[state]:
        allowed = np.flatnonzero(grammar.allowed[state])
        ids.append(int(allowed[data.draw(st.integers(0, len(allowed) - 1))]))
        state = grammar.next_state[state, ids[-1]]
    actions = tokenizer.decode(ids)
    assert np.isfinite(actions).all()
    assert ((actions >= _LOW - 1e-6) & (actions <= _HIGH + 1e-6)).all()


@given(horizons, st.data())
def test_json_reads_back_to_the_same_ids_and_chunks(horizon: int, data: st.DataObject) -> None:
    tokenizer = _fitted(horizon)
    copy = FastTokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    chunk = data.draw(chunks(horizon))
    assert copy.encode(chunk) == tokenizer.encode(chunk)
    np.testing.assert_array_equal(copy.decode(copy.encode(chunk)), tokenizer.decode(tokenizer.encode(chunk)))
