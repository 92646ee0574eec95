"""An arm that lives elsewhere, and its shadow here: what an emulated controller does, a simulated arm does too.

A controller that is emulated in a process of its own has joints and no world. Its shadow is an arm in a world, with
cameras and things to grasp, that is always told to be where the other one says it is.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from vla.interfaces import Applied, Arm, ArmCommand, ArmMode, ArmSpec, ArmState, Clock, Robot
from vla_robot_io.drivers import driver

SHADOW_RATE_HZ = 100.0
"""The shadow takes a new command every time it is looked at: ten milliseconds smooth what the other does."""


def shadow(model: str, clock: Clock, scene: dict[str, Any]) -> Robot:
    """The simulated robot that will do as another arm of this model does.

    Args:
        scene: what it is to be made with.

    Raises:
        ConfigError: if there is no simulator.
    """
    make = driver("virtual", "robot that is the shadow")
    return make(clock, rate_hz=SHADOW_RATE_HZ, arm=model, **scene)


def with_shadow(arm: Arm, shadow: Robot) -> Robot:
    """An arm in the world of its shadow. It lives by real time, as its controller does."""
    return dataclasses.replace(shadow, arm=ShadowedArm(arm, shadow.arm), is_simulated=False)


class ShadowedArm:
    """One arm, and another that does as it does."""

    def __init__(self, arm: Arm, shadow: Arm) -> None:
        """Take hold of both; nothing moves.

        Args:
            arm: the one that is driven.
            shadow: disconnected; it has the same joints.
        """
        self._arm, self._shadow = arm, shadow
        self._sequence = 0
        self._opening_m = math.nan

    @property
    def spec(self) -> ArmSpec:
        return self._arm.spec

    @property
    def mode(self) -> ArmMode:
        return self._arm.mode

    def connect(self) -> None:
        self._arm.connect()
        for verb in (self._shadow.connect, self._shadow.configure, self._shadow.arm, self._shadow.run):
            verb()

    def configure(self) -> None:
        self._arm.configure()

    def arm(self) -> None:
        self._arm.arm()

    def run(self) -> None:
        self._arm.run()

    def read(self) -> ArmState:
        state = self._arm.read()
        if state.fresh:
            # A gripper's fingers are told where to go, not where they are: a grasp would have no force.
            opening_m = state.commanded_gripper_m
            self._sequence += 1
            self._shadow.write(ArmCommand(state.positions.copy(), opening_m, self._sequence, math.inf))
        return state

    def write(self, command: ArmCommand) -> Applied:
        return self._arm.write(command)

    def hold(self) -> None:
        self._arm.hold()

    def fault(self, reason: str) -> None:
        self._arm.fault(reason)

    def acknowledge(self, reason: str) -> None:
        self._arm.acknowledge(reason)

    def close(self) -> None:
        self._arm.close()
        self._shadow.close()
