"""Where the tokens of a prefix stand, as rotary positions count.

A text token stands one behind the token before it. So does a picture's, in most families; in others a picture's tokens
stand on three axes, time, row and column, and the picture is as long as its longer side:

    text a b   picture of 2 x 2 tokens   text c
    0 1        t 2 2 2 2                 4
               r 2 2 3 3
               c 2 3 2 3

Padding does not count: what stands behind it moves forward, by one for a token of text, by its longer side for a whole
picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Span:
    """Tokens of text, or of one picture."""

    rows: int
    columns: int = 1
    is_picture: bool = False

    @property
    def num_tokens(self) -> int:
        return self.rows * self.columns

    def length(self, axes: int) -> int:
        """How far it moves what stands behind it."""
        return max(self.rows, self.columns) if self.is_picture and axes == 3 else self.num_tokens


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
        else:
            found.append((torch.arange(span.num_tokens) + place).expand(axes, -1))
        place += span.length(axes)
    return torch.cat(found, dim=1)


class Places(nn.Module):
    """Where the tokens of one kind of prefix stand."""

    positions: Int64[Tensor, "axes tokens"]
    """If nothing is padding."""
    lengths: Int64[Tensor, " tokens"]
    """By how much what stands behind moves forward where a token is padding; a picture is padding as a whole."""

    def __init__(self, spans: Sequence[Span], *, first: int, axes: int) -> None:
        """Count from `first`; see `positions_of`."""
        super().__init__()
        lengths = [(torch.arange(span.num_tokens) < span.length(axes)).long() for span in spans]
        self.register_buffer("positions", positions_of(spans, first=first, axes=axes), persistent=False)
        self.register_buffer("lengths", torch.cat(lengths), persistent=False)

    def __len__(self) -> int:
        return len(self.lengths)

    def of(self, is_padding: Bool[Tensor, "batch tokens"]) -> Int64[Tensor, "axes batch tokens"]:
        """Positions where padding does not count; those of padding itself do not matter."""
        return (self.positions[:, None] - (is_padding * self.lengths).cumsum(1)).clamp(min=0)

    def behind(
        self, is_padding: Bool[Tensor, "batch any_tokens"], index: Int64[Tensor, " new"]
    ) -> Int64[Tensor, "axes batch new"]:
        """Positions of what follows a prefix.

        Args:
            is_padding: of the prefix, and of any places behind it.
            index: counted from the prefix's end.
        """
        hidden = (is_padding[:, : len(self)] * self.lengths).sum(1)
        end = self.positions.amax() + 1 - hidden  # (batch)
        return (end[:, None] + index).expand(len(self.positions), -1, -1)
