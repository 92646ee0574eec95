"""Rows F71 and F73 of the fault catalogue: a thread hogs the interpreter, and there is no processor time."""

from __future__ import annotations

import ctypes
import dataclasses
import threading
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.busy_machines import ALONG, PATIENCE_S, act
from vla import cli
from vla.clock import RealClock, VirtualClock
from vla.errors import ArmError, ArmHeld
from vla.interfaces import ArmMode, EpisodeSpec
from vla.testing import LoggedArm, check_applied, time_to_hold
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig, StepReport
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.drivers import make_robot
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.placement import arm_process_of
from vla_robot_io.reasons import Code
from vla_sim.embodiments import TABLETOP_PANDA

pytest.importorskip("ruckig")

SPEC = EpisodeSpec(task="", seed=0, instruction="reach the red block")
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
RATE_HZ, START_S = 50.0, 100.0
PERIOD_S = 1.0 / RATE_HZ


# --------------------------------------------------------------------------- F71


def hog_the_interpreter(seconds: float) -> None:
    """A thread that calls into C and never lets the interpreter go: nothing else in this process runs meanwhile."""
    usleep = ctypes.PyDLL(None).usleep
    thread = threading.Thread(target=usleep, args=(round(1e6 * seconds),), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)


def test_f71_an_arm_in_its_own_process_is_ticked_and_held_while_a_thread_hogs_the_interpreter(tmp_path: Path) -> None:
    words = ["policy=zero", f"instruction={SPEC.instruction}", "robot=virtual", f"out={tmp_path}"]
    config = cli.compose("deploy", DeployConfig, words)
    clock = RealClock()
    robot = make_robot(config, clock)
    link = arm_process_of(config, robot)
    control = dataclasses.replace(config.control, camera_age_s=60.0, camera_skew_s=60.0, reply_deadline_s=60.0)
    environment = ArmEnvironment(robot, clock, config.envelope, control, duration_s=600.0, link=link)
    try:
        environment.preview(SPEC)
        environment.reset(SPEC)
        act(environment)
        before = link.report()
        hog_the_interpreter(1.0)
        end_s = time.monotonic() + PATIENCE_S
        while (after := link.report()).mode is not ArmMode.HOLD:
            assert time.monotonic() < end_s, "it never held"
            threading.Event().wait(0.01)
        assert after.tick >= before.tick + 10, "it was ticked all the while"
        assert after.is_at_rest
        assert after.halt is not None
        assert after.halt.code is Code.RUNTIME_SILENT
        with pytest.raises(ArmHeld, match="has not been heard of"):
            environment.step(ALONG)
        environment.go_on()
        act(environment)
    finally:
        environment.close()


# --------------------------------------------------------------------------- F73


class Starved(VirtualClock):
    """Wakes up later than it was told to, by what is written down beforehand, and then in time."""

    def __init__(self, delays_s: list[float]) -> None:
        super().__init__(START_S)
        self.delays_s = list(delays_s)

    def sleep_until(self, time_s: float) -> None:
        super().sleep_until(time_s + (self.delays_s.pop(0) if self.delays_s else 0.0))


class Lab:
    """An arm in a loop that gets processor time late."""

    def __init__(self, delays_s: list[float]) -> None:
        self.clock = Starved([])
        robot = loopback_robot(self.clock, TABLETOP_PANDA, rate_hz=RATE_HZ)
        self.arm = LoggedArm(robot.arm, self.clock)
        self.reports: list[StepReport] = []
        # What is too late for the policy's answers is another row.
        control = ControlConfig(reply_deadline_s=1e6, camera_age_s=1e6)
        self.environment = ArmEnvironment(
            dataclasses.replace(robot, arm=self.arm, arm_model=None), self.clock, BOX, control, duration_s=1e6
        )
        self.environment.on_step = self.reports.append
        self.environment.reset(SPEC)
        self.environment.step(ALONG)
        self.clock.delays_s = list(delays_s)

    def go(self) -> None:
        """A step; where the arm is held or in a fault, the operator sees to it."""
        try:
            self.environment.step(ALONG)
        except ArmHeld:
            self.environment.go_on()
        except ArmError:
            self.environment.acknowledge(self.environment.latched or "")
            self.environment.reset(SPEC)


@settings(max_examples=6, deadline=None)
@example([0.3] * 24)
@example([0.021] * 24)
@given(st.lists(st.sampled_from([0.0, 0.005, 0.019, 0.021, 0.05, 0.09, 0.3, 2.0]), max_size=24))
def test_f73_however_late_the_loop_wakes_up_no_limit_is_broken_and_nothing_is_made_up_for(
    delays_s: list[float],
) -> None:
    lab = Lab(delays_s)
    while lab.clock.delays_s:
        lab.go()
    times = [entry.time_s for entry in lab.arm.written]
    # Who is late by less than a period keeps to the grid: two commands may come together, a third may not.
    assert all(later - earlier >= PERIOD_S - 1e-9 for earlier, later in zip(times, times[2:], strict=False)), "a burst"
    assert len(times) <= (lab.clock.now() - START_S) / PERIOD_S + 1
    for _ in range(4):
        lab.go()
    assert lab.arm.mode is ArmMode.RUNNING, "with time again, it goes on"
    check_applied(lab.arm)


def test_f73_ten_ticks_in_a_row_without_processor_time_hold_within_their_time() -> None:
    lab = Lab([0.05] * 30)
    starved_s = lab.clock.now()
    for _ in range(5):
        lab.go()
    assert Code.OVERRUN in {reason.code for report in lab.reports for reason in report.reasons}
    assert time_to_hold(lab.arm, starved_s) <= 14 * (PERIOD_S + 0.05)
    check_applied(lab.arm)
