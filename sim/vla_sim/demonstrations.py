"""Demonstrations: the expert, disturbed, and what it would have done undisturbed.

    executed    expert ── burst of noise ── expert ─ ─ ─ ►     what the pictures show, recoveries included
    labels        └► └► └►  └► └► └►         └► └► └►          what the expert would do from there, `horizon` steps

Every label is a look-ahead without noise from that very state: the state is saved, the expert rolled forward, the
state restored. Physics is deterministic, so where the next steps were undisturbed the label is what was done.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.interfaces import Episode, EpisodeSpec, Observation, TemplateSet, Transition
from vla_sim.environment import TabletopEnvironment
from vla_sim.oracle import lookahead

LICENCE = "CC0-1.0"
SCRIPTED = "scripted"
_NOISE_STREAM, _MIXTURE_STREAM = 5, 6


@dataclasses.dataclass
class NoiseConfig:
    """How a demonstration is disturbed."""

    burst_probability: float = 0.12
    """Chance, each undisturbed step, that a burst begins."""
    burst_steps: int = 4
    """Longest burst; its length is uniform from 1."""
    offset_m: float = 0.03
    """Standard deviation of what a burst adds to every step, along each axis; less at a smaller table."""
    turn_rad: float = 0.1
    """The same for the yaw."""
    jitter_m: float = 0.003
    """Standard deviation of what is added to every undisturbed step."""
    flip_probability: float = 0.15
    """Chance that a burst also opens a closed gripper, or closes an open one."""
    clean_probability: float = 0.2
    """Chance that an episode is not disturbed at all."""


class Disturbance:
    """Noise on one episode's actions."""

    def __init__(self, config: NoiseConfig, generator: np.random.Generator, scale: float = 1.0) -> None:
        """Begin an episode at a bench whose lengths are `scale` times those of the tasks' table."""
        self._scale = scale
        self._config = config
        self._generator = generator
        self._is_clean = generator.random() < config.clean_probability
        self._steps_left = 0
        self._offset = np.zeros(4)
        self._flips = False

    def __call__(self, action: Float32[np.ndarray, " action_dim"]) -> Float32[np.ndarray, " action_dim"]:
        """The action as it is executed."""
        if self._is_clean:
            return action
        if self._steps_left == 0 and self._generator.random() < self._config.burst_probability:
            self._begin_burst()
        disturbed = action.copy()
        if self._steps_left > 0:
            self._steps_left -= 1
            disturbed[:4] += self._offset
            disturbed[4] = 1.0 - action[4] if self._flips else action[4]
        elif self._config.jitter_m > 0:
            disturbed[:3] += self._generator.normal(0.0, self._config.jitter_m * self._scale, 3)
        return disturbed

    def _begin_burst(self) -> None:
        config, generator = self._config, self._generator
        self._steps_left = int(generator.integers(1, config.burst_steps + 1))
        deviations = [config.offset_m * self._scale] * 3 + [config.turn_rad]
        self._offset = generator.normal(0.0, deviations).astype(np.float32)
        self._flips = generator.random() < config.flip_probability


def demonstrate(
    task: str,
    seed: int,
    *,
    horizon: int = 4,
    noise: NoiseConfig | None = None,
    templates: TemplateSet = TemplateSet.TRAINING,
    environment: TabletopEnvironment | None = None,
) -> Episode:
    """One disturbed attempt of the expert, every step labelled; depends on its arguments alone.

    Args:
        horizon: length of the look-ahead, in steps.
        noise: how to disturb; the default disturbance if None.
        environment: one to use again; a new one if None.

    Returns:
        An episode with labels `lookahead`, `target` and `destination`; `success` is False for a failure.

    Raises:
        ConfigError: if there is no such task.
    """
    environment = environment or TabletopEnvironment()
    observation = environment.reset(EpisodeSpec(task, seed, templates))
    generator = environment.attempt.task.generator(seed, _NOISE_STREAM)
    disturb = Disturbance(noise or NoiseConfig(), generator, environment.world.bench.scale)
    recorder = Recorder(environment, horizon)
    while True:
        expert = recorder.before(observation)
        transition = environment.step(disturb(expert))
        recorder.after(transition.applied)
        observation = transition.observation
        if transition.terminated or transition.truncated:
            return recorder.episode(transition.success, seed, SCRIPTED)


