"""Demonstrations in environments of others, undisturbed: what is executed is what there is to imitate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from vla.interfaces import Environment, Episode, EpisodeSpec, Observation
from vla_sim.demonstrations import LICENCE, SCRIPTED
from vla_sim.oracle import ExpertEnvironment


@runtime_checkable
class DemonstratedEnvironment(Environment, ExpertEnvironment, Protocol):
    """An environment with an expert, whose episodes are asked for in words."""

    @property
    def instruction(self) -> str:
        """Of the episode."""
        ...


type Labels = Callable[[], Mapping[str, Float32[np.ndarray, "..."]]]
"""What else is known of the state that was just seen."""


def demonstrate(environment: DemonstratedEnvironment, task: str, seed: int, labels: Labels = dict) -> Episode:
    """One attempt of the expert; depends on the environment, task and seed alone.

    Args:
        labels: asked before every step; the same names each time.

    Raises:
        ConfigError: if there is no such task or expert, or a package is missing.
        ObservationError: if the environment does not give what it promises.
    """
    seen: list[Observation] = []
    known: list[Mapping[str, np.ndarray]] = []
    applied: list[np.ndarray] = []
    observation, is_over, success = environment.reset(EpisodeSpec(task, seed)), False, False
    while not is_over:
        # Pictures that are rendered when they are looked at can be looked at now alone.
        seen.append(dataclasses.replace(observation, images=dict(observation.images)))
        known.append(labels())
        transition = environment.step(environment.expert_action())
        applied.append(transition.applied)
        observation, success = transition.observation, transition.success
        is_over = transition.terminated or transition.truncated
    return Episode(
        embodiment=environment.embodiment,
        images={name: np.stack([one.images[name] for one in seen]) for name in seen[0].images},
        proprioception=np.stack([one.proprioception for one in seen]),
        actions=np.stack(applied),
        times_s=np.array([one.time_s for one in seen]),
        instruction=environment.instruction,
        task=task,
        success=success,
        seed=seed,
        source=SCRIPTED,
        licence=LICENCE,
        labels={name: np.stack([one[name] for one in known]) for name in known[0]},
    )
