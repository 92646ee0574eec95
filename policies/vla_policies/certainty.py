"""How sure a policy was while it acted: the entropy of its action tokens, kept episode by episode.

TokenPolicy ─► actions, entropies ─┬─► the loop gets the actions, as from any policy
                                   └─► Certainties keeps the entropies of each slot's episode
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from vla.interfaces import ActionChunk, Observation, Policy
from vla_policies.wrapping import WrappedPolicy, slots_of


@dataclasses.dataclass(frozen=True, slots=True)
class TokenEntropy:
    """Of the tokens of one chunk, or of an episode's: nats."""

    mean: float
    highest: float


@runtime_checkable
class CertainPolicy(Policy, Protocol):
    """A policy that can tell how sure it is of a chunk."""

    def predict_with_entropy(
        self, observations: Sequence[Observation], committed: Sequence[np.ndarray | None] | None = None
    ) -> tuple[list[ActionChunk], list[TokenEntropy]]:
        """The chunks of `predict`, and how sure the policy was of each."""
        ...


class Certainties(WrappedPolicy[CertainPolicy]):
    """A policy that acts as another does, and keeps how sure it was; what is done is the same to the last bit."""

    def __init__(self, policy: CertainPolicy) -> None:
        """Keep nothing yet."""
        super().__init__(policy)
        self._kept: dict[int, list[TokenEntropy]] = {}  # by slot

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        super().reset(seeds, slots)
        for slot in slots_of(seeds, slots):
            self._kept.pop(slot, None)

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        chunks, entropies = self._policy.predict_with_entropy(observations, committed)
        for slot, entropy in zip(slots_of(observations, slots), entropies, strict=True):
            self._kept.setdefault(slot, []).append(entropy)
        return chunks

    def finish(self, slot: int) -> TokenEntropy | None:
        """The mean over the chunks since the slot's reset, and the highest of any token; `None` without a chunk."""
        kept = self._kept.pop(slot, [])
        if not kept:
            return None
        return TokenEntropy(
            mean=float(np.mean([entropy.mean for entropy in kept])),
            highest=max(entropy.highest for entropy in kept),
        )
