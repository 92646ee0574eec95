"""An arm that is read and never moved: a policy's first look at a real scene."""

from __future__ import annotations

import dataclasses

from vla.arm_modes import ArmModes
from vla.interfaces import Applied, Arm, ArmCommand, ArmMode, ArmSpec, ArmState

NOT_SENT = "dry run: nothing was sent"


class DryRunArm:
    """Another arm behind glass: it is connected, configured and read; torque and commands never reach it.

    Every command is answered with where the arm stands, so that each is judged from there.
    """

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._modes = ArmModes(arm.spec.name)

    @property
    def spec(self) -> ArmSpec:
        return self._arm.spec

    @property
    def mode(self) -> ArmMode:
        return self._modes.mode

    def connect(self) -> None:
        self._modes.enter("connect")
        self._arm.connect()

    def configure(self) -> None:
        self._modes.enter("configure")
        self._arm.configure()

    def arm(self) -> None:
        self._modes.enter("arm")

    def run(self) -> None:
        self._modes.enter("run")

    def hold(self) -> None:
        self._modes.enter("hold")

    def fault(self, reason: str) -> None:
        self._modes.latch(reason)

    def acknowledge(self, reason: str) -> None:
        self._modes.acknowledge(reason)

    def close(self) -> None:
        self._modes.disconnect()
        self._arm.close()

    def read(self) -> ArmState:
        state = self._arm.read()
        if state.mode is ArmMode.FAULT:
            return state
        return dataclasses.replace(state, mode=self.mode, fault=self._modes.fault)

    def write(self, command: ArmCommand) -> Applied:
        state = self._arm.read()
        self._modes.admit(command, self.spec, state.time_s)
        return Applied(state.commanded, state.commanded_gripper_m, (NOT_SENT,))
