from __future__ import annotations

import functools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.testing import SMALL_EMBODIMENT
from vla.tokens.ordered import OrderedTokenizer

SIZES = st.sampled_from([2, 30, 256])


@functools.cache
def _fitted(vocabulary_size: int) -> OrderedTokenizer:
    shape = (300, 4, SMALL_EMBODIMENT.action_dim)
    chunks = np.random.default_rng(0).normal(0, 0.5, shape) * SMALL_EMBODIMENT.action_high
    return OrderedTokenizer.fit(chunks.astype(np.float32), SMALL_EMBODIMENT, vocabulary_size)


def _chunks(data: st.DataObject, tokenizer: OrderedTokenizer, limit: float) -> np.ndarray:
    shape = (tokenizer.horizon, tokenizer.action_dim)
    return data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-limit, limit, width=32)))


@given(SIZES, st.data())
def test_whatever_the_grammar_allows_decodes_inside_the_range(size: int, data: st.DataObject) -> None:
    tokenizer = _fitted(size)
    length = data.draw(st.integers(1, tokenizer.max_tokens))
    allowed = tokenizer.grammar().allowed[:length]
    chunk = tokenizer.decode([data.draw(st.sampled_from(np.flatnonzero(row).tolist())) for row in allowed])
    assert np.isfinite(chunk).all()
    assert (chunk >= tokenizer.ranges.low.astype(np.float32)).all()
    assert (chunk <= tokenizer.ranges.high.astype(np.float32)).all()


@given(SIZES, st.data())
def test_every_prefix_of_any_chunks_ids_decodes(size: int, data: st.DataObject) -> None:
    tokenizer = _fitted(size)
    ids = tokenizer.encode(_chunks(data, tokenizer, 2.0**100))
    assert 1 <= len(ids) <= tokenizer.max_tokens
    assert all(np.isfinite(tokenizer.decode(ids[:length])).all() for length in range(1, len(ids) + 1))


@given(SIZES, st.data())
def test_a_chunk_that_stops_early_is_within_the_tolerance(size: int, data: st.DataObject) -> None:
    tokenizer = _fitted(size)
    chunk = _chunks(data, tokenizer, 1.0)
    ids = tokenizer.encode(chunk)
    off = tokenizer.ranges.normalise(tokenizer.decode(ids)) - tokenizer.ranges.normalise(chunk)
    assert len(ids) == tokenizer.max_tokens or np.abs(off).max() <= tokenizer.tolerance + 1e-5


@given(SIZES, st.data())
def test_json_reads_back_to_the_same_chunks(size: int, data: st.DataObject) -> None:
    tokenizer = _fitted(size)
    copy = OrderedTokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    ids = tokenizer.encode(_chunks(data, tokenizer, 1.0))
    np.testing.assert_array_equal(copy.decode(ids), tokenizer.decode(ids))


@pytest.mark.parametrize("size", [2, 30, 256])
def test_a_batch_encodes_and_decodes_as_its_chunks_do_alone(size: int) -> None:
    tokenizer = _fitted(size)
    shape = (9, tokenizer.horizon, tokenizer.action_dim)
    chunks = (np.random.default_rng(1).normal(0, 0.5, shape) * SMALL_EMBODIMENT.action_high).astype(np.float32)
    ids = tokenizer.encode_batch(chunks)
    alone = [tokenizer.encode(chunk) for chunk in chunks]
    assert [row[row >= 0].tolist() for row in ids] == alone
    np.testing.assert_array_equal(tokenizer.decode_batch(ids), [tokenizer.decode(row) for row in alone])
