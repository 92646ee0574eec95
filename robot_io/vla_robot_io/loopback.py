"""A robot of fakes: the whole lab loop with neither hardware nor physics, for tests and first trials.

Commands go in and come back as positions; the cameras show a gradient. It takes any embodiment whose actions
the control loop speaks.
"""

from __future__ import annotations

import numpy as np

from vla.embodiment import Embodiment
from vla.interfaces import Clock, Robot
from vla.kinematics import REST_POSTURE, ArmKinematics
from vla_robot_io.fake_arm import ArmFaults, FakeArm, Window
from vla_robot_io.fake_camera import FakeCamera


def loopback_robot(
    clock: Clock,
    embodiment: Embodiment,
    *,
    arm_faults: ArmFaults | None = None,
    frozen_camera: tuple[str, Window] | None = None,
    rate_hz: float = 100.0,
) -> Robot:
    """A fake Panda with fake cameras, in its rest posture.

    Args:
        clock: that all of it goes by.
        embodiment: what the robot is to be.
        arm_faults: what goes wrong with the arm, and when.
        frozen_camera: the name of a camera, and when it hands out the same picture again and again.
        rate_hz: commands a second.
    """
    frozen = dict([frozen_camera] if frozen_camera else [])
    arm = FakeArm(clock, rate_hz=rate_hz, start=np.array(REST_POSTURE), faults=arm_faults)
    cameras = tuple(FakeCamera(spec, clock, frozen=frozen.get(spec.name)) for spec in embodiment.cameras)
    return Robot(arm, cameras, embodiment, ArmKinematics("panda"), "panda", is_simulated=True)
