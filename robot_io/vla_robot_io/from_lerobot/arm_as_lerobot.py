"""An arm of ours in the shape of LeRobot's robots: features, degrees, one dictionary in, one out. Needs no LeRobot.

LeRobot's commands send a goal some thirty times a second, as far away as they please. Here it goes as far towards it as
the joints' speeds allow in the time since the last one; what `send_action` gives back is what was really sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vla.interfaces import Arm, ArmCommand, ArmMode, Camera, Clock
from vla_robot_io.from_lerobot.joint_mapping import JointMapping

LONGEST_STEP_S = 0.1
"""A command goes no farther than the joints come in this time, however long ago the last one was."""


class ArmAsLerobot:
    """One arm, and its cameras."""

    def __init__(
        self, arm: Arm, mapping: JointMapping, clock: Clock, cameras: tuple[Camera, ...] = (), name: str = "vla"
    ) -> None:
        """Take hold of the arm; nothing moves.

        Args:
            arm: disconnected.
            cameras: whose pictures are part of its observations.
        """
        self.name = name
        self._arm, self._mapping, self._clock, self._cameras = arm, mapping, clock, cameras
        self._sequence, self._sent_s = 0, -math.inf
        self._pictures = {camera.name: camera.read().image.shape for camera in cameras}

    @property
    def observation_features(self) -> dict[str, Any]:
        return {**self.action_features, **self._pictures}

    @property
    def action_features(self) -> dict[str, Any]:
        return dict.fromkeys(self._mapping.features, float)

    @property
    def cameras(self) -> dict[str, Camera]:
        """By name."""
        return {camera.name: camera for camera in self._cameras}

    @property
    def is_connected(self) -> bool:
        return self._arm.mode is not ArmMode.DISCONNECTED

    @property
    def is_calibrated(self) -> bool:
        return True

    def connect(self, calibrate: bool = True) -> None:
        """Lead the arm to where it takes commands."""
        for verb in (self._arm.connect, self._arm.configure, self._arm.arm, self._arm.run):
            verb()
        self._sequence, self._sent_s = 0, -math.inf

    def get_observation(self) -> dict[str, Any]:
        numbers: dict[str, Any] = {**self.positions()}
        return numbers | {camera.name: camera.read().image for camera in self._cameras}

    def positions(self) -> dict[str, float]:
        """An observation without its pictures."""
        state = self._arm.read()
        return self._mapping.action(state.positions, state.gripper_m)

    def send_action(self, action: Mapping[str, Any]) -> dict[str, float]:
        asked, opening_m = self._mapping.measured(action)
        now_s, state = self._clock.now(), self._arm.read()
        elapsed_s = max(min(now_s - self._sent_s, LONGEST_STEP_S), 1.0 / self._arm.spec.rate_hz)
        reach = self._arm.spec.max_speed * elapsed_s
        # Rounding from one unit to another is not a reason to change a command.
        near = np.clip(asked, state.commanded - reach - 1e-9, state.commanded + reach + 1e-9)
        self._sequence, self._sent_s = self._sequence + 1, now_s
        applied = self._arm.write(ArmCommand(near, opening_m, self._sequence, now_s + 1.0))
        numbers = self._mapping.action(applied.positions, applied.gripper_m)
        unchanged = [*(applied.positions == asked), applied.gripper_m == opening_m]
        return {
            feature: float(action[feature]) if same else numbers[feature]
            for feature, same in zip(self._mapping.features, unchanged, strict=True)
        }

    def disconnect(self) -> None:
        """Let go of the arm; torque stays as it is."""
        self._arm.close()