class LabellingEnvironment:
    """An environment in which somebody acts, while every state is labelled with the expert's look-ahead.

    With the chance `beta` a step is the expert's instead (DAgger: Ross et al. 2011, arXiv:1011.0686).
    """

    def __init__(self, environment: TabletopEnvironment, horizon: int, beta: float = 0.0) -> None:
        """Wrap an environment."""
        self._environment = environment
        self._horizon = horizon
        self._beta = beta

    @property
    def embodiment(self) -> Embodiment:
        return self._environment.embodiment

    def reset(self, spec: EpisodeSpec) -> Observation:
        self._observation = self._environment.reset(spec)
        self._generator = self._environment.attempt.task.generator(spec.seed, _MIXTURE_STREAM)
        self._recorder = Recorder(self._environment, self._horizon)
        return self._observation

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        expert = self._recorder.before(self._observation)
        transition = self._environment.step(expert if self._generator.random() < self._beta else action)
        self._recorder.after(transition.applied)
        self._observation = transition.observation
        return transition

    def episode(self, success: bool, seed: int, source: str) -> Episode:
        """The attempt since the reset, labelled."""
        return self._recorder.episode(success, seed, source)

    def close(self) -> None:
        self._environment.close()


class Recorder:
    """Collects an episode and its labels while it happens."""

    def __init__(self, environment: TabletopEnvironment, horizon: int) -> None:
        """Begin, after the environment's reset."""
        self._environment = environment
        self._horizon = horizon
        self._observations: list[Observation] = []
        self._states: list[np.ndarray] = []
        self._experts: list[np.ndarray] = []
        self._applied: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []
        self._destinations: list[np.ndarray] = []

    def before(self, observation: Observation) -> Float32[np.ndarray, " action_dim"]:
        """Note the state before a step; gives back what the expert would do."""
        environment, attempt = self._environment, self._environment.attempt
        grounding = attempt.task.grounding(environment.table, attempt.names)
        camera = environment.embodiment.cameras[0].name
        self._observations.append(observation)
        self._states.append(environment.save())
        self._experts.append(environment.expert_action())
        self._targets.append(environment.table.project(camera, grounding.target))
        self._destinations.append(environment.table.project(camera, grounding.destination))
        return self._experts[-1].copy()

    def after(self, applied: Float32[np.ndarray, " action_dim"]) -> None:
        """Note what was really applied."""
        self._applied.append(applied)

    def episode(self, success: bool, seed: int, source: str) -> Episode:
        """The whole attempt; the environment is left at its end."""
        environment = self._environment
        end = environment.save()
        labels = {
            "lookahead": self._lookaheads(end),
            "target": np.array(self._targets, np.float32),
            "destination": np.array(self._destinations, np.float32),
        }
        environment.restore(end)
        seen = self._observations
        return Episode(
            embodiment=environment.embodiment,
            images={c.name: np.stack([o.images[c.name] for o in seen]) for c in environment.embodiment.cameras},
            proprioception=np.stack([o.proprioception for o in seen]),
            actions=np.stack(self._applied),
            times_s=np.array([o.time_s for o in seen]),
            instruction=environment.attempt.instruction,
            task=environment.attempt.task.name,
            success=success,
            seed=seed,
            source=source,
            licence=LICENCE,
            labels=labels,
        )

    def _lookaheads(self, end: np.ndarray) -> Float32[np.ndarray, "steps horizon action_dim"]:
        """From the last step to the first: a label is the expert's action, then the next label if undisturbed."""
        horizon, environment = self._horizon, self._environment
        labels = np.empty((len(self._applied), horizon, environment.embodiment.action_dim), np.float32)
        environment.restore(end)
        after = lookahead(environment, horizon)
        for index in reversed(range(len(self._applied))):
            if np.array_equal(self._applied[index], self._experts[index]):
                labels[index] = np.concatenate([self._experts[index][None], after[:-1]])
            else:
                environment.restore(self._states[index])
                labels[index] = lookahead(environment, horizon)
            after = labels[index]
        return labels
