"""LeRobot's policies where ours act: `policy=lerobot:FOLDER`.

    observation ─► mapping ─► LeRobot's preprocessor ─► its policy ─► its postprocessor ─► mapping ─► one action

LeRobot's `select_action` is asked at every control step, by one row, as `lerobot-eval` does with a batch of one:
histories, queues and ensembles are LeRobot's own. Every slot has a copy of all that changes in an episode; the
weights are shared. What is drawn at random is drawn from the episode's seed.

Nothing is fetched, and nothing in the folder runs: weights are safetensors, every name is one that LeRobot registered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.interfaces import ActionChunk, Observation, beginning_with, check_observation
from vla_policies.interchange.feature_mapping import FeatureMapping
from vla_policies.interchange.lerobot_folder import LoadedPolicy, load_lerobot_folder
from vla_policies.interchange.pictures import resized, to_planes

TASK = "task"
"""Where LeRobot has the instruction."""


@dataclasses.dataclass
class _Episode:
    """All of a policy that changes while an episode goes on."""

    loaded: LoadedPolicy
    random_state: torch.Tensor


class LeRobotPolicy:
    """A policy of LeRobot's, one action at a time."""

    horizon = 1
    """Chunks are LeRobot's own business."""

    def __init__(self, loaded: LoadedPolicy, mapping: FeatureMapping, embodiment: Embodiment) -> None:
        """Keep what was loaded; `mapping` fits the embodiment and the policy's features."""
        self._loaded = loaded
        self._mapping = mapping
        self._embodiment = embodiment
        self._episodes: dict[int, _Episode] = {}

    @classmethod
    def from_folder(cls, folder: Path, embodiment: Embodiment) -> LeRobotPolicy:
        """The policy that LeRobot's `save_pretrained` wrote there, mapped by `vla_mapping.yaml` beside it.

        Without that file, names, units and sizes are those that `vla data export format=lerobot` writes.

        Raises:
            ConfigError: if LeRobot is not installed, or the mapping cannot be read.
            CheckpointError: if a file is absent, damaged, or names what is not LeRobot's.
            EmbodimentMismatch: with a line for each feature that differs.
        """
        loaded, mapping = load_lerobot_folder(folder, embodiment)
        return cls(loaded, mapping, embodiment)

    @property
    def embodiment(self) -> Embodiment:
        return self._embodiment

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        for seed, slot in zip(seeds, range(len(seeds)) if slots is None else slots, strict=True):
            loaded = self._loaded.for_one_episode()
            loaded.policy.reset()
            self._episodes[slot] = _Episode(loaded, torch.Generator().manual_seed(int(seed)).get_state())

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[Float32[np.ndarray, "_ action_dim"] | None] | None = None,
    ) -> list[ActionChunk]:
        """One action for each observation: LeRobot has to be asked at every step."""
        for observation in observations:
            check_observation(observation, self.embodiment)
        slots = range(len(observations)) if slots is None else slots
        chunks = [
            ActionChunk(self._action(observation, slot)[None], observation.time_s, self.embodiment.control_dt_s)
            for observation, slot in zip(observations, slots, strict=True)
        ]
        return beginning_with(chunks, committed)

    def _action(self, observation: Observation, slot: int) -> Float32[np.ndarray, " action_dim"]:
        if slot not in self._episodes:
            self.reset([0], [slot])
        episode = self._episodes[slot]
        loaded = episode.loaded
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.set_rng_state(episode.random_state)
            action = loaded.postprocessor(loaded.policy.select_action(loaded.preprocessor(self._batch(observation))))
            episode.random_state = torch.get_rng_state()
        theirs = action[0].to("cpu", torch.float32).numpy()
        return self._mapping.action.to_ours(theirs, self.embodiment.action)

    def _batch(self, observation: Observation) -> dict[str, Any]:
        """One row, as `lerobot-eval` hands it to the preprocessor."""
        mapping = self._mapping
        batch: dict[str, Any] = {TASK: [observation.instruction]}
        for name, picture in mapping.cameras.items():
            image = resized(observation.images[name], picture.height, picture.width)
            batch[picture.feature] = torch.from_numpy(to_planes(image))[None]
        if mapping.state is not None:
            state = mapping.state.to_theirs(observation.proprioception, self.embodiment.proprioception)
            batch[mapping.state.feature] = torch.from_numpy(state)[None]
        return batch
