"""robosuite's tasks as Gymnasium environments: a Panda under OSC_POSE, no renderer of robosuite's own.

robosuite has no registry of Gymnasium's, and seeds its generator once, when an environment is made; here every reset
sets that generator anew, so that an episode depends on its seed alone. Pictures are drawn from `sim` by us.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ROBOT = "Panda"
_FIXED = {
    "robots": ROBOT,
    "has_renderer": False,
    "has_offscreen_renderer": False,
    "use_camera_obs": False,
    "renderer": "mujoco",
    # Success and the mapping's `max_steps` end an episode, not robosuite's horizon.
    "ignore_done": True,
    # The model is compiled once; its objects are placed anew at each reset.
    "hard_reset": False,
}


class RobosuiteTask(gymnasium.Env[Mapping[str, Any], np.ndarray]):
    """One of robosuite's environments; info has `is_success`."""

    def __init__(self, name: str, control_hz: float, options: Mapping[str, Any]) -> None:
        """Make it.

        Args:
            name: robosuite's: `Lift`, `Stack`, ...
            options: for `robosuite.make`, besides what is fixed here.

        Raises:
            ModuleNotFoundError: if robosuite is not installed.
        """
        made = importlib.import_module("robosuite").make(name, **{**options, **_FIXED, "control_freq": control_hz})
        low, high = made.action_spec
        self.task = made
        self.seen: Mapping[str, Any] = {}
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        self.observation_space = spaces.Dict({})

    @property
    def sim(self) -> Any:
        """Robosuite's binding of MuJoCo."""
        return self.task.sim

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            # In place: the samplers of object positions hold the same generator.
            self.task.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        self.seen = self.task.reset()
        return self.seen, {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[Mapping[str, Any], float, bool, bool, dict[str, Any]]:
        self.seen, reward, _, info = self.task.step(action)
        return self.seen, float(reward), False, False, {**info, "is_success": bool(self.task._check_success())}

    def close(self) -> None:
        self.task.close()
