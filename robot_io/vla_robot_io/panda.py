"""What a Franka Emika Panda (FER) is: joints, limits and speeds, as its maker publishes them.

Source: Franka Control Interface documentation, "Robot and interface specifications", limits for Panda. Limits
depend on the robot and on its firmware: these are not those of a Franka Research 3.
"""

from __future__ import annotations

import numpy as np

from vla.interfaces import ArmSpec

JOINTS = ("joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6", "joint_7")
POSITION_LOW_RAD = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
POSITION_HIGH_RAD = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
MAX_SPEED_RAD_S = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
MAX_ACCELERATION_RAD_S2 = (15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0)
MAX_JERK_RAD_S3 = (7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0)
MAX_OPENING_M = 0.08  # Franka Hand: both fingers travel 0.04 m


def panda_spec(rate_hz: float, name: str = "panda") -> ArmSpec:
    """The Panda, taking commands at `rate_hz`."""
    return ArmSpec(
        name=name,
        joints=JOINTS,
        position_low=np.array(POSITION_LOW_RAD),
        position_high=np.array(POSITION_HIGH_RAD),
        max_speed=np.array(MAX_SPEED_RAD_S),
        max_acceleration=np.array(MAX_ACCELERATION_RAD_S2),
        max_jerk=np.array(MAX_JERK_RAD_S3),
        gripper_low_m=0.0,
        gripper_high_m=MAX_OPENING_M,
        rate_hz=rate_hz,
    )
