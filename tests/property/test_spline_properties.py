from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.tokens.ranges import ActionRanges
from vla.tokens.spline import SplineTokenizer, basis


@st.composite
def tokenizers(draw: st.DrawFn, kinds: tuple[int, ...] = (0, 1, 2, 3)) -> SplineTokenizer:
    fields, horizon = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    num_points = draw(st.integers(1, horizon))
    degrees = [min(draw(st.sampled_from(kinds)), num_points - 1) for _ in range(fields)]
    low = draw(hnp.arrays(np.float64, fields, elements=st.floats(-10, 10)))
    width = draw(hnp.arrays(np.float64, fields, elements=st.floats(1e-2, 10)))
    ranges = ActionRanges.of(low, low + width)
    return SplineTokenizer(ranges, horizon, num_points, draw(st.integers(2, 300)), tuple(degrees))


@given(tokenizers(), st.data())
def test_a_constant_chunk_comes_back_to_within_half_a_step(tokenizer: SplineTokenizer, data: st.DataObject) -> None:
    ratio = data.draw(hnp.arrays(np.float64, tokenizer.action_dim, elements=st.floats(0, 1)))
    width = tokenizer.ranges.high - tokenizer.ranges.low
    chunk = np.tile(tokenizer.ranges.low + ratio * width, (tokenizer.horizon, 1)).astype(np.float32)
    jumps = np.array(tokenizer.degrees) == 0
    steps = np.where(jumps, 1 / (tokenizer.num_levels - 1), tokenizer.bound / (tokenizer.num_bins - 1))
    half_step = width * steps / 2
    assert (np.abs(tokenizer.decode(tokenizer.encode(chunk)) - chunk) <= half_step + 1e-5).all()


@given(tokenizers(), st.data())
def test_whatever_the_grammar_allows_decodes_inside_the_range(tokenizer: SplineTokenizer, data: st.DataObject) -> None:
    allowed = tokenizer.grammar().allowed[:-1]
    ids = [data.draw(st.sampled_from(np.flatnonzero(row).tolist())) for row in allowed]
    chunk = tokenizer.decode(ids)
    assert np.isfinite(chunk).all()
    assert (chunk >= tokenizer.ranges.low.astype(np.float32)).all()
    assert (chunk <= tokenizer.ranges.high.astype(np.float32)).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
def test_rows_of_the_basis_are_convex_weights(horizon: int, num_points: int, degree: int) -> None:
    weights = basis(horizon, num_points, min(degree, num_points - 1))
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)


@given(tokenizers(), st.data())
def test_json_reads_back_to_the_same_chunks(tokenizer: SplineTokenizer, data: st.DataObject) -> None:
    copy = SplineTokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    shape = (tokenizer.horizon, tokenizer.action_dim)
    chunk = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-20, 20, width=32)))
    assert copy.encode(chunk) == tokenizer.encode(chunk)
    np.testing.assert_array_equal(copy.decode(copy.encode(chunk)), tokenizer.decode(tokenizer.encode(chunk)))
