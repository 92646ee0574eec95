"""Demonstrations of Meta-World's experts, undisturbed: what is executed is what there is to imitate."""

from __future__ import annotations

import numpy as np

from vla.interfaces import Episode, EpisodeSpec, Observation
from vla_sim.demonstrations import LICENCE, SCRIPTED
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment


def demonstrate(task: str, seed: int, *, environment: MetaWorldEnvironment | None = None) -> Episode:
    """One attempt of the expert; depends on task, seed and the environment's cameras alone.

    Where there are cameras, the labels `target` and `destination` say where the first of them sees object and goal.

    Args:
        environment: one to use again; a new one, without cameras, if None.

    Raises:
        ConfigError: if there is no such task, or Meta-World is not installed.
        ObservationError: if the physics diverged.
    """
    environment = environment or MetaWorldEnvironment()
    cameras = [camera.name for camera in environment.embodiment.cameras]
    seen: list[Observation] = []
    images: dict[str, list[np.ndarray]] = {name: [] for name in cameras}
    applied: list[np.ndarray] = []
    points: dict[str, list[np.ndarray]] = {"target": [], "destination": []} if cameras else {}
    observation, is_over, success = environment.reset(EpisodeSpec(task, seed)), False, False
    while not is_over:
        seen.append(observation)
        for name in cameras:
            images[name].append(observation.images[name])
        for name, point in environment.grounding().items() if cameras else ():
            points[name].append(point)
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
        labels={name: np.stack(where) for name, where in points.items()},
    )
