"""Residual vector quantisation: a chunk becomes a sum of codewords, coarse to fine, one token each.

    chunk ≈ c_0[id_0] + s_0[id_0] * (c_1[id_1] + s_1[id_1] * (c_2[id_2] + ...))        clipped to -1..1

The first codebook holds the k-means centres of the chunks, each further one those of what is left. Beside a codeword
stands the scale of what it leaves: where chunks crowd round a codeword the next ones fit in finer, so that plain chunks
come back more exactly than wild ones, at the same number of tokens.

Many actions lie on the ends of their range. There the sum may overshoot, for it is clipped: what it overshoots by is
not counted as left, neither when codebooks are fitted nor when chunks are encoded. Encoding keeps the `beam` best sums
on the way, for the nearest first codeword does not always lead to the nearest sum.

Every id of a stage is allowed after any before it, so that decoding is total. With fewer than four chunks an id, a
stage has one codeword for every four chunks, and ids beyond those are not allowed.

Source: Chen, Guan and Wang 2010, Approximate nearest neighbor search by residual vector quantization; the beam as in
Babenko and Lempitsky 2014 (additive quantization). VQ-BeT (arXiv:2403.03181) uses such tokens for actions, between a
learned encoder and decoder. Ours quantises the chunk itself, which needs no training by gradients and no torch; it
differs in the scales and in the overshoot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from vla.embodiment import Embodiment
from vla.errors import ConfigError
from vla.interfaces import Grammar
from vla.tokens.bins import line_grammar
from vla.tokens.chunk_tokenizer import ChunkTokenizer, require_format
from vla.tokens.clusters import BLOCK, k_means, left_without, nearest_centre
from vla.tokens.packed_arrays import pack, unpack
from vla.tokens.ranges import ActionRanges

FORMAT = "vla.vq/1"

NUMBERS_PER_TOKEN = 4
"""By default a token stands for so many numbers of a chunk: about what `fast` comes to."""
MAX_STAGES = 16
"""By default no more, however long the chunk: a stage is a codebook of vocabulary * horizon * action_dim numbers."""
FITTING_CHUNKS = 131072
"""Codebooks are fitted to at most so many chunks, drawn at random."""
CHUNKS_PER_CODE = 4
"""There are no more codewords in a stage than the chunks can fill with so many each."""
BEAM = 4
LEAST_SCALE = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class ResidualVqTokenizer(ChunkTokenizer):
    """`stages` tokens a chunk."""

    ranges: ActionRanges
    horizon: int
    num_ids: int
    """The vocabulary; ids from the number of codes on are never used."""
    beam: int
    codebooks: Float32[np.ndarray, "stages codes width"]
    """Width is horizon * action_dim; the first in -1..1, the others in units of the scales before them."""
    scales: Float32[np.ndarray, "stages codes"]
    """Root mean square of what each codeword leaves."""

    def __post_init__(self) -> None:
        stages, codes, width = self.codebooks.shape
        if width != self.horizon * self.ranges.action_dim:
            raise ValueError(f"expected codewords of {self.horizon * self.ranges.action_dim} numbers, got {width}")
        if self.scales.shape != (stages, codes) or not (self.scales > 0).all():
            raise ValueError(f"expected {stages} x {codes} scales above 0, got {self.scales.shape}")
        if stages < 1 or not 1 <= codes <= self.num_ids or self.beam < 1:
            raise ValueError(
                f"expected stages >= 1, 1 to {self.num_ids} codes and beam >= 1, got {stages}, {codes} and {self.beam}"
            )

    @staticmethod
    def fit(
        chunks: Float32[np.ndarray, "chunks horizon action_dim"],
        embodiment: Embodiment,
        vocabulary_size: int,
        *,
        stages: int | None = None,
        beam: int = BEAM,
        iterations: int = 8,
        seed: int = 0,
    ) -> ResidualVqTokenizer:
        """The tokenizer for these chunks.

        Args:
            stages: tokens a chunk; a quarter of its numbers, but no more than 16, if not given.
            beam: how many sums encoding keeps on the way.
            iterations: of k-means, each stage.

        Raises:
            ActionError: if there is no chunk, or one that is not finite.
            ConfigError: if an option does not fit.
        """
        ranges, (_, horizon, action_dim) = ActionRanges.fit(chunks, embodiment), chunks.shape
        if stages is None:
            stages = min(MAX_STAGES, max(1, round(horizon * action_dim / NUMBERS_PER_TOKEN)))
        if stages < 1 or vocabulary_size < 2 or beam < 1:
            raise ConfigError(
                f"vq needs stages >= 1, vocabulary >= 2 and beam >= 1, got {stages}, {vocabulary_size} and {beam}"
            )
        generator = np.random.default_rng(seed)
        if len(chunks) > FITTING_CHUNKS:
            chunks = chunks[generator.choice(len(chunks), FITTING_CHUNKS, replace=False)]
        values = ranges.normalise(chunks).reshape(len(chunks), -1).astype(np.float32)
        num_codes = min(vocabulary_size, max(1, len(values) // CHUNKS_PER_CODE))
        codebooks, scales = _fit_stages(values, stages, num_codes, iterations, generator)
        return ResidualVqTokenizer(ranges, horizon, vocabulary_size, beam, codebooks, scales)

    @property
    def name(self) -> str:
        return "vq"

    @property
    def vocabulary_size(self) -> int:
        return self.num_ids

    @property
    def is_ordered(self) -> bool:
        return False

    def num_committed(self, steps: int) -> int:
        return 0

    def grammar(self) -> Grammar:
        stages, codes, _ = self.codebooks.shape
        grammar = line_grammar(stages, self.num_ids)
        grammar.next_state[:, codes:] = -1
        return grammar

    def _encode(self, values: Float64[np.ndarray, "batch horizon action_dim"]) -> Int64[np.ndarray, "batch tokens"]:
        flat = values.reshape(len(values), -1).astype(np.float32)
        block = max(1, BLOCK // (self.beam * self.codebooks.shape[1]))
        return np.concatenate([self._search(flat[at : at + block]) for at in range(0, len(flat), block)])

    def _search(self, values: Float32[np.ndarray, "batch width"]) -> Int64[np.ndarray, "batch stages"]:
        """The ids of the nearest of the sums that were kept to the end."""
        rows, values = np.arange(len(values))[:, None], values[:, None]
        total = np.zeros_like(values)  # (batch, kept, width)
        unit = np.ones((len(values), 1), np.float32)  # (batch, kept): the scale of the next codeword
        ids = np.zeros((len(values), 1, 0), np.int64)
        for book, scales in zip(self.codebooks, self.scales, strict=True):
            distances = _distances(_left(values, total), unit, book).reshape(len(values), -1)
            kept = min(self.beam, distances.shape[1])
            best = np.argpartition(distances, kept - 1, axis=1)[:, :kept]
            origin, code = best // len(book), best % len(book)
            total = total[rows, origin] + unit[rows, origin, None] * book[code]
            unit = unit[rows, origin] * scales[code]
            ids = np.concatenate([ids[rows, origin], code[:, :, None]], axis=2)
        nearest = np.square(np.clip(total, -1.0, 1.0) - values).sum(axis=2).argmin(axis=1)
        return ids[rows[:, 0], nearest]

    def _decode(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float64[np.ndarray, "batch horizon action_dim"]:
        total, unit = np.zeros((len(ids), self.codebooks.shape[2])), np.ones(len(ids))
        for book, scales, column in zip(self.codebooks, self.scales, ids.T, strict=True):
            total += unit[:, None] * book[column]
            unit *= scales[column]
        return total.reshape(len(ids), self.horizon, self.action_dim)

    def to_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "horizon": self.horizon,
            "num_ids": self.num_ids,
            "beam": self.beam,
            "codebooks": pack(self.codebooks),
            "scales": pack(self.scales),
            "ranges": self.ranges.to_json(),
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> ResidualVqTokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            CheckpointError: if the format is not one this version reads.
        """
        require_format(tree, FORMAT)
        return ResidualVqTokenizer(
            ranges=ActionRanges.from_json(tree["ranges"]),
            horizon=int(tree["horizon"]),
            num_ids=int(tree["num_ids"]),
            beam=int(tree["beam"]),
            codebooks=unpack(tree["codebooks"], -1, -1, -1),
            scales=unpack(tree["scales"], -1, -1),
        )


