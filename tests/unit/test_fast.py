from __future__ import annotations

import json

import numpy as np
import pytest

from vla.errors import ActionError, CheckpointError
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.fast import FastTokenizer
from vla.tokens.files import tokenizer_from_json
from vla.tokens.ranges import ActionRanges

_RANGES = ActionRanges.of(np.array([-1.0]), np.array([1.0]))
_SINGLES = tuple((number,) for number in range(-4, 5))


def _tokenizer(*runs: tuple[int, ...], token_cost: float = 0.1, horizon: int = 4) -> FastTokenizer:
    """Of one field; a still 1 is the coefficients 2, 0, 0, 0."""
    return FastTokenizer(_RANGES, horizon, 1.0, _SINGLES + runs, token_cost)


def _walks(chunks: int, horizon: int = 8) -> np.ndarray:
    steps = np.random.default_rng(0).normal(0, 0.2, (chunks, horizon, SMALL_EMBODIMENT.action_dim))
    low, high = SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high
    return (low + (np.tanh(np.cumsum(steps, axis=1)) + 1) / 2 * (high - low)).astype(np.float32)


def test_a_still_chunk_is_one_coefficient_and_then_zeros() -> None:
    assert _tokenizer().encode(np.ones((4, 1), np.float32)) == [6, 4, 4, 4]


def test_the_longest_fitting_run_makes_the_shortest_sequence() -> None:
    assert _tokenizer((2, 0), (2, 0, 0, 0)).encode(np.ones((4, 1), np.float32)) == [10]


def test_the_sequence_is_shorter_than_merging_in_order_would_make_it() -> None:
    # Merging in order takes (2, 0) first, and (0, 0, 0) no longer fits behind it.
    assert _tokenizer((2, 0), (0, 0, 0)).encode(np.ones((4, 1), np.float32)) == [6, 10]


def test_of_sequences_as_short_the_one_of_the_lowest_first_id_is_written() -> None:
    assert _tokenizer((0, 0, 0), (2, 0, 0)).encode(np.ones((4, 1), np.float32)) == [6, 9]


def test_a_token_is_saved_where_the_error_costs_less() -> None:
    nearly_still = np.array([[1.0], [1.0], [1.0], [0.4]], np.float32)
    assert len(_tokenizer((2, 0, 0, 0), token_cost=0.0).encode(nearly_still)) == 4
    assert _tokenizer((2, 0, 0, 0), token_cost=1.0).encode(nearly_still) == [9]


def test_numbers_outside_the_alphabet_are_taken_to_its_ends() -> None:
    tokenizer = FastTokenizer(_RANGES, 4, 10.0, _SINGLES)
    assert tokenizer.encode(np.ones((4, 1), np.float32))[0] == 8


def test_what_leaves_the_range_is_clipped_before_the_transform() -> None:
    tokenizer = _tokenizer()
    far, at_the_end = np.full((4, 1), 1e6, np.float32), np.ones((4, 1), np.float32)
    assert tokenizer.encode(far) == tokenizer.encode(at_the_end)


def test_the_grammar_allows_what_fits_into_the_coefficients_still_to_come() -> None:
    grammar = _tokenizer((2, 0, 0)).grammar()
    assert [bool(grammar.allowed[state, 9]) for state in range(5)] == [True, True, False, False, False]
    assert grammar.accepting.tolist() == [False, False, False, False, True]


def test_smooth_chunks_take_few_tokens() -> None:
    chunks = _walks(3000)
    tokenizer = FastTokenizer.fit(chunks, SMALL_EMBODIMENT, vocabulary_size=512)
    num_tokens = (tokenizer.encode_batch(chunks[:200]) >= 0).sum(axis=1)
    assert num_tokens.mean() < 0.6 * chunks[0].size


def test_a_still_field_comes_back_exactly_at_its_ends_and_in_its_middle() -> None:
    chunks = np.zeros((3, 8, SMALL_EMBODIMENT.action_dim), np.float32)
    low, high = SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high
    chunks[0], chunks[1], chunks[2] = low, high, (low + high) / 2
    tokenizer = FastTokenizer.fit(chunks, SMALL_EMBODIMENT, vocabulary_size=256)
    np.testing.assert_allclose(tokenizer.decode_batch(tokenizer.encode_batch(chunks)), chunks, atol=1e-6)


def test_chunks_that_repeat_themselves_too_little_give_a_smaller_vocabulary() -> None:
    tokenizer = FastTokenizer.fit(_walks(2), SMALL_EMBODIMENT, vocabulary_size=4096)
    assert tokenizer.vocabulary_size == len(tokenizer.phrases) < 4096


def test_a_vocabulary_smaller_than_the_alphabet_is_refused_with_both_numbers() -> None:
    with pytest.raises(ActionError, match=r"vocabulary of 16 does not hold the alphabet, \d+ numbers"):
        FastTokenizer.fit(_walks(100), SMALL_EMBODIMENT, vocabulary_size=16)


def test_a_chunk_of_another_horizon_is_refused() -> None:
    with pytest.raises(ActionError, match=r"'fast' was fitted to chunks of 4 steps and 1 fields .* got 5 steps"):
        _tokenizer().encode(np.zeros((5, 1), np.float32))


def test_a_chunk_of_another_width_is_refused_with_the_fields_it_should_have() -> None:
    tokenizer = FastTokenizer.fit(_walks(50), SMALL_EMBODIMENT, vocabulary_size=256)
    with pytest.raises(ActionError, match=r"5 fields \(dx, dy, dz, dyaw, gripper\), got 8 steps and 4 fields"):
        tokenizer.encode(np.zeros((8, 4), np.float32))


def test_a_chunk_that_is_not_finite_is_refused_by_field() -> None:
    chunks = _walks(50)
    tokenizer = FastTokenizer.fit(chunks, SMALL_EMBODIMENT, vocabulary_size=256)
    chunks[0, 2, 3] = np.nan
    with pytest.raises(ActionError, match="not finite: 'dyaw' at step 2 of chunk 0"):
        tokenizer.encode(chunks[0])
    with pytest.raises(ActionError, match="not finite: 'dyaw' at step 2 of chunk 0"):
        FastTokenizer.fit(chunks, SMALL_EMBODIMENT, vocabulary_size=256)


def test_a_file_of_another_format_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"vla\.fast/1"):
        FastTokenizer.from_json({"format": "vla.fast/0"})


def test_a_file_in_which_no_sequence_can_end_is_refused() -> None:
    tree = json.loads(json.dumps(_tokenizer().to_json()))
    tree["phrases"] = [[0, 0], [1, 0, 0]]
    with pytest.raises(CheckpointError, match="one of just one so that every chunk can end"):
        tokenizer_from_json(tree)
