"""Every fault ends in HOLD or in a latched FAULT that says why, and never in a motion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.errors import ActionError, ArmError, ArmFault, ObservationError
from vla.interfaces import Applied, ArmCommand, ArmMode, ArmState, CameraFrame, EpisodeSpec, Robot
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.fake_arm import ArmFaults, FakeArm, Window
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.reasons import Code
from vla_sim.embodiments import TABLETOP_PANDA

SPEC = EpisodeSpec(task="", seed=0, instruction="push the red block")
FORWARD = np.array([0.02, 0.0, 0.0, 0.0, 1.0], np.float32)
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)

BRAKING_RAD = 0.022
"""An arm that goes forward at 0.2 m/s, as these do, comes to rest within this."""


class Lab:
    """A loopback robot in a control loop, with everything that it tells."""

    def __init__(self, wrap: Callable[[Robot], Robot] = lambda robot: robot, **faults: object) -> None:
        self.clock = VirtualClock(100.0)
        self.robot = wrap(loopback_robot(self.clock, TABLETOP_PANDA, **faults))  # type: ignore[arg-type]
        self.reports: list[StepReport] = []
        self.environment = ArmEnvironment(self.robot, self.clock, BOX)
        self.environment.on_step = self.reports.append

    @property
    def mode(self) -> ArmMode:
        return self.robot.arm.mode

    def commanded(self) -> np.ndarray:
        return self.environment.report.command.positions

    def codes(self) -> set[Code]:
        return {reason.code for report in self.reports for reason in report.reasons}


def steps_until_fault(lab: Lab, most: int = 20) -> tuple[int, str]:
    for count in range(most):
        try:
            lab.environment.step(FORWARD)
        except ArmFault as fault:
            return count, str(fault)
    pytest.fail(f"no fault in {most} steps")


# --------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", range(5))
def test_an_action_that_is_not_finite_moves_nothing(index: int, value: float) -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    before = lab.commanded().copy()
    action = FORWARD.copy()
    action[index] = value
    with pytest.raises(ActionError):
        lab.environment.step(action)
    assert lab.mode is not ArmMode.RUNNING
    assert np.array_equal(lab.commanded(), before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", range(5))
def test_an_action_that_is_not_finite_brakes_a_moving_arm_and_holds_it(index: int, value: float) -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)
    before = lab.commanded().copy()
    action = FORWARD.copy()
    action[index] = value
    with pytest.raises(ActionError, match=f"action {TABLETOP_PANDA.action[index].name} asked for .*not finite"):
        lab.environment.step(action)
    assert lab.mode is ArmMode.HOLD
    assert np.abs(lab.commanded() - before).max() <= BRAKING_RAD
    assert lab.environment.report.is_at_rest
    assert lab.reports[-1].reasons[0].code is Code.NON_FINITE


def test_the_third_such_action_within_a_second_is_a_fault() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    bad = FORWARD * np.nan
    for _ in range(2):
        with pytest.raises(ActionError):
            lab.environment.step(bad)
    with pytest.raises(ArmFault, match="not finite"):
        lab.environment.step(bad)
    assert lab.mode is ArmMode.FAULT
    with pytest.raises(ArmFault, match="is in fault"):
        lab.environment.step(FORWARD)


def test_a_good_action_after_a_bad_one_moves_again() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    with pytest.raises(ActionError):
        lab.environment.step(FORWARD * np.nan)
    assert lab.environment.step(FORWARD).applied[0] == pytest.approx(0.02, abs=1e-3)
    assert lab.mode is ArmMode.RUNNING


def test_an_action_of_the_wrong_width_holds() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)
    with pytest.raises(ActionError, match=r"has 5 numbers, got \(4,\)"):
        lab.environment.step(FORWARD[:4])
    assert lab.mode is ArmMode.HOLD


def test_inverse_kinematics_that_answers_nan_holds() -> None:
    def break_inverse(robot: Robot) -> Robot:
        class Broken:
            forward = staticmethod(robot.kinematics.forward)

            def inverse(self, pose: np.ndarray, start: np.ndarray) -> np.ndarray:
                return np.full_like(start, np.nan)

        return dataclasses.replace(robot, kinematics=Broken())

    lab = Lab(break_inverse)
    lab.environment.reset(SPEC)
    before = lab.commanded().copy()
    lab.environment.step(FORWARD)
    assert lab.mode is ArmMode.HOLD
    assert np.array_equal(lab.commanded(), before)
    assert Code.NON_FINITE in lab.codes()


def test_inverse_kinematics_that_jumps_is_a_fault() -> None:
    def other_elbow(robot: Robot) -> Robot:
        class Flipped:
            forward = staticmethod(robot.kinematics.forward)

            def inverse(self, pose: np.ndarray, start: np.ndarray) -> np.ndarray:
                return -start

        return dataclasses.replace(robot, kinematics=Flipped())

    lab = Lab(other_elbow)
    lab.environment.reset(SPEC)
    before = lab.commanded().copy()
    with pytest.raises(ArmFault, match="asked to jump"):
        lab.environment.step(FORWARD)
    assert lab.mode is ArmMode.FAULT
    assert np.array_equal(lab.commanded(), before)


# --------------------------------------------------------------------------- the arm's link


def test_an_arm_whose_link_froze_holds_then_faults() -> None:
    lab = Lab(arm_faults=ArmFaults(stale=Window(0.55)))
    lab.environment.reset(SPEC)
    for _ in range(5):
        lab.environment.step(FORWARD * 0)
    for _ in range(2):
        lab.environment.step(FORWARD)
    assert lab.mode is ArmMode.HOLD
    held = lab.commanded().copy()
    _, reason = steps_until_fault(lab)
    assert "the arm's clock has not advanced" in reason
    assert lab.mode is ArmMode.FAULT
    assert np.array_equal(lab.commanded(), held)
    assert lab.clock.now() == pytest.approx(100.0 + 0.55 + 0.5, abs=0.05)


def test_a_device_clock_that_stands_still_counts_as_a_frozen_link() -> None:
    lab = Lab(arm_faults=ArmFaults(frozen_clock=Window(0.1)))
    lab.environment.reset(SPEC)
    _, reason = steps_until_fault(lab)
    assert "the arm's clock has not advanced" in reason


def test_the_arm_brakes_from_60_ms_after_its_link_froze() -> None:
    lab = Lab(arm_faults=ArmFaults(stale=Window(0.2, 0.4)))
    lab.environment.reset(SPEC)
    written: list[tuple[float, float]] = []
    arm = lab.robot.arm
    assert isinstance(arm, FakeArm)
    write = arm.write

    def heard(command: ArmCommand) -> Applied:
        written.append((lab.clock.now() - 100.0, command.positions[3]))
        return write(command)

    arm.write = heard  # type: ignore[method-assign]
    for _ in range(4):
        lab.environment.step(FORWARD)
    times, positions = np.array(written).T
    speed = np.diff(positions) / 0.01
    braking = speed[times[1:] > 0.2 + 0.06]
    assert (np.diff(braking) < 0).all()
    assert max(times) <= 0.2 + 0.06 + speed.max() / 12.5 + 0.02


def test_a_short_freeze_ends_in_hold_and_then_in_motion() -> None:
    lab = Lab(arm_faults=ArmFaults(stale=Window(0.2, 0.4)))
    lab.environment.reset(SPEC)
    modes = []
    for _ in range(8):
        lab.environment.step(FORWARD)
        modes.append(lab.mode)
    assert ArmMode.HOLD in modes
    assert modes[-1] is ArmMode.RUNNING
    assert ArmMode.FAULT not in modes


def test_an_arm_that_reads_nan_holds_then_faults() -> None:
    lab = Lab(arm_faults=ArmFaults(nan=Window(0.2)))
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)
    lab.environment.step(FORWARD)
    lab.environment.step(FORWARD)
    transition = lab.environment.step(FORWARD)
    assert lab.mode is ArmMode.HOLD
    assert np.isfinite(transition.observation.proprioception).all()
    assert "proprioception" not in transition.observation.fresh
    steps_until_fault(lab)
    assert lab.mode is ArmMode.FAULT


def test_an_arm_that_reads_nan_from_the_start_is_never_enabled() -> None:
    lab = Lab(arm_faults=ArmFaults(nan=Window(0.0)))
    with pytest.raises(ArmError, match="not finite"):
        lab.environment.reset(SPEC)
    assert lab.mode is not ArmMode.RUNNING


def test_an_arm_that_raises_on_write_is_a_fault() -> None:
    lab = Lab(arm_faults=ArmFaults(write_error=Window(0.1)))
    lab.environment.reset(SPEC)
    _, reason = steps_until_fault(lab)
    assert "would not take command" in reason
    assert "the port is gone" in reason
    assert lab.mode is ArmMode.FAULT
    assert Code.WRITE_ERROR in lab.codes()


def test_an_arm_that_raises_on_read_is_a_fault() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)

    def unplugged() -> ArmState:
        raise OSError("no such device")

    lab.robot.arm.read = unplugged  # type: ignore[method-assign]
    with pytest.raises(ArmFault, match="cannot be read: no such device"):
        lab.environment.step(FORWARD)
    assert lab.mode is ArmMode.FAULT


def test_a_fault_of_the_arm_itself_stops_the_loop() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)
    lab.robot.arm.fault("collision at joint_3")
    with pytest.raises(ArmFault, match="is in fault: collision at joint_3"):
        lab.environment.step(FORWARD)


def test_nothing_leaves_a_fault_but_its_acknowledgement_by_name() -> None:
    lab = Lab(arm_faults=ArmFaults(write_error=Window(0.1, 0.2)))
    lab.environment.reset(SPEC)
    _, reason = steps_until_fault(lab)
    with pytest.raises(ArmFault):
        lab.environment.reset(SPEC)
    with pytest.raises(ArmError, match="cannot acknowledge"):
        lab.robot.arm.acknowledge("whatever it was")
    lab.robot.arm.acknowledge(reason)
    lab.clock.advance(1.0)
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)
    assert lab.mode is ArmMode.RUNNING


# --------------------------------------------------------------------------- cameras and lateness


def test_a_frozen_camera_holds_within_two_steps_and_resumes_when_it_sees_again() -> None:
    lab = Lab(frozen_camera=("wrist", Window(0.25, 1.05)))
    lab.environment.reset(SPEC)
    modes, applied = [], []
    for _ in range(16):
        applied.append(lab.environment.step(FORWARD * 0.2).applied[0])
        modes.append(lab.mode)
    assert modes[:3] == [ArmMode.RUNNING] * 3
    assert modes[5:7] == [ArmMode.HOLD] * 2
    assert applied[6] == 0.0
    assert modes[-1] is ArmMode.RUNNING
    assert Code.STALE_CAMERA in lab.codes()


def test_the_same_picture_with_new_time_stamps_is_noticed_by_its_sequence() -> None:
    lab = Lab()

    class Restamped:
        name = "wrist"
        frame = lab.robot.cameras[1].read()

        def read(self) -> object:
            return dataclasses.replace(self.frame, time_s=lab.clock.now())

        def close(self) -> None:
            return None

    robot = dataclasses.replace(lab.robot, cameras=(lab.robot.cameras[0], Restamped()))
    environment = ArmEnvironment(robot, lab.clock, BOX)
    environment.reset(SPEC)
    held = [(environment.step(FORWARD * 0.2), environment.mode is ArmMode.HOLD)[1] for _ in range(7)]
    assert held == [False] * 5 + [True] * 2


def test_a_late_action_is_not_carried_out() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)
    lab.clock.advance(0.6)
    late = lab.environment.step(FORWARD)
    assert lab.mode is ArmMode.HOLD
    assert not late.applied[:4].any()
    assert "the action came 0.600 s after its observation" in lab.reports[-1].reasons[0].text


def test_the_action_after_a_late_one_is_carried_out() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    lab.clock.advance(0.6)
    lab.environment.step(FORWARD)
    assert lab.environment.step(FORWARD).applied[0] == pytest.approx(0.02, abs=1e-3)


class Sluggish(VirtualClock):
    """Sleeps longer than it was told to."""

    extra_s = 0.0

    def sleep_until(self, time_s: float) -> None:
        super().sleep_until(time_s + self.extra_s)


def test_commands_that_come_late_are_never_made_up_for_in_a_burst() -> None:
    clock = Sluggish()
    environment = ArmEnvironment(loopback_robot(clock, TABLETOP_PANDA), clock, BOX)
    environment.reset(SPEC)
    clock.extra_s = 0.03
    begin = clock.now()
    environment.step(FORWARD)
    assert clock.now() - begin >= 10 * 0.03


def test_ten_late_commands_in_a_row_hold() -> None:
    clock = Sluggish()
    robot = loopback_robot(clock, TABLETOP_PANDA)
    reports: list[StepReport] = []
    environment = ArmEnvironment(robot, clock, BOX)
    environment.on_step = reports.append
    environment.reset(SPEC)
    clock.extra_s = 0.015
    for _ in range(2):
        environment.step(FORWARD)
    assert [report.overruns for report in reports] == [9, 9]
    assert Code.OVERRUN in {reason.code for reason in reports[1].reasons}
    assert robot.arm.mode is ArmMode.HOLD


def test_the_arm_itself_refuses_a_command_that_has_expired() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)
    arm = lab.robot.arm
    write = arm.write

    def blocked(command: object) -> object:
        lab.clock.advance(0.2)
        return write(command)  # type: ignore[arg-type]

    arm.write = blocked  # type: ignore[method-assign,assignment]
    with pytest.raises(ArmFault, match="after it was valid"):
        lab.environment.step(FORWARD)


def test_a_camera_that_was_unplugged_holds() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)

    def unplugged() -> Sequence[CameraFrame]:
        raise OSError("no such device")

    lab.robot.cameras[0].recent = unplugged  # type: ignore[attr-defined]
    with pytest.raises(ObservationError, match="camera 'scene' cannot be read: no such device"):
        lab.environment.step(FORWARD)
    assert lab.mode is ArmMode.HOLD


# --------------------------------------------------------------------------- leaving


def test_an_arm_that_would_not_hold_is_a_fault() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)

    def jammed() -> None:
        raise OSError("no answer")

    lab.robot.arm.hold = jammed  # type: ignore[method-assign]
    with pytest.raises(ArmFault, match="would not hold: no answer"):
        lab.environment.hold()
    assert lab.mode is ArmMode.FAULT


def test_an_arm_whose_wire_is_gone_altogether_is_sent_nothing_more() -> None:
    lab = Lab(arm_faults=ArmFaults(write_error=Window(0.1)))
    lab.environment.reset(SPEC)

    def gone(reason: str) -> None:
        raise OSError("no such port")

    lab.robot.arm.fault = gone  # type: ignore[method-assign]
    _, reason = steps_until_fault(lab)
    assert "the port is gone" in reason


def test_closing_holds_the_arm_first() -> None:
    lab = Lab()
    lab.environment.reset(SPEC)
    lab.environment.step(FORWARD)
    calls: list[str] = []
    arm = lab.robot.arm
    hold, close = arm.hold, arm.close
    arm.hold = lambda: (calls.append("hold"), hold())[1]  # type: ignore[method-assign,func-returns-value]
    arm.close = lambda: (calls.append("close"), close())[1]  # type: ignore[method-assign,func-returns-value]
    lab.environment.close()
    assert calls == ["hold", "close"]
