"""A Gymnasium environment made for tests: a point with a gripper that opens or closes for as long as it is told to."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ENVIRONMENT = "vla_test/Arm-v0"
STEP_M = 0.05
MAPPING = """
suite: test_arm
maker: gymnasium
packages: [gymnasium]
install: nothing
embodiment: test_arm
control_hz: 10
action_kind: delta_end_effector
frame: world
rotation: none
gripper: "absolute: 0 closed, 1 open"
action:
  - {name: dx, from: "action[1]", source_unit: raw, scale: 0.05, unit: m, low: -0.05, high: 0.05}
  - {name: dy, from: "action[0]", source_unit: raw, scale: 0.05, unit: m, low: -0.05, high: 0.05}
  - {name: gripper, from: "action[2]", source_unit: raw, scale: -0.5, offset: 0.5, unit: "1", low: 0.0, high: 1.0}
proprioception:
  - {name: x, from: "hand/position[0]", source_unit: mm, unit: m, low: -1.0, high: 1.0}
  - {name: y, from: "hand/position[1]", source_unit: mm, unit: m, low: -1.0, high: 1.0}
  - {name: gripper, from: opening, source_unit: m, unit: m, low: 0.0, high: 0.08}
limits: clip
cameras:
  - {name: front, from: picture, orientation: flip_vertical, channels: bgr, height: 8, width: 12, resize: area,
     aspect: same}
tasks:
  go:
    environment: vla_test/Arm-v0
    instruction: {training: [go right], held_out: [rightwards], wrong: [go left]}
  told:
    environment: vla_test/Arm-v0
    options: {goal: 0.2}
    max_steps: 5
    instruction: {info: words, held_out: ["please {}"]}
max_steps: 10
settling_steps: 2
success: {info: closeness, at_least: 0.0}
physics: none
conventions:
  gripper: [{action: gripper, opened: 1.0, closed: 0.0, measured: gripper, grows: true, steps: 6}]
  axes: [{action: dx, measured: x}, {action: dy, measured: y}]
"""


class Arm(gymnasium.Env[dict[str, Any], np.ndarray]):
    """action[0] moves it along y, action[1] along x, action[2] closes its gripper (robosuite's way)."""

    breaks: dict[int, str] = {}  # noqa: RUF012
    """What happens at the third step, by seed: `raise`, or `nan`."""

    def __init__(self, goal: float = 0.3) -> None:
        self.goal = goal
        self.action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.observation_space = spaces.Dict({})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.seed, self.steps = seed, 0
        self.position = self.np_random.uniform(-0.01, 0.01, 2)
        self.opening = 0.04
        return self._seen(), {"words": "bring it there"}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.position = self.position + STEP_M * np.array([action[1], action[0]], np.float64)
        self.opening = float(np.clip(self.opening - 0.02 * action[2], 0.0, 0.08))
        broken = self.breaks.get(self.seed or 0) if self.steps == 5 else None
        if broken == "raise":
            raise OSError("the simulator is gone")
        if broken == "nan":
            self.position = np.full(2, np.nan)
        return self._seen(), 0.0, False, False, {"closeness": self.position[0] - self.goal}

    def _seen(self) -> dict[str, Any]:
        picture = np.zeros((16, 24, 3), np.uint8)
        picture[12:, :, 0] = 200  # the upper quarter once it is set upright; blue, in BGR
        return {"hand": {"position": 1000.0 * self.position}, "opening": [self.opening], "picture": picture}


def register() -> None:
    """Make Gymnasium know it."""
    if ENVIRONMENT not in gymnasium.registry:
        gymnasium.register(ENVIRONMENT, entry_point=f"{__name__}:Arm")
