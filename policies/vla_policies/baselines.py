"""Policies that learn nothing: what a trained one is measured against.

random   uniform within the action limits
zero     no motion, gripper open
replay   the actions of recorded episodes
blind    another policy, shown black images
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from vla.embodiment import ActionKind, Embodiment
from vla.errors import ConfigError, StoreError
from vla.interfaces import ActionChunk, Episode, Observation, beginning_with, check_observation
from vla_policies.wrapping import OtherwiseShownPolicy, slots_of

DEFAULT_HORIZON = 4
GRIPPER_FIELD = "gripper"

# Keeps a policy's random numbers apart from those of the scene, which has the same seed.
_RANDOM_POLICY_STREAM = 0x5EED


class RandomPolicy:
    """Actions drawn uniformly within the embodiment's limits, from the episode's seed."""

    def __init__(self, embodiment: Embodiment, horizon: int = DEFAULT_HORIZON) -> None:
        self._embodiment = embodiment
        self._horizon = horizon
        self._generators: dict[int, np.random.Generator] = {}  # by slot

    @property
    def embodiment(self) -> Embodiment:
        return self._embodiment

    @property
    def horizon(self) -> int:
        return self._horizon

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        for slot, seed in zip(slots_of(seeds, slots), seeds, strict=True):
            self._generators[slot] = np.random.default_rng([_RANDOM_POLICY_STREAM, seed])

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        _check_all(observations, self._embodiment)
        seen = zip(observations, slots_of(observations, slots), strict=True)
        chunks = [self._chunk(observation, self._generators[slot]) for observation, slot in seen]
        return beginning_with(chunks, committed)

    def _chunk(self, observation: Observation, generator: np.random.Generator) -> ActionChunk:
        low, high = self._embodiment.action_low, self._embodiment.action_high
        ratios = generator.random((self._horizon, self._embodiment.action_dim), np.float32)
        # low + ratio * (high - low) may round to just above high.
        return _chunk(np.clip(low + ratios * (high - low), low, high), observation, self._embodiment)


class ZeroPolicy:
    """No motion, with the gripper open."""

    def __init__(self, embodiment: Embodiment, horizon: int = DEFAULT_HORIZON) -> None:
        self._embodiment = embodiment
        self._horizon = horizon
        self._rest = rest_action(embodiment)

    @property
    def embodiment(self) -> Embodiment:
        return self._embodiment

    @property
    def horizon(self) -> int:
        return self._horizon

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        """Nothing is remembered."""

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        _check_all(observations, self._embodiment)
        chunks = [
            _chunk(
                np.tile(self._rest(observation.proprioception), (self._horizon, 1)),
                observation,
                self._embodiment,
            )
            for observation in observations
        ]
        return beginning_with(chunks, committed)


class ReplayPolicy:
    """The actions of recorded episodes, whatever is seen; no motion once a recording has ended.

    An episode is found by its seed and its instruction. The observation's time says which action is next, so that
    a recording plays at its own speed however many actions of a chunk are carried out.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        recordings: Mapping[tuple[int, str], Callable[[], Float32[np.ndarray, "steps action_dim"]]],
        horizon: int = DEFAULT_HORIZON,
    ) -> None:
        """Replay what `recordings` gives for (seed, instruction)."""
        self._embodiment = embodiment
        self._recordings = recordings
        self._horizon = horizon
        self._rest = rest_action(embodiment)
        self._seeds: dict[int, int] = {}  # by slot
        self._playing: dict[int, tuple[np.ndarray, float]] = {}  # by slot: actions, start time

    @staticmethod
    def of_episodes(episodes: Iterable[Episode], horizon: int = DEFAULT_HORIZON) -> ReplayPolicy:
        """Replay episodes that are at hand; at least one."""
        episodes = list(episodes)
        recordings = {
            (episode.seed, episode.instruction): lambda actions=episode.actions: actions for episode in episodes
        }
        return ReplayPolicy(episodes[0].embodiment, recordings, horizon)

    @staticmethod
    def of_store(path: Path, embodiment: Embodiment, horizon: int = DEFAULT_HORIZON) -> ReplayPolicy:
        """Replay the episodes of a store, each read when it is asked for.

        Raises:
            StoreError: if there is no store, or it is empty.
            EmbodimentMismatch: if it is for another embodiment.
        """
        # Loads zarr, which a robot's host may lack.
        from vla_datasets.store import EpisodeStore

        store = EpisodeStore.open(path, embodiment)
        recordings = {(row.seed, row.instruction): lambda key=row.id: store.read(key).actions for row in store.index()}
        return ReplayPolicy(store.embodiment, recordings, horizon)

    @property
    def embodiment(self) -> Embodiment:
        return self._embodiment

    @property
    def horizon(self) -> int:
        return self._horizon

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        for slot, seed in zip(slots_of(seeds, slots), seeds, strict=True):
            self._seeds[slot] = seed
            self._playing.pop(slot, None)

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        """One chunk for each observation.

        Raises:
            ObservationError: if an observation is not what the embodiment promises.
            StoreError: if there is no recording of an episode's seed and instruction.
        """
        _check_all(observations, self._embodiment)
        chunks = [
            self._chunk(observation, slot)
            for observation, slot in zip(observations, slots_of(observations, slots), strict=True)
        ]
        return beginning_with(chunks, committed)

    def _chunk(self, observation: Observation, slot: int) -> ActionChunk:
        if slot not in self._playing:
            self._playing[slot] = (self._recording(self._seeds[slot], observation.instruction), observation.time_s)
        actions, start_s = self._playing[slot]
        first = round((observation.time_s - start_s) * self._embodiment.control_hz)
        played = actions[first : first + self._horizon]
        rest = np.tile(self._rest(observation.proprioception), (self._horizon - len(played), 1))
        return _chunk(np.concatenate([played, rest]), observation, self._embodiment)

    def _recording(self, seed: int, instruction: str) -> Float32[np.ndarray, "steps action_dim"]:
        if (seed, instruction) not in self._recordings:
            raise StoreError(f"no episode of seed {seed} with the instruction '{instruction}' was recorded")
        return self._recordings[seed, instruction]()


