"""What policies that act through another one have in common: embodiment, horizon, resets, and what it is shown."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.interfaces import ActionChunk, Observation, Policy, check_observation
from vla_policies.history import history_of


class WrappedPolicy[P: Policy]:
    """Another policy; a subclass says what becomes of its predictions."""

    def __init__(self, policy: P) -> None:
        """Act through this one."""
        self._policy = policy

    @property
    def embodiment(self) -> Embodiment:
        return self._policy.embodiment

    @property
    def horizon(self) -> int:
        return self._policy.horizon

    @property
    def history(self) -> int:
        return history_of(self._policy)

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        self._policy.reset(seeds, slots)


class OtherwiseShownPolicy(WrappedPolicy[Policy], abc.ABC):
    """Another policy, which is shown something else than what is there; a subclass says what."""

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        for observation in observations:
            check_observation(observation, self.embodiment)
        shown = [
            self._shown(slot, observation)
            for slot, observation in zip(slots_of(observations, slots), observations, strict=True)
        ]
        return self._policy.predict(shown, slots, committed)

    @abc.abstractmethod
    def _shown(self, slot: int, observation: Observation) -> Observation:
        """What the policy sees in place of an observation."""


def committed_of(
    committed: Sequence[np.ndarray | None] | None, count: int, action_dim: int
) -> list[Float32[np.ndarray, "_ action_dim"]]:
    """The actions that each of `count` chunks begins with: as given, or none."""
    nothing = np.zeros((0, action_dim), np.float32)
    return [nothing if actions is None else actions for actions in committed or [None] * count]


def slots_of(items: Sequence[object], slots: Sequence[int] | None) -> Sequence[int]:
    """The slot of each item: as given, or in their order."""
    return range(len(items)) if slots is None else slots
