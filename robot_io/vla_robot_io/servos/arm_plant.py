"""Any other arm behind emulated servos: their goals are its commands, its joints are their ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping

from vla.interfaces import Arm, ArmCommand, ArmSpec
from vla_robot_io.servos.calibration import Calibration, GripperCalibration, JointCalibration
from vla_robot_io.servos.registers import ServoModel

_GRIPPER_CLOSED, _GRIPPER_OPEN = 1024, 3072


class ArmPlant:
    """A plant of `EmulatedServos` that is an arm; where one servo has no torque, all of it stays where it is."""

    def __init__(self, arm: Arm, model: ServoModel, calibration: Calibration) -> None:
        """Lead the arm to where it takes commands.

        Args:
            arm: disconnected.
        """
        for verb in (arm.connect, arm.configure, arm.arm, arm.run):
            verb()
        self._arm, self._model, self._calibration = arm, model, calibration
        self._goals: list[int] | None = None
        self._sequence = 0

    def drive(self, goals: Mapping[int, int | None]) -> None:
        wanted = [goal for id in self._calibration.ids if (goal := goals[id]) is not None]
        # The same goal again is no new command: it would begin the way anew.
        if len(wanted) < len(self._calibration.ids) or wanted == self._goals:
            return
        self._goals = wanted
        self._sequence += 1
        positions = self._calibration.positions(self._model, wanted[:-1])
        opening_m = max(0.0, self._calibration.opening(wanted[-1]))
        self._arm.write(ArmCommand(positions, opening_m, self._sequence, math.inf))

    def measure(self) -> Mapping[int, tuple[int, float]]:
        state = self._arm.read()
        turning = state.velocities * [joint.direction for joint in self._calibration.joints] / self._model.rad_per_tick
        ticks = self._calibration.nearest_ticks(self._model, state.positions).tolist()
        gripper = self._calibration.gripper_ticks(state.gripper_m)
        return dict(
            zip(self._calibration.ids, zip([*ticks, gripper], [*turning.tolist(), 0.0], strict=True), strict=True)
        )


def calibration_of(spec: ArmSpec, model: ServoModel) -> Calibration:
    """Servos for the joints of an arm, the middle of each joint's range in the middle of its servo's turn."""
    middle = model.ticks_per_turn // 2
    joints = []
    for index, name in enumerate(spec.joints):
        low, high = (float(end[index]) / model.rad_per_tick for end in (spec.position_low, spec.position_high))
        zero = middle - round((low + high) / 2)
        joints.append(JointCalibration(name, index + 1, zero, 1, math.ceil(zero + low), math.floor(zero + high)))
    gripper = GripperCalibration(len(joints) + 1, _GRIPPER_CLOSED, _GRIPPER_OPEN, spec.gripper_high_m)
    return Calibration(tuple(joints), gripper)
