"""What every action tokenizer does alike: checks at the border, and the chunk that goes on from committed actions.

    chunk in physical units ─► clipped to -1..1 ─► ids, padded with -1 to the grammar's max_tokens ─► back

A tokenizer adds the two maps between -1..1 and ids, and the grammar of the ids that decode.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from vla.errors import ActionError, CheckpointError
from vla.interfaces import PADDING_ID, Grammar
from vla.tokens.continuation import continued
from vla.tokens.ranges import ActionRanges, check_finite


class ChunkTokenizer(abc.ABC):
    """An `ActionTokenizer` whose ids stand for a chunk in -1..1."""

    ranges: ActionRanges
    horizon: int

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """As `vla tokens fit tokenizer=NAME` knows it."""

    @property
    @abc.abstractmethod
    def vocabulary_size(self) -> int: ...

    @property
    @abc.abstractmethod
    def is_ordered(self) -> bool: ...

    @abc.abstractmethod
    def num_committed(self, steps: int) -> int: ...

    @abc.abstractmethod
    def grammar(self) -> Grammar: ...

    @abc.abstractmethod
    def to_json(self) -> dict[str, object]: ...

    @abc.abstractmethod
    def _encode(self, values: Float64[np.ndarray, "batch horizon action_dim"]) -> Int64[np.ndarray, "batch tokens"]:
        """Ids of chunks in -1..1, padded with -1 to `max_tokens`."""

    @abc.abstractmethod
    def _decode(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float64[np.ndarray, "batch horizon action_dim"]:
        """The chunks that ids allowed by the grammar stand for; what leaves -1..1 is clipped afterwards."""

    @property
    def action_dim(self) -> int:
        return self.ranges.action_dim

    @property
    def max_tokens(self) -> int:
        return self._grammar.max_tokens

    def encode(self, actions: Float32[np.ndarray, "horizon action_dim"]) -> list[int]:
        if actions.ndim != 2:
            raise ActionError(f"expected a chunk of steps and fields, got an array of shape {actions.shape}")
        ids = self.encode_batch(actions[None])[0]
        return [int(index) for index in ids[ids != PADDING_ID]]

    def encode_batch(
        self, chunks: Float32[np.ndarray, "batch horizon action_dim"]
    ) -> Int64[np.ndarray, "batch tokens"]:
        if chunks.shape[1:] != (self.horizon, self.action_dim):
            raise ActionError(
                f"tokenizer '{self.name}' was fitted to chunks of {self.horizon} steps and {self.action_dim} fields "
                f"({', '.join(self.ranges.names)}), got {chunks.shape[1]} steps and {chunks.shape[2]} fields"
            )
        check_finite(chunks, self.ranges.names)
        return self._encode(self.ranges.normalise(chunks))

    def decode(self, ids: Sequence[int]) -> Float32[np.ndarray, "horizon action_dim"]:
        if len(ids) > self.max_tokens:
            raise ActionError(f"a chunk is at most {self.max_tokens} tokens of '{self.name}', got {len(ids)}")
        padded = np.full((1, self.max_tokens), PADDING_ID, np.int64)
        padded[0, : len(ids)] = ids
        if len(ids) and min(ids) < 0:
            raise ActionError(f"action tokens are 0 to {self.vocabulary_size - 1}, got {min(ids)}")
        return self.decode_batch(padded)[0]

    def decode_batch(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float32[np.ndarray, "batch horizon action_dim"]:
        check_accepted(self._grammar, ids, self.name)
        return self.ranges.denormalise(self._decode(ids))

    def decode_committed(
        self, ids: Int64[np.ndarray, "batch tokens"], committed: Sequence[Float32[np.ndarray, "_ action_dim"]]
    ) -> Float32[np.ndarray, "batch horizon action_dim"]:
        chunks = self.decode_batch(ids)
        for chunk, actions in zip(chunks, committed, strict=True):
            if len(actions):
                is_forced = self.num_committed(len(actions)) > 0
                values = continued(self.ranges.normalise(chunk), self.ranges.normalise(actions), is_forced=is_forced)
                chunk[:] = self.ranges.denormalise(values)
                chunk[: len(actions)] = actions
        return chunks

    @functools.cached_property
    def _grammar(self) -> Grammar:
        return self.grammar()


def check_accepted(grammar: Grammar, ids: Int64[np.ndarray, "batch tokens"], name: str) -> None:
    """Return if the grammar accepts every row, up to its padding.

    Raises:
        ActionError: naming the first row and place that it does not allow.
    """
    vocabulary_size = grammar.next_state.shape[1]
    state, has_ended = np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
    for place, column in enumerate(ids.T):
        has_ended |= column == PADDING_ID
        known = has_ended | ((column >= 0) & (column < vocabulary_size))
        after = grammar.next_state[state, np.where(known & ~has_ended, column, 0)]
        wrong = np.where(has_ended, column != PADDING_ID, ~known | (after < 0))
        if wrong.any():
            row = int(wrong.argmax())
            raise ActionError(
                f"token {int(column[row])} at place {place} of sequence {row} is not what tokenizer '{name}' may "
                f"write there: it has {vocabulary_size} ids; was it written by another one?"
            )
        state = np.where(has_ended, state, after)
    unfinished = ~grammar.accepting[state]
    if unfinished.any():
        row = int(unfinished.argmax())
        raise ActionError(
            f"sequence {row} ends too early for tokenizer '{name}': {int((ids[row] != PADDING_ID).sum())} tokens"
        )


def require_format(tree: Mapping[str, Any], expected: str) -> None:
    """Return if a tokenizer's JSON is of this format, and of this version of it.

    Raises:
        CheckpointError: naming both.
    """
    if tree.get("format") != expected:
        raise CheckpointError(f"expected an action tokenizer of format '{expected}', got {tree.get('format')!r}")
