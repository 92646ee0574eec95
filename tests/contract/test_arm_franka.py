"""An arm behind franky keeps the contract of every arm; where franky and franky-sim are, through the real ones too."""

from __future__ import annotations

from vla.interfaces import Clock
from vla.testing.arms import check_arm
from vla_robot_io.franka.fake_franky import FakeFranky
from vla_robot_io.franka.franka_link import FrankaLink, FrankaLinkConfig
from vla_robot_io.franka.limits import FR3
from vla_robot_io.franka.robot import make_arm
from vla_robot_io.links.gripper import NoGripper
from vla_robot_io.links.linked_arm import LinkedArm


def make(clock: Clock) -> LinkedArm:
    link = FrankaLink(FrankaLinkConfig("nowhere"), NoGripper(0.08), FakeFranky(clock))
    return make_arm(clock, link, FR3, "fake FR3")


def test_an_arm_behind_franky_keeps_the_contract() -> None:
    check_arm(make)
