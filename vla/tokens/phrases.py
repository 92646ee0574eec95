"""Sequences of numbers as phrases of a book: the cheapest way to write them.

A phrase stands for a run of integers, one token each. Writing numbers c with phrases w costs

    sum |c - w|² + token_cost * tokens,

and the cheapest writing is found by dynamic programming from the end: at every place, for every phrase that fits, its
own cost and the least cost of what comes after it. Of writings that cost the same, the one of the lowest first id wins.

Numbers are rounded to multiples of `GRID`, and all that are summed are small enough for sums to be exact: neither the
order of a sum nor the size of a batch changes what is written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64

from vla.interfaces import PADDING_ID, Grammar
from vla.tokens.byte_pairs import Phrase

GRID = 2.0**-4
_BATCH = 128


class PhraseBook:
    """The phrases by id, some of one number, for sequences of `num_numbers` integers each."""

    def __init__(self, phrases: Sequence[Phrase], num_numbers: int) -> None:
        self.phrases = tuple(phrases)
        self.num_numbers = num_numbers
        self.lengths: Int64[np.ndarray, " vocabulary"] = np.array([len(phrase) for phrase in self.phrases])
        self._flat = np.concatenate(self.phrases).astype(np.float64)
        self._offsets = np.cumsum(self.lengths) - self.lengths
        table = np.zeros((len(self.phrases), int(self.lengths.max())))
        for row, phrase in zip(table, self.phrases, strict=True):
            row[: len(phrase)] = phrase
        # Zeros cost nothing in `_choices`, and the longest phrases end in many.
        self._table = table[:, : 1 + max(np.flatnonzero(table.any(axis=0)), default=0)]
        self._squares = (table**2).sum(axis=1)

    def cheapest(
        self, numbers: Float64[np.ndarray, "batch numbers"], token_cost: float
    ) -> Int64[np.ndarray, "batch tokens"]:
        """The ids of the cheapest writing of each row, padded with -1 to one token a number."""
        numbers, token_cost = np.rint(numbers / GRID) * GRID, np.rint(token_cost / GRID) * GRID
        dtype = np.float32 if self._largest_sum(numbers, token_cost) < GRID * 2**24 else np.float64
        blocks = np.array_split(numbers.astype(dtype), -(-len(numbers) // _BATCH))
        return np.concatenate([self._followed(self._choices(block, dtype(token_cost))) for block in blocks])

    def expand(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float64[np.ndarray, "batch numbers"]:
        """The integers that whole sequences of ids stand for."""
        tokens = ids[ids != PADDING_ID]
        lengths = self.lengths[tokens]
        begins = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(self._offsets[tokens] - begins, lengths)
        return self._flat[places].reshape(len(ids), self.num_numbers)

    def grammar(self) -> Grammar:
        """State by state the numbers still to come, from all of them down to none, where a sequence ends."""
        remaining = np.arange(self.num_numbers, -1, -1)
        fits = self.lengths[None] <= remaining[:, None]
        next_state = np.where(fits, np.arange(self.num_numbers + 1)[:, None] + self.lengths[None], -1)
        return Grammar(next_state.astype(np.int32), remaining == 0, self.num_numbers // int(self.lengths.min()))

    def _largest_sum(self, numbers: Float64[np.ndarray, "batch numbers"], token_cost: float) -> float:
        """No sum in `_choices` is larger: nothing cheapest costs more than the smallest number again and again."""
        largest, smallest = (numbers**2).sum(axis=1).max(), np.abs(self._flat[self._offsets[self.lengths == 1]]).min()
        return float(2 * (largest + self._squares.max()) + self.num_numbers * (2 * smallest**2 + token_cost))

    def _choices(
        self, numbers: Float[np.ndarray, "batch numbers"], token_cost: np.floating
    ) -> Int64[np.ndarray, "batch numbers"]:
        """The first id of the cheapest writing of what stands at each place and after it."""
        rows, places = numbers.shape
        table, squares = self._table.astype(numbers.dtype), self._squares.astype(numbers.dtype)
        # The sum of c² is left out, as every writing pays it alike.
        cost = np.zeros((rows, places + 1), numbers.dtype)
        choices = np.zeros((rows, places), np.int64)
        for place in range(places - 1, -1, -1):
            fitting = np.flatnonzero(self.lengths <= places - place)
            window = numbers[:, place : place + table.shape[1]]
            costs = window @ (-2 * table[fitting, : window.shape[1]].T)
            costs += squares[fitting]
            costs += cost[:, place + self.lengths[fitting]]
            best = costs.argmin(axis=1)
            choices[:, place] = fitting[best]
            cost[:, place] = costs[np.arange(rows), best] + token_cost
        return choices

    def _followed(self, choice: Int64[np.ndarray, "batch numbers"]) -> Int64[np.ndarray, "batch tokens"]:
        rows, places = choice.shape
        ids = np.full((rows, places), PADDING_ID, np.int64)
        place = np.zeros(rows, np.int64)
        for count in range(places):
            going = np.flatnonzero(place < places)
            if not len(going):
                break
            ids[going, count] = choice[going, place[going]]
            place[going] += self.lengths[ids[going, count]]
        return ids
