"""SimplerEnv's tasks (Li et al. 2024, arXiv:2405.05941), where the user has it, its assets and a GPU for SAPIEN.

An episode's objects are number `seed % n` of the prepared layouts (`obj_init_options.episode_id`), by index: for the
four WidowX tasks there are 24. The instruction is the environment's own at the beginning of the episode.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from vla.errors import ConfigError
from vla_sim.gym_suite.mapping import GymMapping

LAYOUTS = "layouts"
"""The option that says how many prepared layouts a task has."""


def require_simpler(mapping: GymMapping) -> None:
    """Return if SimplerEnv and ManiSkill2's real-to-sim environments are installed.

    Raises:
        ConfigError: naming the one that is not, and how to get it.
    """
    for name in ("simpler_env", "mani_skill2_real2sim"):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"suite '{mapping.name}' needs a package that is not installed ({name}): {mapping.install}; "
                "its assets come with the repository, and SAPIEN renders on a GPU with Vulkan"
            )


class SimplerTask(gymnasium.Env[Mapping[str, Any], np.ndarray]):
    """One of SimplerEnv's prepared tasks; info has `is_success` and `language`."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        """Make it.

        Args:
            name: SimplerEnv's: `widowx_carrot_on_plate`, ...
            options: `layouts`, how many there are to begin from.

        Raises:
            ModuleNotFoundError: if SimplerEnv is not installed.
        """
        known = dict(options)
        self._layouts = int(known.pop(LAYOUTS))
        self._inner = importlib.import_module("simpler_env").make(name, **known)
        self.action_space = self._inner.action_space
        self.observation_space = self._inner.observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        layout = (seed or 0) % self._layouts
        seen, info = self._inner.reset(seed=seed, options={"obj_init_options": {"episode_id": layout}})
        self._words = str(self._inner.unwrapped.get_language_instruction())
        return seen, {**info, "language": self._words, "layout": layout, "is_success": False}

    def step(self, action: np.ndarray) -> tuple[Mapping[str, Any], float, bool, bool, dict[str, Any]]:
        seen, reward, is_over, is_late, info = self._inner.step(action)
        # SimplerEnv ends an episode with success, and with nothing else.
        info = {**info, "language": self._words, "is_success": bool(is_over)}
        return seen, float(reward), bool(is_over), bool(is_late), info

    def close(self) -> None:
        self._inner.close()
