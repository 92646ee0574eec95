"""Token sequences of many lengths in rows of one length, none of which sees another.

    row 0   │ robot: images, words, state → actions │ web: images, question → answer │ text: question → answer │▒▒▒│
    segment │ 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 │ 2 2 2 2 2 2 2 2 2 2 2 2 2 2 │ 3 3 3 3 3 3 3 3 3 3 3 │ 0 │
    position│ 0 1 2 3 4 5 ...                       │ 0 1 2 ...                   │ 0 1 2 ...               │ 0 │

Who attends to whom: inside a segment alone; a prefix token to the whole prefix (or, if the prefix is causal, to what is
before it), a token behind the prefix to everything before it and itself. Padding attends to itself only and nobody else
to it.

A token is predicted from the one before it, so the last of the prefix predicts the first behind it. Nothing is cut off:
a sequence that is longer than a row is an error, or is left out and counted.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vla.errors import ConfigError, DataError

EMBEDDED = -1
"""In the place of an id: what stands here is no token of the vocabulary, but a part of a picture or of the state."""
IGNORED = -100
"""As a target: nothing is to be predicted here. What torch's cross-entropy leaves out."""


@dataclasses.dataclass(frozen=True, eq=False)
class TokenSequence:
    """One sample: a prefix that is given, and tokens behind it that are to be predicted."""

    tokens: Int64[np.ndarray, " tokens"]
    """Ids in the joint vocabulary; `EMBEDDED` where a picture's or the state's embedding goes."""
    num_prefix: int
    """How many of the tokens are given."""
    counts: Bool[np.ndarray, " tokens"]
    """Which tokens behind the prefix count in the loss; false in the prefix."""
    source: int
    """Which of the mixture's sources it is of."""
    name: str = ""
    """For errors."""
    sample: Any = None
    """What the embeddings are made of, in the order of the `EMBEDDED` places."""

    def __post_init__(self) -> None:
        if not 0 <= self.num_prefix <= len(self.tokens) or not len(self.tokens):
            raise DataError(f"{self.name}: {self.num_prefix} of {len(self.tokens)} tokens cannot be its prefix")
        if len(self.counts) != len(self.tokens) or self.counts[: self.num_prefix].any():
            raise DataError(f"{self.name}: only tokens behind the prefix can count, and each says whether it does")
        if (self.tokens[self.num_prefix :] < 0).any():
            raise DataError(f"{self.name}: behind the prefix there are ids ≥ 0 alone")

    def __len__(self) -> int:
        return len(self.tokens)


def token_sequence(
    prefix: Sequence[Int64[np.ndarray, " ids"] | int],
    suffix: Int64[np.ndarray, " suffix"],
    source: int,
    *,
    counts: Bool[np.ndarray, " suffix"] | None = None,
    name: str = "",
    sample: Any = None,
) -> TokenSequence:
    """A sequence of parts.

    Args:
        prefix: ids, or how many places an embedding takes.
        suffix: ids to be predicted.
        counts: which of them count in the loss; all if not given.
    """
    given = [np.full(part, EMBEDDED) if isinstance(part, int) else part for part in prefix]
    num_prefix = sum(len(part) for part in given)
    scored = np.ones(len(suffix), np.bool_) if counts is None else counts
    return TokenSequence(
        tokens=np.concatenate([*given, suffix]).astype(np.int64),
        num_prefix=num_prefix,
        counts=np.concatenate([np.zeros(num_prefix, np.bool_), scored]),
        source=source,
        name=name,
        sample=sample,
    )


class Overlong(enum.Enum):
    """What becomes of a sequence that is longer than a row."""

    REFUSE = "refuse"
    DROP = "drop"
    """It is left out, and counted by source."""


@dataclasses.dataclass
class PackingConfig:
    """How sequences are put into rows."""

    row_tokens: int = 512
    """Places in a row."""
    open_rows: int = 8
    """Rows that are being filled at once: more waste fewer places, and hold samples back longer."""
    overlong: Overlong = Overlong.REFUSE
    """What becomes of a sequence that is longer than a row."""


