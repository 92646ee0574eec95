"""The look at what was applied finds what it is there to find."""

from __future__ import annotations

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.interfaces import Applied, ArmCommand, ArmMode
from vla.testing.applied import Entry, LoggedArm, check_applied, time_to_hold
from vla_robot_io.fake_arm import PANDA_READY, FakeArm


def running() -> tuple[LoggedArm, VirtualClock]:
    clock = VirtualClock()
    arm = LoggedArm(FakeArm(clock), clock)
    for verb in (arm.connect, arm.configure, arm.arm, arm.run):
        verb()
    write(arm, clock, PANDA_READY)
    return arm, clock


def write(arm: LoggedArm, clock: VirtualClock, positions: np.ndarray) -> None:
    clock.advance(0.01)
    arm.write(ArmCommand(positions, 0.04, len(arm.entries), clock.now() + 1.0))


def entry(verb: str, before: ArmMode, after: ArmMode, **more: object) -> Entry:
    return Entry(1.0, verb, before, after, **more)  # type: ignore[arg-type]


def test_a_run_that_keeps_to_its_limits_passes() -> None:
    arm, clock = running()
    for index in range(5):
        write(arm, clock, PANDA_READY + 0.01 * index)
    arm.hold()
    arm.fault("a cable")
    arm.acknowledge("a cable")
    check_applied(arm)
    assert len(arm.written) == 6


def test_a_step_that_is_too_long_is_found() -> None:
    arm, clock = running()
    write(arm, clock, PANDA_READY + 0.1)
    with pytest.raises(AssertionError, match=r"a joint moves 4\.6 steps in one"):
        check_applied(arm)
    check_applied(arm, speed_factor=5.0)


def test_a_step_that_is_rounded_to_the_ticks_of_servos_is_none_too_long() -> None:
    arm, clock = running()
    step = arm.spec.max_speed / arm.spec.rate_hz
    write(arm, clock, PANDA_READY + step + 0.0015)
    with pytest.raises(AssertionError, match=r"a joint moves 1\.07 steps in one"):
        check_applied(arm)
    check_applied(arm, resolution_rad=0.0016)
    write(arm, clock, PANDA_READY + 2.0 * step + 0.0048)
    with pytest.raises(AssertionError, match=r"a joint moves 1\.0\d steps in one"):
        check_applied(arm, resolution_rad=0.0016)


@pytest.mark.parametrize(
    ("positions", "gripper_m", "message"),
    [
        (PANDA_READY * np.nan, 0.04, "is not finite"),
        (PANDA_READY, float("inf"), "is not finite"),
        (PANDA_READY * 0, 0.04, "lies beyond a joint's limit"),
        (PANDA_READY, 0.09, "opens the gripper 0.09 m"),
    ],
)
def test_a_command_beyond_a_limit_is_found(positions: np.ndarray, gripper_m: float, message: str) -> None:
    arm, _ = running()
    applied = Applied(positions, gripper_m)
    arm.entries[-1] = entry("write", ArmMode.RUNNING, ArmMode.RUNNING, applied=applied)
    with pytest.raises(AssertionError, match=message):
        check_applied(arm)


def test_a_command_that_is_taken_in_a_fault_is_found() -> None:
    arm, _ = running()
    arm.fault("a cable")
    arm.entries.append(entry("write", ArmMode.FAULT, ArmMode.FAULT, applied=Applied(PANDA_READY, 0.04)))
    with pytest.raises(AssertionError, match="was taken while the arm was fault"):
        check_applied(arm)


@pytest.mark.parametrize(
    ("verb", "text"), [("acknowledge", "another"), ("run", ""), ("write", ""), ("read", ""), ("arm", "a cable")]
)
def test_a_fault_that_is_left_otherwise_than_by_its_name_is_found(verb: str, text: str) -> None:
    arm, _ = running()
    arm.fault("a cable")
    arm.entries.append(entry(verb, ArmMode.FAULT, ArmMode.RUNNING, text=text))
    with pytest.raises(AssertionError, match=f"the fault 'a cable' was left by '{verb}'"):
        check_applied(arm)


def test_the_time_to_hold_counts_from_the_fault_on() -> None:
    arm, clock = running()
    clock.advance(0.3)
    arm.hold()
    assert time_to_hold(arm, clock.now() - 0.3) == pytest.approx(0.3)
    with pytest.raises(AssertionError, match="has not held since"):
        time_to_hold(arm, clock.now() + 0.1)
