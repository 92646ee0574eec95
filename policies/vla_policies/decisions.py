"""What a policy decided, chunk by chunk, kept while it acts: tokens, how likely each was, and the actions they became.

    observation ─► policy ─► chunk ─┬─► the loop, as from any policy
                      └─► tokens ───┴─► Decisions keeps both, by slot, until the episode is over

What is done is the same to the last bit: the tokens come from the pass that makes the chunk. A policy that decides
without tokens has its chunks kept alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from vla.interfaces import ActionChunk, Observation, Policy
from vla_policies.wrapping import WrappedPolicy, slots_of


@dataclasses.dataclass(frozen=True, slots=True)
class ChunkTokens:
    """The tokens of one chunk, and the distributions that they were taken from."""

    ids: Int64[np.ndarray, " tokens"]
    probability: Float32[np.ndarray, " tokens"]
    """Of each id, among those that were allowed in its place."""
    entropy: Float32[np.ndarray, " tokens"]
    """nats"""


@dataclasses.dataclass(frozen=True)
class Decision:
    """One chunk, when it was decided on and, if it was made of tokens, which."""

    time_s: float
    """Of the observation that it was made on."""
    chunk: ActionChunk
    tokens: ChunkTokens | None
    committed: Float32[np.ndarray, "_ action_dim"] | None
    """The actions that the chunk had to begin with."""
    observation: Observation | None = None
    """What was seen, pictures and all, where it is kept."""


@runtime_checkable
class DecidingPolicy(Policy, Protocol):
    """A policy that can tell the tokens of its chunks."""

    @property
    def token_grid(self) -> tuple[str, ...] | None:
        """The action field that each token of one step stands for, if every step has one token a field; else `None`."""
        ...

    def predict_with_tokens(
        self, observations: Sequence[Observation], committed: Sequence[np.ndarray | None] | None = None
    ) -> tuple[list[ActionChunk], list[ChunkTokens]]:
        """The chunks of `predict`, and the tokens of each."""
        ...

    def token_log_probability(
        self,
        observations: Sequence[Observation],
        ids: Sequence[Int64[np.ndarray, " tokens"]],
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> Float32[np.ndarray, " observations"]:
        """For each observation, the mean log-probability (nats) of tokens that are given: how likely the policy would
        have been to decide on them.
        """
        ...


class Decisions(WrappedPolicy[Policy]):
    """A policy that acts as another does, and keeps what it decided in the episode of each slot."""

    def __init__(self, policy: Policy, num_observations: int = 0) -> None:
        """Keep nothing yet.

        Args:
            num_observations: at least so many of an episode's are kept, evenly spread, and at most twice as many.
        """
        super().__init__(policy)
        self._num_observations = num_observations
        self._kept: dict[int, list[Decision]] = {}  # by slot

    @property
    def token_grid(self) -> tuple[str, ...] | None:
        """Of the policy; `None` if it has no tokens."""
        return self._policy.token_grid if isinstance(self._policy, DecidingPolicy) else None

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
        chunks, tokens = self._decide(observations, slots, committed)
        own = slots_of(observations, slots)
        first = [None] * len(observations) if committed is None else committed
        for slot, observation, chunk, token, begun in zip(own, observations, chunks, tokens, first, strict=True):
            self._keep(slot, observation, Decision(observation.time_s, chunk, token, begun))
        return chunks

    def finish(self, slot: int) -> list[Decision]:
        """The decisions since the slot's reset, in their order."""
        return self._kept.pop(slot, [])

    def _keep(self, slot: int, observation: Observation, decision: Decision) -> None:
        """Keep a decision; of observations every one, then every second, every fourth, ..., so that few are held."""
        kept = self._kept.setdefault(slot, [])
        stride = 1
        while self._num_observations and len(kept) // stride >= 2 * self._num_observations:
            stride *= 2
        if self._num_observations and len(kept) % stride == 0:
            # Pictures that are rendered when they are looked at can be looked at now alone.
            seen = dataclasses.replace(observation, images=dict(observation.images))
            decision = dataclasses.replace(decision, observation=seen)
        for index, older in enumerate(kept):
            if index % stride and older.observation is not None:
                kept[index] = dataclasses.replace(older, observation=None)
        kept.append(decision)

    def _decide(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None,
        committed: Sequence[np.ndarray | None] | None,
    ) -> tuple[list[ActionChunk], Sequence[ChunkTokens | None]]:
        if isinstance(self._policy, DecidingPolicy):
            return self._policy.predict_with_tokens(observations, committed)
        chunks = self._policy.predict(observations, slots, committed)
        return chunks, [None] * len(chunks)
