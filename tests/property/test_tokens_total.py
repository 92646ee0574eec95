"""Nothing that a decoder held to the grammar can write fails to decode, whichever tokenizer of the table it is."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from benchmarks.totality import WANTED, accepted, constrained, nearest_allowed, published, random_walks, totality
from vla.errors import ActionError
from vla.interfaces import ActionTokenizer, Grammar
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.files import TOKENIZERS, fit_tokenizer

_NAMES = [*TOKENIZERS, "published_fast"]
_CHUNKS = random_walks(num_chunks=1500, horizon=4)


@functools.cache
def _fitted(name: str) -> ActionTokenizer:
    vocabulary_size = 320
    if name == "published_fast":
        return published(_CHUNKS, vocabulary_size)
    return fit_tokenizer(name, _CHUNKS, SMALL_EMBODIMENT, vocabulary_size)


@pytest.mark.parametrize("name", _NAMES)
def test_whatever_is_wanted_the_grammar_makes_it_decode_to_finite_actions_inside_the_limits(name: str) -> None:
    result = totality(_fitted(name), _CHUNKS, num_sequences=6000)
    assert result.sequences == 6000
    assert (result.undecodable, result.not_finite, result.outside_limits) == (0, 0, 0), str(result)


@pytest.mark.parametrize("name", _NAMES)
def test_what_the_grammar_refuses_is_what_decoding_refuses(name: str) -> None:
    tokenizer, generator = _fitted(name), np.random.default_rng(0)
    ids = tokenizer.encode_batch(_CHUNKS[:100])
    for wanted in WANTED:
        asked = wanted(ids, tokenizer.vocabulary_size, generator)
        assert [_decodes(tokenizer, row) for row in asked] == accepted(asked, tokenizer.grammar()).tolist()


def _decodes(tokenizer: ActionTokenizer, ids: np.ndarray) -> bool:
    try:
        tokenizer.decode_batch(ids[None])
    except ActionError:
        return False
    return True


@pytest.mark.parametrize("name", _NAMES)
def test_ids_that_the_grammar_allows_are_written_as_wanted(name: str) -> None:
    tokenizer = _fitted(name)
    ids, grammar = tokenizer.encode_batch(_CHUNKS[:300]), tokenizer.grammar()
    np.testing.assert_array_equal(constrained(ids, grammar, nearest_allowed(grammar)), ids)


def test_an_id_that_is_not_allowed_becomes_the_nearest_that_is() -> None:
    table = np.full((2, 6), -1, np.int32)
    table[0, [1, 4]] = 1
    grammar = Grammar(table, np.array([False, True]), max_tokens=1)
    wanted = np.arange(-1, 7)[:, None]
    assert constrained(wanted, grammar, nearest_allowed(grammar))[:, 0].tolist() == [1, 1, 1, 1, 4, 4, 4, 4]
