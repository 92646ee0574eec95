"""An arm in a process of its own: how soon it holds whatever dies, how many ticks are late, and what a command costs.

    kill -9 the runtime       SIGSTOP the runtime       the policy's server, or the network to it, dies
            └───────────────────────────┴───────────────────────────┴─► the arm's process: braking, rest

Who plans is killed and suspended while a plan of 600 ms goes on, so that its end cannot pass for a hold; the server
dies under one control step a plan, as policies make them.

Each time is from the death, at a random tick of a plan that moves the arm, to a tick of it: *braking* is the first on
which it is held or stands for good, *rest* the first of those on which it stands for good. When a server dies nothing
more to do comes: what was planned before, at most one control step of 100 ms, is carried out, and ends at rest.

What is measured is the arm's process of `vla deploy`, with the virtual arm in it and with emulated Feetech servos
before that. The environment sets how much: ARM_PROCESS_TRIALS of each death, ARM_PROCESS_MINUTES of a healthy run with
every core busy, ARM_PROCESS_VIRTUAL_MINUTES by a virtual clock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vla import cli
from vla.clearance import ArmClearance
from vla.clock import RealClock, VirtualClock
from vla.errors import ArmError, ArmHeld
from vla.interfaces import ArmMode, EpisodeSpec
from vla.kinematics import REST_POSTURE, ArmKinematics
from vla_robot_io.arm_process import STATES
from vla_robot_io.arm_process_link import ArmProcess
from vla_robot_io.arm_runner import ArmRunner
from vla_robot_io.control_loop import ArmEnvironment, envelope_of
from vla_robot_io.deploy import DeployConfig, make_robot
from vla_robot_io.envelope import Envelope, Setpoint
from vla_robot_io.guarded_arm import GuardConfig
from vla_robot_io.limits import EnvelopeConfig, limits_of
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.operating.letterbox import Mailbox
from vla_robot_io.panda import panda_spec
from vla_robot_io.placement import arm_process_of
from vla_robot_io.plans import ArmReport, Plan
from vla_robot_io.process_records import report_of, state_type
from vla_robot_io.reasons import TripLog
from vla_sim.embodiments import TABLETOP_PANDA

ROBOTS = ("virtual", "servos_emulated")
CAUSES: dict[str, tuple[signal.Signals, signal.Signals | None]] = {
    "kill": (signal.SIGKILL, None),
    "stop": (signal.SIGSTOP, signal.SIGCONT),
    "server": (signal.SIGUSR1, signal.SIGUSR2),
}
"""What kills, and what brings back to life."""
LONG_TICKS, LONG_RAD = 60, 0.005
"""A plan whose end comes long after whoever made it died, and how far a joint goes on each of its ticks."""
MOVING = {"kill": range(20, 50), "stop": range(20, 50), "server": range(4, 10)}
"""Ticks left of a plan at which the arm is at speed."""
LIMITS_MS = {"kill": 100.0, "stop": 150.0, "server": 150.0}
"""Of the 99th percentile of the time to rest."""
SPEC = EpisodeSpec(task="", seed=0, instruction="reach the red block")
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
COMMANDS = 20_000


def measurements(store: str | None) -> dict[str, Any]:
    """Print and give back all of it."""
    trials = int(os.environ.get("ARM_PROCESS_TRIALS", "20"))
    minutes = float(os.environ.get("ARM_PROCESS_MINUTES", "1"))
    virtual_minutes = float(os.environ.get("ARM_PROCESS_VIRTUAL_MINUTES", "60"))
    found: dict[str, Any] = {"trials": trials, "envelope": _costs(), "virtual": _by_virtual_clock(virtual_minutes)}
    for robot in ROBOTS:
        times = {"kill": [_killed(robot) for _ in range(trials)], **_revived(robot, trials)}
        for cause in CAUSES:
            found[f"{robot}, {cause}"] = _told(f"{robot}, {cause}", times[cause], LIMITS_MS[cause])
    found["real_minutes"] = _real_minutes(minutes)
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
    found = {"verdict_us": _percentiles(verdicts), "tick_us": _percentiles(ticks)}
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


@dataclasses.dataclass
class Runtime:
    """A process that plans for an arm, and what the arm's process tells of it."""

    process: subprocess.Popen[str]
    states: Mailbox
    joints: int

    def until_it_moves(self, ticks_left: range) -> None:
        """Return at a random one of these ticks of a plan, the arm being at speed."""
        seen_from_s = time.monotonic() + 0.3 * random.random()
        until_s, left = seen_from_s + 30.0, random.choice(ticks_left)
        while time.monotonic() < until_s:
            message = self.states.read()
            if message is None:
                time.sleep(0.0005)
                continue
            report = self.report(message)
            is_moving = report.mode is ArmMode.RUNNING and not report.is_at_rest
            if is_moving and report.ticks_left == left and report.time_s > seen_from_s:
                return
        raise ArmError("the runtime does not move its arm any more")

    def report(self, message: bytes) -> ArmReport:
        numbers = (len(message) - state_type(self.joints, 0).itemsize) // 8
        return report_of(np.frombuffer(message, state_type(self.joints, numbers)).reshape(()))


