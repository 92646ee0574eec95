"""LeRobot's robots keep the contract of every arm, in whatever unit their numbers are."""

from __future__ import annotations

import pytest

from vla.interfaces import Clock
from vla.testing.arms import check_arm
from vla_robot_io.fake_arm import FakeArm
from vla_robot_io.from_lerobot.arm_as_lerobot import ArmAsLerobot
from vla_robot_io.from_lerobot.joint_mapping import Unit, mapping_of
from vla_robot_io.from_lerobot.lerobot_link import LerobotLink
from vla_robot_io.from_lerobot.robot import ZEROS
from vla_robot_io.links.link import KnownArm
from vla_robot_io.links.linked_arm import LinkedArm


def make_arm(clock: Clock, unit: Unit) -> LinkedArm:
    behind = FakeArm(clock)
    mapping = mapping_of(behind.spec, unit)
    link = LerobotLink(ArmAsLerobot(behind, mapping, clock), mapping, clock, disconnects=True)
    return LinkedArm(link, mapping.spec("lerobot", 100.0), KnownArm(("vla",)), clock, ZEROS)


@pytest.mark.parametrize("unit", Unit, ids=lambda unit: unit.value)
def test_a_robot_of_lerobots_keeps_the_contract(unit: Unit) -> None:
    check_arm(lambda clock: make_arm(clock, unit))
