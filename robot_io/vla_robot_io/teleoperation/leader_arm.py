"""A second arm that is led by hand, its motors without torque: where its hand goes, the follower's goes.

    leader's joints ─ forward kinematics ─► pose of its hand ─┐
    follower's pose, as the observation has it ───────────────┴─► difference ─ largest step ─► action

The follower comes to the leader's pose at no more than the largest step a control step, wherever the leader was when it
took over. The leader has no button: the dead-man switch is held while its readings are fresh.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.errors import ArmError, ConfigError
from vla.interfaces import Arm, ArmMode, ArmState, Kinematics, Observation
from vla_robot_io.teleoperation.hand_drive import FIELDS

FRESH_S = 0.2
READ_EVERY_S = 0.02
"""The switch is looked at before every command, the arm no more often than this."""
_log = logging.getLogger(__name__)
_POSE = ("x", "y", "z", "yaw")


class LeaderArmTeleoperator:
    """One leader arm; it is connected and read, and nothing else."""

    name = "leader"

    def __init__(
        self,
        arm: Arm,
        kinematics: Kinematics,
        embodiment: Embodiment,
        *,
        scale: float = 1.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is opened yet.

        Args:
            arm: the leader; its joints are those of `kinematics`, in order.
            kinematics: of the follower, whose shape the leader has.
            embodiment: of the follower.
            scale: the largest step as a share of the embodiment's.
            now: the clock by which the arm stamps its readings.

        Raises:
            ConfigError: if the follower's embodiment is not led by its hand, or does not tell its pose.
        """
        state = [field.name for field in embodiment.proprioception]
        missing = [name for name in _POSE if name not in state]
        if tuple(field.name for field in embodiment.action) != FIELDS or missing:
            raise ConfigError(f"a leader arm leads {', '.join(FIELDS)} of a follower that tells {', '.join(_POSE)}")
        self._arm, self._kinematics, self._embodiment = arm, kinematics, embodiment
        self._pose = [state.index(name) for name in _POSE]
        self._most: Float32[np.ndarray, " action_dim"] = scale * embodiment.action_high
        self._now = now
        self._state: ArmState | None = None
        self._looked_s = -math.inf
        self.is_over = False

    @property
    def is_held(self) -> bool:
        if self._now() - self._looked_s >= READ_EVERY_S:
            self._looked_s = self._now()
            self._look()
        is_fresh = self._state is not None and self._now() - self._state.time_s <= FRESH_S
        return is_fresh and not self.is_over

    def connect(self) -> None:
        try:
            self._arm.connect()
        except (OSError, ArmError) as error:
            raise ConfigError(f"the leader arm {self._arm.spec.name} cannot be read: {error}") from error

    def read(self, observation: Observation) -> Float32[np.ndarray, " action_dim"] | None:
        if not self.is_held or self._state is None:
            return None
        gap = self._kinematics.forward(self._state.positions) - observation.proprioception[self._pose]
        gap[3] = math.remainder(gap[3], math.tau)
        return np.array([*np.clip(gap, -self._most[:4], self._most[:4]), self._opening(self._state)], np.float32)

    def close(self) -> None:
        if self._arm.mode is not ArmMode.DISCONNECTED:
            self._arm.close()

    def _look(self) -> None:
        try:
            state = self._arm.read()
        except (OSError, ArmError) as error:
            _log.warning("the leader arm %s cannot be read any more: %s", self._arm.spec.name, error)
            self.is_over = True
            return
        if state.fresh and np.isfinite(state.positions).all() and math.isfinite(state.gripper_m):
            self._state = state

    def _opening(self, state: ArmState) -> float:
        low, high = self._arm.spec.gripper_low_m, self._arm.spec.gripper_high_m
        return min(max((state.gripper_m - low) / max(high - low, 1e-9), 0.0), 1.0)
