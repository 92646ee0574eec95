"""A real `vla serve` process drives an arm through `RemotePolicy`, and dies, or the network between them does.

    vla serve ══════════════► runtime ─► the arm's process          (a) SIGKILL of the server
    vla serve ══► relay ════► runtime ─► the arm's process          (b) the relay forwards nothing and closes nothing
                                                                    (c) the relay closes both sides

Each time is from there, at a random tick of a chunk of four control steps that moves the arm, to a tick of the arm's
process, as in `arm_process`, which calls this. The policy is the random one: what a server's death does to an arm does
not depend on what the server thought.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.held_arms import (
    SPEC,
    Runtime,
    arm,
    busy_cores,
    minutes_of,
    robots,
    runtime,
    tell,
    told_times,
    trials_of,
)
from benchmarks.relay import Relay
from vla.errors import ArmHeld
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.loading import load_remote
from vla_policies.rollout import rollout
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig
from vla_robot_io.deploy import SERVER_REPLY_S
from vla_robot_io.operating.operated import Attendance, OperatedEnvironment
from vla_robot_io.server_watch import ServerWatch
from vla_sim.embodiments import TABLETOP_PANDA

LIMIT_MS = 150.0
"""Of the 99th percentile of the time to rest."""
MOVING = range(3, 10)
"""Ticks left of a control step at which the arm is at speed."""
EXECUTION = ExecutionConfig(ExecutionMode.SYNCHRONOUS)
ERRATIC = tuple(
    f"control.doubt.{name}={value}"
    for name, value in (("swings_to_slow", 7), ("swings_to_hold", 8), ("pressing_s", 1e6), ("singular_hold", 1e6))
)
"""A random policy swings, and leans on walls: let it."""


class Server:
    """A `vla serve` of its own, always at the same address."""

    def __init__(self, folder: Path) -> None:
        """Start it, and wait until it listens."""
        self._body = folder / "body.json"
        self._body.write_text(json.dumps(TABLETOP_PANDA.to_json()), encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve again."""
        words = ["serve", "policy=random", f"embodiment={self._body}", f"port={self.port}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vla", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert re.search(r"ws://\S+", line), f"'vla serve' said '{line}'"

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()

    def restart(self) -> None:
        """End it, and serve again."""
        self.end()
        self.start()

    def end(self) -> None:
        """Kill it, and let go of it."""
        self.kill()
        if self._process is not None:
            self._process.communicate()


@contextlib.contextmanager
def served() -> Iterator[Server]:
    """A server while the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            yield server
        finally:
            server.end()


def measurements(store: str | None) -> dict[str, Any]:
    """Print and give back the part of `arm_process` that is about servers; the environment says how much."""
    trials, minutes = trials_of(os.environ), minutes_of(os.environ)
    found: dict[str, Any] = {"trials": trials}
    for robot in robots(os.environ):
        found |= times_to_hold(robot, trials)
    return {"served_arm": found | {"served_minutes": false_holds(minutes)}}


def times_to_hold(robot: str, trials: int) -> dict[str, Any]:
    """Print and give back how soon a robot's arm rests after each death."""
    found: dict[str, Any] = {}
    with served() as server, Relay(server.port) as relay:
        with runtime("served_arm", robot, server.url) as driven:
            times = _times(driven, trials, server.kill, server.restart)
        found[f"{robot}, server killed"] = told_times(f"{robot}, server killed", times, LIMIT_MS)
        deaths = {"network silent": relay.silent, "connection closed": relay.cut}
        with runtime("served_arm", robot, relay.url) as driven:
            for name, dies in deaths.items():
                times = _times(driven, trials, dies, relay.heal)
                found[f"{robot}, {name}"] = told_times(f"{robot}, {name}", times, LIMIT_MS)
    return found


def _times(
    driven: Runtime, trials: int, dies: Callable[[], object], revives: Callable[[], object]
) -> list[tuple[float, float]]:
    found = []
    for _ in range(trials):
        driven.until_it_moves(MOVING)
        died_s = time.monotonic()
        dies()
        found.append(driven.times_to_hold(died_s))
        revives()
    return found


def false_holds(minutes: float) -> dict[str, Any]:
    """How often a healthy server's arm is held for its silence, with every core busy."""
    with contextlib.ExitStack() as stack:
        server, cores = stack.enter_context(served()), stack.enter_context(busy_cores())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment, _ = stack.enter_context(arm("virtual", folder, *ERRATIC))
        until_s = time.monotonic() + 60.0 * minutes
        steps = _drive(environment, server.url, lambda: time.monotonic() < until_s)
        counts = environment.trips.counts()
        fault = environment.fault
    met = {name: count for name, count in counts.items() if count}
    share = steps * environment.embodiment.control_dt_s / (60.0 * minutes)
    false = met.get("server_silent", 0)
    found = {"minutes": minutes, "share_driven": share, "false_holds": false, "limits_met": met, "fault": fault}
    print(f"{minutes:g} minutes served, {cores} cores busy: {found}")
    return found


def _drive(environment: ArmEnvironment, url: str, goes_on: Callable[[], bool]) -> int:
    """Let the served policy act; when its server dies, wait for the next. Give the control steps in which it acted."""
    policy = load_remote(url, environment.embodiment, reply_s=SERVER_REPLY_S)
    watch = ServerWatch(policy, ControlConfig().server_silence_s)
    operated = OperatedEnvironment(
        environment, Attendance(), None, lambda kind, text: None, policy_objection=watch.objection
    )
    operated.begin(SPEC)
    number, steps = 0, 0
    while goes_on():
        number += 1
        # What ends an episode before its time is in its result, and not looked at.
        spec = dataclasses.replace(SPEC, seed=number)
        steps += sum(result.steps for result in rollout(policy, [_Limited(operated, goes_on)], [spec], EXECUTION))
        with contextlib.suppress(ArmHeld):
            environment.hold()
        environment.go_on()
        if environment.latched is not None:
            environment.acknowledge(environment.latched)
            environment.enable()
        # An action that answers what was seen before all this would come too late.
        operated.wait()
    policy.close()
    return steps


class _Limited:
    """An environment whose episode is over when nothing goes on."""

    def __init__(self, operated: OperatedEnvironment, goes_on: Callable[[], bool]) -> None:
        self._operated, self._goes_on = operated, goes_on
        self.embodiment = operated.embodiment
        self.reset = operated.reset

    def step(self, action: Any) -> Any:
        transition = self._operated.step(action)
        return transition if self._goes_on() else dataclasses.replace(transition, truncated=True)

    def close(self) -> None:
        """The arm is somebody else's."""


def _drive_for_ever(robot: str, folder: Path, url: str) -> None:
    with arm(robot, folder, *ERRATIC) as (environment, link):
        tell(link)
        _drive(environment, url, lambda: True)


if __name__ == "__main__":
    _drive_for_ever(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
