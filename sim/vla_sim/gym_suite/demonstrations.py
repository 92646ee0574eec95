"""Demonstrations of experts in environments of others, undisturbed: what is executed is what there is to imitate."""

from __future__ import annotations

import numpy as np

from vla.interfaces import Episode, EpisodeSpec, Observation
from vla_sim.demonstrations import LICENCE, SCRIPTED
from vla_sim.gym_suite.environment import GymEnvironment


def demonstrate(task: str, seed: int, environment: GymEnvironment) -> Episode:
    """One attempt of the expert, without labels; depends on task and seed alone.

    Raises:
        ConfigError: if there is no such task or expert, or a package is missing.
        ObservationError: if the environment does not give what the mapping says.
    """
    cameras = [camera.name for camera in environment.embodiment.cameras]
    seen: list[Observation] = []
    images: dict[str, list[np.ndarray]] = {name: [] for name in cameras}
    applied: list[np.ndarray] = []
    observation, is_over, success = environment.reset(EpisodeSpec(task, seed)), False, False
    while not is_over:
        seen.append(observation)
        for name in cameras:
            images[name].append(observation.images[name])
        transition = environment.step(environment.expert_action())
        applied.append(transition.applied)
        observation, success = transition.observation, transition.success
        is_over = transition.terminated or transition.truncated
    return Episode(
        embodiment=environment.embodiment,
        images={name: np.stack(pictures) for name, pictures in images.items()},
        proprioception=np.stack([observation.proprioception for observation in seen]),
        actions=np.stack(applied),
        times_s=np.array([observation.time_s for observation in seen]),
        instruction=environment.instruction,
        task=task,
        success=success,
        seed=seed,
        source=SCRIPTED,
        licence=LICENCE,
    )
