"""An arm in a process of its own that another process moves, and how soon it rests when something dies.

    what is killed ── moves ──► the arm's process ── states ──► here: braking since when, at rest since when

For `arm_process` and `served_arm`, which say what dies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla import cli
from vla.clock import RealClock
from vla.errors import ArmError
from vla.interfaces import ArmMode, EpisodeSpec
from vla_robot_io.arm_process import STATES
from vla_robot_io.arm_process_link import ArmProcess
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.drivers import make_robot
from vla_robot_io.operating.letterbox import Mailbox
from vla_robot_io.placement import arm_process_of
from vla_robot_io.plans import ArmReport
from vla_robot_io.process_records import report_of, state_type

ROBOTS = ("virtual", "virtual_published", "servos_emulated")
SPEC = EpisodeSpec(task="", seed=0, instruction="reach the red block")


def robots(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Choices of `robot=`, as ARM_PROCESS_ROBOTS names them, or else all that are measured."""
    named = environment.get("ARM_PROCESS_ROBOTS", "")
    return tuple(named.split(",")) if named else ROBOTS


def trials_of(environment: Mapping[str, str]) -> int:
    """How often each death is died: ARM_PROCESS_TRIALS."""
    return int(environment.get("ARM_PROCESS_TRIALS", "20"))


def minutes_of(environment: Mapping[str, str]) -> float:
    """How long a healthy run takes: ARM_PROCESS_MINUTES."""
    return float(environment.get("ARM_PROCESS_MINUTES", "1"))


@dataclasses.dataclass
class Runtime:
    """A process that plans for an arm, and what the arm's process tells of it."""

    process: subprocess.Popen[str]
    states: Mailbox
    joints: int

    def until_it_moves(self, ticks_left: range) -> None:
        """Return at a random one of these ticks of a plan, the arm being at speed.

        Raises:
            ArmError: if it does not come to that.
        """
        seen_from_s = time.monotonic() + 0.3 * random.random()
        until_s, left = seen_from_s + 60.0, random.choice(ticks_left)
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
        """What one message of the arm's process says."""
        numbers = (len(message) - state_type(self.joints, 0).itemsize) // 8
        return report_of(np.frombuffer(message, state_type(self.joints, numbers)).reshape(()))

    def times_to_hold(self, died_s: float) -> tuple[float, float]:
        """From that moment to the first braking tick, and to rest, s."""
        held_s = still_s = float("inf")
        until_s = died_s + 5.0
        while time.monotonic() < until_s:
            message = self.states.read()
            if message is None:
                time.sleep(0.0005)
                continue
            report = self.report(message)
            still_s = min(still_s, report.time_s) if report.is_at_rest else float("inf")
            if report.halt is not None and report.time_s > died_s:
                held_s = min(held_s, report.time_s)
            if held_s < float("inf") and report.is_at_rest and report.mode is not ArmMode.RUNNING:
                break
        return max(0.0, min(held_s, still_s) - died_s), max(0.0, still_s - died_s)


@contextlib.contextmanager
def runtime(module: str, robot: str, *words: str) -> Iterator[Runtime]:
    """A module of this package as a process that moves an arm while the block lasts.

    Args:
        module: it says where the arm's mailboxes are with `tell`, once it moves.
        robot: a choice of `robot=`.
        words: what else it is told, after the robot and a folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"benchmarks.{module}", robot, folder, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                told = json.loads(process.stdout.readline())
                yield Runtime(process, Mailbox(Path(told["folder"]) / STATES), told["joints"])
            finally:
                process.kill()


def tell(link: ArmProcess) -> None:
    """Say on standard output where the mailboxes of this arm are."""
    joints = len(link.report().command.positions)
    print(json.dumps({"folder": str(link.folder), "joints": joints}), flush=True)


def told_times(name: str, times: Sequence[tuple[float, float]], limit_ms: float) -> dict[str, Any]:
    """Print and give back what becomes of times to braking and to rest, s."""
    braked, rested = zip(*times, strict=True)
    rest_ms = percentiles([1e3 * second for second in rested])
    found = {
        "braking_ms": percentiles([1e3 * second for second in braked]),
        "rest_ms": rest_ms,
        "limit_p99_ms": limit_ms,
        "is_met": rest_ms["p99"] <= limit_ms,
    }
    print(f"{name}: {found}")
    return found


def percentiles(values: list[float]) -> dict[str, float]:
    """The 50th, the 99th and the largest."""
    p50, p99 = np.percentile(values, [50, 99]).tolist()
    return {"p50": round(p50, 1), "p99": round(p99, 1), "max": round(max(values), 1)}


@contextlib.contextmanager
def busy_cores() -> Iterator[int]:
    """Every core works on something else while the block lasts; how many there are."""
    stop = multiprocessing.Event()
    busy = [multiprocessing.Process(target=_burn, args=(stop,), daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in busy:
        process.start()
    try:
        yield len(busy)
    finally:
        stop.set()
        for process in busy:
            process.join()


def _burn(stop: Any) -> None:
    """Inference on a processor, as far as the scheduler is concerned."""
    matrix = np.ones((256, 256), np.float32)
    while not stop.is_set():
        matrix = np.tanh(matrix @ matrix)


@contextlib.contextmanager
def arm(robot: str, folder: Path, *words: str) -> Iterator[tuple[ArmEnvironment, ArmProcess]]:
    """An arm with torque in a process of its own, and its environment; cameras may be old, they share the machine.

    Args:
        words: more of the configuration.
    """
    words = (f"robot={robot}", "policy=zero", f"instruction={SPEC.instruction}", f"out={folder}", *words)
    config = cli.compose("deploy", DeployConfig, list(words))
    clock = RealClock()
    # A random policy does its task now and then, which would end what is measured.
    made = dataclasses.replace(make_robot(config, clock), is_done=None)
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
