"""A simulated arm as LeRobot's `Robot`: real time, degrees, pictures, and joint speeds that are kept.

`send_action` gives back what was really sent: a goal that is farther away than the joints come is only approached.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from lerobot.robots.robot import Robot

from lerobot_robot_vla.config_vla_virtual import VlaVirtualConfig
from vla.clock import RealClock
from vla_robot_io.from_lerobot.arm_as_lerobot import ArmAsLerobot
from vla_robot_io.from_lerobot.joint_mapping import Unit, mapping_of
from vla_sim.virtual_arm import make_robot


class VlaVirtual(Robot):
    """One simulated arm and its cameras."""

    config_class = VlaVirtualConfig
    name = "vla_virtual"

    def __init__(self, config: VlaVirtualConfig) -> None:
        """Set the scene up.

        Raises:
            ConfigError: if there is no such arm or unit, or no task's words fit the instruction.
        """
        super().__init__(config)
        self.config = config

    @cached_property
    def _arm(self) -> ArmAsLerobot:
        config, clock = self.config, RealClock()
        robot = make_robot(
            clock,
            instruction=config.instruction,
            seed=config.seed,
            task=config.task,
            rate_hz=config.rate_hz,
            arm=config.arm,
        )
        return ArmAsLerobot(robot.arm, mapping_of(robot.arm.spec, Unit(config.unit)), clock, robot.cameras, self.name)

    @property
    def observation_features(self) -> dict[str, Any]:
        return self._arm.observation_features

    @property
    def action_features(self) -> dict[str, Any]:
        return self._arm.action_features

    @property
    def is_connected(self) -> bool:
        return "_arm" in self.__dict__ and self._arm.is_connected

    @property
    def is_calibrated(self) -> bool:
        return True

    @property
    def cameras(self) -> dict[str, Any]:
        """By name: LeRobot's recorder counts them."""
        return self._arm.cameras

    def connect(self, calibrate: bool = True) -> None:
        self._arm.connect()

    def calibrate(self) -> None:
        """A simulated arm knows where its zeros are."""

    def configure(self) -> None:
        """There is nothing to set."""

    def get_observation(self) -> dict[str, Any]:
        return self._arm.get_observation()

    def send_action(self, action: dict[str, Any]) -> dict[str, float]:
        sent = self._arm.send_action(action)
        if self.config.log is not None:
            asked = {name: float(action[name]) for name in sent}
            measured = {name: self._arm.positions()[name] for name in sent}
            with self.config.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"asked": asked, "sent": sent, "measured": measured}) + "\n")
        return sent

    def disconnect(self) -> None:
        self._arm.disconnect()
