"""Rows F47 and F48 of the fault catalogue in motion: an arm rests soon after its policy's server or network dies."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.relay import Relay
from vla.clock import VirtualClock
from vla.errors import ConfigError, ServerError
from vla.interfaces import ActionChunk, ArmMode, Observation
from vla.testing import FakePolicy, LoggedArm, check_applied, time_to_hold
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.remote import RemotePolicy
from vla_policies.serving.background import served
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.live_run import EXIT_ERROR, EXIT_OK, LiveRun, Task
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.recording import RunRecorder
from vla_robot_io.server_watch import ServerWatch
from vla_sim.embodiments import TABLETOP_PANDA

BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
HORIZON = 8
"""Control steps of 100 ms."""
DIES_S = 0.234
BOUND_S = 0.15
LIMIT_S = ControlConfig().server_silence_s
PATIENCE_S = 60.0
"""For a machine that is busy; nothing here measures real time."""


@dataclasses.dataclass
class Ahead:
    """A policy that moves ahead, 0.8 s at a time."""

    clock: VirtualClock
    embodiment = TABLETOP_PANDA
    horizon = HORIZON

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        """It remembers nothing."""

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        actions = np.tile(np.array([0.01, 0.0, 0.0, 0.0, 1.0], np.float32), (HORIZON, 1))
        return [ActionChunk(actions, observation.time_s, 1.0) for observation in observations]


class Elsewhere(Ahead):
    """The same policy on a server, of which is told for how long it has been silent."""

    silence: Callable[[float], float] = staticmethod(lambda now_s: 0.0)

    def silent_s(self) -> float:
        return self.silence(self.clock.now())

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        if math.isinf(self.silent_s()):
            raise ServerError("the connection to ws://127.0.0.1:1 is lost: ConnectionClosedError")
        return super().predict(observations, slots, committed)


class Lab:
    """A run on a loopback robot."""

    def __init__(self, out: Path, policy: type[Ahead], silence: Callable[[float], float], limit_s: float) -> None:
        self.out, self.clock = out, VirtualClock()
        robot = loopback_robot(self.clock, TABLETOP_PANDA)
        self.arm = LoggedArm(robot.arm, self.clock)
        control = ControlConfig(server_silence_s=limit_s)
        robot = dataclasses.replace(robot, arm=self.arm)
        self.environment = ArmEnvironment(robot, self.clock, BOX, control, duration_s=1.5)
        self.policy = policy(self.clock)
        if isinstance(self.policy, Elsewhere):
            self.policy.silence = silence  # type: ignore[method-assign]
        self.watch = ServerWatch(self.policy, limit_s)

    def run(self) -> int:
        run = LiveRun(
            self.environment,
            self.policy,
            RunRecorder(self.out, {}, None),
            Task("go", 0, 1.5),
            ExecutionConfig(ExecutionMode.SYNCHRONOUS),
            Console(quiet=True),
            watch=self.watch,
        )
        status = run.run({})
        check_applied(self.arm)
        return status

    def moves_after(self, time_s: float) -> list[float]:
        """When it was commanded elsewhere than before, after this time."""
        found, last = [], None
        for entry in self.arm.written:
            if entry.applied is None:
                continue
            positions = entry.applied.positions
            if last is not None and entry.time_s > time_s and np.abs(positions - last).max() > 1e-9:
                found.append(entry.time_s)
            last = positions
        return found

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.out / "run.json").read_text(encoding="utf-8"))


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Lab]:
    def make(
        silence: Callable[[float], float] = lambda now_s: 0.0,
        *,
        policy: type[Ahead] = Elsewhere,
        limit_s: float = LIMIT_S,
    ) -> Lab:
        return Lab(tmp_path / "run", policy, silence, limit_s)

    return make


def closed(now_s: float) -> float:
    return math.inf if now_s >= DIES_S else 0.0


def silent(now_s: float) -> float:
    return max(0.0, now_s - DIES_S)


def test_f47_a_connection_that_is_closed_in_a_chunk_holds_the_arm_and_not_at_the_end_of_it(
    lab: Callable[..., Lab],
) -> None:
    made = lab(closed)
    assert made.run() == EXIT_ERROR
    assert time_to_hold(made.arm, DIES_S) <= BOUND_S
    assert made.summary["error"].startswith("ServerError: the connection to ")
    assert made.summary["reasons"]["server_silent"] > 0
    assert max(made.moves_after(0.0)) < DIES_S + BOUND_S, "nothing of the chunk is carried out afterwards"


def test_f48_a_network_that_falls_silent_in_a_chunk_holds_the_arm(lab: Callable[..., Lab]) -> None:
    made = lab(silent)
    made.run()
    assert LIMIT_S <= time_to_hold(made.arm, DIES_S) <= BOUND_S
    assert max(made.moves_after(0.0)) < DIES_S + BOUND_S, "nothing of the chunk is carried out afterwards"


def test_f48_a_server_that_is_heard_again_goes_on(lab: Callable[..., Lab]) -> None:
    back_s = DIES_S + 0.4
    made = lab(lambda now_s: silent(now_s) if now_s < back_s else 0.0)
    assert made.run() == EXIT_OK
    assert time_to_hold(made.arm, DIES_S) <= BOUND_S
    moves = made.moves_after(DIES_S + BOUND_S)
    assert moves
    assert min(moves) >= back_s
    assert ArmMode.RUNNING in {entry.after for entry in made.arm.entries if entry.time_s > back_s}


def test_f48_who_says_so_has_a_chunk_carried_out_while_the_network_is_silent(lab: Callable[..., Lab]) -> None:
    made = lab(lambda now_s: silent(now_s) if now_s < DIES_S + 0.4 else 0.0, limit_s=0.5)
    assert made.run() == EXIT_OK
    assert any(DIES_S + 0.2 < moved_s < DIES_S + 0.4 for moved_s in made.moves_after(DIES_S))
    assert "server_silent" not in {name for name, count in made.summary["reasons"].items() if count}


def test_a_policy_that_lives_here_is_not_waited_for(lab: Callable[..., Lab]) -> None:
    made = lab(policy=Ahead)
    assert made.run() == EXIT_OK
    assert made.watch.objection() is None


@pytest.mark.parametrize("limit_s", [0.0, -1.0, math.nan])
def test_a_silence_that_limits_nothing_is_refused(lab: Callable[..., Lab], limit_s: float) -> None:
    with pytest.raises(ConfigError, match="server_silence_s must be finite and above 0"):
        lab(limit_s=limit_s)


# --------------------------------------------------------------------------- over a real connection


def until(is_so: Callable[[], bool]) -> bool:
    """Whether it becomes so before patience ends."""
    until_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not is_so() and time.monotonic() < until_s:
        pause.wait(0.001)
    return is_so()


def test_a_server_that_is_there_is_heard_of_again_and_again_though_nobody_asks() -> None:
    with served(FakePolicy()) as url:
        policy = RemotePolicy(url)
        before = policy.silent_s()
        assert until(lambda: policy.silent_s() < before)
        assert math.isfinite(policy.silent_s())
        policy.close()
    assert policy.silent_s() == math.inf


def test_f47_a_connection_that_is_cut_is_known_before_anything_is_asked() -> None:
    with served(FakePolicy()) as url, Relay(int(url.rpartition(":")[2])) as relay:
        policy = RemotePolicy(relay.url)
        assert until(lambda: policy.silent_s() < 0.1)
        relay.cut()
        assert until(lambda: policy.silent_s() == math.inf)
        policy.close()


def test_f48_a_network_that_is_silent_is_known_though_nothing_is_closed() -> None:
    with served(FakePolicy()) as url, Relay(int(url.rpartition(":")[2])) as relay:
        policy = RemotePolicy(relay.url)
        assert until(lambda: policy.silent_s() < 0.1)
        relay.silent()
        assert until(lambda: policy.silent_s() > 0.2)
        assert math.isfinite(policy.silent_s())
        relay.heal()
        policy.close()
