from __future__ import annotations

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.errors import ArmError
from vla.interfaces import ArmCommand, ArmMode
from vla_robot_io.dry_run import NOT_SENT, DryRunArm
from vla_robot_io.fake_arm import FakeArm


def running() -> tuple[DryRunArm, FakeArm, VirtualClock]:
    clock = VirtualClock()
    inner = FakeArm(clock)
    arm = DryRunArm(inner)
    for verb in (arm.connect, arm.configure, arm.arm, arm.run):
        verb()
    return arm, inner, clock


def test_the_arm_behind_it_never_gets_torque() -> None:
    arm, inner, _ = running()
    assert arm.mode is ArmMode.RUNNING
    assert inner.mode is ArmMode.CONFIGURED


def test_a_command_is_answered_with_where_the_arm_stands() -> None:
    arm, inner, clock = running()
    start = arm.read().positions
    applied = arm.write(ArmCommand(start + 0.01, 0.04, 1, clock.now() + 1.0))
    clock.advance(1.0)
    assert np.array_equal(applied.positions, start)
    assert applied.reasons == (NOT_SENT,)
    assert np.array_equal(inner.read().positions, start)


def test_a_stale_command_is_refused_as_by_any_arm() -> None:
    arm, _, clock = running()
    clock.advance(2.0)
    with pytest.raises(ArmError, match="after it was valid"):
        arm.write(ArmCommand(arm.read().positions, 0.04, 1, 1.0))


def test_a_fault_of_the_arm_behind_it_is_seen() -> None:
    arm, inner, _ = running()
    inner.fault("collision")
    assert (arm.read().mode, arm.read().fault) == (ArmMode.FAULT, "collision")
