"""A UR5e whose controller is emulated in another process keeps the contract of every arm, through the real ur-rtde."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vla.clock import RealClock
from vla.interfaces import Clock
from vla.testing.arms import check_arm
from vla_robot_io.links.controller_process import ControllerProcess
from vla_robot_io.links.linked_arm import LinkedArm
from vla_robot_io.universal_robots.emulator import start_anywhere
from vla_robot_io.universal_robots.robot import UR5E, make_arm
from vla_robot_io.universal_robots.robotiq import RobotiqGripper
from vla_robot_io.universal_robots.ur_link import UrLinkConfig

pytest.importorskip("rtde_control", reason="ur-rtde is not installed")


@pytest.fixture
def controller() -> Iterator[ControllerProcess]:
    controller = start_anywhere()
    controller.tell("patient 60")  # with a busy machine
    yield controller
    controller.close()


@pytest.mark.slow
def test_an_arm_behind_ur_rtde_keeps_the_contract(controller: ControllerProcess) -> None:
    def make(clock: Clock) -> LinkedArm:
        gripper = RobotiqGripper(controller.host, 0.085)
        return make_arm(
            clock,
            "emulated",
            UrLinkConfig(controller.host, 100.0, patience_s=60.0, call_s=60.0, begins_s=60.0),
            UR5E,
            gripper,
        )

    check_arm(make, make_clock=RealClock)
