"""Where action ids stand in a language model's vocabulary, to the id.

    OpenVLA     token = vocabulary - 1 - id          Llama-2 of 32000: id 0 is 31999, id 255 is 31744
    PaliGemma   token = vocabulary - 1 - 128 - id    its last 128 tokens are others'
    added       token = vocabulary + id              embeddings of their own behind all others

Id 0 is a tokenizer's first: OpenVLA's code, which `digitize` numbers from 1, is id + 1. Nothing that is not an action
token becomes an id: where OpenVLA clips such tokens to an extreme bin, they are refused here.

Source: OpenVLA (arXiv:2406.09246), `action_tokenizer.py` and `modeling_prismatic.py` of its code; openpi's
`tokenizer.py`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from vla.errors import ActionError

_PALIGEMMA_RESERVED = 128


@dataclasses.dataclass(frozen=True)
class TokenLayout:
    """Action ids 0, 1, ... as tokens `first`, `first + step`, ... of a language model."""

    first: int
    """The token of id 0."""
    step: int
    """1 or -1."""
    num_ids: int

    def __post_init__(self) -> None:
        if self.step not in (1, -1) or self.num_ids < 1 or self.lowest < 0:
            raise ValueError(
                f"expected step 1 or -1, and {self.num_ids} >= 1 ids from {self.first} that fit the vocabulary, "
                f"got step {self.step}"
            )

    @property
    def lowest(self) -> int:
        """The lowest action token."""
        return min(self.first, self._last)

    @property
    def highest(self) -> int:
        """The highest action token."""
        return max(self.first, self._last)

    def tokens[Ids: Any](self, ids: Ids) -> Ids:
        """The tokens of action ids: an array or tensor of integers of any shape.

        Raises:
            ActionError: if one is not an action id.
        """
        _require_all((ids >= 0) & (ids < self.num_ids), ids, f"action ids are 0 to {self.num_ids - 1}")
        return ids * self.step + self.first

    def ids[Ids: Any](self, tokens: Ids) -> Ids:
        """The action ids of tokens: an array or tensor of integers of any shape.

        Raises:
            ActionError: if one is not an action token.
        """
        inside = (tokens >= self.lowest) & (tokens <= self.highest)
        _require_all(inside, tokens, f"action tokens are {self.lowest} to {self.highest}")
        return (tokens - self.first) * self.step

    @property
    def _last(self) -> int:
        return self.first + self.step * (self.num_ids - 1)


def llama_tail(vocabulary_size: int, num_ids: int = 256, *, pad_to_multiple_of: int = 0) -> TokenLayout:
    """OpenVLA's: backwards from the end of the vocabulary.

    Args:
        vocabulary_size: of the embeddings, with padding if there is any.
        pad_to_multiple_of: what OpenVLA's configuration calls so and takes off as it stands: the number of rows of
            padding, 64 in its checkpoints of 32064 rows.
    """
    return TokenLayout(vocabulary_size - pad_to_multiple_of - 1, -1, num_ids)


def paligemma_tail(vocabulary_size: int, num_ids: int) -> TokenLayout:
    """Openpi's: backwards from before the 128 tokens that PaliGemma keeps for segmentation."""
    return TokenLayout(vocabulary_size - 1 - _PALIGEMMA_RESERVED, -1, num_ids)


def added(vocabulary_size: int, num_ids: int) -> TokenLayout:
    """Behind the vocabulary, on embeddings that are added to it."""
    return TokenLayout(vocabulary_size, 1, num_ids)


def _require_all(fits: Any, numbers: Any, expected: str) -> None:
    if not bool(fits.all()):
        raise ActionError(f"{expected}, got {int(numbers[~fits].reshape(-1)[0])}")
