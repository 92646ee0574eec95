"""Demonstrations of Meta-World's experts."""

from __future__ import annotations

from vla.interfaces import Episode
from vla_sim import undisturbed
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
    return undisturbed.demonstrate(
        environment, task, seed, environment.grounding if environment.embodiment.cameras else dict
    )
