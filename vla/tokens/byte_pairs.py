"""Byte pairs over integers: which runs of numbers deserve an id of their own.

    a b a b c   ──►  (a b) is the most frequent pair  ──►  X X c   ──►  (X c)  ──►  ...

Sequences are counted once for each distinct one. Pairs never cross from one sequence into the next.

Source: Gage 1994, "A New Algorithm for Data Compression"; FAST (arXiv:2501.09747) applies it to rounded coefficients.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from vla.errors import ActionError

Phrase = tuple[int, ...]
"""The numbers that one token stands for."""

_GAP = 0
"""Between two sequences; ids are one higher inside `_Text`."""


def train_byte_pairs(
    sequences: Int64[np.ndarray, "sequences numbers"], alphabet: range, vocabulary_size: int, min_count: int = 2
) -> list[Phrase]:
    """The phrases of a vocabulary: every number of the alphabet, then what each merge of the most frequent pair makes.

    Of pairs that are equally frequent, the one of the lowest ids is merged. There are fewer phrases than
    `vocabulary_size` if no pair is left that comes `min_count` times.

    Args:
        sequences: of numbers of the alphabet.

    Raises:
        ActionError: if the vocabulary does not hold the alphabet.
    """
    if vocabulary_size < len(alphabet):
        raise ActionError(
            f"a vocabulary of {vocabulary_size} does not hold the alphabet, {len(alphabet)} numbers from {alphabet[0]} "
            f"to {alphabet[-1]}: give at least {len(alphabet)}"
        )
    phrases: list[Phrase] = [(number,) for number in alphabet]
    text = _Text(sequences - alphabet[0], vocabulary_size)
    while len(phrases) < vocabulary_size:
        first, second, count = text.most_frequent_pair()
        if count < min_count:
            break
        text.merge(first, second, len(phrases))
        phrases.append(phrases[first] + phrases[second])
    return phrases


class _Text:
    """Distinct sequences end to end, with the counts of all neighbouring pairs kept up to date."""

    def __init__(self, sequences: Int64[np.ndarray, "sequences ids"], vocabulary_size: int) -> None:
        distinct, counts = np.unique(sequences, axis=0, return_counts=True)
        padded = np.pad(distinct + 1, ((0, 0), (1, 1)), constant_values=_GAP)
        self._ids = padded.astype(np.int32).ravel()
        self._weights = np.repeat(counts, padded.shape[1])
        self._width = vocabulary_size + 1
        self._counts = np.zeros(self._width**2, np.int64)
        self._count(np.arange(len(self._ids) - 1), +1)

    def most_frequent_pair(self) -> tuple[int, int, int]:
        best = int(self._counts.argmax())
        first, second = divmod(best, self._width)
        return first - 1, second - 1, int(self._counts[best])

    def merge(self, first: int, second: int, merged: int) -> None:
        """Write one id in place of each such pair."""
        starts = _without_overlaps(
            np.flatnonzero((self._ids[:-1] == first + 1) & (self._ids[1:] == second + 1)), first == second
        )
        self._count(_union(starts - 1, starts, starts + 1), -1)
        self._ids[starts] = merged + 1
        keep = np.ones(len(self._ids), bool)
        keep[starts + 1] = False
        self._ids, self._weights = self._ids[keep], self._weights[keep]
        starts = starts - np.arange(len(starts))
        self._count(_union(starts - 1, starts), +1)

    def _count(self, places: Int64[np.ndarray, " places"], sign: int) -> None:
        first, second = self._ids[places].astype(np.int64), self._ids[places + 1]
        inside = (first != _GAP) & (second != _GAP)
        pairs = (first * self._width + second)[inside]
        np.add.at(self._counts, pairs, sign * self._weights[places][inside])


def _without_overlaps(starts: Int64[np.ndarray, " places"], can_overlap: bool) -> Int64[np.ndarray, " kept"]:
    """In a run a a a, the first pair and not the second."""
    if not can_overlap or not len(starts):
        return starts
    begins = np.r_[True, np.diff(starts) > 1]
    place_in_run = np.arange(len(starts)) - np.flatnonzero(begins)[np.cumsum(begins) - 1]
    return starts[place_in_run % 2 == 0]


def _union(*places: Int64[np.ndarray, " _"]) -> Int64[np.ndarray, " union"]:
    return np.unique(np.concatenate(places))
