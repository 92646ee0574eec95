"""The contract of `vla.interfaces.ActionTokenizer` and its grammar."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vla.errors import ActionError
from vla.interfaces import ActionTokenizer, Grammar
from vla.testing.promises import kept, refused, require


def check_action_tokenizer(
    tokenizer: ActionTokenizer,
    *,
    low: Float[np.ndarray, " action_dim"],
    high: Float[np.ndarray, " action_dim"],
    bound: Float[np.ndarray, " action_dim"] | float,
    from_json: Callable[[dict[str, Any]], ActionTokenizer],
    seed: int = 0,
    trials: int = 64,
) -> None:
    """Return if the tokenizer keeps its contract.

    Whatever the grammar allows decodes to one finite chunk within the limits, and nothing else decodes; from every
    state an end can be reached within `max_tokens`; encoding gives what the grammar accepts, and comes back to
    within the bound; JSON gives back an equal tokenizer.

    Args:
        low: of what it encodes, and the least that it may decode to, by field.
        high: of what it encodes, and the most that it may decode to, by field.
        bound: how far decode(encode(chunk)) may lie from a chunk within low..high, in the fields' units.
        from_json: reads what `to_json` wrote.

    Raises:
        AssertionError: with one sentence on the promise that is broken.
    """
    generator = np.random.default_rng(seed)
    grammar = tokenizer.grammar()
    _check_tables(grammar, tokenizer.vocabulary_size)
    _check_every_state_can_end(grammar)
    _check_length(grammar)
    require(not grammar.accepting[0], "no chunk is made of no tokens, yet the grammar accepts them")
    for _ in range(trials):
        ids = _walk(grammar, generator)
        _check_decodes(tokenizer, ids, low, high)
        _check_refuses_neighbours(tokenizer, grammar, ids, generator)
        chunk = generator.uniform(low, high, (tokenizer.horizon, tokenizer.action_dim)).astype(np.float32)
        _check_encodes(tokenizer, grammar, np.clip(chunk, low, high).astype(np.float32), bound)
    for edge in (low, high):
        chunk = np.tile(np.asarray(edge, np.float32), (tokenizer.horizon, 1))
        _check_encodes(tokenizer, grammar, chunk, bound)
    _check_refuses_chunks(tokenizer)
    _check_json(tokenizer, from_json, [_walk(grammar, generator) for _ in range(8)])


def _check_tables(grammar: Grammar, vocabulary_size: int) -> None:
    states = len(grammar.accepting)
    shape = (states, vocabulary_size)
    table = grammar.next_state
    require(table.shape == shape, f"next_state should have shape {shape}, got {table.shape}")
    require(table.dtype == np.int32, f"next_state is int32, got {table.dtype}")
    known = bool(((table >= -1) & (table < states)).all())
    require(known, f"next_state holds -1 to {states - 1}, got {table.min()} to {table.max()}")


def _check_every_state_can_end(grammar: Grammar) -> None:
    follows = _follows(grammar)
    reached = np.zeros(len(follows), bool)
    reached[0] = True
    for _ in follows:
        reached |= follows[reached].any(axis=0)
    ending = grammar.accepting.copy()
    for _ in follows:
        ending |= follows[:, ending].any(axis=1)
    stuck = np.flatnonzero(reached & ~ending)
    require(not len(stuck), f"every state that is reached can reach an end; these cannot: {stuck[:8].tolist()}")


def _check_length(grammar: Grammar) -> None:
    follows = _follows(grammar)
    frontier = np.zeros(len(follows), bool)
    frontier[0] = True
    for _ in range(grammar.max_tokens + 1):
        frontier = follows[frontier].any(axis=0)
    require(not frontier.any(), f"no sequence is longer than max_tokens = {grammar.max_tokens}; one is")


def _check_decodes(tokenizer: ActionTokenizer, ids: list[int], low: np.ndarray, high: np.ndarray) -> None:
    with kept(f"ids that the grammar accepts, {ids[:8]}..."):
        actions = tokenizer.decode(ids)
    shape = (tokenizer.horizon, tokenizer.action_dim)
    typed = actions.shape == shape and actions.dtype == np.float32
    require(typed, f"ids decode to float32 {shape}, got {actions.dtype} {actions.shape}")
    require(np.isfinite(actions).all(), f"accepted ids decode to finite actions, {ids[:8]}... do not")
    rounding = 1e-6 * (np.abs(low) + np.abs(high))
    within = bool(((actions >= low - rounding) & (actions <= high + rounding)).all())
    require(within, f"accepted ids decode to actions within the limits, {ids[:8]}... do not")
    require(np.array_equal(tokenizer.decode(ids), actions), "the same ids decode to the same chunk")


def _check_refuses_neighbours(
    tokenizer: ActionTokenizer, grammar: Grammar, ids: list[int], generator: np.random.Generator
) -> None:
    """Sequences near an accepted one that the grammar does not accept."""
    at = int(generator.integers(len(ids)))
    changed = [
        ids[:at],
        [*ids[:at], -1, *ids[at + 1 :]],
        [*ids[:at], tokenizer.vocabulary_size, *ids[at + 1 :]],
        [*ids[:at], int(generator.integers(tokenizer.vocabulary_size)), *ids[at + 1 :]],
        [*ids, ids[-1]],
    ]
    for other in changed:
        if not _accepts(grammar, other):
            with refused(f"{len(other)} ids that the grammar does not accept", ActionError):
                tokenizer.decode(other)


def _check_encodes(tokenizer: ActionTokenizer, grammar: Grammar, chunk: np.ndarray, bound: np.ndarray | float) -> None:
    ids = tokenizer.encode(chunk)
    require(_accepts(grammar, ids), f"the grammar accepts what encode gives; not {ids[:8]}...")
    apart = np.abs(tokenizer.decode(ids) - chunk).max(axis=0)
    over = apart > np.asarray(bound) + 1e-6 * np.abs(chunk).max(axis=0)
    field = int(over.argmax())
    require(not over.any(), f"field {field} comes back {apart[field]:.3g} away from itself, bound {bound}")


def _check_refuses_chunks(tokenizer: ActionTokenizer) -> None:
    shape = (tokenizer.horizon, tokenizer.action_dim)
    with refused("a chunk with NaN", ActionError):
        tokenizer.encode(np.full(shape, np.nan, np.float32))
    with refused("a chunk that is too long", ActionError):
        tokenizer.encode(np.zeros((shape[0] + 1, shape[1]), np.float32))


def _check_json(
    tokenizer: ActionTokenizer, from_json: Callable[[dict[str, Any]], ActionTokenizer], walks: list[list[int]]
) -> None:
    text = json.dumps(tokenizer.to_json(), allow_nan=False)
    back = from_json(json.loads(text))
    require(json.dumps(back.to_json(), allow_nan=False) == text, "JSON gives back an equal tokenizer, its JSON differs")
    for ids in walks:
        same = np.array_equal(back.decode(ids), tokenizer.decode(ids))
        require(same, "JSON gives back an equal tokenizer; it decodes differently")


def _walk(grammar: Grammar, generator: np.random.Generator) -> list[int]:
    """A random accepted sequence."""
    ids: list[int] = []
    state = 0
    while True:
        allowed = np.flatnonzero(grammar.next_state[state] >= 0)
        if grammar.accepting[state] and (not len(allowed) or generator.random() < 0.3):
            return ids
        ids.append(int(generator.choice(allowed)))
        state = int(grammar.next_state[state, ids[-1]])


def _accepts(grammar: Grammar, ids: Sequence[int]) -> bool:
    state = 0
    for index in ids:
        if not 0 <= index < grammar.next_state.shape[1]:
            return False
        state = int(grammar.next_state[state, index])
        if state < 0:
            return False
    return bool(grammar.accepting[state]) and len(ids) <= grammar.max_tokens


def _follows(grammar: Grammar) -> np.ndarray:
    """Bool (states, states): whether some id leads from one state to another."""
    states = len(grammar.accepting)
    follows = np.zeros((states, states), bool)
    source, index = np.nonzero(grammar.next_state >= 0)
    follows[source, grammar.next_state[source, index]] = True
    return follows
