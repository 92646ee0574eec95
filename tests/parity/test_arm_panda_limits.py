"""The Panda as its maker publishes it, written down twice: for drivers, and in the kinematic model."""

from __future__ import annotations

import numpy as np

from vla.kinematics import ArmKinematics
from vla_robot_io.panda import panda_spec

SPEC = panda_spec(rate_hz=100.0)
MODEL = ArmKinematics("panda")


def test_the_joints_are_the_same() -> None:
    assert SPEC.joints == MODEL.joints


def test_the_joint_limits_are_the_same() -> None:
    assert np.array_equal(SPEC.position_low, MODEL.position_low)
    assert np.array_equal(SPEC.position_high, MODEL.position_high)


def test_the_speed_limits_are_the_same() -> None:
    assert np.array_equal(SPEC.max_speed, MODEL.max_speed)


def test_the_gripper_opens_as_far() -> None:
    assert (SPEC.gripper_low_m, SPEC.gripper_high_m) == (MODEL.opening_low_m, MODEL.opening_high_m)
