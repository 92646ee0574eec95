"""Every task as a Gymnasium environment.

    from vla_sim.gymnasium_environments import register

    register()
    environment = gymnasium.make("vla_sim/reach-v0", render_mode="rgb_array")

Nothing is registered by importing. The reward is 1 at the step of success and 0 otherwise.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float32, UInt8

from vla.interfaces import EpisodeSpec, Observation, TemplateSet
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks import TASKS, all_instructions

_LETTERS = "abcdefghijklmnopqrstuvwxyz "
_MARGIN = 0.1
"""What a measurement may be beyond its field's limits: joints give a little at their stops."""
_MAX_SEED = 2**31

Seen = dict[str, Any]


def register() -> None:
    """Register `vla_sim/<task>-v0` for every task; once is enough, and more does no harm."""
    for name, task in TASKS.items():
        identity = f"vla_sim/{name}-v0"
        if identity not in gymnasium.registry:
            gymnasium.register(
                identity,
                entry_point="vla_sim.gymnasium_environments:GymnasiumTask",
                kwargs={"task": name},
                max_episode_steps=task.max_steps,
            )


class GymnasiumTask(gymnasium.Env[Seen, np.ndarray]):
    """One task. Observations are a dictionary: a picture for each camera, `proprioception` and `instruction`."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        render_mode: str | None = None,
        height: int = 240,
        width: int = 320,
        templates: TemplateSet = TemplateSet.TRAINING,
    ) -> None:
        """Make the environment.

        Args:
            task: a key of `vla_sim.tasks.TASKS`.
            render_mode: `rgb_array` or None.
            height: of what `render` gives, px.
            width: of what `render` gives, px.
            templates: which wordings to use.
        """
        self.render_mode = render_mode
        self._task = task
        self._size = (height, width)
        self._templates = templates
        self._environment = TabletopEnvironment()
        embodiment = self._environment.embodiment
        self.action_space = spaces.Box(embodiment.action_low, embodiment.action_high, dtype=np.float32)
        fields = embodiment.proprioception
        low = np.array([field.low - _MARGIN for field in fields], np.float32)
        high = np.array([field.high + _MARGIN for field in fields], np.float32)
        longest = max(len(sentence) for sentence in all_instructions())
        pictures = {c.name: spaces.Box(0, 255, (c.height, c.width, 3), np.uint8) for c in embodiment.cameras}
        self.observation_space = spaces.Dict(
            {
                **pictures,
                "proprioception": spaces.Box(low, high, dtype=np.float32),
                "instruction": spaces.Text(2 * longest, min_length=1, charset=_LETTERS),
            }
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Seen, dict[str, Any]]:
        super().reset(seed=seed)
        # The scene's seed is the caller's, so that the same number means the same scene everywhere.
        scene_seed = int(self.np_random.integers(_MAX_SEED)) if seed is None else seed
        observation = self._environment.reset(EpisodeSpec(self._task, scene_seed, self._templates))
        return _seen(observation), {"success": False}

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        transition = self._environment.step(np.asarray(action, np.float32))
        info = {"success": transition.success, "applied": transition.applied}
        reward = float(transition.success)
        return _seen(transition.observation), reward, transition.terminated, transition.truncated, info

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:  # type: ignore[override]
        return self._environment.render(*self._size) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self._environment.close()


def _seen(observation: Observation) -> Seen:
    return {
        **observation.images,
        "proprioception": observation.proprioception,
        "instruction": observation.instruction,
    }
