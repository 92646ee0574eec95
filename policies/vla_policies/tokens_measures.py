"""How good a tokenizer is on chunks it was not fitted to: length, error, and what wrong tokens do to it.

Errors are between a chunk clipped to its fields' ranges and what its tokens decode to; the report says apart how much
is clipped. In -1..1, the range of every field is 2 long: an error of 0.01 is half a hundredth of it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int64

from vla.embodiment import Embodiment
from vla.interfaces import PADDING_ID, ActionTokenizer, Grammar
from vla.tokens.files import fit_tokenizer
from vla.tokens.ranges import ActionRanges
from vla_policies.tokens_data import Chunks, with_bar
from vla_policies.tokens_noise import decodes, masked, one_substituted, states, substituted

BATCH = 4096
"""Chunks that are encoded at once."""
NOISE = 0.01
"""The chance that a token is substituted."""
HISTOGRAM_LOW, HISTOGRAM_HIGH, HISTOGRAM_BINS = 1e-4, 2.0, 44
"""Of errors in half-ranges: bins of equal ratios."""


@dataclasses.dataclass(frozen=True)
class FieldErrors:
    """Of one action field, in its unit."""

    unit: str
    mae: float
    error_p99: float
    error_max: float


@dataclasses.dataclass(frozen=True)
class Measures:
    """Of one tokenizer, over all held-out chunks; errors in half-ranges, fields in physical units."""

    tokens_mean: float
    tokens_p99: float
    compression: float
    """Numbers of a chunk for each of its tokens."""
    mae: float
    error_p99: float
    error_max: float
    undecodable_unconstrained: float
    """Share of sequences that do not decode after substitutions, one token in a hundred."""
    undecodable_constrained: float
    """The same of a decoder that the grammar masks."""
    undecodable_one_substitution: float
    """Share of sequences that do not decode after one token of each was substituted."""
    fields: dict[str, FieldErrors]


@dataclasses.dataclass(frozen=True)
class PrefixError:
    """What the first tokens of every chunk alone decode to."""

    tokens_mean: float
    mae: float
    error_p99: float
    error_max: float


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """The measures, and what is drawn of them."""

    measures: Measures
    lengths: Int64[np.ndarray, " tokens"]
    """How many chunks have 0, 1, 2, ... tokens."""
    errors: Int64[np.ndarray, " bins"]
    """How many errors fall into each bin of `histogram_edges`; larger ones count in the last."""
    smaller: float
    """Share of errors below the first bin: mostly numbers that come back exactly."""
    prefixes: tuple[PrefixError, ...]
    """From one token to all, where every prefix decodes; empty otherwise."""


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """Some tokenizers on the same chunks."""

    data: Chunks
    fitted_to: Chunks
    held_out: Chunks
    ranges: ActionRanges
    """What is -1 and +1 in each field."""
    clipped: Float64[np.ndarray, " action_dim"]
    """Share of each field's held-out numbers that lie outside."""
    vocabulary: int
    seed: int
    tokenizers: dict[str, ActionTokenizer]
    measured: dict[str, Measured]
    fit_s: dict[str, float]


def compare(data: Chunks, *, names: Sequence[str], vocabulary: int, held_out: float, seed: int) -> Compared:
    """Fit tokenizers to most episodes, and measure each on the others.

    Args:
        names: kinds of tokenizers.
        vocabulary: how many ids each may use.
        held_out: share of the episodes to measure on.
        seed: of the choice of episodes and of the noise.

    Raises:
        ConfigError, ActionError, StoreError: if a kind does not exist or cannot be fitted.
    """
    fitted_to, rest = data.split(held_out, seed)
    ranges = ActionRanges.fit(fitted_to.chunks, data.embodiment)
    tokenizers: dict[str, ActionTokenizer] = {}
    measured: dict[str, Measured] = {}
    fit_s: dict[str, float] = {}
    for name in with_bar(names, "fitting and measuring"):
        begin = time.monotonic()
        tokenizers[name] = fit_tokenizer(name, fitted_to.chunks, data.embodiment, vocabulary)
        fit_s[name] = time.monotonic() - begin
        measured[name] = measure(tokenizers[name], rest.chunks, ranges, data.embodiment, seed)
    outside = (rest.chunks < ranges.low.astype(np.float32)) | (rest.chunks > ranges.high.astype(np.float32))
    return Compared(
        data=data,
        fitted_to=fitted_to,
        held_out=rest,
        ranges=ranges,
        clipped=outside.mean(axis=(0, 1)),
        vocabulary=vocabulary,
        seed=seed,
        tokenizers=tokenizers,
        measured=measured,
        fit_s=fit_s,
    )


def histogram_edges() -> np.ndarray:
    """Float64 (bins + 1,): where the bins of errors lie."""
    return np.geomspace(HISTOGRAM_LOW, HISTOGRAM_HIGH, HISTOGRAM_BINS + 1)


