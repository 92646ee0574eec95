"""The contract of `vla.interfaces.ActionTokenizer` and its grammar."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vla.errors import ActionError
from vla.interfaces import PADDING_ID, ActionTokenizer, Grammar
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
    steps = _steps(grammar)
    _check_every_state_can_end(grammar, *steps)
    _check_length(grammar, *steps)
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
    chunks = generator.uniform(low, high, (8, tokenizer.horizon, tokenizer.action_dim)).astype(np.float32)
    chunks = np.clip(chunks, low, high).astype(np.float32)
    _check_batches(tokenizer, chunks, [_walk(grammar, generator) for _ in range(8)])
    _check_known_ids(tokenizer, chunks)
    _check_committed(tokenizer, chunks, low, high)
    _check_json(tokenizer, from_json, [_walk(grammar, generator) for _ in range(8)])


def _check_tables(grammar: Grammar, vocabulary_size: int) -> None:
    states = len(grammar.accepting)
    shape = (states, vocabulary_size)
    table = grammar.next_state
    require(table.shape == shape, f"next_state should have shape {shape}, got {table.shape}")
    require(table.dtype == np.int32, f"next_state is int32, got {table.dtype}")
    known = bool(((table >= -1) & (table < states)).all())
    require(known, f"next_state holds -1 to {states - 1}, got {table.min()} to {table.max()}")


def _check_every_state_can_end(grammar: Grammar, source: np.ndarray, target: np.ndarray) -> None:
    reached = np.arange(len(grammar.accepting)) == 0
    ending = grammar.accepting.copy()
    stuck = np.flatnonzero(_spread(reached, source, target) & ~_spread(ending, target, source))
    require(not len(stuck), f"every state that is reached can reach an end; these cannot: {stuck[:8].tolist()}")


def _check_length(grammar: Grammar, source: np.ndarray, target: np.ndarray) -> None:
    frontier = np.arange(len(grammar.accepting)) == 0
    for _ in range(grammar.max_tokens + 1):
        following = target[frontier[source]]
        frontier = np.zeros_like(frontier)
        frontier[following] = True
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


def _check_batches(tokenizer: ActionTokenizer, chunks: np.ndarray, walks: list[list[int]]) -> None:
    ids = tokenizer.encode_batch(chunks)
    shape = (len(chunks), tokenizer.max_tokens)
    typed = ids.shape == shape and ids.dtype == np.int64
    require(typed, f"a batch is encoded to int64 {shape}, got {ids.dtype} {ids.shape}")
    for row, chunk in zip(ids, chunks, strict=True):
        alone = tokenizer.encode(chunk)
        same = np.array_equal(row, _padded([alone], tokenizer.max_tokens)[0])
        require(same, f"a chunk in a batch gets its own ids, {alone[:8]}..., and then -1; got {row[:8].tolist()}...")
    decoded = tokenizer.decode_batch(_padded(walks, tokenizer.max_tokens))
    for actions, walk in zip(decoded, walks, strict=True):
        same = np.array_equal(actions, tokenizer.decode(walk))
        require(same, f"ids in a batch decode as they do alone, {walk[:8]}... do not")


def _check_known_ids(tokenizer: ActionTokenizer, chunks: np.ndarray) -> None:
    require(tokenizer.num_committed(0) == 0, "no id is known of a chunk when no action is")
    ids = tokenizer.encode_batch(chunks)
    for steps in range(1, tokenizer.horizon + 1):
        known = tokenizer.num_committed(steps)
        require(0 <= known <= tokenizer.max_tokens, f"{known} ids of {tokenizer.max_tokens} cannot be known")
        other = np.concatenate([chunks[:, :steps], chunks[::-1, steps:]], axis=1)
        same = np.array_equal(tokenizer.encode_batch(other)[:, :known], ids[:, :known])
        require(same, f"{known} ids are said to be known when {steps} actions are; they depend on later actions")


def _check_committed(tokenizer: ActionTokenizer, chunks: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    ids = tokenizer.encode_batch(chunks)
    plain = tokenizer.decode_batch(ids)
    # Of each length some, in one batch: rows are nothing to each other.
    lengths = [row % (tokenizer.horizon + 1) for row in range(len(chunks))]
    committed = [chunk[:steps] for chunk, steps in zip(chunks[::-1], lengths, strict=True)]
    decoded = tokenizer.decode_committed(ids, committed)
    rounding = 1e-6 * (np.abs(low) + np.abs(high))
    for actions, given, steps, without in zip(decoded, committed, lengths, plain, strict=True):
        require(np.array_equal(actions[:steps], given), f"a chunk begins with exactly the {steps} committed actions")
        within = np.isfinite(actions).all() and ((actions >= low - rounding) & (actions <= high + rounding)).all()
        require(within, f"a chunk that goes on from {steps} committed actions stays within the limits")
        require(steps or np.array_equal(actions, without), "a chunk of which nothing is committed is the decoded one")


def _check_json(
    tokenizer: ActionTokenizer, from_json: Callable[[dict[str, Any]], ActionTokenizer], walks: list[list[int]]
) -> None:
    text = json.dumps(tokenizer.to_json(), allow_nan=False)
    back = from_json(json.loads(text))
    require(json.dumps(back.to_json(), allow_nan=False) == text, "JSON gives back an equal tokenizer, its JSON differs")
    for ids in walks:
        same = np.array_equal(back.decode(ids), tokenizer.decode(ids))
        require(same, "JSON gives back an equal tokenizer; it decodes differently")


def _padded(sequences: Sequence[Sequence[int]], max_tokens: int) -> np.ndarray:
    ids = np.full((len(sequences), max_tokens), PADDING_ID, np.int64)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = sequence
    return ids


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


def _steps(grammar: Grammar) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of states of which some id leads from the first to the second."""
    rows = [np.unique(row[row >= 0]) for row in grammar.next_state]
    return np.repeat(np.arange(len(rows)), [len(row) for row in rows]), np.concatenate(rows)


def _spread(states: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The states, and all that steps lead to from them."""
    states, count = states.copy(), -1
    while count != (count := int(states.sum())):
        states[target[states[source]]] = True
    return states
