"""An arm in a process of its own: how soon it holds whatever dies, how many ticks are late, and what a command costs.

    kill -9 the runtime       SIGSTOP the runtime       the policy's server, or the network to it, dies
            └───────────────────────────┴───────────────────────────┴─► the arm's process: first braking command, rest

What is measured is the arm's process of `vla deploy process=true`, with the virtual arm in it and with emulated Feetech
servos before that. Real minutes and trials are set by the environment: ARM_PROCESS_MINUTES, ARM_PROCESS_TRIALS.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
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
CAUSES = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "server": signal.SIGUSR1}
SPEC = EpisodeSpec(task="", seed=0, instruction="reach the red block")
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
COMMANDS = 20_000


def measurements(store: str | None) -> dict[str, Any]:
    """Print and give back all of it."""
    trials = int(os.environ.get("ARM_PROCESS_TRIALS", "20"))
    minutes = float(os.environ.get("ARM_PROCESS_MINUTES", "1"))
    found: dict[str, Any] = {"envelope": _costs(), "virtual_hour": _virtual_hour()}
    for robot in ROBOTS:
        for cause in CAUSES:
            times = [_time_to_hold(robot, cause) for _ in range(trials)]
            found[f"{robot}, {cause}"] = _told(f"{robot}, {cause}", times)
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


def _virtual_hour() -> dict[str, Any]:
    """False holds in an hour at 100 ticks a second, a plan of ten ticks at a time."""
    clock = VirtualClock()
    runner, holds, plan = _runner(clock), 0, None
    for tick in range(360_000):
        if tick % 10 == 0:
            increment = np.array([0.002 * np.cos(0.003 * tick), 0, 0, 0, 0, 0, 0])
            plan = Plan(tick + 1, increment, 0.04, 10, clock.now() + 0.1)
        was_running = runner.mode is ArmMode.RUNNING
        runner.tick(plan)
        holds += was_running and runner.mode is not ArmMode.RUNNING
        clock.advance(0.01)
    print(f"an hour of virtual time: {holds} false holds")
    return {"false_holds": holds}


# --------------------------------------------------------------------------- how soon it holds


def _time_to_hold(robot: str, cause: str) -> tuple[float, float]:
    """From the death of whoever plans, or serves, to the first braking tick and to rest, s."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, robot, folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runtime:
            assert runtime.stdout is not None
            told = json.loads(runtime.stdout.readline())
            states = Mailbox(Path(told["folder"]) / STATES)
            time.sleep(0.5 + 0.5 * np.random.default_rng().random())
            died_s = time.monotonic()
            runtime.send_signal(CAUSES[cause])
            try:
                return _watch(states, died_s, told["joints"])
            finally:
                runtime.kill()


def _watch(states: Mailbox, died_s: float, joints: int) -> tuple[float, float]:
    braked_s = None
    until_s = time.monotonic() + 10.0
    while time.monotonic() < until_s:
        message = states.read()
        if message is None:
            time.sleep(0.0005)
            continue
        report = _report(message, joints)
        if braked_s is None and report.halt is not None and report.time_s > died_s:
            braked_s = report.time_s
        if braked_s is not None and report.is_at_rest and report.mode is not ArmMode.RUNNING:
            return braked_s - died_s, report.time_s - died_s
    return float("inf"), float("inf")


def _report(message: bytes, joints: int) -> ArmReport:
    numbers = (len(message) - state_type(joints, 0).itemsize) // 8
    return report_of(np.frombuffer(message, state_type(joints, numbers)).reshape(()))


def _told(name: str, times: list[tuple[float, float]]) -> dict[str, Any]:
    braked, rested = zip(*times, strict=True)
    found = {
        "braking_ms": _percentiles([1e3 * second for second in braked]),
        "rest_ms": _percentiles([1e3 * second for second in rested]),
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
            found = _healthy(environment, link, 60.0 * minutes)
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
    return {"false_holds": false_holds, "ticks": ticks, "late_ticks": late, "late_share": late / max(ticks, 1)}


def _burn(stop: Any) -> None:
    """Inference on a processor, as far as the scheduler is concerned."""
    matrix = np.ones((256, 256), np.float32)
    while not stop.is_set():
        matrix = np.tanh(matrix @ matrix)


def _action(number: int) -> np.ndarray:
    return np.array([0.0, 0.02 * (1 if number // 5 % 2 else -1), 0.0, 0.0, 1.0], np.float32)


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


def _plan_for_ever(robot: str, folder: Path) -> None:
    """What is killed: moves an arm to and fro. SIGUSR1 is the end of the server that it asks: no more plans come."""
    served = [True]
    signal.signal(signal.SIGUSR1, lambda number, frame: served.clear())
    with _arm(robot, folder) as (environment, link):
        environment.step(_action(0))
        joints = len(link.report().command.positions)
        print(json.dumps({"folder": str(link.folder), "joints": joints}), flush=True)
        number = 0
        while True:
            number += 1
            if not served:
                time.sleep(60.0)
            with contextlib.suppress(ArmHeld):
                environment.step(_action(number))


if __name__ == "__main__":
    _plan_for_ever(sys.argv[1], Path(sys.argv[2]))