@contextlib.contextmanager
def _runtime(robot: str, ticks: int) -> Iterator[Runtime]:
    """A runtime whose plans have so many ticks; 0 for a control step each."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, robot, folder, str(ticks)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                told = json.loads(process.stdout.readline())
                states = Mailbox(Path(told["folder"]) / STATES)
                yield Runtime(process, states, told["joints"])
            finally:
                process.kill()


def _killed(robot: str) -> tuple[float, float]:
    """Times of one runtime, which is killed."""
    with _runtime(robot, LONG_TICKS) as runtime:
        return _time_to_hold(runtime, "kill")


def _revived(robot: str, trials: int) -> dict[str, list[tuple[float, float]]]:
    """Times of runtimes that die and are brought back to life again and again."""
    found = {}
    for cause, ticks in (("stop", LONG_TICKS), ("server", 0)):
        with _runtime(robot, ticks) as runtime:
            found[cause] = [_time_to_hold(runtime, cause) for _ in range(trials)]
    return found


def _time_to_hold(runtime: Runtime, cause: str) -> tuple[float, float]:
    """From the death of whoever plans, or serves, to the first braking tick and to rest, s."""
    kill, revive = CAUSES[cause]
    runtime.until_it_moves(MOVING[cause])
    died_s = time.monotonic()
    runtime.process.send_signal(kill)
    found = _watch(runtime, died_s)
    if revive is not None:
        runtime.process.send_signal(revive)
    return found


def _watch(runtime: Runtime, died_s: float) -> tuple[float, float]:
    held_s = still_s = float("inf")
    until_s = died_s + 5.0
    while time.monotonic() < until_s:
        message = runtime.states.read()
        if message is None:
            time.sleep(0.0005)
            continue
        report = runtime.report(message)
        still_s = min(still_s, report.time_s) if report.is_at_rest else float("inf")
        if report.halt is not None and report.time_s > died_s:
            held_s = min(held_s, report.time_s)
        if held_s < float("inf") and report.is_at_rest and report.mode is not ArmMode.RUNNING:
            break
    return max(0.0, min(held_s, still_s) - died_s), max(0.0, still_s - died_s)


def _told(name: str, times: list[tuple[float, float]], limit_ms: float) -> dict[str, Any]:
    braked, rested = zip(*times, strict=True)
    rest_ms = _percentiles([1e3 * second for second in rested])
    found = {
        "braking_ms": _percentiles([1e3 * second for second in braked]),
        "rest_ms": rest_ms,
        "limit_p99_ms": limit_ms,
        "is_met": rest_ms["p99"] <= limit_ms,
    }
    print(f"{name}: {found}")
    return found


# --------------------------------------------------------------------------- real minutes


def _real_minutes(minutes: float) -> dict[str, Any]:
    """False holds and late ticks of a healthy run, with every core busy with something else."""
    stop = multiprocessing.Event()
    busy = [multiprocessing.Process(target=_burn, args=(stop,), daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in busy:
        process.start()
    try:
        with tempfile.TemporaryDirectory() as folder, _arm("virtual", Path(folder)) as (environment, link):
            found = {"granted": link.granted, **_healthy(environment, link, 60.0 * minutes)}
    finally:
        stop.set()
        for process in busy:
            process.join()
    print(f"{minutes:g} real minutes, {len(busy)} cores busy: {found}")
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


def _burn(stop: Any) -> None:
    """Inference on a processor, as far as the scheduler is concerned."""
    matrix = np.ones((256, 256), np.float32)
    while not stop.is_set():
        matrix = np.tanh(matrix @ matrix)


def _action(number: int) -> np.ndarray:
    return np.array([0.0, 0.03 * (1 if number // 4 % 2 else -1), 0.0, 0.0, 1.0], np.float32)


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99]).tolist()
    return {"p50": round(p50, 1), "p99": round(p99, 1), "max": round(max(values), 1)}


@contextlib.contextmanager
def _arm(robot: str, folder: Path) -> Iterator[tuple[ArmEnvironment, ArmProcess]]:
    words = [f"robot={robot}", "policy=zero", f"instruction={SPEC.instruction}", f"out={folder}"]
    config = cli.compose("deploy", DeployConfig, words)
    clock = RealClock()
    made = make_robot(config, clock)
    link = arm_process_of(config, made)
    control = dataclasses.replace(config.control, camera_age_s=5.0, camera_skew_s=5.0)
    environment = ArmEnvironment(made, clock, config.envelope, control, duration_s=1e6, link=link)
    try:
        environment.preview(SPEC)
        environment.reset(SPEC)
        yield environment, link
    finally:
        with contextlib.suppress(ArmError):
            environment.close()


def _plan_for_ever(robot: str, folder: Path, ticks: int) -> None:
    """What is killed: moves an arm to and fro. SIGUSR1 is the end of the server that it asks, SIGUSR2 another one."""
    served = threading.Event()
    served.set()
    signal.signal(signal.SIGUSR1, lambda number, frame: served.clear())
    signal.signal(signal.SIGUSR2, lambda number, frame: served.set())
    with _arm(robot, folder) as (environment, link):
        joints = len(link.report().command.positions)
        print(json.dumps({"folder": str(link.folder), "joints": joints}), flush=True)
        number = 0
        while True:
            number += 1
            served.wait()
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
