"""Meta-World as `vla.interfaces.Environment`: any of its tasks, one episode at a time."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from vla.embodiment import CameraSpec, Embodiment
from vla.errors import ActionError, ObservationError
from vla.interfaces import EpisodeSpec, Observation, Transition
from vla_sim.metaworld_suite.embodiments import MAX_OPENING_M, MAX_STEP_M, METAWORLD_SAWYER_BLIND
from vla_sim.metaworld_suite.instructions import instruction
from vla_sim.metaworld_suite.library import make_environment, make_expert
from vla_sim.metaworld_suite.pictures import LazyImages, project, shared_photographer
from vla_sim.metaworld_suite.stages import is_near, stages

# Metres, and the gripper's ratio, for Meta-World's 1.
_SCALE = np.array([MAX_STEP_M, MAX_STEP_M, MAX_STEP_M, 1.0], np.float32)
_KEPT_TASKS = 2
_DIVERGED = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)


class MetaWorldEnvironment:
    """The arm at any of the fifty tasks; an episode ends with success, or as late as Meta-World ends it."""

    def __init__(self, embodiment: Embodiment = METAWORLD_SAWYER_BLIND, *, lazy_pictures: bool = False) -> None:
        """Load nothing yet: a task's model is compiled when an episode of it begins, and the last few are kept.

        Args:
            embodiment: one of `vla_sim.metaworld_suite.embodiments`: they differ by their cameras alone.
            lazy_pictures: render what is looked at, which is possible until the next step or reset: a policy that
                predicts chunks looks at few of the observations.
        """
        self._embodiment = embodiment
        self._lazy_pictures = lazy_pictures
        self._task = functools.lru_cache(maxsize=_KEPT_TASKS)(make_environment)
        self._spec: EpisodeSpec | None = None
        self.instruction = ""
        self._images = LazyImages((), self._shoot)

    @property
    def embodiment(self) -> Embodiment:
        return self._embodiment

    def reset(self, spec: EpisodeSpec) -> Observation:
        """Begin an episode; its goal and objects depend on task and seed alone.

        Raises:
            ConfigError: if there is no such task, or Meta-World is not installed.
        """
        self._images.expire()
        self.instruction = instruction(spec)
        self._inner: Any = self._task(spec.task)
        self._expert = make_expert(spec.task)
        self._inner.seed(spec.seed)
        self._state: Float64[np.ndarray, " numbers"] = self._inner.reset()[0]
        # Meta-World moves the goal's mark after it has worked out where everything is: the first picture would show it
        # where it was.
        mujoco.mj_kinematics(self._inner.model, self._inner.data)
        self._began_s = float(self._inner.data.time)
        self._num_steps = 0
        self._when_reached: Float64[np.ndarray, " xyz"] | None = None
        self._spec = spec
        return self.observe()

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        """See `vla.interfaces.Environment.step`.

        Raises:
            ActionError: if the action is not finite or has the wrong shape.
            ObservationError: if the physics diverged.
        """
        body, spec = self.embodiment, self._begun
        if action.shape != (body.action_dim,) or not np.isfinite(action).all():
            raise ActionError(f"an action of {body.name} is {body.action_dim} finite numbers, got {action}")
        applied = np.clip(action, body.action_low, body.action_high).astype(np.float32)
        self._images.expire()
        self._state, _, _, is_late, info = self._inner.step(applied / _SCALE)
        self._num_steps += 1
        if self._when_reached is None and is_near(spec.task, self._fingertips(), self._object()):
            self._when_reached = self._object()
        if not np.isfinite(self._state).all() or self._has_diverged():
            raise ObservationError(
                f"the physics of '{spec.task}', seed {spec.seed}, diverged at step {self._num_steps}"
            )
        success = bool(info["success"])
        return Transition(self.observe(), applied, success, bool(is_late) and not success, success)

    def observe(self) -> Observation:
        """What a policy sees now: not where objects and goal are, which the state holds."""
        body = self.embodiment
        self._images = LazyImages(body.cameras, self._shoot)
        readings = np.append(self._state[:3], self._state[3] * MAX_OPENING_M)
        return Observation(
            images=self._images if self._lazy_pictures else dict(self._images),
            proprioception=readings.astype(np.float32),
            instruction=self.instruction,
            time_s=self._num_steps * body.control_dt_s,
            fresh=frozenset([*self._images, "proprioception"]),
        )

    def expert_action(self) -> Float32[np.ndarray, " action_dim"]:
        """What Meta-World's expert does in this state, within the limits."""
        with warnings.catch_warnings():
            # That an action is beyond the limits; it is clipped.
            warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high")
            # An expert writes into the state that it is given.
            action = self._expert.get_action(self._state.copy())
        return (np.clip(action, -1.0, 1.0) * _SCALE).astype(np.float32)

    def grounding(self) -> dict[str, Float32[np.ndarray, " uv"]]:
        """Where the first camera sees the thing to act on, `target`, and the goal, `destination`; for labels only.

        Of Meta-World's state, numbers 4 to 6 are where the first object is, the last three where the goal is.
        """
        camera = self.embodiment.cameras[0]
        points = {"target": self._state[4:7], "destination": self._state[-3:]}
        return {name: project(self._inner, camera, point) for name, point in points.items()}

    def stages(self) -> dict[str, bool]:
        """The stages before success, in order: whether each holds now. For reports only."""
        return stages(self._begun.task, self._fingertips(), self._object(), self._when_reached)

    def moves_another(self) -> bool:
        """Never: Meta-World does not tell of the other things in a scene."""
        return False

    def _fingertips(self) -> Float64[np.ndarray, " xyz"]:
        return np.array(self._inner.unwrapped.tcp_center, np.float64)

    def _object(self) -> Float64[np.ndarray, " xyz"]:
        """The point that Meta-World calls the position of the (first) object."""
        return self._state[4:7].copy()

    def render(self, height: int = 240, width: int = 320) -> UInt8[np.ndarray, "height width 3"]:
        """The view of `corner2`, at any size: for people."""
        return self._shoot(CameraSpec("corner2", height=height, width=width))

    def simulated_s(self) -> float:
        """See `vla_sim.conventions.TimedEnvironment`."""
        return float(self._inner.data.time) - self._began_s

    def physics_dt_s(self) -> float:
        """See `vla_sim.conventions.TimedEnvironment`."""
        return float(self._inner.model.opt.timestep)

    def close(self) -> None:
        """Forget the models; the renderers belong to the process."""
        self._task.cache_clear()

    @property
    def _begun(self) -> EpisodeSpec:
        if self._spec is None:
            raise RuntimeError("the environment has not been reset: call reset(spec) first")
        return self._spec

    def _shoot(self, camera: CameraSpec) -> UInt8[np.ndarray, "height width 3"]:
        return shared_photographer().picture(self._begun.task, self._inner, camera)

    def _has_diverged(self) -> bool:
        """Whether MuJoCo found a state that is not finite, or far too large, and began anew from its first one."""
        return any(self._inner.data.warning[kind].number for kind in _DIVERGED)
