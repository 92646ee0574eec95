"""The process of an arm: driver, envelope, governor and watchdog, ticked at the arm's rate, whatever happens elsewhere.

    orders, pulse ─► mailbox ─► tick ─► mailbox ─► states
                                 │ the runtime is gone, hangs, somebody pressed stop, or let go of the dead-man input
                                 └─► brake, HOLD; where nobody is left to obey: close the wire, torque as it is, exit

It is started by `arm_process_link.ArmProcess` with a recipe on its standard input, makes the robot by its entry point,
and opens its arm alone; cameras stay with whoever started it. Python's collector is off in it, and it asks the system
to let it be punctual (`punctuality.py`); what was granted it says first. Not safety-rated.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla.clock import RealClock
from vla.errors import ArmError, ArmFault, VlaError
from vla.interfaces import ArmMode, Robot
from vla_robot_io.arm_runner import ArmRunner, Watched
from vla_robot_io.control_loop import envelope_of
from vla_robot_io.dead_man import DeadManSwitch
from vla_robot_io.drivers import driver
from vla_robot_io.dry_run import DryRunArm
from vla_robot_io.guarded_arm import GuardConfig
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.operating.letterbox import Mailbox
from vla_robot_io.plans import Plan
from vla_robot_io.process_records import (
    Verb,
    mode_number,
    order_type,
    plan_of,
    put_event,
    put_report,
    put_text,
    state_type,
)
from vla_robot_io.punctuality import ask_for_punctuality, sleep_exactly_until, tell_of_death
from vla_robot_io.reasons import Code, Reason, TripLog
from vla_robot_io.stop_flag import StopFlag

ORDERS, PULSE, DEAD_MAN, STATES = "orders", "pulse", "dead_man", "states"
"""The mailboxes of one arm, by file name."""
LEAVING = Reason(Code.OPERATOR, "process", 1.0, 0.0, "the arm's process was told to end")


@dataclasses.dataclass
class Recipe:
    """All that an arm's process is made from; it travels as JSON."""

    driver: str
    """Entry point in the group `vla.robots`."""
    instruction: str
    seed: int
    options: dict[str, Any]
    envelope: dict[str, Any]
    """Of `EnvelopeConfig`."""
    guard: dict[str, Any]
    """Of `GuardConfig`."""
    overruns_to_hold: int
    folder: str = ""
    """Of the mailboxes."""
    nonce: int = 0
    """Every pulse carries it: those of another run count as none."""
    runtime: int = 0
    """The process that asks."""
    is_told: bool = False
    """Whether the thread that asks lives as long as its process, so that the system may tell when it dies."""
    stop_flag: str = ""
    """A file that stops the arm; none if empty."""
    silence_s: float = 0.1
    """After so long without a pulse the runtime counts as gone."""
    real_time: bool = True
    """Whether to ask for real-time scheduling."""
    overruns_to_slow: int = 3
    slow_for_s: float = 2.0
    dry_run: bool = False
    """Whether the arm is read, and never moved."""


class Runtime:
    """Whether the runtime is still there: its process, and its pulse.

    A process that was killed is its children's parent until its memory has been taken apart, which takes tens of
    milliseconds; the system tells earlier, as its main thread ends. A pulse that stops tells in any case.
    """

    needs_acknowledgement = True

    def __init__(self, pulse: Mailbox, recipe: Recipe, now_s: float) -> None:
        self._pulse, self._recipe, self._heard_s = pulse, recipe, now_s
        self.is_gone = False
        """For good."""

    def objection(self, now_s: float) -> Reason | None:
        message = self._pulse.read()
        if message is not None and int.from_bytes(message, "little") == self._recipe.nonce:
            self._heard_s = now_s
        self.is_gone = self.is_gone or os.getppid() != self._recipe.runtime
        silent_s, limit_s = now_s - self._heard_s, self._recipe.silence_s
        if self.is_gone:
            return Reason(Code.RUNTIME_SILENT, "runtime", silent_s, limit_s, "the process that plans is gone")
        if silent_s <= limit_s:
            return None
        text = f"the process that plans has not been heard of for {silent_s:.3f} s, over {limit_s:.3f} s"
        return Reason(Code.RUNTIME_SILENT, "runtime", silent_s, limit_s, text)


class PressedStop:
    """The stop button of a run."""

    needs_acknowledgement = True

    def __init__(self, flag: StopFlag) -> None:
        self._flag = flag

    def objection(self, now_s: float) -> Reason | None:
        if not self._flag.is_pressed:
            return None
        return Reason(Code.STOP_PRESSED, "stop", 1.0, 0.0, "somebody pressed stop")


