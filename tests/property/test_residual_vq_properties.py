from __future__ import annotations

import functools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.testing import SMALL_EMBODIMENT
from vla.tokens.residual_vq import ResidualVqTokenizer


@functools.cache
def _fitted(vocabulary_size: int) -> ResidualVqTokenizer:
    shape = (300, 4, SMALL_EMBODIMENT.action_dim)
    chunks = np.random.default_rng(0).normal(0, 0.5, shape) * SMALL_EMBODIMENT.action_high
    return ResidualVqTokenizer.fit(chunks.astype(np.float32), SMALL_EMBODIMENT, vocabulary_size, stages=4)


SIZES = st.sampled_from([2, 30, 256])


@given(SIZES, st.data())
def test_whatever_the_grammar_allows_decodes_inside_the_range(size: int, data: st.DataObject) -> None:
    tokenizer = _fitted(size)
    ids = [data.draw(st.sampled_from(np.flatnonzero(row).tolist())) for row in tokenizer.grammar().allowed[:-1]]
    chunk = tokenizer.decode(ids)
    assert np.isfinite(chunk).all()
    assert (chunk >= tokenizer.ranges.low.astype(np.float32)).all()
    assert (chunk <= tokenizer.ranges.high.astype(np.float32)).all()


@given(SIZES, st.data())
def test_any_finite_chunk_encodes_to_ids_that_the_grammar_allows(size: int, data: st.DataObject) -> None:
    tokenizer = _fitted(size)
    shape = (tokenizer.horizon, tokenizer.action_dim)
    chunk = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
    ids = tokenizer.encode(chunk)
    assert tokenizer.grammar().allowed[np.arange(len(ids)), ids].all()


@pytest.mark.parametrize("size", [2, 30, 256])
def test_a_batch_encodes_and_decodes_as_its_chunks_do_alone(size: int) -> None:
    tokenizer = _fitted(size)
    shape = (9, tokenizer.horizon, tokenizer.action_dim)
    chunks = (np.random.default_rng(1).normal(0, 0.5, shape) * SMALL_EMBODIMENT.action_high).astype(np.float32)
    ids = tokenizer.encode_batch(chunks)
    assert ids.tolist() == [tokenizer.encode(chunk) for chunk in chunks]
    np.testing.assert_array_equal(tokenizer.decode_batch(ids), [tokenizer.decode(row.tolist()) for row in ids])


@pytest.mark.parametrize("size", [2, 30, 256])
def test_json_reads_back_to_the_same_tokenizer(size: int) -> None:
    tokenizer = _fitted(size)
    copy = ResidualVqTokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    np.testing.assert_array_equal(copy.codebooks, tokenizer.codebooks)
    np.testing.assert_array_equal(copy.scales, tokenizer.scales)
