"""What the runtime asks of an arm, and what the arm's runner tells it back.

    runtime ── Plan: so far a tick, for so many ticks ──► runner ── ArmReport, on every tick ──► runtime

A plan is a way from wherever the arm's reference is, not a place: one that comes late, or after a hold, leads nowhere
far. Times are by the clock of both, `time.monotonic` where they are two processes.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float64

from vla.interfaces import ArmMode, ArmState
from vla_robot_io.envelope import Setpoint
from vla_robot_io.reasons import Code


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to do on the coming ticks."""

    sequence: int
    """Larger than that of every plan before; a runner takes the newest and forgets the others."""
    increment: Float64[np.ndarray, " joints"]
    """How far the reference moves on each tick, rad."""
    gripper_m: float
    ticks: int
    valid_until_s: float
    """A runner that first sees it later than this drops it."""
    acknowledged: int = 0
    """The number of the last stop that whoever made this plan has acknowledged."""
    stands_still: bool = False
    """Hold for this many ticks instead of moving."""
    needs_dead_man: bool = False
    """Carried out only while the dead-man input is held."""


@dataclasses.dataclass(frozen=True)
class Halt:
    """Why an arm is held."""

    code: Code
    text: str
    number: int = 0
    """Of the stop that is to be acknowledged before a plan is taken; 0 if the next good plan goes on."""


@dataclasses.dataclass(frozen=True)
class ArmReport:
    """Where an arm is and what it does, as of one tick."""

    tick: int
    time_s: float
    state: ArmState
    """The last finite reading."""
    is_trusted: bool
    """Whether readings are new."""
    mode: ArmMode
    reference: Setpoint
    """Where plans have led, as the envelope allowed: the next one goes on from here."""
    command: Setpoint
    """What was sent last; it follows the reference within the limits of acceleration and jerk."""
    is_at_rest: bool
    """Whether the command stands still."""
    plan: int
    """The last plan that was taken."""
    ticks_left: int
    """Of it."""
    overruns: int
    """Ticks that were due more than one period before they began, since the runner was made."""
    halt: Halt | None = None
    failure: str | None = None
    """What to raise as `ArmFault`."""
