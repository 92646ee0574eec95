"""Somebody who moves a simulated arm where there is nobody: each joint sways about where it rests."""

from __future__ import annotations

import math
import time
from typing import Any

from lerobot.teleoperators.teleoperator import Teleoperator

from lerobot_robot_vla.config_vla_sway import VlaSwayConfig
from vla.interfaces import ArmSpec
from vla.kinematics import ArmKinematics
from vla_robot_io.from_lerobot.joint_mapping import Unit, mapping_of


class VlaSway(Teleoperator):
    """A sine for every joint."""

    config_class = VlaSwayConfig
    name = "vla_sway"

    def __init__(self, config: VlaSwayConfig) -> None:
        """Look the arm's rest up.

        Raises:
            ConfigError: if there is no such arm.
        """
        super().__init__(config)
        body = ArmKinematics(config.arm)
        spec = ArmSpec(
            config.arm,
            body.joints,
            body.position_low,
            body.position_high,
            body.max_speed,
            0.0,
            body.opening_high_m,
            1.0,
        )
        self._config, self._rest, self._opening_m = config, body.rest_posture, body.opening_high_m
        self._mapping = mapping_of(spec, Unit(config.unit))
        self._began_s: float | None = None

    @property
    def action_features(self) -> dict[str, Any]:
        return dict.fromkeys(self._mapping.features, float)

    @property
    def feedback_features(self) -> dict[str, Any]:
        return {}

    @property
    def is_connected(self) -> bool:
        return self._began_s is not None

    @property
    def is_calibrated(self) -> bool:
        return True

    def connect(self, calibrate: bool = True) -> None:
        self._began_s = time.monotonic()

    def calibrate(self) -> None:
        """There is nothing to calibrate."""

    def configure(self) -> None:
        """There is nothing to set."""

    def get_action(self) -> dict[str, float]:
        if self._began_s is None:
            raise RuntimeError("vla_sway is not connected: call connect() first")
        phase = math.tau * (time.monotonic() - self._began_s) / self._config.period_s
        sway_rad = math.radians(self._config.degrees) * math.sin(phase)
        return self._mapping.action(self._rest + sway_rad, self._opening_m)

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        """It feels nothing."""

    def disconnect(self) -> None:
        self._began_s = None
