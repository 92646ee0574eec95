"""The last code before the wire brakes, holds and says why, whatever the code above it does: rows F67 to F74."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.clock import VirtualClock
from vla.errors import ArmHeld
from vla.interfaces import ArmMode, EpisodeSpec
from vla.kinematics import REST_POSTURE
from vla_robot_io.arm_process import PressedStop, Recipe, Runtime
from vla_robot_io.arm_runner import ArmRunner, Watched
from vla_robot_io.control_loop import ArmEnvironment, envelope_of
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

    def __init__(self, *watched: Watched, gap_fault_s: float = math.inf) -> None:
        self.clock = VirtualClock(50.0)
        robot = loopback_robot(self.clock, TABLETOP_PANDA)
        self.arm = robot.arm
        self.runner = ArmRunner(
            robot.arm,
            self.clock,
            envelope_of(robot, BOX),
            GuardConfig(),
            TripLog(),
            watched=watched,
            gap_fault_s=gap_fault_s,
        )
        self.runner.open()
        self.runner.enable()
        self.sequence = 0
        self.path = [REST_POSTURE.copy()]

    def plan(self, increment: np.ndarray = ALONG, ticks: int = 10, acknowledged: int = 0, for_s: float = 1.0) -> Plan:
        self.sequence += 1
        return Plan(self.sequence, increment, 0.04, ticks, self.clock.now() + for_s, acknowledged)

    def tick(self, times: int = 1, plan: Plan | None = None) -> None:
        for _ in range(times):
            self.runner.tick(plan)
            self.path.append(self.runner.report().command.positions)
            self.clock.advance(PERIOD_S)

    @property
    def mode(self) -> ArmMode:
        return self.runner.mode

    def halt(self) -> tuple[Code, int] | None:
        halt = self.runner.report().halt
        return None if halt is None else (halt.code, halt.number)

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
