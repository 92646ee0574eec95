from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from vla.errors import ActionError, CheckpointError, ConfigError
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.residual_vq import ResidualVqTokenizer

FIELDS = SMALL_EMBODIMENT.action_dim
LAST = SMALL_EMBODIMENT.action[-1].name


def _chunks(count: int, seed: int = 0, horizon: int = 8) -> np.ndarray:
    """Ramps of random height that meet the limits; the last field jumps once."""
    generator = np.random.default_rng(seed)
    begin, slope = generator.uniform(-1.2, 1.2, (2, count, 1, FIELDS))
    values = np.clip(begin + slope * np.arange(horizon)[:, None] / horizon, -1, 1)
    jump = generator.integers(0, horizon, (count, 1))
    values[:, :, -1] = np.where(np.arange(horizon) < jump, 1.0, -1.0)
    low, high = SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high
    return (low + (values + 1) / 2 * (high - low)).astype(np.float32)


def _error(tokenizer: ResidualVqTokenizer, chunks: np.ndarray) -> float:
    back = tokenizer.ranges.normalise(tokenizer.decode_batch(tokenizer.encode_batch(chunks)))
    return float(np.square(back - tokenizer.ranges.normalise(chunks)).mean())


@pytest.fixture(scope="module")
def fitted() -> ResidualVqTokenizer:
    return ResidualVqTokenizer.fit(_chunks(4000), SMALL_EMBODIMENT, 64, stages=5)


def test_a_chunk_takes_a_quarter_as_many_tokens_as_it_has_numbers_by_default() -> None:
    chunks = _chunks(100)
    assert ResidualVqTokenizer.fit(chunks, SMALL_EMBODIMENT, 8).max_tokens == round(8 * FIELDS / 4)


def test_a_long_chunk_takes_no_more_than_sixteen_tokens_by_default() -> None:
    chunks = _chunks(100, horizon=40)
    assert ResidualVqTokenizer.fit(chunks, SMALL_EMBODIMENT, 8).max_tokens == 16


def test_each_stage_brings_new_chunks_nearer(fitted: ResidualVqTokenizer) -> None:
    new = _chunks(500, seed=1)
    shorter = [
        dataclasses.replace(fitted, codebooks=fitted.codebooks[:stages], scales=fitted.scales[:stages])
        for stages in range(1, 6)
    ]
    errors = [_error(tokenizer, new) for tokenizer in shorter]
    assert all(later < 0.8 * earlier for earlier, later in itertools.pairwise(errors))


def test_a_wider_beam_comes_nearer(fitted: ResidualVqTokenizer) -> None:
    new = _chunks(500, seed=1)
    errors = [_error(dataclasses.replace(fitted, beam=beam), new) for beam in (1, 4, 16)]
    assert errors[0] > errors[1] > errors[2]


def test_the_beam_of_all_codewords_finds_the_nearest_of_all_sums() -> None:
    tokenizer = ResidualVqTokenizer.fit(_chunks(200, horizon=2), SMALL_EMBODIMENT, 8, stages=2, beam=8)
    new = _chunks(50, seed=1, horizon=2)
    every = np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), axis=-1).reshape(-1, 2)
    sums, values = (tokenizer.ranges.normalise(a) for a in (tokenizer.decode_batch(every), new))
    nearest = np.square(sums[None] - values[:, None]).sum(axis=(2, 3)).min(axis=1)
    found = tokenizer.ranges.normalise(tokenizer.decode_batch(tokenizer.encode_batch(new)))
    np.testing.assert_allclose(np.square(found - values).sum(axis=(1, 2)), nearest, atol=1e-4)


def test_the_same_chunks_and_seed_give_the_same_codebooks() -> None:
    one, two = (ResidualVqTokenizer.fit(_chunks(300), SMALL_EMBODIMENT, 16, stages=2, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.codebooks, two.codebooks)
    np.testing.assert_array_equal(one.scales, two.scales)


def test_few_chunks_make_few_codewords_and_the_grammar_allows_no_others() -> None:
    tokenizer = ResidualVqTokenizer.fit(_chunks(40), SMALL_EMBODIMENT, 256, stages=2)
    assert tokenizer.vocabulary_size == 256
    assert tokenizer.grammar().allowed[:-1].sum(axis=1).tolist() == [10, 10]
    with pytest.raises(ActionError, match="token 10 at place 1 of sequence 0"):
        tokenizer.decode([9, 10])


def test_one_chunk_is_enough_and_comes_back() -> None:
    chunk = _chunks(1)
    tokenizer = ResidualVqTokenizer.fit(chunk, SMALL_EMBODIMENT, 16)
    clipped = tokenizer.ranges.denormalise(tokenizer.ranges.normalise(chunk[0]))
    np.testing.assert_allclose(tokenizer.decode(tokenizer.encode(chunk[0])), clipped, atol=1e-5)


def test_options_that_make_no_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match="stages >= 1, vocabulary >= 2 and beam >= 1, got 0, 16 and 4"):
        ResidualVqTokenizer.fit(_chunks(10), SMALL_EMBODIMENT, 16, stages=0)
    with pytest.raises(ConfigError, match="got 2, 1 and 4"):
        ResidualVqTokenizer.fit(_chunks(10), SMALL_EMBODIMENT, 1, stages=2)


def test_a_number_that_is_not_finite_names_its_field(fitted: ResidualVqTokenizer) -> None:
    chunks = _chunks(3)
    chunks[2, 1, -1] = np.inf
    with pytest.raises(ActionError, match=f"'{LAST}' at step 1 of chunk 2"):
        ResidualVqTokenizer.fit(chunks, SMALL_EMBODIMENT, 16)
    with pytest.raises(ActionError, match=f"'{LAST}' at step 1 of chunk 2"):
        fitted.encode_batch(chunks)


def test_a_chunk_of_another_horizon_is_refused(fitted: ResidualVqTokenizer) -> None:
    with pytest.raises(ActionError, match=r"'vq' was fitted to chunks of 8 steps .* got 9 steps"):
        fitted.encode(_chunks(1, horizon=9)[0])


def test_codebooks_of_another_width_are_refused(fitted: ResidualVqTokenizer) -> None:
    with pytest.raises(ValueError, match=f"codewords of {7 * FIELDS} numbers, got {8 * FIELDS}"):
        dataclasses.replace(fitted, horizon=7)


def test_scales_that_are_not_above_zero_are_refused(fitted: ResidualVqTokenizer) -> None:
    with pytest.raises(ValueError, match="5 x 64 scales above 0"):
        dataclasses.replace(fitted, scales=np.zeros_like(fitted.scales))


def test_a_file_of_another_format_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"vla\.vq/1"):
        ResidualVqTokenizer.from_json({"format": "vla.vq/0"})
