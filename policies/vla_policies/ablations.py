"""A policy from which one thing is taken away: what it does without, says what the thing is worth.

blind      black images (`vla_policies.baselines.BlindPolicy`)
frozen     the images of the episode's first moment, for ever: it sees the scene, and never what it does
removed    the images of the first `SEEN_S` seconds, then black ones: it has begun, and sees no more
shuffled   the words of another episode: it is told something, and not what is scored
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from vla.errors import ConfigError
from vla.interfaces import Observation, Policy
from vla_policies.baselines import blackened
from vla_policies.wrapping import OtherwiseShownPolicy, slots_of

SEEN_S = 0.35
"""Four control steps at 10 Hz: an arm is then on its way, and nowhere yet."""
_SHUFFLE_STREAM = 0x5F1E


class FrozenPolicy(OtherwiseShownPolicy):
    """Another policy, shown the first images of its episode again and again; proprioception goes on."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._first: dict[int, Mapping[str, UInt8[np.ndarray, "height width 3"]]] = {}  # by slot

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        super().reset(seeds, slots)
        for slot in slots_of(seeds, slots):
            self._first.pop(slot, None)

    def _shown(self, slot: int, observation: Observation) -> Observation:
        first, past = self._first.setdefault(slot, dict(observation.images)), observation.past
        return dataclasses.replace(observation, images=first, past=None if past is None else (first,) * len(past))


class RemovedImagePolicy(OtherwiseShownPolicy):
    """Another policy, whose images are taken away in mid-episode: black from `SEEN_S` seconds on; all else goes on."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._begin_s: dict[int, float] = {}  # by slot

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        super().reset(seeds, slots)
        for slot in slots_of(seeds, slots):
            self._begin_s.pop(slot, None)

    def _shown(self, slot: int, observation: Observation) -> Observation:
        begin_s = self._begin_s.setdefault(slot, observation.time_s)
        if observation.time_s - begin_s < SEEN_S:
            return observation
        return dataclasses.replace(blackened(observation), past=self._seen_before(observation, begin_s))

    def _seen_before(self, observation: Observation, begin_s: float) -> tuple[Mapping[str, np.ndarray], ...] | None:
        """The frames of before, as they were shown: those that were taken away stay so."""
        shown, hidden = observation.past, blackened(observation).past
        if shown is None or hidden is None:
            return None
        ages_s = self.embodiment.control_dt_s * np.arange(len(shown), 0, -1)
        return tuple(
            images if observation.time_s - age_s - begin_s < SEEN_S else black
            for images, black, age_s in zip(shown, hidden, ages_s, strict=True)
        )


class ShuffledPolicy(OtherwiseShownPolicy):
    """Another policy, told words that belong to another episode: drawn once an episode, from its seed and words."""

    def __init__(
        self, policy: Policy, sentences: Sequence[str], meaning: Callable[[str], object] = lambda words: words
    ) -> None:
        """Draw from `sentences` one that means something else than the episode's own.

        Args:
            meaning: equal for sentences that ask for the same; the words themselves if not given.

        Raises:
            ConfigError: if they mean fewer than two different things.
        """
        self._meanings = {sentence: meaning(sentence) for sentence in sentences}
        if len(set(self._meanings.values())) < 2:
            raise ConfigError(
                f"expected sentences of two or more meanings to shuffle, got {len(set(self._meanings.values()))}"
            )
        super().__init__(policy)
        self._meaning = meaning
        self._sentences = tuple(self._meanings)
        self._seeds: dict[int, int] = {}  # by slot

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        super().reset(seeds, slots)
        self._seeds.update(zip(slots_of(seeds, slots), seeds, strict=True))

    def _shown(self, slot: int, observation: Observation) -> Observation:
        return dataclasses.replace(observation, instruction=self._other(observation.instruction, self._seeds[slot]))

    def _other(self, own: str, seed: int) -> str:
        generator = np.random.default_rng([_SHUFFLE_STREAM, seed, zlib.crc32(own.encode())])
        own_meaning = self._meaning(own)
        while True:
            sentence = self._sentences[int(generator.integers(len(self._sentences)))]
            if self._meanings[sentence] != own_meaning:
                return sentence
