"""Where an arm is ticked: in a process of its own, unless something speaks against that, which is told.

    process=     not given                          true                     false
    it can be    a process of its own               a process of its own     here
    it cannot    here, and the run says why         refused, and says why    here

Ticked here, an arm is only listened to while it moves: not while a policy thinks, and not when this process hangs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.console import Console

from vla.clock import RealClock
from vla.errors import ConfigError
from vla.interfaces import Clock, Robot
from vla_robot_io.arm_process import Recipe
from vla_robot_io.arm_process_link import ArmProcess
from vla_robot_io.control_loop import ControlConfig
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.stop_flag import FILE_NAME


@runtime_checkable
class Placed(Protocol):
    """The part of a configuration that says which arm it is, and where it is ticked."""

    driver: str
    instruction: str
    seed: int
    options: dict[str, Any]
    envelope: EnvelopeConfig
    control: ControlConfig
    out: Path
    process: bool | None

    @property
    def dry_run(self) -> bool | None:
        """Whether the arm is read, and never moved."""
        ...


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where an arm is to be ticked."""

    is_apart: bool
    """In a process of its own."""
    why_here: str = ""
    """Why not; empty if it is."""
    is_surprising: bool = False
    """Whether somebody who asked for nothing should be told so before the arm moves."""


def placement_of(config: Placed, robot: Robot, clock: Clock) -> Placement:
    """Where the arm of this robot is ticked.

    Raises:
        ConfigError: if a process of its own is asked for, and not to be had.
    """
    if config.process is False:
        return Placement(False, "process=false asks for it")
    why_here = _why_here(config.driver, robot, clock)
    if why_here and config.process:
        raise ConfigError(f"process=true is not to be had: {why_here}")
    return Placement(not why_here, why_here, bool(why_here) and isinstance(clock, RealClock))


@contextlib.contextmanager
def apart(placement: Placement, config: Placed, robot: Robot, console: Console) -> Iterator[ArmProcess | None]:
    """The arm's process while the block lasts, if it is to have one; what it was granted, or why it has none, is told.

    Raises:
        ConfigError: if it does not come up.
    """
    if not placement.is_apart:
        if placement.is_surprising:
            console.print(f"The arm has no process of its own: {placement.why_here}.", markup=False, soft_wrap=True)
        yield None
        return
    link = arm_process_of(config, robot)
    try:
        told = ", ".join(f"{name} {value}" for name, value in link.granted.items())
        console.print(f"The arm has a process of its own, {link.pid}: {told}.", markup=False, soft_wrap=True)
        yield link
    finally:
        # Whoever ran the arm has closed it; where nobody came to that, nobody moved it either.
        link.close()


def told_of(placement: Placement, link: ArmProcess | None) -> dict[str, Any]:
    """What a run's log says of it."""
    if link is None:
        return {"is_apart": False, "why": placement.why_here}
    return {"is_apart": True, "pid": link.pid, **link.granted}


def _why_here(driver: str, robot: Robot, clock: Clock) -> str:
    if not isinstance(clock, RealClock):
        return "another process does not go by a virtual clock: use clock=real"
    if robot.twin is None and not robot.opens_late:
        return (
            f"driver '{driver}' opens its arm or its cameras when it is made (`Robot.opens_late` is false), so it is "
            "made once"
        )
    if sys.platform != "linux":
        return f"it needs Linux, this is {sys.platform}"
    return ""


def arm_process_of(config: Placed, robot: Robot) -> ArmProcess:
    """A process for the arm of this robot, as it is configured; a stop flag in the run's folder stops it.

    Raises:
        ConfigError: if it does not come up.
    """
    control = config.control
    recipe = Recipe(
        driver=config.driver,
        instruction=config.instruction,
        seed=config.seed,
        options=dict(config.options),
        envelope=dataclasses.asdict(config.envelope),
        guard=dataclasses.asdict(control.guard),
        overruns_to_hold=control.overruns_to_hold,
        overruns_to_slow=control.overruns_to_slow,
        slow_for_s=control.slow_for_s,
        stop_flag=str((config.out / FILE_NAME).absolute()),
        dry_run=bool(config.dry_run),
    )
    return ArmProcess(recipe, robot.arm.spec, robot.twin)
