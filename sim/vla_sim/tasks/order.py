"""One thing after the other: how many of a task's steps were completed in their order.

    holds(step 1) ─► completed = 1 ─► holds(step 2) ─► completed = 2 ─► ...
    a later step holds before its turn ─► out of order: nothing counts from then on

It is the referee's book, kept by the environment beside the world's state and saved with it. Experts never read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64

from vla_sim.worlds.world import World

STAGE = "step_{}"
"""What `stages` calls the steps, from 1."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of several."""

    name: str
    """A participle and a thing: `put in bowl`."""
    holds: Callable[[World, tuple[str, ...]], bool]
    """Whether it is done, in this state, for the things that the instruction names; false when an episode begins."""


@dataclasses.dataclass(frozen=True)
class Order:
    """How far an episode has come."""

    completed: int = 0
    """Steps that were done one after the other, from the first."""
    is_broken: bool = False
    """Whether a step was done before its turn."""

    def after(self, holds: Sequence[bool]) -> Order:
        """The book after one more control step.

        Args:
            holds: of each step, whether it is done now.
        """
        if self.is_broken or self.completed == len(holds):
            return self
        if any(holds[self.completed + 1 :]):
            return Order(self.completed, is_broken=True)
        return Order(self.completed + holds[self.completed])

    def stages(self, number: int) -> dict[str, bool]:
        """Whether each of the steps was completed in its turn."""
        return {STAGE.format(index + 1): index < self.completed for index in range(number)}

    def to_numbers(self) -> tuple[float, float]:
        return float(self.completed), float(self.is_broken)

    @staticmethod
    def from_numbers(numbers: Float64[np.ndarray, " two"]) -> Order:
        """The inverse of `to_numbers`."""
        return Order(int(numbers[0]), bool(numbers[1]))
