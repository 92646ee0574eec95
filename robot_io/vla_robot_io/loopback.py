"""Robots of fakes: the whole lab loop with neither hardware nor physics, for tests and first trials.

Commands go in and come back as positions; the cameras show a gradient. They take any embodiment whose actions
the control loop speaks. `loopback_servos` has emulated servos between: packets, ticks, registers and all.
"""

from __future__ import annotations

import numpy as np

from vla.embodiment import Embodiment
from vla.interfaces import Clock, Robot
from vla.kinematics import REST_POSTURE, ArmKinematics
from vla_robot_io.fake_arm import ArmFaults, FakeArm, Window
from vla_robot_io.fake_camera import FakeCamera
from vla_robot_io.panda import panda_spec
from vla_robot_io.servos.arm_plant import calibration_of
from vla_robot_io.servos.bus import ServoBus
from vla_robot_io.servos.emulator import EmulatedServos, IdealJoints, LoopbackWire, ServoFaults
from vla_robot_io.servos.packets import DIALECTS
from vla_robot_io.servos.registers import MODELS
from vla_robot_io.servos.servo_arm import ServoArm, ServoArmConfig


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


def loopback_servos(
    clock: Clock,
    embodiment: Embodiment,
    model: str = "sts3215",
    *,
    faults: ServoFaults | None = None,
    supply_volts: float | None = None,
    rate_hz: float = 50.0,
) -> tuple[Robot, EmulatedServos]:
    """A Panda whose joints are emulated servos with ids from 1 on, in its rest posture, with fake cameras.

    Args:
        model: of the servos, one of `vla_robot_io.servos.registers.MODELS`.
        faults: of the bus and the servos.
        supply_volts: what their supply should give.
        rate_hz: commands a second.

    Returns:
        The robot, and its servos, whose registers may be looked at.
    """
    kind, dialect = MODELS[model], DIALECTS[MODELS[model].dialect]
    spec = panda_spec(rate_hz)
    calibration = calibration_of(spec, kind)
    ticks = calibration.ticks(kind, np.array(REST_POSTURE)).tolist()
    start = dict(zip(calibration.ids, [*ticks, calibration.gripper.open], strict=True))
    servos = EmulatedServos(kind, dialect, calibration.ids, clock, IdealJoints(clock, start), faults)
    speeds = tuple(spec.max_speed.tolist())
    config = ServoArmConfig(f"loopback {model}", speeds, rate_hz=rate_hz, supply_volts=supply_volts)
    arm = ServoArm(ServoBus(LoopbackWire(servos), dialect), kind, calibration, config, clock)
    cameras = tuple(FakeCamera(camera, clock) for camera in embodiment.cameras)
    return Robot(arm, cameras, embodiment, ArmKinematics("panda"), "panda", is_simulated=True), servos
