"""Meta-World as `vla.interfaces.Environment`: any of its tasks, one episode at a time, without pictures."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from vla.embodiment import Embodiment
from vla.errors import ActionError, ConfigError, unknown
from vla.interfaces import EpisodeSpec, InstructionKind, Observation, TemplateSet, Transition
from vla_sim.metaworld_suite.embodiments import MAX_OPENING_M, MAX_STEP_M, METAWORLD_SAWYER_BLIND
from vla_sim.metaworld_suite.instructions import INSTRUCTIONS
from vla_sim.metaworld_suite.library import make_environment, make_expert

# Metres, and the gripper's ratio, for Meta-World's 1.
_SCALE = np.array([MAX_STEP_M, MAX_STEP_M, MAX_STEP_M, 1.0], np.float32)


class MetaWorldEnvironment:
    """The arm, blind; an episode ends with success, or as late as Meta-World ends it."""

    embodiment: Embodiment = METAWORLD_SAWYER_BLIND

    def __init__(self) -> None:
        """Load nothing yet: a task's model is compiled when an episode of it first begins."""
        self._task = functools.cache(make_environment)
        self._spec: EpisodeSpec | None = None

    def reset(self, spec: EpisodeSpec) -> Observation:
        """Begin an episode; its goal and objects depend on task and seed alone.

        Raises:
            ConfigError: if there is no such task, wording or instruction.
        """
        self.instruction = instruction(spec)
        self._inner: Any = self._task(spec.task)
        self._expert = make_expert(spec.task)
        self._inner.seed(spec.seed)
        self._state: Float64[np.ndarray, " numbers"] = self._inner.reset()[0]
        self._num_steps = 0
        self._spec = spec
        return self.observe()

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        body = self.embodiment
        if self._spec is None:
            raise RuntimeError("the environment has not been reset: call reset(spec) first")
        if action.shape != (body.action_dim,) or not np.isfinite(action).all():
            raise ActionError(f"an action of {body.name} is {body.action_dim} finite numbers, got {action}")
        applied = np.clip(action, body.action_low, body.action_high).astype(np.float32)
        self._state, _, _, is_late, info = self._inner.step(applied / _SCALE)
        self._num_steps += 1
        success = bool(info["success"])
        return Transition(self.observe(), applied, success, bool(is_late) and not success, success)

    def observe(self) -> Observation:
        """What a policy sees now: not where objects and goal are, which the state holds."""
        body = self.embodiment
        readings = np.append(self._state[:3], self._state[3] * MAX_OPENING_M)
        return Observation(
            images={},
            proprioception=readings.astype(np.float32),
            instruction=self.instruction,
            time_s=self._num_steps * body.control_dt_s,
            fresh=frozenset(["proprioception"]),
        )

    def expert_action(self) -> Float32[np.ndarray, " action_dim"]:
        """What Meta-World's expert does in this state, within the limits."""
        with warnings.catch_warnings():
            # That an action is beyond the limits; it is clipped.
            warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high")
            # An expert writes into the state that it is given.
            action = self._expert.get_action(self._state.copy())
        return (np.clip(action, -1.0, 1.0) * _SCALE).astype(np.float32)

    def close(self) -> None:
        """Forget the models."""
        self._task.cache_clear()


def instruction(spec: EpisodeSpec) -> str:
    """What the policy is told.

    Raises:
        ConfigError: if there is no such task, or no such words for it.
    """
    if spec.task not in INSTRUCTIONS:
        raise unknown("task", spec.task, INSTRUCTIONS)
    if spec.templates is not TemplateSet.TRAINING or spec.instruction_kind is not InstructionKind.OWN:
        asked = f"templates={spec.templates.value}, instruction={spec.instruction_kind.value}"
        raise ConfigError(f"suite 'metaworld' has one wording of each task, got {asked}")
    return spec.instruction or INSTRUCTIONS[spec.task]