@dataclasses.dataclass(frozen=True, eq=False)
class PackedRows:
    """Some rows, and what is where in them."""

    tokens: Int64[Tensor, "rows tokens"]
    """Ids; `EMBEDDED` where an embedding goes; 0 in padding."""
    segment: Int64[Tensor, "rows tokens"]
    """Which of the row's sequences, from 1; 0 is padding."""
    position: Int64[Tensor, "rows tokens"]
    """In the sequence, from 0."""
    is_prefix: Bool[Tensor, "rows tokens"]
    target: Int64[Tensor, "rows tokens"]
    """The id to be predicted here, the next token's; `IGNORED` where none is."""
    source: Int64[Tensor, "rows tokens"]
    """Of the mixture's sources; -1 is padding."""
    sequences: tuple[tuple[TokenSequence, ...], ...]
    """By row, in the order of their segments."""

    @property
    def fill(self) -> float:
        """Share of the places that hold a token."""
        return float((self.segment > 0).float().mean())

    def to(self, device: torch.device | str) -> PackedRows:
        """The same rows on a device."""
        tensors = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[:-1]}
        return dataclasses.replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


def pack_rows(rows: Sequence[Sequence[TokenSequence]], row_tokens: int) -> PackedRows:
    """Each row's sequences, one behind the other, and padding up to `row_tokens`.

    Raises:
        ConfigError: if a row's sequences are longer than that.
    """
    for row in rows:
        if (length := sum(map(len, row))) > row_tokens:
            raise ConfigError(f"a row has {row_tokens} places, its sequences need {length}")
    filled = {name: np.full((len(rows), row_tokens), value, np.int64) for name, value in _PADDING.items()}
    for number, row in enumerate(rows):
        start = 0
        for segment, sequence in enumerate(row, start=1):
            place = (number, slice(start, start := start + len(sequence)))
            for name, values in _columns(sequence, segment).items():
                filled[name][place] = values
    tensors = {name: torch.from_numpy(array) for name, array in filled.items()}
    is_prefix = tensors.pop("is_prefix").bool()
    return PackedRows(**tensors, is_prefix=is_prefix, sequences=tuple(map(tuple, rows)))


_PADDING = {"tokens": 0, "segment": 0, "position": 0, "is_prefix": 0, "target": IGNORED, "source": -1}


def _columns(sequence: TokenSequence, segment: int) -> dict[str, Any]:
    target = np.full(len(sequence), IGNORED, np.int64)
    target[:-1] = np.where(sequence.counts[1:], sequence.tokens[1:], IGNORED)
    return {
        "tokens": sequence.tokens,
        "segment": segment,
        "position": np.arange(len(sequence)),
        "is_prefix": np.arange(len(sequence)) < sequence.num_prefix,
        "target": target,
        "source": sequence.source,
    }


def blocked(rows: PackedRows, *, is_prefix_causal: bool) -> Bool[Tensor, "rows 1 tokens tokens"]:
    """True where a token (third axis) may not attend to another (last axis): `vla.model.transformer` takes it."""
    segment, is_prefix = rows.segment, rows.is_prefix
    place = torch.arange(segment.shape[1], device=segment.device)
    allowed = (place <= place[:, None])[None]  # (1, tokens, tokens)
    if not is_prefix_causal:
        allowed = allowed | (is_prefix[:, :, None] & is_prefix[:, None, :])
    is_same = (segment[:, :, None] == segment[:, None, :]) & (segment > 0)[:, :, None]
    is_self = place == place[:, None]  # so that padding has something to attend to
    return ~((allowed & is_same) | is_self)[:, None]


def loss_by_source(
    losses: Float[Tensor, "rows tokens"], rows: PackedRows, num_sources: int
) -> tuple[Float[Tensor, " sources"], Int64[Tensor, " sources"]]:
    """Each source's mean loss, and how many tokens it is of: 0 of none.

    Args:
        losses: of every place, as cross-entropy without reduction gives them.
    """
    is_scored = rows.target != IGNORED
    source = rows.source[is_scored]
    total = losses.new_zeros(num_sources).index_add(0, source, losses[is_scored])
    counts = torch.bincount(source, minlength=num_sources)
    return total / counts.clamp(min=1), counts
