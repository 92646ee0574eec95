"""Rows F01 to F20a of the fault catalogue: a bus and its servos go wrong under a moving arm, and the loop holds it."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.errors import ArmError, ArmFault
from vla.interfaces import ArmMode, EpisodeSpec
from vla.testing import LoggedArm, check_applied, time_to_hold
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.fake_arm import Window
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_servos
from vla_robot_io.servos.emulator import ServoFaults
from vla_sim.embodiments import TABLETOP_PANDA

SPEC = EpisodeSpec(task="", seed=0, instruction="push the red block")
FORWARD = np.array([0.01, 0.0, 0.0, 0.0, 1.0], np.float32)
BACK = np.array([-0.01, 0.0, 0.0, 0.0, 1.0], np.float32)
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
START_S, FAULT_S = 100.0, 0.25
LATER, ONCE = Window(FAULT_S), Window(FAULT_S, 0.35)
TICK_S = 0.02

both = pytest.mark.parametrize("model", ["sts3215", "xl330_m288"])


class Lab:
    """An arm of emulated servos in a control loop; every test ends with a look at all that was applied."""

    def __init__(self, model: str = "sts3215", faults: ServoFaults | None = None, **options: Any) -> None:
        self.clock = VirtualClock(START_S)
        robot, self.servos = loopback_servos(self.clock, TABLETOP_PANDA, model, faults=faults, **options)
        self.arm = LoggedArm(robot.arm, self.clock)
        self.robot = dataclasses.replace(robot, arm=self.arm)
        self.reports: list[StepReport] = []
        self.environment = ArmEnvironment(self.robot, self.clock, BOX)
        self.environment.on_step = self.reports.append

    @property
    def mode(self) -> ArmMode:
        return self.arm.mode

    def move(self, steps: int) -> None:
        """Ahead and back, so that there is room for ever."""
        for index in range(steps):
            self.environment.step(FORWARD if index % 20 < 10 else BACK)

    def move_until_it_ends(self, steps: int = 60) -> str:
        """What ended it."""
        try:
            self.move(steps)
        except ArmError as error:
            return str(error)
        pytest.fail(f"nothing ended it in {steps} steps")

    def begin(self) -> None:
        self.environment.reset(SPEC)

    def acknowledge(self) -> None:
        self.arm.acknowledge(self.arm.read().fault or "")

    def hold_s(self) -> float:
        """From the fault until the arm stood still."""
        check_applied(self.arm)
        return time_to_hold(self.arm, START_S + FAULT_S)

    def moved_after(self, time_s: float) -> bool:
        """Whether a command came this long after the robot was made."""
        return any(entry.time_s > START_S + time_s for entry in self.arm.written)


def warnings(caplog: pytest.LogCaptureFixture, text: str) -> int:
    """How often the log warns of something."""
    return sum(text in record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)


# --------------------------------------------------------------------------- the bus


@both
def test_f01_one_lost_answer_is_asked_for_again_and_nothing_stops(model: str) -> None:
    lab = Lab(model, ServoFaults(dropped=[150, 271, 390]))
    lab.begin()
    lab.move(10)
    assert lab.mode is ArmMode.RUNNING
    assert not any(report.reasons for report in lab.reports)
    assert lab.robot.arm._arm._bus.tally.silent == 3  # type: ignore[attr-defined]
    check_applied(lab.arm)


@both
def test_f02_a_silent_servo_holds_in_60_ms_and_is_a_fault_that_names_it_after_half_a_second(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    lab = Lab(model, ServoFaults(silent={3: LATER}))
    lab.begin()
    told = lab.move_until_it_ends()
    assert f"loopback {model}: joint_3, servo 3, has not answered for 0.5" in told
    assert lab.mode is ArmMode.FAULT
    assert lab.hold_s() <= 0.05 + 2 * TICK_S
    assert lab.clock.now() - START_S - FAULT_S == pytest.approx(0.5, abs=2 * TICK_S)
    assert warnings(caplog, "stale_arm") == 1


@both
def test_f03_one_broken_answer_in_a_hundred_is_counted_and_nothing_stops(model: str) -> None:
    lab = Lab(model, ServoFaults(lossy=(Window(0.0), 0.01)))
    lab.begin()
    lab.move(50)
    tally = lab.robot.arm._arm._bus.tally  # type: ignore[attr-defined]
    assert tally.broken > 10
    assert tally.answered > 1500
    assert lab.mode is ArmMode.RUNNING
    assert lab.moved_after(4.5)
    check_applied(lab.arm)


@both
def test_f04_three_broken_answers_in_ten_are_a_fault_of_the_link(model: str) -> None:
    lab = Lab(model, ServoFaults(lossy=(LATER, 0.3)))
    lab.begin()
    told = lab.move_until_it_ends()
    assert "link quality: " in told
    assert "look at cables" in told
    assert lab.mode is ArmMode.FAULT
    assert lab.hold_s() <= 0.5


@both
def test_f05_a_cut_answer_and_the_whole_ones_after_it_are_not_mixed_up(model: str) -> None:
    lab = Lab(model, ServoFaults(truncated=ONCE))
    lab.begin()
    lab.move(12)
    positions = np.array([entry.applied.positions for entry in lab.arm.written if entry.applied])
    assert lab.mode is ArmMode.RUNNING
    assert ArmMode.FAULT not in {report.mode for report in lab.reports}
    assert np.abs(np.diff(positions, axis=0)).max() < 0.05
    check_applied(lab.arm)


@both
def test_f06_two_servos_of_one_id_are_refused_before_anything_has_torque(model: str) -> None:
    lab = Lab(model, ServoFaults(twice={4: Window(0.0)}))
    with pytest.raises(ArmError, match=r"more than one servo answers to id 4 \(joint_4\)"):
        lab.begin()
    assert lab.mode is ArmMode.DISCONNECTED
    assert [lab.servos.get(id, "torque_enable") for id in range(1, 9)] == [0] * 8


@both
def test_f06_a_second_servo_of_one_id_in_a_run_is_a_fault(model: str) -> None:
    lab = Lab(model, ServoFaults(twice={4: LATER}))
    lab.begin()
    told = lab.move_until_it_ends()
    assert "id conflict" in told
    assert lab.mode is ArmMode.FAULT
    assert lab.hold_s() <= 2 * TICK_S


@both
def test_f08_an_answer_of_some_servos_alone_is_used_for_none(model: str) -> None:
    lab = Lab(model, ServoFaults(silent={8: ONCE}))
    lab.begin()
    lab.move(2)
    before = lab.arm.read().positions
    lab.clock.advance(FAULT_S + 0.05 - (lab.clock.now() - START_S))
    state = lab.arm.read()
    assert not state.fresh
    assert np.array_equal(state.positions, before)


# --------------------------------------------------------------------------- the servos


@both
def test_f09_overload_holds_within_200_ms_and_is_a_fault_after_two_seconds(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    lab = Lab(model, ServoFaults(errors={2: (LATER, 0b100000)}))
    lab.begin()
    assert "held: joint_2: overload" in lab.move_until_it_ends()
    assert lab.mode is ArmMode.FAULT
    assert lab.hold_s() <= 0.2 + TICK_S
    assert [lab.servos.get(id, "torque_enable") for id in range(1, 9)] == [1] * 8
    lab.acknowledge()
    lab.clock.advance(2.2)
    lab.arm.read()
    assert lab.mode is ArmMode.FAULT
    assert lab.arm.read().fault == "joint_2: overload"
    assert [lab.servos.get(id, "torque_enable") for id in range(1, 9)] == [1] * 8
    assert warnings(caplog, "joint_2: overload") == 1


def test_f09_overload_that_passes_is_left_behind() -> None:
    lab = Lab(faults=ServoFaults(errors={2: (ONCE, 0b100000)}))
    lab.begin()
    lab.move_until_it_ends()
    lab.clock.advance(0.5)
    lab.acknowledge()
    lab.begin()
    lab.move(3)
    assert lab.mode is ArmMode.RUNNING
    check_applied(lab.arm)


@both
def test_f10_heat_is_told_at_60_and_held_at_65_until_it_is_below_60(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    register = (5, "present_temperature")
    lab = Lab(model, ServoFaults(told={register: (Window(0.1), 61)}))
    lab.begin()
    lab.move(3)
    assert lab.mode is ArmMode.RUNNING
    assert warnings(caplog, "joint_5 is at 61 C, and will be held at 65 C") == 1
    lab.servos.faults, hot_s = ServoFaults(told={register: (LATER, 66)}), lab.clock.now()
    assert "joint_5 is at 66 C: let it cool below 60 C" in lab.move_until_it_ends()
    assert lab.mode is ArmMode.FAULT
    lab.acknowledge()
    assert time_to_hold(lab.arm, hot_s) <= 0.2 + TICK_S
    lab.servos.faults = ServoFaults(told={register: (LATER, 62)})
    with pytest.raises(ArmError, match="not enabled: joint_5 is at 62 C: let it cool below 60 C"):
        lab.begin()
    lab.servos.faults = ServoFaults(told={register: (LATER, 59)})
    lab.arm.read()
    lab.begin()
    lab.move(3)
    assert lab.mode is ArmMode.RUNNING


def test_f10_a_hot_arm_is_not_enabled() -> None:
    lab = Lab(faults=ServoFaults(told={(5, "present_temperature"): (Window(0.0), 70)}))
    with pytest.raises(ArmError, match="not enabled: joint_5 is at 70 C"):
        lab.begin()
    assert [lab.servos.get(id, "torque_enable") for id in range(1, 9)] == [0] * 8


@both
def test_f11_a_sagging_supply_holds(model: str) -> None:
    sag = {(1, "present_voltage"): (LATER, 60 if model == "sts3215" else 90)}
    lab = Lab(model, ServoFaults(told=sag))
    lab.begin()
    assert "joint_1 is fed " in lab.move_until_it_ends()
    assert lab.mode is ArmMode.FAULT
    assert lab.hold_s() <= 0.2 + TICK_S


def test_f11_an_arm_on_a_wrong_supply_is_not_enabled() -> None:
    lab = Lab(supply_volts=9.0)
    with pytest.raises(ArmError, match=r"not enabled: joint_1 is fed \d+\.\d V, more than 15% from"):
        lab.begin()
    assert [lab.servos.get(id, "torque_enable") for id in range(1, 9)] == [0] * 8


@both
def test_f12_torque_that_is_gone_is_a_fault_and_is_never_given_back_by_itself(model: str) -> None:
    lab = Lab(model, ServoFaults(limp={2: LATER}))
    lab.begin()
    told = lab.move_until_it_ends()
    assert "joint_2 lost torque by itself" in told
    assert lab.mode is ArmMode.FAULT
    assert lab.hold_s() <= 0.2 + TICK_S
    with pytest.raises(ArmFault):
        lab.begin()
    assert lab.servos.get(2, "torque_enable") == 0


def test_f13_a_watchdog_that_tripped_is_told_to_who_connects_next_and_cleared_by_acknowledgement_alone() -> None:
    lab = Lab("xl330_m288")
    lab.begin()
    lab.move(3)
    lab.clock.advance(0.5)  # the host is gone
    next_one = ArmEnvironment(_again(lab), lab.clock, BOX)
    with pytest.raises(ArmFault, match=r"the watchdog of joint_1, .* has stopped it"):
        next_one.reset(SPEC)
    assert lab.servos.get(1, "bus_watchdog") == -1
    lab.arm.acknowledge(lab.arm.read().fault or "")
    next_one.reset(SPEC)
    next_one.step(FORWARD)
    assert lab.mode is ArmMode.RUNNING
    check_applied(lab.arm)


def _again(lab: Lab) -> Any:
    """The same servos, as a program finds them that begins anew."""
    from vla_robot_io.servos.servo_arm import ServoArm

    old = lab.arm._arm
    assert isinstance(old, ServoArm)
    new = ServoArm(old._bus, old._model, old._calibration, old._config, lab.clock)
    lab.arm = LoggedArm(new, lab.clock)
    return dataclasses.replace(lab.robot, arm=lab.arm)


@both
@pytest.mark.parametrize(("before", "after"), [(4095, 3), (2, 4090)])
def test_f17_an_encoder_that_wraps_is_a_fault_and_is_not_chased(model: str, before: int, after: int) -> None:
    lab = Lab(model)
    lab.begin()
    lab.move(2)
    for ticks in (2048, before):  # led to the end of its turn first
        lab.servos.faults = ServoFaults(told={(7, "present_position"): (Window(0.0), ticks)})
        lab.arm.read()
    assert lab.mode is ArmMode.RUNNING
    lab.servos.faults = ServoFaults(told={(7, "present_position"): (Window(0.0), after)})
    told = lab.move_until_it_ends()
    assert "encoder wrap: joint_7 read " in told
    assert lab.mode is ArmMode.FAULT
    check_applied(lab.arm)


def test_f19_goals_that_are_lost_for_a_moment_are_made_up_for_by_the_next() -> None:
    lab = Lab(faults=ServoFaults(unwritten=Window(FAULT_S, FAULT_S + 2 * TICK_S)))
    lab.begin()
    lab.move(10)
    state = lab.arm.read()
    assert lab.mode is ArmMode.RUNNING
    assert np.abs(state.positions - state.commanded).max() < 0.05
    check_applied(lab.arm)


def test_f19_goals_that_are_lost_for_good_are_a_fault_of_tracking() -> None:
    lab = Lab(faults=ServoFaults(unwritten=LATER))
    lab.begin()
    told = lab.move_until_it_ends()
    assert "from its command" in told
    assert lab.mode is ArmMode.FAULT
    check_applied(lab.arm)


@both
def test_f20_a_servo_that_pushes_hard_for_200_ms_holds_within_300(model: str) -> None:
    full = {"sts3215": 1000, "xl330_m288": 1750}[model]
    register = "present_load" if model == "sts3215" else "present_current"
    lab = Lab(model, ServoFaults(told={(4, register): (LATER, -full * 9 // 10)}))
    lab.begin()
    assert "joint_4 pushes with more than 80% of its strength" in lab.move_until_it_ends()
    assert lab.mode is ArmMode.FAULT
    assert lab.hold_s() <= 0.3


@both
def test_f20_a_short_push_is_none(model: str) -> None:
    full = {"sts3215": 1000, "xl330_m288": 1750}[model]
    register = "present_load" if model == "sts3215" else "present_current"
    lab = Lab(model, ServoFaults(told={(4, register): (Window(0.5, 0.64), full)}))
    lab.begin()
    lab.move(10)
    assert lab.mode is ArmMode.RUNNING


@both
def test_f20a_an_overloaded_servo_that_refuses_everything_does_not_keep_the_port_open_or_the_others_limp(
    model: str,
) -> None:
    refuses = ServoFaults(stubborn={2: LATER}, errors={2: (LATER, 0b100000)})
    lab = Lab(model, refuses)
    lab.begin()
    lab.move_until_it_ends()
    closed: list[bool] = []
    wire = lab.robot.arm._arm._bus._wire  # type: ignore[attr-defined]
    wire.close = lambda: closed.append(True)
    lab.environment.close()
    assert lab.mode is ArmMode.DISCONNECTED
    assert closed == [True]
    assert [lab.servos.get(id, "torque_enable") for id in range(1, 9)] == [1] * 8
    check_applied(lab.arm)


def test_f20a_one_servo_that_refuses_does_not_keep_the_others_from_being_left_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lab = Lab("xl330_m288", ServoFaults(stubborn={2: Window(0.25)}))
    lab.begin()
    lab.move(1)
    lab.clock.advance(0.2)
    lab.arm.close()
    assert lab.mode is ArmMode.DISCONNECTED
    left_on = [id for id in range(1, 9) if lab.servos.get(id, "bus_watchdog") != 0]
    assert left_on == [2]
    assert warnings(caplog, "the watchdog of joint_2 goes on") == 1
