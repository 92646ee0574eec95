"""Demonstrations of Meta-World's experts, undisturbed: what is executed is what there is to imitate."""

from __future__ import annotations

import numpy as np

from vla.interfaces import Episode, EpisodeSpec, Observation
from vla_sim.demonstrations import LICENCE, SCRIPTED
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment


def demonstrate(task: str, seed: int, *, environment: MetaWorldEnvironment | None = None) -> Episode:
    """One attempt of the expert, without pictures or labels; depends on task and seed alone.

    Args:
        environment: one to use again; a new one if None.

    Raises:
        ConfigError: if there is no such task, or Meta-World is not installed.
    """
    environment = environment or MetaWorldEnvironment()
    seen: list[Observation] = [environment.reset(EpisodeSpec(task, seed))]
    applied: list[np.ndarray] = []
    while True:
        transition = environment.step(environment.expert_action())
        applied.append(transition.applied)
        if transition.terminated or transition.truncated:
            break
        seen.append(transition.observation)
    return Episode(
        embodiment=environment.embodiment,
        images={},
        proprioception=np.stack([observation.proprioception for observation in seen]),
        actions=np.stack(applied),
        times_s=np.array([observation.time_s for observation in seen]),
        instruction=environment.instruction,
        task=task,
        success=transition.success,
        seed=seed,
        source=SCRIPTED,
        licence=LICENCE,
    )