def measure(
    tokenizer: ActionTokenizer,
    chunks: Float32[np.ndarray, "chunks horizon action_dim"],
    ranges: ActionRanges,
    embodiment: Embodiment,
    seed: int,
) -> Measured:
    """Encode, decode and disturb the chunks, some at a time.

    Args:
        ranges: what is -1 and +1 in each field.
        seed: of the substitutions.
    """
    generator, grammar = np.random.default_rng(seed), tokenizer.grammar()
    lengths, undecodable = np.zeros(grammar.max_tokens + 1, np.int64), np.zeros(3, np.int64)
    apart = np.empty(chunks.shape, np.float32)  # in physical units
    prefixes: list[list[np.ndarray]] = []
    for rows in _batches(len(chunks)):
        clipped = ranges.denormalise(ranges.normalise(chunks[rows]))
        ids = tokenizer.encode_batch(chunks[rows])
        lengths += np.bincount((ids != PADDING_ID).sum(axis=1), minlength=len(lengths))
        apart[rows] = np.abs(tokenizer.decode_batch(ids) - clipped)
        undecodable += _undecodable(tokenizer, grammar, ids, generator)
        prefixes.append([np.abs(decoded - clipped) for decoded in _prefixes(tokenizer, grammar, ids)])
    half_ranges = ((ranges.high - ranges.low) / 2).astype(np.float32)
    measures = _measures(apart, half_ranges, lengths, undecodable / len(chunks), embodiment)
    shares = np.minimum((apart / half_ranges).astype(np.float64), HISTOGRAM_HIGH)
    return Measured(
        measures=measures,
        lengths=lengths,
        errors=np.histogram(shares, histogram_edges())[0],
        smaller=float((shares < HISTOGRAM_LOW).mean()),
        prefixes=_prefix_errors(prefixes, half_ranges, lengths),
    )


def _measures(
    apart: Float32[np.ndarray, "chunks horizon action_dim"],
    half_ranges: Float32[np.ndarray, " action_dim"],
    lengths: Int64[np.ndarray, " tokens"],
    undecodable: Float64[np.ndarray, " 3"],
    embodiment: Embodiment,
) -> Measures:
    mean = float(lengths @ np.arange(len(lengths)) / lengths.sum())
    mae, p99, worst = _summary(apart / half_ranges)
    return Measures(
        tokens_mean=mean,
        tokens_p99=float(np.searchsorted(lengths.cumsum(), 0.99 * lengths.sum())),
        compression=apart[0].size / mean,
        mae=mae,
        error_p99=p99,
        error_max=worst,
        undecodable_unconstrained=float(undecodable[0]),
        undecodable_constrained=float(undecodable[1]),
        undecodable_one_substitution=float(undecodable[2]),
        fields={
            field.name: FieldErrors(field.unit, *_summary(apart[..., index]))
            for index, field in enumerate(embodiment.action)
        },
    )


def _summary(apart: np.ndarray) -> tuple[float, float, float]:
    """Mean, 99th percentile and greatest."""
    return float(apart.mean(dtype=np.float64)), float(np.quantile(apart, 0.99)), float(apart.max())


def _undecodable(
    tokenizer: ActionTokenizer,
    grammar: Grammar,
    ids: Int64[np.ndarray, "batch tokens"],
    generator: np.random.Generator,
) -> Int64[np.ndarray, " 3"]:
    """How many do not decode: with noise, with noise behind the mask, with one token substituted."""
    noisy = substituted(ids, tokenizer.vocabulary_size, NOISE, generator)
    disturbed = (
        noisy,
        masked(noisy, grammar, generator),
        one_substituted(ids, tokenizer.vocabulary_size, generator),
    )
    return np.array([(~decodes(tokenizer, grammar, wrong)).sum() for wrong in disturbed])


def _prefixes(
    tokenizer: ActionTokenizer, grammar: Grammar, ids: Int64[np.ndarray, "batch tokens"]
) -> Iterator[Float32[np.ndarray, "batch horizon action_dim"]]:
    """What the first 1, 2, ... tokens decode to; nothing if the grammar does not accept all of these prefixes."""
    if not grammar.accepting[states(grammar, ids)[:, 1:]].all():
        return
    for length in range(1, ids.shape[1] + 1):
        yield tokenizer.decode_batch(np.where(np.arange(ids.shape[1]) < length, ids, PADDING_ID))


def _prefix_errors(
    batches: list[list[np.ndarray]], half_ranges: np.ndarray, lengths: np.ndarray
) -> tuple[PrefixError, ...]:
    if len({len(batch) for batch in batches}) != 1:
        return ()
    own = np.repeat(np.arange(len(lengths)), lengths)
    return tuple(
        PrefixError(float(np.minimum(own, length).mean()), *_summary(np.concatenate(parts) / half_ranges))
        for length, parts in enumerate(zip(*batches, strict=True), start=1)
    )


def _batches(number: int) -> Iterator[slice]:
    return (slice(begin, min(begin + BATCH, number)) for begin in range(0, number, BATCH))
