from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla.errors import ActionError, CheckpointError, ConfigError
from vla.interfaces import PADDING_ID
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.ordered import OrderedTokenizer

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


def _off(tokenizer: OrderedTokenizer, ids: np.ndarray, chunks: np.ndarray) -> np.ndarray:
    return np.abs(tokenizer.ranges.normalise(tokenizer.decode_batch(ids)) - tokenizer.ranges.normalise(chunks))


@pytest.fixture(scope="module")
def fitted() -> OrderedTokenizer:
    return OrderedTokenizer.fit(_chunks(4000), SMALL_EMBODIMENT, 64, tolerance=0.0)


def test_a_chunk_takes_half_as_many_tokens_as_it_has_numbers_at_most_by_default() -> None:
    assert OrderedTokenizer.fit(_chunks(100), SMALL_EMBODIMENT, 16).max_tokens == 8 * FIELDS // 2


def test_without_a_tolerance_every_chunk_takes_all_tokens(fitted: OrderedTokenizer) -> None:
    assert (fitted.encode_batch(_chunks(50, seed=1)) != PADDING_ID).all()


def test_each_further_token_brings_new_chunks_nearer(fitted: OrderedTokenizer) -> None:
    new = _chunks(500, seed=1)
    ids, errors = fitted.encode_batch(new), []
    for tokens in range(1, fitted.max_tokens + 1):
        prefix = ids.copy()
        prefix[:, tokens:] = PADDING_ID
        errors.append(float(np.square(_off(fitted, prefix, new)).mean()))
    assert (np.diff(errors) < 0).all()


def test_every_prefix_of_a_sequence_decodes(fitted: OrderedTokenizer) -> None:
    ids = fitted.encode(_chunks(1, seed=1)[0])
    assert all(fitted.decode(ids[:tokens]).shape == (8, FIELDS) for tokens in range(1, len(ids) + 1))


def test_the_first_token_alone_decodes_to_the_centre_of_its_class(fitted: OrderedTokenizer) -> None:
    expected = fitted.ranges.denormalise(fitted.centres[5].reshape(8, FIELDS))
    np.testing.assert_allclose(fitted.decode([5]), expected, atol=1e-6)


def test_no_token_is_not_a_chunk(fitted: OrderedTokenizer) -> None:
    with pytest.raises(ActionError, match="ends too early for tokenizer 'ordered': 0 tokens"):
        fitted.decode([])


def test_encoding_stops_at_the_first_token_within_the_tolerance(fitted: OrderedTokenizer) -> None:
    tokenizer, new = dataclasses.replace(fitted, tolerance=0.1), _chunks(300, seed=1)
    ids = tokenizer.encode_batch(new)
    length = (ids != PADDING_ID).sum(axis=1)
    stopped = length < tokenizer.max_tokens
    assert stopped.mean() > 0.9
    assert _off(tokenizer, ids, new)[stopped].max() <= 0.1 + 1e-5
    shorter, rows = ids.copy(), np.flatnonzero(length > 1)
    shorter[rows, length[rows] - 1] = PADDING_ID
    assert (_off(tokenizer, shorter, new)[rows].max(axis=(1, 2)) > 0.1 - 1e-5).all()


def test_a_smaller_tolerance_takes_more_tokens(fitted: OrderedTokenizer) -> None:
    new = _chunks(200, seed=1)
    lengths = [
        (dataclasses.replace(fitted, tolerance=tolerance).encode_batch(new) != PADDING_ID).sum()
        for tolerance in (0.3, 0.1, 0.03)
    ]
    assert lengths[0] < lengths[1] < lengths[2]


def test_more_classes_to_choose_from_take_fewer_tokens(fitted: OrderedTokenizer) -> None:
    new = _chunks(200, seed=1)
    lengths = [
        (dataclasses.replace(fitted, tolerance=0.1, beam=beam).encode_batch(new) != PADDING_ID).sum()
        for beam in (1, 8, 64)
    ]
    assert lengths[0] > lengths[1] > lengths[2]


def test_chunks_that_all_agree_take_one_token() -> None:
    chunks = np.repeat(_chunks(1), 50, axis=0)
    tokenizer = OrderedTokenizer.fit(chunks, SMALL_EMBODIMENT, 16)
    assert len(tokenizer.encode(chunks[0])) == 1


def test_the_same_chunks_and_seed_give_the_same_tokenizer() -> None:
    one, two = (OrderedTokenizer.fit(_chunks(300), SMALL_EMBODIMENT, 16, seed=7) for _ in range(2))
    assert one.to_json() == two.to_json()


def test_few_chunks_make_few_classes_and_the_grammar_allows_no_others() -> None:
    tokenizer = OrderedTokenizer.fit(_chunks(40), SMALL_EMBODIMENT, 256)
    assert tokenizer.grammar().allowed[0].sum() == 5
    with pytest.raises(ActionError, match="token 5 at place 0 of sequence 0"):
        tokenizer.decode([5, 1])


def test_a_vocabulary_that_is_no_power_of_two_uses_it_up_for_classes_alone() -> None:
    tokenizer = OrderedTokenizer.fit(_chunks(1000), SMALL_EMBODIMENT, 100, num_tokens=3)
    assert tokenizer.grammar().allowed.sum(axis=1).tolist() == [100, 64, 64, 0]


def test_one_chunk_is_enough_and_comes_back() -> None:
    chunk = _chunks(1)
    tokenizer = OrderedTokenizer.fit(chunk, SMALL_EMBODIMENT, 16)
    clipped = tokenizer.ranges.denormalise(tokenizer.ranges.normalise(chunk[0]))
    np.testing.assert_allclose(tokenizer.decode(tokenizer.encode(chunk[0])), clipped, atol=1e-5)


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="vocabulary of at least 2 ids, got 1"):
        OrderedTokenizer.fit(_chunks(10), SMALL_EMBODIMENT, 1)
    with pytest.raises(ConfigError, match=f"{8 * FIELDS} numbers of 10 bits cannot fill 999 tokens"):
        OrderedTokenizer.fit(_chunks(10), SMALL_EMBODIMENT, 16, num_tokens=999)
    with pytest.raises(ConfigError, match=r"tolerance >= 0 and beam >= 1, got -0\.1 and 8"):
        OrderedTokenizer.fit(_chunks(10), SMALL_EMBODIMENT, 16, tolerance=-0.1)


def test_a_number_that_is_not_finite_names_its_field(fitted: OrderedTokenizer) -> None:
    chunks = _chunks(3)
    chunks[2, 1, -1] = np.inf
    with pytest.raises(ActionError, match=f"'{LAST}' at step 1 of chunk 2"):
        OrderedTokenizer.fit(chunks, SMALL_EMBODIMENT, 16)
    with pytest.raises(ActionError, match=f"'{LAST}' at step 1 of chunk 2"):
        fitted.encode_batch(chunks)


def test_a_chunk_of_another_horizon_is_refused(fitted: OrderedTokenizer) -> None:
    with pytest.raises(ActionError, match=r"'ordered' was fitted to chunks of 8 steps .* got 9 steps"):
        fitted.encode(_chunks(1, horizon=9)[0])


def test_spreads_that_are_not_above_zero_are_refused(fitted: OrderedTokenizer) -> None:
    with pytest.raises(ValueError, match="spreads above 0"):
        dataclasses.replace(fitted, spreads=np.zeros_like(fitted.spreads))


def test_a_file_of_another_format_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"vla\.ordered/1"):
        OrderedTokenizer.from_json({"format": "vla.ordered/0"})