def _left(
    values: Float32[np.ndarray, "*#batch width"], total: Float32[np.ndarray, "*batch width"]
) -> Float32[np.ndarray, "*batch width"]:
    """What a sum leaves of the values; nothing where both lie on or beyond the same end of the range."""
    overshoots = (np.abs(values) >= 1) & (values * total > 1)
    return np.where(overshoots, np.float32(0), values - total)


def _distances(
    left: Float32[np.ndarray, "batch kept width"],
    unit: Float32[np.ndarray, "batch kept"],
    book: Float32[np.ndarray, "codes width"],
) -> Float32[np.ndarray, "batch kept codes"]:
    """Squared distances between what is left and each codeword in its unit."""
    square = np.square(left).sum(axis=2)[:, :, None]
    scaled = unit[:, :, None]
    return square - 2 * scaled * (left @ book.T) + np.square(scaled) * np.square(book).sum(axis=1)


def _fit_stages(
    values: Float32[np.ndarray, "batch width"],
    stages: int,
    num_codes: int,
    iterations: int,
    generator: np.random.Generator,
) -> tuple[Float32[np.ndarray, "stages codes width"], Float32[np.ndarray, "stages codes"]]:
    """Each codebook from what those before it leave, in units of what it usually is."""
    total, unit = np.zeros_like(values), np.ones((len(values), 1), np.float32)
    books, scales = [], []
    for _ in range(stages):
        left = _left(values, total) / unit
        books.append(k_means(left, num_codes, generator, iterations=iterations))
        index, _ = nearest_centre(left, books[-1])
        total = total + unit * (left - left_without(left, books[-1], index))
        scales.append(_scales(_left(values, total) / unit, index, num_codes))
        unit = unit * scales[-1][index, None]
    return np.stack(books), np.stack(scales)


def _scales(
    left: Float32[np.ndarray, "batch width"], index: Int64[np.ndarray, " batch"], num_codes: int
) -> Float32[np.ndarray, " codes"]:
    """Root mean square of what each codeword leaves, together with half a chunk of what all usually do."""
    power = np.square(left).mean(axis=1, dtype=np.float64)
    counts = np.bincount(index, minlength=num_codes)
    mean = (np.bincount(index, power, num_codes) + power.mean() / 2) / (counts + 0.5)
    return np.maximum(np.sqrt(mean), LEAST_SCALE).astype(np.float32)
