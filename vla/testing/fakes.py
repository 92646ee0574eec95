"""Small things that keep the contracts and cost nothing: a body, observations, episodes, a policy, an environment."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from vla.embodiment import ActionKind, CameraSpec, Embodiment, Field, Rotation
from vla.errors import ActionError, unknown
from vla.interfaces import ActionChunk, Episode, EpisodeSpec, Observation, Transition, beginning_with, check_observation

SMALL_EMBODIMENT = Embodiment(
    name="small",
    action=(
        Field("dx", "m", -0.05, 0.05),
        Field("dy", "m", -0.05, 0.05),
        Field("dz", "m", -0.05, 0.05),
        Field("dyaw", "rad", -0.2, 0.2),
        Field("gripper", "1", 0.0, 1.0),
    ),
    action_kind=ActionKind.DELTA_END_EFFECTOR,
    frame="base",
    rotation=Rotation.YAW,
    gripper="absolute: 0 closed, 1 open",
    proprioception=(
        Field("joint_1", "rad", -2.0, 2.0),
        Field("joint_2", "rad", -2.0, 2.0),
        Field("gripper", "m", 0.0, 0.08),
    ),
    control_hz=10.0,
    cameras=(CameraSpec("scene", 16, 24), CameraSpec("wrist", 8, 12)),
)
"""A made-up robot with tiny cameras."""

INSTRUCTION = "pick up the red block"


def make_observation(
    embodiment: Embodiment, seed: int, *, time_s: float = 0.0, instruction: str = INSTRUCTION
) -> Observation:
    """An observation of noise, the same for the same seed."""
    generator = np.random.default_rng(seed)
    cameras = embodiment.cameras
    return Observation(
        images={c.name: generator.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in cameras},
        proprioception=_uniform(generator, embodiment.proprioception, 1)[0],
        instruction=instruction,
        time_s=time_s,
        fresh=frozenset({"proprioception", *(camera.name for camera in cameras)}),
    )


def make_episode(
    embodiment: Embodiment,
    steps: int,
    seed: int,
    *,
    task: str = "reach",
    source: str = "scripted",
    instruction: str = INSTRUCTION,
    success: bool = True,
    lookahead: int = 0,
) -> Episode:
    """An episode of noise, the same for the same arguments.

    Args:
        lookahead: actions a step in the label of that name; no labels if 0.
    """
    generator = np.random.default_rng(seed)
    images = {
        camera.name: generator.integers(0, 256, (steps, camera.height, camera.width, 3), np.uint8)
        for camera in embodiment.cameras
    }
    labels = {
        "lookahead": _uniform(generator, embodiment.action, steps * lookahead).reshape(
            steps, lookahead, embodiment.action_dim
        ),
        "target": generator.random((steps, 2), np.float32),
        "destination": np.full((steps, 2), np.nan, np.float32),
    }
    return Episode(
        embodiment=embodiment,
        images=images,
        proprioception=_uniform(generator, embodiment.proprioception, steps),
        actions=_uniform(generator, embodiment.action, steps),
        times_s=np.arange(steps) * embodiment.control_dt_s,
        instruction=instruction,
        task=task,
        success=success,
        seed=seed,
        source=source,
        licence="CC0-1.0",
        labels=labels if lookahead else {},
    )


class FakePolicy:
    """Actions that follow from the episode's seed, its step and the whole observation: nothing can be mixed up."""

    def __init__(self, embodiment: Embodiment = SMALL_EMBODIMENT, horizon: int = 4) -> None:
        self._embodiment = embodiment
        self._horizon = horizon
        self._episodes: dict[int, tuple[int, int]] = {}  # seed and step by slot

    @property
    def embodiment(self) -> Embodiment:
        return self._embodiment

    @property
    def horizon(self) -> int:
        return self._horizon

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        for seed, slot in zip(seeds, range(len(seeds)) if slots is None else slots, strict=True):
            self._episodes[slot] = (seed, 0)

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        for observation in observations:
            check_observation(observation, self._embodiment)
        slots = range(len(observations)) if slots is None else slots
        chunks = [self._chunk(observation, slot) for observation, slot in zip(observations, slots, strict=True)]
        return beginning_with(chunks, committed)

    def _chunk(self, observation: Observation, slot: int) -> ActionChunk:
        seed, step = self._episodes[slot]
        self._episodes[slot] = (seed, step + 1)
        generator = np.random.default_rng([seed, step, *_digest(observation)])
        actions = _uniform(generator, self._embodiment.action, self._horizon)
        return ActionChunk(actions, observation.time_s, self._horizon * self._embodiment.control_dt_s)


class FakeEnvironment:
    """A dot on a line: the first action field moves it, and it is to be brought to where the task says.

    Tasks are `near` and `far`. Its images are grey, as bright as the dot is far along.
    """

    TASKS = ("near", "far")

    def __init__(self, embodiment: Embodiment = SMALL_EMBODIMENT, max_steps: int = 20) -> None:
        self._embodiment = embodiment
        self._max_steps = max_steps
        self._place = self._goal = 0.0
        self._steps = 0
        self._instruction = ""

    @property
    def embodiment(self) -> Embodiment:
        return self._embodiment

    def reset(self, spec: EpisodeSpec) -> Observation:
        if spec.task not in self.TASKS:
            raise unknown("task", spec.task, self.TASKS)
        generator = np.random.default_rng([spec.seed, self.TASKS.index(spec.task)])
        self._place = float(generator.uniform(0.3, 0.4))
        self._goal = self._place + (0.1 if spec.task == "near" else 0.4)
        self._steps = 0
        self._instruction = spec.instruction or f"go to the {spec.task} end"
        return self._observation()

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        body = self._embodiment
        if action.shape != (body.action_dim,) or not np.isfinite(action).all():
            raise ActionError(f"an action of {body.name} is {body.action_dim} finite numbers, got {action}")
        applied = np.clip(action, body.action_low, body.action_high).astype(np.float32)
        self._place = min(max(self._place + float(applied[0] / body.action_high[0]) * 0.05, 0.0), 1.0)
        self._steps += 1
        success = abs(self._place - self._goal) < 0.03
        return Transition(self._observation(), applied, success, self._steps >= self._max_steps, success)

    def close(self) -> None:
        """Nothing is held."""

    def _observation(self) -> Observation:
        body = self._embodiment
        low = np.array([field.low for field in body.proprioception])
        high = np.array([field.high for field in body.proprioception])
        grey = round(255 * self._place)
        return Observation(
            images={c.name: np.full((c.height, c.width, 3), grey, np.uint8) for c in body.cameras},
            proprioception=(low + self._place * (high - low)).astype(np.float32),
            instruction=self._instruction,
            time_s=self._steps * body.control_dt_s,
            fresh=frozenset({"proprioception", *(camera.name for camera in body.cameras)}),
        )


def _uniform(generator: np.random.Generator, fields: Sequence[Field], rows: int) -> Float32[np.ndarray, "rows fields"]:
    low, high = np.array([field.low for field in fields]), np.array([field.high for field in fields])
    # A quarter from the limits, so that rounding to float32 never crosses one.
    return (low + (0.25 + 0.5 * generator.random((rows, len(fields)))) * (high - low)).astype(np.float32)


def _digest(observation: Observation) -> bytes:
    digest = hashlib.sha256(observation.instruction.encode())
    for name in sorted(observation.images):
        digest.update(observation.images[name].tobytes())
    digest.update(observation.proprioception.tobytes())
    return digest.digest()