class BlindPolicy(OtherwiseShownPolicy):
    """Another policy, shown black images: what it does without its eyes."""

    def _shown(self, slot: int, observation: Observation) -> Observation:
        return blackened(observation)


def rest_action(
    embodiment: Embodiment,
) -> Callable[[Float32[np.ndarray, " state_dim"]], Float32[np.ndarray, " action_dim"]]:
    """The action that moves nothing and opens the gripper, as a function of proprioception.

    A delta rests at zero, an absolute field at the proprioception field of the same name.

    Raises:
        ConfigError: if an absolute field is not measured.
    """
    is_delta = embodiment.action_kind in (ActionKind.DELTA_END_EFFECTOR, ActionKind.DELTA_JOINT)
    measured = {field.name: index for index, field in enumerate(embodiment.proprioception)}
    unmeasured = [f.name for f in embodiment.action if f.name not in measured and f.name != GRIPPER_FIELD]
    if not is_delta and unmeasured:
        raise ConfigError(
            f"{embodiment.name} does not measure {', '.join(unmeasured)}: no absolute action is known to rest"
        )

    def rest(proprioception: Float32[np.ndarray, " state_dim"]) -> Float32[np.ndarray, " action_dim"]:
        values = [
            field.high if field.name == GRIPPER_FIELD else 0.0 if is_delta else proprioception[measured[field.name]]
            for field in embodiment.action
        ]
        return np.array(values, np.float32)

    return rest


def blackened(observation: Observation) -> Observation:
    """The same with black images."""

    def black(images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.zeros_like(image) for name, image in images.items()}

    past = observation.past
    blacked = None if past is None else tuple(black(images) for images in past)
    return dataclasses.replace(observation, images=black(observation.images), past=blacked)


def _chunk(
    actions: Float32[np.ndarray, "horizon action_dim"], observation: Observation, embodiment: Embodiment
) -> ActionChunk:
    return ActionChunk(actions, start_s=observation.time_s, valid_s=len(actions) * embodiment.control_dt_s)


def _check_all(observations: Sequence[Observation], embodiment: Embodiment) -> None:
    for observation in observations:
        check_observation(observation, embodiment)
