"""The last code before the wire brakes, holds and says why, whatever the code above it does: rows F67 to F74."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.clock import VirtualClock
from vla.errors import ArmFault, ArmHeld
from vla.interfaces import Applied, ArmCommand, ArmMode, ArmState, EpisodeSpec
from vla.kinematics import REST_POSTURE
from vla_robot_io.arm_process import PressedStop, Recipe, Runtime
from vla_robot_io.arm_runner import ArmRunner, Watched
from vla_robot_io.control_loop import ArmEnvironment, envelope_of
from vla_robot_io.dead_man import MESSAGE, DeadManSender, DeadManSwitch
from vla_robot_io.guarded_arm import GuardConfig
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.operating.letterbox import Mailbox
from vla_robot_io.panda import panda_spec
from vla_robot_io.plans import Plan
from vla_robot_io.reasons import Code, Reason, TripLog
from vla_robot_io.stop_flag import StopFlag
from vla_sim.embodiments import TABLETOP_PANDA

pytest.importorskip("ruckig")

BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
PERIOD_S = 0.01
SPEC = panda_spec(100.0)
ALONG = np.array([0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
"""1 rad/s about the vertical axis, which leads into no wall."""


class Button:
    """Something outside that forbids motion while it is pressed."""

    def __init__(self, *, needs_acknowledgement: bool) -> None:
        self.needs_acknowledgement, self.is_pressed = needs_acknowledgement, False

    def objection(self, now_s: float) -> Reason | None:
        return Reason(Code.STOP_PRESSED, "stop", 1.0, 0.0, "pressed") if self.is_pressed else None


class Bench:
    """A fake arm behind a runner, with everything that was sent to it."""

    def __init__(
        self,
        *watched: Watched,
        gap_fault_s: float = math.inf,
        dead_man: Watched | None = None,
        guard: GuardConfig | None = None,
    ) -> None:
        self.clock = VirtualClock(50.0)
        robot = loopback_robot(self.clock, TABLETOP_PANDA)
        self.arm = robot.arm
        self.runner = ArmRunner(
            robot.arm,
            self.clock,
            envelope_of(robot, BOX),
            guard or GuardConfig(),
            TripLog(),
            watched=watched,
            gap_fault_s=gap_fault_s,
            dead_man=dead_man,
        )
        self.runner.open()
        self.runner.enable()
        self.sequence = 0
        self.path = [REST_POSTURE.copy()]

    def plan(
        self,
        increment: np.ndarray = ALONG,
        ticks: int = 10,
        acknowledged: int = 0,
        for_s: float = 1.0,
        needs_dead_man: bool = False,
    ) -> Plan:
        self.sequence += 1
        until_s = self.clock.now() + for_s
        return Plan(self.sequence, increment, 0.04, ticks, until_s, acknowledged, needs_dead_man=needs_dead_man)

    def tick(self, times: int = 1, plan: Plan | None = None, late_s: float = 0.0) -> None:
        for _ in range(times):
            self.runner.tick(plan, self.clock.now() - late_s)
            self.path.append(self.runner.report().command.positions)
            self.clock.advance(PERIOD_S)

    @property
    def mode(self) -> ArmMode:
        return self.runner.mode

    def halt(self) -> tuple[Code, int] | None:
        halt = self.runner.report().halt
        return None if halt is None else (halt.code, halt.number)

    def require_braked(self, since: int) -> None:
        """Return if the commands from there on keep speed and acceleration, and end at rest."""
        assert SPEC.max_acceleration is not None
        path = np.array(self.path[since - 3 :])
        for order, limit in enumerate((SPEC.max_speed, SPEC.max_acceleration), 1):
            assert (np.abs(np.diff(path, order, axis=0)).max(0) / PERIOD_S**order <= limit * (1 + 1e-6)).all()
        assert np.array_equal(path[-1], path[-2])

    def moved(self) -> float:
        return float(np.abs(self.path[-1] - self.path[-2]).max())


def test_f67_when_plans_run_out_the_arm_comes_to_rest_where_they_led_and_holds_after_100_ms() -> None:
    bench = Bench()
    bench.tick(10, bench.plan())
    assert bench.mode is ArmMode.RUNNING
    bench.tick(9)
    assert bench.mode is ArmMode.RUNNING
    bench.tick(20)
    assert bench.mode is ArmMode.HOLD
    assert bench.halt() == (Code.PLAN_ENDED, 0)
    assert bench.path[-1][0] == pytest.approx(REST_POSTURE[0] + 0.1)


def test_a_hold_for_want_of_a_plan_is_left_by_the_next_one() -> None:
    bench = Bench()
    bench.tick(60, bench.plan())
    assert bench.mode is ArmMode.HOLD
    bench.tick(2, bench.plan())
    assert bench.mode is ArmMode.RUNNING
    assert bench.moved() > 0


def test_f67_a_plan_that_is_older_than_it_says_is_dropped() -> None:
    bench = Bench()
    old = bench.plan(for_s=0.05)
    bench.clock.advance(2.0)
    bench.tick(10, old)
    assert bench.halt() == (Code.LATE_COMMAND, 0)
    assert np.array_equal(bench.path[-1], bench.path[0])


def test_a_plan_is_carried_out_once_and_an_older_one_never() -> None:
    bench = Bench()
    first, second = bench.plan(ticks=3), bench.plan(ticks=3)
    bench.tick(3, second)
    bench.tick(3, second)
    bench.tick(20, first)
    assert bench.path[-1][0] == pytest.approx(REST_POSTURE[0] + 0.03)


@pytest.mark.parametrize("needs_acknowledgement", [True, False])
def test_f79_a_button_brakes_at_once_and_holds(needs_acknowledgement: bool) -> None:
    button = Button(needs_acknowledgement=needs_acknowledgement)
    bench = Bench(button)
    bench.tick(10, bench.plan(ticks=30))
    before = bench.moved()
    button.is_pressed = True
    # On the first tick jerk is limited: what was speeding up does so a little longer.
    bench.tick(2)
    assert bench.moved() < before
    bench.tick(20)
    assert bench.mode is ArmMode.HOLD
    assert bench.halt() == (Code.STOP_PRESSED, 1 if needs_acknowledgement else 0)


def test_f81_a_stop_that_is_released_holds_until_it_is_acknowledged() -> None:
    button = Button(needs_acknowledgement=True)
    bench = Bench(button)
    bench.tick(10, bench.plan(ticks=30))
    button.is_pressed = True
    bench.tick(20)
    button.is_pressed = False
    held = bench.path[-1].copy()
    bench.tick(10, bench.plan())
    assert np.array_equal(bench.path[-1], held)
    assert bench.mode is ArmMode.HOLD
    bench.tick(10, bench.plan(acknowledged=1))
    assert bench.mode is ArmMode.RUNNING


def test_f81_a_stop_that_is_acknowledged_while_it_is_pressed_is_a_new_stop() -> None:
    button = Button(needs_acknowledgement=True)
    bench = Bench(button)
    button.is_pressed = True
    bench.tick(2, bench.plan())
    bench.tick(2, bench.plan(acknowledged=1))
    assert bench.halt() == (Code.STOP_PRESSED, 2)
    assert bench.mode is not ArmMode.RUNNING


def test_f68_ticks_that_stood_still_for_long_are_a_fault_on_thaw() -> None:
    bench = Bench(gap_fault_s=0.5)
    bench.tick(5, bench.plan(ticks=30))
    bench.clock.advance(2.0)
    bench.tick(1)
    assert bench.mode is ArmMode.FAULT
    assert "stood still for 2.0" in str(bench.runner.report().failure)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.lists(st.floats(-0.02, 0.02), min_size=7, max_size=7), st.integers(1, 12), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_is_planned_and_whenever_it_is_stopped_the_commands_keep_every_limit(
    orders: list[tuple[list[float], int, bool]],
) -> None:
    button = Button(needs_acknowledgement=False)
    bench = Bench(button)
    for increment, ticks, is_pressed in orders:
        button.is_pressed = is_pressed
        bench.tick(ticks, bench.plan(np.array(increment), ticks))
    button.is_pressed = True
    bench.tick(60)
    assert bench.mode is not ArmMode.RUNNING
    path = np.concatenate([np.array(bench.path[:1]).repeat(3, 0), np.array(bench.path)])
    assert SPEC.max_acceleration is not None
    limits = (SPEC.max_speed, SPEC.max_acceleration)
    for order, limit in enumerate(limits, 1):
        assert (np.abs(np.diff(path, order, axis=0)).max(0) / PERIOD_S**order <= limit * (1 + 1e-6)).all()
    assert (path >= SPEC.position_low + 0.05 - 1e-9).all()
    assert (path <= SPEC.position_high - 0.05 + 1e-9).all()


# --------------------------------------------------------------------------- faults are braked into


def until_fault(bench: Bench, plan: Plan | None = None) -> None:
    for _ in range(60):
        bench.tick(1, plan)
        if bench.mode is ArmMode.FAULT:
            bench.tick(1)
            return
    raise AssertionError("no fault was latched")


def test_a_jump_that_is_a_fault_is_braked_before_it_is_latched() -> None:
    bench = Bench()
    bench.tick(10, bench.plan(ticks=30))
    speed = bench.moved()
    bench.tick(1, bench.plan(np.full(7, 0.5)))
    # Told at once, latched at rest: to stand at once would be a step of the command.
    assert "asked to jump" in str(bench.runner.failure)
    assert bench.mode is ArmMode.RUNNING
    assert bench.moved() > 0.5 * speed
    until_fault(bench, bench.plan())
    bench.require_braked(since=10)
    assert "asked to jump" in str(bench.runner.arm.latched)


def test_a_fault_that_somebody_else_found_is_braked_and_keeps_its_name() -> None:
    bench = Bench()
    bench.tick(10, bench.plan(ticks=30))
    bench.runner.fault("the stop button was pressed")
    assert bench.mode is ArmMode.RUNNING
    with pytest.raises(ArmFault, match="brakes, and is in fault then"):
        bench.runner.enable()
    until_fault(bench)
    bench.require_braked(since=10)
    assert bench.runner.arm.latched == "the stop button was pressed"
    bench.runner.acknowledge("the stop button was pressed")
    assert not bench.runner.is_ending


def test_a_fault_of_an_arm_at_rest_is_latched_at_once() -> None:
    bench = Bench()
    bench.runner.fault("found at rest")
    assert bench.mode is ArmMode.FAULT


def test_f36_an_arm_that_does_not_follow_is_braked_and_then_in_fault() -> None:
    bench = Bench(guard=GuardConfig(tracking_rad=0.05, tracking_s=0.05))
    read, stuck = bench.arm.read, bench.path[0]
    bench.arm.read = lambda: dataclasses.replace(read(), positions=stuck)  # type: ignore[method-assign]
    plan = bench.plan(ticks=60)
    while bench.runner.failure is None:
        bench.tick(1, plan)
    assert bench.mode is ArmMode.RUNNING
    began = len(bench.path)
    until_fault(bench)
    bench.require_braked(since=began)
    assert "joint_1" in str(bench.runner.arm.latched)


def test_an_arm_that_cannot_be_read_any_more_is_braked_as_long_as_it_takes_commands() -> None:
    bench = Bench()
    bench.tick(10, bench.plan(ticks=30))

    def unplugged() -> ArmState:
        raise OSError("no such device")

    bench.arm.read = unplugged  # type: ignore[method-assign]
    until_fault(bench)
    bench.require_braked(since=10)
    assert "cannot be read: no such device" in str(bench.runner.failure)


def test_an_arm_that_takes_no_commands_is_in_fault_at_once_for_what_came_first() -> None:
    bench = Bench()
    bench.tick(10, bench.plan(ticks=30))

    def refuse(command: ArmCommand) -> Applied:
        raise OSError("no such device")

    bench.arm.write = refuse  # type: ignore[method-assign]
    bench.runner.fault("found first")
    bench.tick(1)
    assert bench.mode is ArmMode.FAULT
    assert bench.runner.arm.latched == "found first"


def test_a_fault_is_waited_for_where_the_loop_itself_ticks_the_arm() -> None:
    clock = VirtualClock()
    robot = loopback_robot(clock, TABLETOP_PANDA)
    environment = ArmEnvironment(robot, clock, BOX)
    environment.reset(EpisodeSpec(task="", seed=0, instruction="go"))
    environment.step(np.array([0.03, 0.0, 0.0, 0.0, 1.0], np.float32))
    before = environment.report.command.positions
    environment.latch("somebody saw smoke")
    assert robot.arm.mode is ArmMode.FAULT
    assert environment.report.is_at_rest
    assert not np.array_equal(environment.report.command.positions, before)


# --------------------------------------------------------------------------- late ticks


def led(bench: Bench) -> float:
    """How far a plan of ten ticks leads the reference, rad."""
    before = bench.runner.report().reference.positions
    bench.tick(10, bench.plan())
    return float(bench.runner.report().reference.positions[0] - before[0])


def test_f72_three_late_ticks_in_a_row_halve_the_speed_and_say_why() -> None:
    bench = Bench()
    assert led(bench) == pytest.approx(0.1)
    bench.tick(3, bench.plan(), late_s=0.02)
    assert led(bench) == pytest.approx(0.05)
    reasons, _ = bench.runner.arm.take_reasons()
    (told,) = [reason.text for reason in reasons if reason.field == "speed"]
    assert told == "3 commands in a row were late, the last by 0.020 s: half speed until none has been late for 2 s"


def test_f72_two_late_ticks_and_a_good_one_are_none_in_a_row() -> None:
    bench = Bench()
    for _ in range(5):
        bench.tick(2, bench.plan(), late_s=0.02)
        bench.tick(1, bench.plan())
    reasons, _ = bench.runner.arm.take_reasons()
    assert not [reason for reason in reasons if reason.field == "speed"]


def test_f72_full_speed_comes_back_when_no_tick_has_been_late_for_two_seconds() -> None:
    bench = Bench()
    bench.tick(3, bench.plan(), late_s=0.02)
    bench.tick(190)
    # One that comes late begins the two seconds anew.
    bench.tick(1, late_s=0.02)
    bench.tick(190)
    assert led(bench) == pytest.approx(0.05)
    assert led(bench) == pytest.approx(0.1)
    _, notes = bench.runner.arm.take_reasons()
    assert [note for note in notes if "full speed again: no command has been late for 2 s" in note]


# --------------------------------------------------------------------------- the dead-man input


class Hand:
    """A dead-man input."""

    needs_acknowledgement = False

    def __init__(self) -> None:
        self.is_held = True

    def objection(self, now_s: float) -> Reason | None:
        return None if self.is_held else Reason(Code.DEAD_MAN, "dead_man", 0.0, 0.2, "let go")


def test_f79_a_dead_man_input_let_go_brakes_a_plan_that_needs_it_within_one_tick() -> None:
    hand = Hand()
    bench = Bench(dead_man=hand)
    bench.tick(10, bench.plan(ticks=60, needs_dead_man=True))
    hand.is_held = False
    bench.tick(1)
    assert bench.halt() == (Code.DEAD_MAN, 0)
    bench.tick(20)
    assert bench.mode is ArmMode.HOLD
    bench.require_braked(since=10)
    hand.is_held = True
    bench.tick(5)
    assert bench.mode is ArmMode.HOLD  # what it was doing then is not gone on with
    bench.tick(2, bench.plan(needs_dead_man=True))
    assert bench.mode is ArmMode.RUNNING


def test_a_plan_of_a_policy_needs_no_dead_man_input() -> None:
    hand = Hand()
    hand.is_held = False
    bench = Bench(dead_man=hand)
    bench.tick(5, bench.plan())
    assert bench.mode is ArmMode.RUNNING


def test_a_plan_that_needs_a_dead_man_input_where_none_is_listened_to_moves_nothing() -> None:
    bench = Bench()
    bench.tick(10, bench.plan(needs_dead_man=True))
    assert bench.halt() == (Code.DEAD_MAN, 0)
    assert np.array_equal(bench.path[-1], bench.path[0])


def heard(folder: Path, nonce: int = 7) -> tuple[DeadManSwitch, Mailbox]:
    sender = Mailbox(folder / "dead_man", MESSAGE.size)
    return DeadManSwitch(Mailbox(folder / "dead_man"), nonce), sender


def test_f79_a_dead_man_input_that_falls_silent_is_let_go_after_200_ms(tmp_path: Path) -> None:
    switch, sender = heard(tmp_path)
    assert switch.objection(10.0) is not None  # nobody has said anything yet
    sender.write(MESSAGE.pack(7, 10.0, True))
    assert switch.objection(10.19) is None
    reason = switch.objection(10.21)
    assert reason is not None
    assert "has not been heard of for 0.210 s" in reason.text
    sender.write(MESSAGE.pack(7, 10.3, False))
    reason = switch.objection(10.31)
    assert reason is not None
    assert "is not held" in reason.text


def test_a_dead_man_input_of_another_run_counts_for_nothing(tmp_path: Path) -> None:
    switch, sender = heard(tmp_path)
    sender.write(MESSAGE.pack(8, 10.0, True))
    assert switch.objection(10.0) is not None


def test_a_dead_man_input_that_cannot_be_asked_is_told_to_be_let_go(tmp_path: Path) -> None:
    def unplugged() -> bool:
        raise OSError("no such device")

    switch, box = heard(tmp_path)
    with contextlib.closing(DeadManSender(box, 7)) as sender:
        sender.is_held = lambda: True
        sender.say()
        assert switch.objection(time.monotonic()) is None
        sender.is_held = unplugged
        sender.say()
        reason = switch.objection(time.monotonic())
        assert reason is not None
        assert "is not held" in reason.text


# --------------------------------------------------------------------------- who must be there


def watched_runtime(folder: Path, nonce: int = 7) -> tuple[Runtime, Mailbox]:
    box = Mailbox(folder / "pulse", 8)
    recipe = Recipe("virtual", "", 0, {}, {}, {}, 10, nonce=nonce, runtime=os.getppid())
    return Runtime(box, recipe, 10.0), Mailbox(folder / "pulse")


def test_f67_a_runtime_without_a_pulse_for_100_ms_counts_as_silent(tmp_path: Path) -> None:
    runtime, sender = watched_runtime(tmp_path)
    sender.write((7).to_bytes(8, "little"))
    assert runtime.objection(10.05) is None
    assert runtime.objection(10.14) is None
    reason = runtime.objection(10.16)
    assert reason is not None
    assert reason.code is Code.RUNTIME_SILENT
    assert not runtime.is_gone


def test_f77_the_pulse_of_another_run_is_none(tmp_path: Path) -> None:
    runtime, sender = watched_runtime(tmp_path)
    sender.write((8).to_bytes(8, "little"))
    assert runtime.objection(10.11) is not None


def test_f69_a_runtime_that_is_not_the_parent_any_more_is_gone_at_once(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "pulse", 8)
    runtime = Runtime(box, Recipe("virtual", "", 0, {}, {}, {}, 10, runtime=1 << 22), 10.0)
    assert runtime.objection(10.0) is not None
    assert runtime.is_gone


def test_the_stop_file_stops_a_control_loop_until_it_is_acknowledged(tmp_path: Path) -> None:
    clock = VirtualClock()
    with contextlib.closing(StopFlag(tmp_path / "stop.flag")) as flag:
        robot = loopback_robot(clock, TABLETOP_PANDA)
        environment = ArmEnvironment(robot, clock, BOX, watched=(PressedStop(flag),))
        environment.reset(EpisodeSpec(task="", seed=0, instruction="go"))
        forward = np.array([0.01, 0.0, 0.0, 0.0, 1.0], np.float32)
        environment.step(forward)
        flag.press()
        with pytest.raises(ArmHeld, match="somebody pressed stop"):
            environment.step(forward)
        assert robot.arm.mode is ArmMode.HOLD
        flag.release()
        with pytest.raises(ArmHeld):
            environment.step(forward)
        environment.go_on()
        environment.step(forward)
        assert robot.arm.mode is ArmMode.RUNNING
