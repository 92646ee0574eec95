"""Whatever a decoder wants to write, what its grammar lets it write decodes: a million sequences a tokenizer.

    wanted ids ─► where the grammar does not allow one, the nearest that it does ─► decoded: finite, inside the limits?

Wanted are ids at random, ids that are made to do harm (always the lowest, the highest, each of the ids again and again,
ids that no vocabulary has, ends too early), and the ids of chunks with one of them changed. Published FAST files are
made here and held to the same.

`python -m benchmarks totality`
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float32, Int64
from tokenizers import ByteLevelBPETokenizer, Tokenizer
from tokenizers.trainers import BpeTrainer

from vla.errors import ActionError
from vla.interfaces import PADDING_ID, ActionTokenizer, Grammar
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.fast import cosines
from vla.tokens.files import TOKENIZERS
from vla.tokens.published_fast import PublishedFastTokenizer
from vla.tokens.ranges import ActionRanges

SEQUENCES = 1_000_000
HORIZON, VOCABULARY, FITTED_CHUNKS = 8, 1024, 20_000
_BATCH = 16_384

Wanted = Callable[[Int64[np.ndarray, "batch tokens"], int, np.random.Generator], np.ndarray]


@dataclasses.dataclass
class Totality:
    """What became of many sequences."""

    name: str
    sequences: int = 0
    refused_without_grammar: int = 0
    """Of the wanted ids as they are."""
    undecodable: int = 0
    """From here on, of what the grammar made of them."""
    not_finite: int = 0
    outside_limits: int = 0

    def __str__(self) -> str:
        share = self.refused_without_grammar / max(self.sequences, 1)
        return (
            f"{self.name}: {self.sequences} sequences, {self.undecodable} undecodable, {self.not_finite} not finite, "
            f"{self.outside_limits} outside the limits (without the grammar {share:.1%} do not decode)"
        )


def measurements(store: str | None) -> dict[str, object]:
    """Measure every tokenizer, print it line by line, and give it back as JSON values; a store is not looked at."""
    results = []
    for tokenizer, chunks in fitted(HORIZON, VOCABULARY, FITTED_CHUNKS):
        results.append(totality(tokenizer, chunks, SEQUENCES))
        print(f"totality: {results[-1]}", flush=True)
    rows = [dataclasses.asdict(result) for result in results]
    return {"horizon": HORIZON, "vocabulary": VOCABULARY, "tokenizers": rows}


def fitted(horizon: int, vocabulary_size: int, num_chunks: int) -> Iterator[tuple[ActionTokenizer, np.ndarray]]:
    """Every kind of tokenizer there is, fitted to random walks, and these walks."""
    chunks = random_walks(num_chunks, horizon)
    for fit in TOKENIZERS.values():
        yield fit(chunks, SMALL_EMBODIMENT, vocabulary_size), chunks
    yield published(chunks, vocabulary_size), chunks


def totality(
    tokenizer: ActionTokenizer,
    chunks: Float32[np.ndarray, "chunks horizon action_dim"],
    num_sequences: int,
    seed: int = 0,
) -> Totality:
    """Count what goes wrong in sequences that a decoder wanted and the grammar corrected.

    Args:
        chunks: to change tokens of.
    """
    result, generator, grammar = Totality(tokenizer.name), np.random.default_rng(seed), tokenizer.grammar()
    nearest = nearest_allowed(grammar)
    ids = tokenizer.encode_batch(chunks[:_BATCH])
    while result.sequences < num_sequences:
        for wanted in WANTED:
            size = min(_BATCH, num_sequences - result.sequences, -(-num_sequences // len(WANTED)))
            if size:
                rows = ids[generator.integers(0, len(ids), size)]
                asked = wanted(rows, tokenizer.vocabulary_size, generator)
                result.refused_without_grammar += int((~accepted(asked, grammar)).sum())
                _count(result, tokenizer, constrained(asked, grammar, nearest))
    return result


def constrained(
    wanted: Int64[np.ndarray, "batch places"], grammar: Grammar, nearest: Int64[np.ndarray, "states vocabulary"]
) -> Int64[np.ndarray, "batch tokens"]:
    """What a decoder writes that wants these ids and is held to the grammar: it ends as soon as it may and wants to."""
    written = np.full((len(wanted), grammar.max_tokens), PADDING_ID, np.int64)
    state, is_open = np.zeros(len(wanted), np.int64), np.ones(len(wanted), bool)
    can_go_on = grammar.allowed.any(axis=1)
    for place in range(grammar.max_tokens):
        asked = wanted[:, min(place, wanted.shape[1] - 1)]
        is_open &= can_go_on[state] & ~(grammar.accepting[state] & (asked == PADDING_ID))
        rows = np.flatnonzero(is_open)
        token = nearest[state[rows], np.clip(asked[rows], 0, nearest.shape[1] - 1)]
        written[rows, place] = token
        state[rows] = grammar.next_state[state[rows], token]
    return written


def accepted(ids: Int64[np.ndarray, "batch places"], grammar: Grammar) -> Bool[np.ndarray, " batch"]:
    """Which sequences the grammar accepts, up to their padding."""
    refused = len(grammar.accepting)  # a state more, that nothing leads out of
    table = np.where(grammar.next_state >= 0, grammar.next_state, refused)
    table = np.pad(table, ((0, 1), (0, 1)), constant_values=refused)
    state, has_ended = np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
    for column in ids.T:
        has_ended |= column == PADDING_ID
        is_known = (column >= 0) & (column < grammar.next_state.shape[1])
        after = table[state, np.where(is_known, column, -1)]
        state = np.where(has_ended, np.where(column == PADDING_ID, state, refused), after)
    return np.append(grammar.accepting, False)[state]


def nearest_allowed(grammar: Grammar) -> Int64[np.ndarray, "states vocabulary"]:
    """In every state, for every id, the nearest that is allowed; -1 where none is."""
    vocabulary = np.arange(grammar.next_state.shape[1])
    nearest = np.full(grammar.next_state.shape, -1)
    for row, allowed in zip(nearest, grammar.allowed, strict=True):
        ids = np.flatnonzero(allowed)
        if len(ids):
            row[:] = ids[np.searchsorted((ids[:-1] + ids[1:]) / 2, vocabulary)]
    return nearest


def _count(result: Totality, tokenizer: ActionTokenizer, written: np.ndarray) -> None:
    low, high = SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high
    rounding = 1e-6 * (np.abs(low) + np.abs(high))
    actions, undecodable = _decoded(tokenizer, written)
    finite = np.isfinite(actions)
    inside = (actions >= low - rounding) & (actions <= high + rounding)
    result.sequences += len(written)
    result.undecodable += undecodable
    result.not_finite += int((~finite).any(axis=(1, 2)).sum())
    result.outside_limits += int((finite & ~inside).any(axis=(1, 2)).sum())


def _decoded(tokenizer: ActionTokenizer, ids: np.ndarray) -> tuple[np.ndarray, int]:
    """The chunks of the rows that decode, and how many do not: halves are decoded apart until it is known which."""
    try:
        return tokenizer.decode_batch(ids), 0
    except ActionError:
        if len(ids) == 1:
            return np.empty((0, tokenizer.horizon, tokenizer.action_dim), np.float32), 1
    (first, refused), (second, more) = (_decoded(tokenizer, half) for half in np.array_split(ids, 2))
    return np.concatenate([first, second]), refused + more


# --------------------------------------------------------------------------- what is wanted


def _at_random(ids: np.ndarray, vocabulary_size: int, generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, vocabulary_size, ids.shape)


def _with_one_changed(ids: np.ndarray, vocabulary_size: int, generator: np.random.Generator) -> np.ndarray:
    place = (generator.random(len(ids)) * (ids != PADDING_ID).sum(axis=1)).astype(np.int64)
    changed = ids.copy()
    changed[np.arange(len(ids)), place] = generator.integers(0, vocabulary_size, len(ids))
    return changed


def _one_again_and_again(ids: np.ndarray, vocabulary_size: int, generator: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(generator.integers(0, vocabulary_size, (len(ids), 1)), ids.shape)


def _lowest_or_highest(ids: np.ndarray, vocabulary_size: int, generator: np.random.Generator) -> np.ndarray:
    """All of the one, all of the other, or changing from place to place."""
    chance = generator.choice([0.0, 0.5, 1.0], (len(ids), 1))
    return np.where(generator.random(ids.shape) < chance, vocabulary_size - 1, 0)


def _of_no_vocabulary(ids: np.ndarray, vocabulary_size: int, generator: np.random.Generator) -> np.ndarray:
    limits = np.iinfo(np.int64)
    strange = np.array([limits.min, -2, vocabulary_size, vocabulary_size + 1, 2**32, limits.max])
    return np.where(generator.random(ids.shape) < 0.5, generator.choice(strange, ids.shape), ids)


def _ending_too_early(ids: np.ndarray, vocabulary_size: int, generator: np.random.Generator) -> np.ndarray:
    return np.where(np.arange(ids.shape[1]) < generator.integers(0, ids.shape[1], (len(ids), 1)), ids, PADDING_ID)


WANTED: tuple[Wanted, ...] = (
    _at_random,
    _with_one_changed,
    _one_again_and_again,
    _lowest_or_highest,
    _of_no_vocabulary,
    _ending_too_early,
)


# --------------------------------------------------------------------------- tokenizers


def random_walks(num_chunks: int, horizon: int, seed: int = 0) -> Float32[np.ndarray, "chunks horizon action_dim"]:
    """Chunks of a small robot, from stillness to noise, often at an end of a field's limits."""
    low, high = SMALL_EMBODIMENT.action_low.astype(np.float64), SMALL_EMBODIMENT.action_high.astype(np.float64)
    generator = np.random.default_rng(seed)
    size = generator.choice([0.0, 0.05, 0.3, 2.0], (num_chunks, 1, 1))
    start = generator.uniform(-1.2, 1.2, (num_chunks, 1, len(low)))
    values = start + np.cumsum(size * generator.normal(size=(num_chunks, horizon, len(low))), axis=1)
    return (low + (np.clip(values, -1, 1) + 1) / 2 * (high - low)).astype(np.float32)


def published(
    chunks: Float32[np.ndarray, "chunks horizon action_dim"], vocabulary_size: int, scale: float = 40.0
) -> PublishedFastTokenizer:
    """Fitted as the published FAST processor is; at this scale its characters take one byte or two."""
    ranges, horizon = ActionRanges.fit(chunks, SMALL_EMBODIMENT), chunks.shape[1]
    coefficients = np.einsum("kt,btd->bkd", cosines(horizon), ranges.normalise(chunks)) * scale
    rounded = np.rint(coefficients).astype(np.int64).reshape(len(chunks), -1)
    low, high = int(rounded.min()), int(rounded.max())
    tokenizer = Tokenizer.from_str(ByteLevelBPETokenizer().to_str())
    trainer = BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        initial_alphabet=[chr(number) for number in range(high - low + 1)],
        max_token_length=10_000,
        show_progress=False,
        special_tokens=[],
    )
    tokenizer.train_from_iterator(("".join(map(chr, row)) for row in rounded - low), trainer)
    return PublishedFastTokenizer(ranges, horizon, scale, low, tokenizer.to_str())
