"""FAST: a chunk's cosine coefficients, rounded, in tokens of several coefficients each.

    chunk (horizon, action_dim) ─► cosine transform over time ─► × scale
      ─► row by row: all fields of frequency 0, of frequency 1, ...  ─► phrases of rounded coefficients ─► ids

A token stands for a run of coefficients, so the number of tokens varies while the number of coefficients does not. The
grammar counts the coefficients still to come: an id is allowed iff its run fits, and a sequence ends when none remain.
Single coefficients are tokens too, so that every sequence can be completed. Decoding expands, transforms back, clips.

Encoding weighs error against length: of all sequences it writes the one that is least in

    squared error of the coefficients, in squared steps + TOKEN_COST * tokens.

A step of rounding is 1 / scale. What a decoded chunk is encoded to decodes to the same chunk.

Source: FAST (arXiv:2501.09747). Ours differs in that chunks are clipped before the transform; in that the sequence is
the cheapest, not the one that merges of the plainly rounded coefficients lead to; in that phrases are chosen by how
often the cheapest sequences use them; and in that nothing malformed can be written.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from vla.embodiment import Embodiment
from vla.interfaces import Grammar
from vla.tokens.byte_pairs import Phrase, train_byte_pairs
from vla.tokens.chunk_tokenizer import ChunkTokenizer, require_format
from vla.tokens.phrases import PhraseBook
from vla.tokens.ranges import ActionRanges

FORMAT = "vla.fast/1"

# Fewer tokens than plain rounding and merges take at FAST's scale of 10, and less error: benchmarks/tokens.py.
SCALE = 17.0
TOKEN_COST = 1.5
"""In squared steps of rounding."""

# What a fit reads at most, and how many phrases it chooses from, in vocabularies.
_FITTED_NUMBERS = 2**19
_CANDIDATES = 1.5

# Multiples of these sum without rounding errors, so that no result depends on the order of a sum.
_VALUE_GRID, _MATRIX_GRID = 2.0**-20, 2.0**-24


@dataclasses.dataclass(frozen=True, eq=False)
class FastTokenizer(ChunkTokenizer):
    """At most `horizon * action_dim` tokens a chunk, on smooth ones far fewer."""

    ranges: ActionRanges
    """What becomes -1 and +1 before the transform."""
    horizon: int
    scale: float
    """Coefficients are rounded to multiples of 1 / scale."""
    phrases: tuple[Phrase, ...]
    """The run of rounded coefficients that each id stands for."""
    token_cost: float = TOKEN_COST
    """What a token less is worth to encoding, in squared steps of rounding."""

    def __post_init__(self) -> None:
        if not (self.horizon >= 1 and 0 < self.scale < np.inf and 0 <= self.token_cost < np.inf):
            raise ValueError(
                f"expected horizon >= 1, scale > 0 and token_cost >= 0, "
                f"got {self.horizon}, {self.scale} and {self.token_cost}"
            )
        if min(map(len, self.phrases), default=0) != 1:
            raise ValueError("expected phrases of at least one number, and one of just one so that every chunk can end")

    @staticmethod
    def fit(
        chunks: Float32[np.ndarray, "chunks horizon action_dim"],
        embodiment: Embodiment,
        vocabulary_size: int,
        scale: float = SCALE,
        token_cost: float = TOKEN_COST,
    ) -> FastTokenizer:
        """The tokenizer whose ranges, alphabet and phrases are these chunks'.

        There are fewer phrases than `vocabulary_size` if the chunks repeat themselves too little.

        Args:
            scale: taken to the nearest that gives a still field of -1, -0.9, ..., 1 a whole coefficient.

        Raises:
            ActionError: if there is no chunk, one that is not finite, or a vocabulary smaller than the alphabet.
        """
        ranges = ActionRanges.fit(chunks, embodiment)
        scale = _round_scale(scale, chunks.shape[1])
        numbers = _coefficients(ranges.normalise(chunks)) * scale
        phrases = _learned_phrases(numbers, vocabulary_size, token_cost)
        return FastTokenizer(ranges, chunks.shape[1], scale, tuple(phrases), token_cost)

    @property
    def name(self) -> str:
        return "fast"

    @property
    def vocabulary_size(self) -> int:
        return len(self.phrases)

    @property
    def is_ordered(self) -> bool:
        return False

    def num_committed(self, steps: int) -> int:
        return 0

    def grammar(self) -> Grammar:
        return self._book.grammar()

    def _encode(self, values: Float64[np.ndarray, "batch horizon action_dim"]) -> Int64[np.ndarray, "batch tokens"]:
        """Written, read back, written again, until that gives what was there before.

        Writing takes a chunk to a cheapest sequence and reading back takes it to the nearest chunk inside the box, so
        the cost of a sequence for its own chunk never grows, and this ends in a fixed point. Should rounding errors
        close a circle of several, its least sequence stands for all.
        """
        ids = self._write(values)
        rows, history = np.arange(len(ids)), [ids.copy()]
        while len(rows):
            again = self._write(self._read_back(history[-1]))
            came_before = np.array([(again == before).all(axis=1) for before in history])  # (times, rows)
            settled = came_before.any(axis=0)
            for row in np.flatnonzero(settled):
                circle = history[int(came_before[:, row].argmax()) :]
                ids[rows[row]] = min(tuple(written[row]) for written in circle)
            rows, history = rows[~settled], [written[~settled] for written in [*history, again]]
        return ids

    def _decode(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float64[np.ndarray, "batch horizon action_dim"]:
        coefficients = self._book.expand(ids).reshape(len(ids), self.horizon, self.action_dim)
        return np.einsum("kt,bkd->btd", _exact_cosines(self.horizon), coefficients) / self.scale

    def _write(self, values: Float64[np.ndarray, "batch horizon action_dim"]) -> Int64[np.ndarray, "batch tokens"]:
        return self._book.cheapest(_coefficients(values) * self.scale, self.token_cost)

    def _read_back(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float64[np.ndarray, "batch horizon action_dim"]:
        return self.ranges.normalise(self.ranges.denormalise(self._decode(ids)))

    @functools.cached_property
    def _book(self) -> PhraseBook:
        return PhraseBook(self.phrases, self.horizon * self.action_dim)

    def to_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "horizon": self.horizon,
            "scale": self.scale,
            "token_cost": self.token_cost,
            "phrases": [list(phrase) for phrase in self.phrases],
            "ranges": self.ranges.to_json(),
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> FastTokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            CheckpointError: if the format is not one this version reads.
        """
        require_format(tree, FORMAT)
        return FastTokenizer(
            ActionRanges.from_json(tree["ranges"]),
            int(tree["horizon"]),
            float(tree["scale"]),
            tuple(tuple(int(number) for number in phrase) for phrase in tree["phrases"]),
            float(tree["token_cost"]),
        )


