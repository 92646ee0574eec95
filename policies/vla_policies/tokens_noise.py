"""Wrong tokens, and what becomes of them: as they are, and where a grammar masks the decoder.

    right     12   7   7  31   3   9
    as it is  12   7 [88] 31   3   9       does it decode?
    masked    12   7 [88] 31   4           it does

Where the grammar does not allow what a masked decoder would have written, something else is; the sequence ends where
the grammar lets it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int32, Int64

from vla.errors import ActionError
from vla.interfaces import PADDING_ID, ActionTokenizer, Grammar


def substituted(
    ids: Int64[np.ndarray, "batch tokens"], vocabulary_size: int, share: float, generator: np.random.Generator
) -> Int64[np.ndarray, "batch tokens"]:
    """The sequences, each of their tokens another id with the chance `share`."""
    is_wrong = (generator.random(ids.shape) < share) & (ids != PADDING_ID)
    return np.where(is_wrong, _other(ids, vocabulary_size, generator), ids)


def one_substituted(
    ids: Int64[np.ndarray, "batch tokens"], vocabulary_size: int, generator: np.random.Generator
) -> Int64[np.ndarray, "batch tokens"]:
    """The sequences, one token of each another id."""
    place = (generator.random(len(ids)) * (ids != PADDING_ID).sum(axis=1)).astype(np.int64)
    is_wrong = np.arange(ids.shape[1]) == place[:, None]
    return np.where(is_wrong, _other(ids, vocabulary_size, generator), ids)


def masked(
    ids: Int64[np.ndarray, "batch tokens"], grammar: Grammar, generator: np.random.Generator
) -> Int64[np.ndarray, "batch tokens"]:
    """What a decoder writes that wants `ids` and is held to the grammar, from the first token to an end.

    Where it wants what is not allowed, or nothing before an end is, it takes any id that is allowed; where it wants
    more when nothing may follow, it ends.
    """
    written = np.full((len(ids), grammar.max_tokens), PADDING_ID, np.int64)
    state, is_open = np.zeros(len(ids), np.int64), np.ones(len(ids), bool)
    allowed = grammar.allowed
    for place in range(grammar.max_tokens):
        wanted = ids[:, place] if place < ids.shape[1] else np.full(len(ids), PADDING_ID)
        stops = (wanted == PADDING_ID) & grammar.accepting[state]
        is_open &= ~stops & allowed[state].any(axis=1)
        if not is_open.any():
            break
        rows = np.flatnonzero(is_open)
        chosen = wanted[rows]
        is_wrong = (chosen == PADDING_ID) | ~allowed[state[rows], chosen]
        chosen[is_wrong] = _any_of(allowed[state[rows[is_wrong]]], generator)
        written[rows, place] = chosen
        state[rows] = grammar.next_state[state[rows], chosen]
    return written


def states(grammar: Grammar, ids: Int64[np.ndarray, "batch tokens"]) -> Int32[np.ndarray, "batch places"]:
    """The grammar's state before every token and at the end; -1 from where it does not allow a token."""
    path = np.zeros((len(ids), ids.shape[1] + 1), np.int32)
    for place, column in enumerate(ids.T):
        state, is_padding = path[:, place], column == PADDING_ID
        is_known = (state >= 0) & (column >= 0) & (column < grammar.next_state.shape[1])
        after = np.where(is_known, grammar.next_state[state, np.where(is_known, column, 0)], -1)
        path[:, place + 1] = np.where(is_padding, state, after)
    return path


def decodes(
    tokenizer: ActionTokenizer, grammar: Grammar, ids: Int64[np.ndarray, "batch tokens"]
) -> Bool[np.ndarray, " batch"]:
    """Which sequences decode to a finite chunk."""
    end = states(grammar, ids)[:, -1]
    good = (end >= 0) & grammar.accepting[end]
    try:
        if good.any():
            good[good] = np.isfinite(tokenizer.decode_batch(ids[good])).all(axis=(1, 2))
    except ActionError:
        # The decoder refuses what the grammar accepts: find out which.
        good = np.array([_decodes_alone(tokenizer, row) for row in ids])
    return good


def _decodes_alone(tokenizer: ActionTokenizer, ids: Int64[np.ndarray, " tokens"]) -> bool:
    try:
        return bool(np.isfinite(tokenizer.decode_batch(ids[None])).all())
    except ActionError:
        return False


def _other(ids: np.ndarray, vocabulary_size: int, generator: np.random.Generator) -> np.ndarray:
    """For each place any id but the one there."""
    drawn = generator.integers(0, vocabulary_size - 1, ids.shape)
    return drawn + (drawn >= ids)


def _any_of(allowed: Bool[np.ndarray, "batch vocabulary"], generator: np.random.Generator) -> np.ndarray:
    """For each row the index of one of its true places, all alike likely."""
    rank = (generator.random(len(allowed)) * allowed.sum(axis=1)).astype(np.int64)
    return (allowed.cumsum(axis=1) > rank[:, None]).argmax(axis=1)
