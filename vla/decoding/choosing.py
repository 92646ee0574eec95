"""Which id is taken from a distribution over the allowed ones.

Every choice is a function of the logits and of one number that was drawn beforehand. So all orders of decoding come to
the same tokens, sampled ones too, and a captured graph needs no generator.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

HALF = 0.5


class Choice(enum.Enum):
    """Which id is taken from a distribution over the allowed ones."""

    MODE = "mode"
    """The most likely one."""
    MEDIAN = "median"
    """The first one that half of the probability does not lie beyond: for ids whose order means something, as that of
    bins does, the choice with the least expected distance. A mode flips between "stay" and "full speed" where the
    distribution has a peak at each; the median goes to the middle of the belief."""
    SAMPLE = "sample"
    """One drawn at random."""


Generators = torch.Generator | Sequence[torch.Generator]
"""One for the batch, or one for each row."""


@dataclasses.dataclass(frozen=True)
class Chooser:
    """How ids are taken from logits."""

    choice: Choice = Choice.MODE
    temperature: float = 1.0
    stop_entropy: float | None = None
    """nats; where a sequence may end, it does if the next id is less certain than this."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}; the most likely id is Choice.MODE")

    def draws(self, batch: int, num_tokens: int, generator: Generators | None) -> Float[Tensor, "batch tokens"]:
        """Where in the cumulative distribution each id is taken: above 0, at most 1."""
        if self.choice is not Choice.SAMPLE:
            return torch.full((batch, num_tokens), HALF)
        if generator is None or isinstance(generator, torch.Generator):
            return 1 - torch.rand((batch, num_tokens), generator=generator)
        if len(generator) != batch:
            raise ValueError(f"expected one generator, or one for each of {batch} rows, got {len(generator)}")
        return 1 - torch.stack([torch.rand(num_tokens, generator=one) for one in generator])

    def mask(
        self, logits: Float[Tensor, "*places actions"], allowed: Bool[Tensor, "*places actions"]
    ) -> Float[Tensor, "*places actions"]:
        """The logits of the constrained distribution."""
        scaled = logits if self.temperature == 1 else logits / self.temperature
        return torch.where(allowed, scaled, -torch.inf)

    def choose(
        self,
        masked: Float[Tensor, "*places actions"],
        allowed: Bool[Tensor, "*places actions"],
        draw: Float[Tensor, "*places"],
    ) -> Int64[Tensor, "*places"]:
        """The ids; 0 where none is allowed."""
        if self.choice is Choice.MODE:
            return masked.argmax(-1)
        # Only an allowed id can hold the largest of the allowed ids' sums, whatever the rounding.
        below = masked.softmax(-1).cumsum(-1).masked_fill(~allowed, -1)
        return (below >= draw[..., None] * below.amax(-1, keepdim=True)).int().argmax(-1)

    def stops(
        self, masked: Float[Tensor, "*places actions"], may_end: Bool[Tensor, "*places"]
    ) -> Bool[Tensor, "*places"]:
        """Where the sequence ends for want of certainty."""
        if self.stop_entropy is None:
            return torch.zeros_like(may_end)
        return may_end & (entropy(masked.log_softmax(-1)) > self.stop_entropy)


def entropy(log_probability: Float[Tensor, "*places actions"]) -> Float[Tensor, "*places"]:
    """In nats."""
    return -(log_probability.exp() * log_probability.clamp(min=-1e4)).sum(-1)
