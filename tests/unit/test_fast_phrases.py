from __future__ import annotations

import itertools

import numpy as np
import pytest

from vla.interfaces import PADDING_ID
from vla.tokens.byte_pairs import Phrase
from vla.tokens.phrases import PhraseBook

_PHRASES: list[Phrase] = [(0,), (3,), (-3,), (0, 0), (3, 1), (0, -3, 0), (2, 0, 1, 0)]


def _cost(phrases: list[Phrase], ids: tuple[int, ...], numbers: np.ndarray, token_cost: float) -> float:
    written = np.concatenate([phrases[index] for index in ids])
    return float(((written - numbers) ** 2).sum() + token_cost * len(ids))


@pytest.mark.parametrize("token_cost", [0.0, 0.5, 2.0, 50.0])
def test_no_other_writing_is_cheaper(token_cost: float) -> None:
    book = PhraseBook(_PHRASES, 5)
    lengths = [len(phrase) for phrase in _PHRASES]
    writings = [
        ids
        for count in range(1, 6)
        for ids in itertools.product(range(len(_PHRASES)), repeat=count)
        if sum(lengths[index] for index in ids) == 5
    ]
    for numbers in np.random.default_rng(0).integers(-64, 65, (12, 5)) / 16:
        ids = book.cheapest(numbers[None], token_cost)[0]
        found = _cost(_PHRASES, tuple(ids[ids != PADDING_ID].tolist()), numbers, token_cost)
        assert found == min(_cost(_PHRASES, other, numbers, token_cost) for other in writings)


def test_numbers_too_large_for_short_floats_are_written_as_exactly() -> None:
    large = [(0,), (1,), (5_000_001,), (5_000_002,)]
    numbers = np.array([[5_000_001.0, 5_000_002.0, 1.0, 0.0]])
    assert PhraseBook(large, 4).cheapest(numbers, 0.0).tolist() == [[2, 3, 1, 0]]


def test_a_book_without_small_numbers_writes_the_nearest_it_has() -> None:
    assert PhraseBook([(700,), (900,)], 64).cheapest(np.zeros((1, 64)), 0.0).tolist() == [64 * [0]]


def test_ids_are_expanded_row_by_row() -> None:
    ids = np.array([[5, 3, PADDING_ID, PADDING_ID], [1, 2, 0, 3]])
    assert PhraseBook(_PHRASES, 5).expand(ids).tolist() == [[0, -3, 0, 0, 0], [3, -3, 0, 0, 0]]
