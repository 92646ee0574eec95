"""`lerobot-eval` as installed, on its own `metaworld`, with the limit of steps lowered where its processes load this.

LeRobot imports this module because `--env.discover_packages_path` names its package; its workers do, because they
unpickle the environment's class from here. LeRobot films up to ten episodes of each task, and has no option against
it; each frame of a film is rendered anew, though the observation is the same picture. EVALUATION_FILMS=0 shows it the
observation's picture instead: what LeRobot would take if it made no films.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
from lerobot.envs import configs
from lerobot.envs import metaworld as theirs
from lerobot.envs.configs import EnvConfig

from benchmarks.evaluators.step_limit import lower_the_limit

FILMS_VARIABLE = "EVALUATION_FILMS"


class LimitedEnv(theirs.MetaworldEnv):
    """LeRobot's environment, which ends when Meta-World does."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        limit = lower_the_limit()
        super().__init__(*arguments, **options)
        self._max_episode_steps = limit or self._max_episode_steps
        self._is_filmed = os.environ.get(FILMS_VARIABLE) != "0"
        self._picture: np.ndarray | None = None

    def render(self) -> np.ndarray:
        return super().render() if self._is_filmed or self._picture is None else self._picture

    def _format_raw_obs(self, raw_obs: np.ndarray) -> Any:
        observation = super()._format_raw_obs(raw_obs)
        self._picture = observation["pixels"]
        return observation


@EnvConfig.register_subclass("metaworld_limited")
@dataclasses.dataclass
class LimitedMetaworld(configs.MetaworldEnv):
    """`metaworld`, with a limit of steps."""

    def create_envs(self, n_envs: int, use_async_envs: bool = False) -> dict[str, dict[int, Any]]:
        theirs.MetaworldEnv = LimitedEnv
        return super().create_envs(n_envs, use_async_envs)