def _learned_phrases(
    numbers: Float64[np.ndarray, "chunks numbers"], vocabulary_size: int, token_cost: float
) -> list[Phrase]:
    """Every number that occurs, and the runs that the cheapest writings of the chunks use most."""
    rounded = np.rint(numbers).astype(np.int64)
    alphabet = range(int(rounded.min()), int(rounded.max()) + 1)
    size = min(len(numbers), max(1, _FITTED_NUMBERS // numbers.shape[1]))
    some = np.linspace(0, len(numbers) - 1, size).astype(np.int64)
    numbers, rounded = numbers[some], rounded[some]
    book = PhraseBook(train_byte_pairs(rounded, alphabet, vocabulary_size), numbers.shape[1])
    # Writing rounds otherwise than to the nearest, and so repeats itself more.
    written = book.expand(book.cheapest(numbers, token_cost)).astype(np.int64)
    phrases = train_byte_pairs(written, alphabet, int(_CANDIDATES * vocabulary_size))
    for size in ((vocabulary_size + len(phrases)) // 2, vocabulary_size):
        phrases = _most_used(phrases, numbers, size, token_cost)
    return phrases


def _most_used(
    phrases: list[Phrase], numbers: Float64[np.ndarray, "chunks numbers"], size: int, token_cost: float
) -> list[Phrase]:
    """Of phrases, all single numbers and the most used others."""
    if len(phrases) <= size:
        return phrases
    ids = PhraseBook(phrases, numbers.shape[1]).cheapest(numbers, token_cost)
    uses = np.bincount(ids[ids >= 0], minlength=len(phrases)).astype(np.float64)
    uses[[len(phrase) == 1 for phrase in phrases]] = np.inf
    return [phrases[index] for index in np.sort(np.argsort(-uses, kind="stable")[:size])]


def _round_scale(scale: float, horizon: int) -> float:
    """The nearest scale that takes a still field of 0.1 to a whole coefficient, 0.1 * sqrt(horizon) * scale."""
    return max(1, round(scale * horizon**0.5 / 10)) * 10 / horizon**0.5


def _coefficients(values: Float64[np.ndarray, "batch horizon action_dim"]) -> Float64[np.ndarray, "batch numbers"]:
    """Cosine coefficients, low frequency first, all fields of one frequency side by side."""
    exact = np.rint(values / _VALUE_GRID) * _VALUE_GRID
    return np.einsum("kt,btd->bkd", _exact_cosines(values.shape[1]), exact).reshape(len(values), -1)


@functools.cache
def _exact_cosines(horizon: int) -> Float64[np.ndarray, "horizon horizon"]:
    return np.rint(cosines(horizon) / _MATRIX_GRID) * _MATRIX_GRID


@functools.cache
def cosines(horizon: int) -> Float64[np.ndarray, "horizon horizon"]:
    """The orthonormal DCT-II as a matrix: row k is the wave of k half-turns over the horizon."""
    waves = np.cos(np.pi * np.arange(horizon)[:, None] * (np.arange(horizon)[None] + 0.5) / horizon)
    waves *= np.sqrt(2 / horizon)
    waves[0] /= np.sqrt(2)
    return waves
