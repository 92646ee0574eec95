"""Arms of emulated servos keep the contract of every arm."""

from __future__ import annotations

import pytest

from vla.interfaces import Clock
from vla.testing.arms import check_arm
from vla_robot_io.servos.bus import ServoBus
from vla_robot_io.servos.calibration import Calibration, GripperCalibration, JointCalibration
from vla_robot_io.servos.emulator import EmulatedServos, LoopbackWire
from vla_robot_io.servos.packets import Dialect, Dynamixel, Feetech
from vla_robot_io.servos.registers import MODELS
from vla_robot_io.servos.servo_arm import ServoArm, ServoArmConfig

CALIBRATION = Calibration(
    joints=(
        JointCalibration("shoulder", 1, 2048, 1, 1000, 3000),
        JointCalibration("elbow", 2, 2100, -1, 1100, 3100),
    ),
    gripper=GripperCalibration(3, closed=2000, open=3000, opening_m=0.07),
)
CONFIG = ServoArmConfig("emulated", (3.0, 3.0))


def make_arm(model: str, dialect: Dialect, clock: Clock) -> ServoArm:
    servos = EmulatedServos(MODELS[model], dialect, CALIBRATION.ids, clock)
    return ServoArm(ServoBus(LoopbackWire(servos), dialect), MODELS[model], CALIBRATION, CONFIG, clock)


@pytest.mark.parametrize(("model", "dialect"), [("sts3215", Feetech()), ("xl330_m288", Dynamixel())])
def test_an_arm_of_servos_keeps_the_contract(model: str, dialect: Dialect) -> None:
    check_arm(lambda clock: make_arm(model, dialect, clock))
