from __future__ import annotations

import itertools

import numpy as np
import pytest

from vla.errors import ActionError
from vla.tokens.byte_pairs import train_byte_pairs


def test_every_number_of_the_alphabet_is_a_phrase() -> None:
    phrases = train_byte_pairs(np.array([[0, 1]]), range(-2, 3), vocabulary_size=5)
    assert phrases == [(-2,), (-1,), (0,), (1,), (2,)]


def test_the_most_frequent_pair_is_merged_first() -> None:
    phrases = train_byte_pairs(np.array([[0, 1, 0, 1, 2]]), range(3), vocabulary_size=4)
    assert phrases[3:] == [(0, 1)]


def test_merges_are_merged_again() -> None:
    phrases = train_byte_pairs(np.array([[3, 1, 2], [3, 1, 2], [0, 1, 2]]), range(4), vocabulary_size=6)
    assert phrases[4:] == [(1, 2), (3, 1, 2)]


def test_a_sequence_counts_as_often_as_it_comes() -> None:
    phrases = train_byte_pairs(np.array([[0, 1, 1]] + 3 * [[2, 3, 3]]), range(4), vocabulary_size=5)
    assert phrases[4:] == [(2, 3)]


def test_pairs_never_cross_from_one_sequence_into_the_next() -> None:
    phrases = train_byte_pairs(np.array([[0], [1], [0], [1]]), range(2), vocabulary_size=5)
    assert phrases == [(0,), (1,)]


def test_a_pair_that_comes_once_is_not_merged() -> None:
    assert len(train_byte_pairs(np.array([[0, 1, 2]]), range(3), vocabulary_size=9)) == 3


def test_a_run_of_one_number_is_merged_from_its_beginning() -> None:
    phrases = train_byte_pairs(np.array([7 * [0]]), range(1), vocabulary_size=3)
    assert phrases == [(0,), (0, 0), (0, 0, 0, 0)]


def test_counts_kept_up_to_date_lead_to_the_merges_that_counting_anew_does() -> None:
    sequences = np.random.default_rng(0).geometric(0.5, (300, 12)).clip(max=6) - 1
    assert train_byte_pairs(sequences, range(6), vocabulary_size=60) == _slowly(sequences, 6, 60)


def test_a_vocabulary_that_does_not_hold_the_alphabet_is_refused() -> None:
    with pytest.raises(ActionError, match=r"vocabulary of 4 does not hold the alphabet, 5 numbers from -2 to 2"):
        train_byte_pairs(np.array([[0]]), range(-2, 3), vocabulary_size=4)


def _slowly(sequences: np.ndarray, alphabet_size: int, vocabulary_size: int) -> list[tuple[int, ...]]:
    """Byte pairs as they are explained: count all pairs, merge the most frequent one, count again."""
    phrases: list[tuple[int, ...]] = [(number,) for number in range(alphabet_size)]
    texts = [list(map(int, sequence)) for sequence in sequences]
    while len(phrases) < vocabulary_size:
        counts: dict[tuple[int, int], int] = {}
        for text in texts:
            for pair in itertools.pairwise(text):
                counts[pair] = counts.get(pair, 0) + 1
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        texts = [_merged(text, best, len(phrases)) for text in texts]
        phrases.append(phrases[best[0]] + phrases[best[1]])
    return phrases


def _merged(text: list[int], pair: tuple[int, int], merged: int) -> list[int]:
    out: list[int] = []
    place = 0
    while place < len(text):
        if tuple(text[place : place + 2]) == pair:
            out.append(merged)
            place += 2
        else:
            out.append(text[place])
            place += 1
    return out
