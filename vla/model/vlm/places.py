"""Where the tokens of a prefix stand, as rotary positions count.

A text token stands one behind the token before it. So does a picture's, in most families; in others a picture's tokens
stand on three axes, time, row and column, and the picture is as long as its longer side:

    text a b   picture of 2 x 2 tokens   text c
    0 1        t 2 2 2 2                 4
               r 2 2 3 3
               c 2 3 2 3

Padding does not count: what stands behind it moves forward.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Span:
    """Tokens of text, or of one picture."""

    rows: int
    columns: int = 1
    is_picture: bool = False

    @property
    def num_tokens(self) -> int:
        return self.rows * self.columns


def positions_of(spans: Sequence[Span], *, first: int, axes: int) -> Int64[Tensor, "axes tokens"]:
    """The positions of all tokens, if nothing is padding.

    Args:
        first: of the first token.
        axes: 1 if a picture's tokens stand in a row, 3 if in time, rows and columns.
    """
    found, place = [], first
    for span in spans:
        if span.is_picture and axes == 3:
            index = torch.arange(span.num_tokens)
            found.append(torch.stack([index * 0, index // span.columns, index % span.columns]) + place)
            place += max(span.rows, span.columns)
        else:
            found.append((torch.arange(span.num_tokens) + place).expand(axes, -1))
            place += span.num_tokens
    return torch.cat(found, dim=1)


def without_padding(
    positions: Int64[Tensor, "axes tokens"], is_padding: Bool[Tensor, "batch tokens"]
) -> Int64[Tensor, "axes batch tokens"]:
    """Positions where padding does not count; those of padding itself do not matter."""
    return (positions[:, None] - is_padding.cumsum(1)).clamp(min=0)


def behind(
    positions: Int64[Tensor, "axes tokens"],
    is_padding: Bool[Tensor, "batch any_tokens"],
    index: Int64[Tensor, " new"],
) -> Int64[Tensor, "axes batch new"]:
    """Positions of what follows a prefix.

    Args:
        is_padding: of the prefix; more places behind it, none of them padding, do no harm.
        index: counted from the prefix's end.
    """
    end = positions.amax() + 1 - is_padding.sum(1)  # (batch)
    return (end[:, None] + index).expand(len(positions), -1, -1)
