"""An arm in a process of its own: how soon it holds whatever dies, how many ticks are late, and what a command costs.

    kill -9 the runtime       SIGSTOP the runtime       its plans end       the policy's server, or the network, dies
            └───────────────────────────┴────────────────────┴──────────────────────────┴─► the arm's process: rest

Who plans is killed and suspended while a plan of 600 ms goes on, so that its end cannot pass for a hold; no more plans
come after one of a control step, as policies make them. Servers and networks that die are those of `served_arm`.

Each time is from the death, at a random tick of a plan that moves the arm, to a tick of it: *braking* is the first on
which it is held or stands for good, *rest* the first of those on which it stands for good. When nothing more to do
comes, what was planned before, at most one control step of 100 ms, is carried out, and ends at rest.

What is measured is the arm's process of `vla deploy`, with the virtual arm in it, at the accelerations of the
simulator and at the published ones, and with emulated Feetech servos before that. The environment sets how much:
ARM_PROCESS_TRIALS of each death, ARM_PROCESS_MINUTES of a healthy run with every core busy (and as many with a server),
ARM_PROCESS_VIRTUAL_MINUTES by a virtual clock, ARM_PROCESS_ROBOTS which, by commas.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import served_arm
from benchmarks.held_arms import (
    Runtime,
    arm,
    busy_cores,
    minutes_of,
    percentiles,
    robots,
    runtime,
    tell,
    told_times,
    trials_of,
)
from vla.clearance import ArmClearance
from vla.clock import VirtualClock
from vla.errors import ArmHeld
from vla.interfaces import ArmMode
from vla.kinematics import REST_POSTURE, ArmKinematics
from vla_robot_io.arm_process_link import ArmProcess
from vla_robot_io.arm_runner import ArmRunner
from vla_robot_io.control_loop import ArmEnvironment, envelope_of
from vla_robot_io.envelope import Envelope, Setpoint
from vla_robot_io.guarded_arm import GuardConfig
from vla_robot_io.limits import EnvelopeConfig, limits_of
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.panda import panda_spec
from vla_robot_io.plans import Plan
from vla_robot_io.reasons import TripLog
from vla_sim.embodiments import TABLETOP_PANDA

CAUSES: dict[str, tuple[signal.Signals, signal.Signals | None]] = {
    "kill": (signal.SIGKILL, None),
    "stop": (signal.SIGSTOP, signal.SIGCONT),
    "no plans": (signal.SIGUSR1, signal.SIGUSR2),
}
"""What kills, and what brings back to life."""
LONG_TICKS, LONG_RAD = 60, 0.005
"""A plan whose end comes long after whoever made it died, and how far a joint goes on each of its ticks."""
MOVING = {"kill": range(20, 50), "stop": range(20, 50), "no plans": range(4, 10)}
"""Ticks left of a plan at which the arm is at speed."""
LIMITS_MS = {"kill": 100.0, "stop": 150.0, "no plans": 150.0}
"""Of the 99th percentile of the time to rest."""
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
COMMANDS = 20_000


def measurements(store: str | None) -> dict[str, Any]:
    """Print and give back all of it."""
    trials, minutes = trials_of(os.environ), minutes_of(os.environ)
    virtual_minutes = float(os.environ.get("ARM_PROCESS_VIRTUAL_MINUTES", "60"))
    found: dict[str, Any] = {"trials": trials, "envelope": _costs(), "virtual": _by_virtual_clock(virtual_minutes)}
    for robot in robots(os.environ):
        times = {"kill": [_killed(robot) for _ in range(trials)], **_revived(robot, trials)}
        for cause in CAUSES:
            found[f"{robot}, {cause}"] = told_times(f"{robot}, {cause}", times[cause], LIMITS_MS[cause])
        found |= served_arm.times_to_hold(robot, trials)
    found["real_minutes"] = _real_minutes(minutes)
    found["served_minutes"] = served_arm.false_holds(minutes)
    return {"arm_process": found}


# --------------------------------------------------------------------------- what a command costs


def _costs() -> dict[str, Any]:
    """Processor time of a command of a Panda, with collision: the verdict alone, and a whole tick without a wire."""
    kinematics = ArmKinematics("panda")
    limits = limits_of(panda_spec(100.0), BOX)
    clearance = ArmClearance("panda", [[0.5, 0.0, -0.05, 0.4, 0.4, 0.05]])
    envelope = Envelope(limits, lambda positions: kinematics.forward(positions)[:3], clearance.at)
    verdicts, here = [], Setpoint(REST_POSTURE.copy(), 0.04)
    for number in range(COMMANDS):
        asked = Setpoint(REST_POSTURE + 0.1 * np.sin(0.01 * number), 0.04)
        began = time.thread_time_ns()
        verdict = envelope.judge(asked, here)
        verdicts.append((time.thread_time_ns() - began) / 1e3)
        here = verdict.setpoint
    clock = VirtualClock()
    runner = _runner(clock)
    ticks = []
    for number in range(COMMANDS):
        increment = np.full(7, 0.001 * np.cos(0.01 * number))
        plan = Plan(number + 1, increment, 0.04, 2, clock.now() + 1.0)
        began = time.thread_time_ns()
        runner.tick(plan)
        ticks.append((time.thread_time_ns() - began) / 1e3)
        clock.advance(0.01)
    found = {"verdict_us": percentiles(verdicts), "tick_us": percentiles(ticks)}
    print(f"a command: {found}")
    return found


def _runner(clock: VirtualClock) -> ArmRunner:
    robot = loopback_robot(clock, TABLETOP_PANDA)
    runner = ArmRunner(robot.arm, clock, envelope_of(robot, BOX), GuardConfig(), TripLog())
    runner.open()
    runner.enable()
    return runner


def _by_virtual_clock(minutes: float) -> dict[str, Any]:
    """False holds at 100 ticks a second, a plan of ten ticks at a time."""
    clock = VirtualClock()
    runner, holds, plan = _runner(clock), 0, None
    for tick in range(round(6000 * minutes)):
        if tick % 10 == 0:
            increment = np.array([0.002 * np.cos(0.003 * tick), 0, 0, 0, 0, 0, 0])
            plan = Plan(tick + 1, increment, 0.04, 10, clock.now() + 0.1)
        was_running = runner.mode is ArmMode.RUNNING
        runner.tick(plan)
        holds += was_running and runner.mode is not ArmMode.RUNNING
        clock.advance(0.01)
    print(f"{minutes:g} minutes of virtual time: {holds} false holds")
    return {"minutes": minutes, "false_holds": holds}


# --------------------------------------------------------------------------- how soon it holds


def _killed(robot: str) -> tuple[float, float]:
    """Times of one runtime, which is killed."""
    with runtime("arm_process", robot, str(LONG_TICKS)) as planned:
        return _time_to_hold(planned, "kill")


def _revived(robot: str, trials: int) -> dict[str, list[tuple[float, float]]]:
    """Times of runtimes that die and are brought back to life again and again."""
    found = {}
    for cause, ticks in (("stop", LONG_TICKS), ("no plans", 0)):
        with runtime("arm_process", robot, str(ticks)) as planned:
            found[cause] = [_time_to_hold(planned, cause) for _ in range(trials)]
    return found


def _time_to_hold(planned: Runtime, cause: str) -> tuple[float, float]:
    """From the death of whoever plans, or of what feeds it, to the first braking tick and to rest, s."""
    kill, revive = CAUSES[cause]
    planned.until_it_moves(MOVING[cause])
    died_s = time.monotonic()
    planned.process.send_signal(kill)
    found = planned.times_to_hold(died_s)
    if revive is not None:
        planned.process.send_signal(revive)
    return found


# --------------------------------------------------------------------------- real minutes


def _real_minutes(minutes: float) -> dict[str, Any]:
    """False holds and late ticks of a healthy run, with every core busy with something else."""
    with busy_cores() as cores, tempfile.TemporaryDirectory() as folder, arm("virtual", Path(folder)) as (moved, link):
        found = {"granted": link.granted, **_healthy(moved, link, 60.0 * minutes)}
    print(f"{minutes:g} real minutes, {cores} cores busy: {found}")
    return {"minutes": minutes, **found}


def _healthy(environment: ArmEnvironment, link: ArmProcess, seconds: float) -> dict[str, Any]:
    begun, until_s, false_holds, number = link.report(), time.monotonic() + seconds, 0, 0
    while time.monotonic() < until_s:
        number += 1
        try:
            environment.step(_action(number))
        except ArmHeld:
            false_holds += 1
            environment.go_on()
    ended = link.report()
    ticks = ended.tick - begun.tick
    late = ended.overruns - begun.overruns
    met = {name: count for name, count in environment.trips.counts().items() if count}
    share = late / max(ticks, 1)
    return {"false_holds": false_holds, "ticks": ticks, "late_ticks": late, "late_share": share, "limits_met": met}


def _action(number: int) -> np.ndarray:
    return np.array([0.0, 0.03 * (1 if number // 4 % 2 else -1), 0.0, 0.0, 1.0], np.float32)


def _plan_for_ever(robot: str, folder: Path, ticks: int) -> None:
    """What is killed: moves an arm to and fro. From SIGUSR1 to SIGUSR2 it plans nothing."""
    plans = threading.Event()
    plans.set()
    signal.signal(signal.SIGUSR1, lambda number, frame: plans.clear())
    signal.signal(signal.SIGUSR2, lambda number, frame: plans.set())
    with arm(robot, folder) as (environment, link):
        tell(link)
        number = 0
        while True:
            number += 1
            plans.wait()
            try:
                _plan(environment, link, number, ticks)
            except ArmHeld:
                environment.go_on()


def _plan(environment: ArmEnvironment, link: ArmProcess, number: int, ticks: int) -> None:
    if not ticks:
        environment.step(_action(number))
        return
    environment.go_on()
    increment = np.zeros(len(link.report().command.positions))
    increment[0] = LONG_RAD * (-1) ** number
    link.carry_out(increment, 0.04, ticks)


if __name__ == "__main__":
    _plan_for_ever(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