class ArmService:
    """Answers orders, ticks the runner and tells what became of it."""

    def __init__(self, recipe: Recipe) -> None:
        """Make the robot; its arm is not touched.

        Raises:
            VlaError: if it cannot be made.
        """
        self._clock = RealClock()
        robot = _robot(recipe, self._clock)
        spec = robot.arm.spec
        self._period_s, self._twin = 1.0 / spec.rate_hz, robot.twin
        folder, joints = Path(recipe.folder), len(spec.joints)
        self._orders, self._states = Mailbox(folder / ORDERS), Mailbox(folder / STATES)
        self._order_type = order_type(joints)
        numbers = 0 if self._twin is None else len(self._twin.save())
        self._state = np.zeros((), state_type(joints, numbers))
        self._state["halt"] = -1
        self.runtime = Runtime(Mailbox(folder / PULSE), recipe, self._clock.now())
        watched: tuple[Watched, ...] = (self.runtime,)
        if recipe.stop_flag:
            watched = (*watched, PressedStop(StopFlag(recipe.stop_flag)))
        guard = GuardConfig(**recipe.guard)
        self._trips = TripLog()
        self._trips.listener = self._met
        self.runner = ArmRunner(
            robot.arm,
            self._clock,
            envelope_of(robot, EnvelopeConfig(**recipe.envelope)),
            guard,
            self._trips,
            watched=watched,
            overruns_to_hold=recipe.overruns_to_hold,
            gap_fault_s=guard.stale_fault_s,
            overruns_to_slow=recipe.overruns_to_slow,
            slow_for_s=recipe.slow_for_s,
            dead_man=DeadManSwitch(Mailbox(folder / DEAD_MAN), recipe.nonce),
        )
        self._plan: Plan | None = None
        self._request = 0
        self.is_asked_to_leave = False

    def run(self) -> None:
        """Tick until asked to leave, or until nobody is left to obey and the arm is at rest."""
        due_s = self._clock.now()
        while not self._may_leave():
            sleep_exactly_until(due_s)
            self._read_orders()
            if self.runner.mode is not ArmMode.DISCONNECTED:
                self.runner.tick(self._plan, due_s, LEAVING if self.is_asked_to_leave else None)
            elif self.runtime.objection(self._clock.now()) is not None and self.runtime.is_gone:
                return
            self._publish()
            due_s = self._next(due_s)
        self.runner.close()
        self._publish()

    def _may_leave(self) -> bool:
        is_moving = self.runner.mode is ArmMode.RUNNING
        return (self.is_asked_to_leave or self.runtime.is_gone) and not is_moving

    def _next(self, due_s: float) -> float:
        """Late ticks move the grid: to catch up would be to burst."""
        now_s = self._clock.now()
        return (now_s if now_s - due_s > self._period_s else due_s) + self._period_s

    def _read_orders(self) -> None:
        message = self._orders.read()
        if message is None:
            return
        order = np.frombuffer(message, self._order_type).reshape(())
        if order["plan"] > 0:
            self._plan = plan_of(order)
        if order["request"] > self._request:
            self._request = int(order["request"])
            self._do(Verb(int(order["verb"])), order["text"].item().decode(errors="replace"))

    def _do(self, verb: Verb, text: str) -> None:
        refusal: tuple[str, str] = ("", "")
        try:
            match verb:
                case Verb.OPEN:
                    self.runner.open()
                    self.runner.look()
                case Verb.ENABLE:
                    self.runner.enable()
                case Verb.FAULT:
                    self.runner.fault(text)
                case Verb.ACKNOWLEDGE:
                    self.runner.acknowledge(text)
                case Verb.CLOSE:
                    self.is_asked_to_leave = True
                case Verb.NOTHING:
                    pass
        except ArmFault as error:
            refusal = ("fault", str(error))
        except (ArmError, VlaError, OSError) as error:
            refusal = ("error", str(error))
        self._state["refusal"], self._state["refusal_text"] = (part.encode() for part in refusal)
        self._state["request"] = self._request

    def _publish(self) -> None:
        state = self._state
        # Until the arm has been read there is nothing to report but its mode.
        with contextlib.suppress(ArmError):
            put_report(state, self.runner.report())
        state["mode"], state["time_s"] = mode_number(self.runner.mode), self._clock.now()
        put_text(state, "latched", self.runner.arm.latched)
        _, notes = self.runner.arm.take_reasons()
        for note in notes:
            put_event(state, "arm", None, note)
        if self._twin is not None:
            state["world"] = self._twin.save()
        self._states.write(state.tobytes())

    def _met(self, reasons: Sequence[Reason], source: str) -> None:
        for reason in reasons:
            put_event(self._state, source, reason)


def _robot(recipe: Recipe, clock: RealClock) -> Robot:
    robot = driver(recipe.driver)(clock, instruction=recipe.instruction, seed=recipe.seed, **recipe.options)
    return dataclasses.replace(robot, arm=DryRunArm(robot.arm)) if recipe.dry_run else robot


def main() -> int:
    """Run the arm that the recipe on standard input asks for."""
    # What is typed at the terminal, or that it was closed, is for whoever started this: they hold the arm.
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="arm: %(message)s")
    recipe = Recipe(**json.loads(sys.stdin.readline()))
    try:
        service = ArmService(recipe)
    except (VlaError, OSError, TypeError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return 1

    def leave(number: int, frame: object) -> None:
        service.is_asked_to_leave = True

    def gone(number: int, frame: object) -> None:
        service.runtime.is_gone = True

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGUSR2, gone)
    if recipe.is_told:
        tell_of_death(signal.SIGUSR2)
    granted = ask_for_punctuality(real_time=recipe.real_time)
    print(json.dumps({"granted": granted}), flush=True)
    service.run()
    return 0


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # What is frozen is not taken apart: libraries would tell of it as leaks.
    os._exit(status)
