"""What a maker's library has to give before an arm can stand on it: a link, in that library's words.

    maker's library ◄── link (units, names, error codes) ◄── LinkedArm (modes, freshness, plausibility, faults)

A link tells what it hears and sends what it is given; it judges nothing. Positions are in rad, openings in m.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who answered."""

    model: str
    """As the controller names it."""
    firmware: tuple[int, ...]
    """Its version, the most significant number first; empty where there is none."""
    serial: str = ""


@dataclasses.dataclass(frozen=True)
class Trouble:
    """Why an arm's own controller will not go on."""

    kind: str
    """One word a reason: `protective_stop`, `safeguard_stop`, `emergency_stop`, ..."""
    text: str
    """One sentence that says what to do."""
    is_clearable: bool = False
    """Whether an operator's acknowledgement may clear it; otherwise it is cleared at the robot."""
    wait_s: float = 0.0
    """How long it must have stood before it may be cleared."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a controller said last, whenever that was."""

    positions: Float64[np.ndarray, " joints"]
    velocities: Float64[np.ndarray, " joints"]
    gripper_m: float
    device_time_s: float
    """By the controller's own clock."""
    target: Float64[np.ndarray, " joints"] | None = None
    """Where the controller holds the arm, if it says so."""
    trouble: Trouble | None = None
    speed_scaling: float = 1.0
    """The part of full speed that the controller lets the arm have now, 0 to 1."""


@dataclasses.dataclass(frozen=True)
class Sent:
    """What was put on the wire."""

    positions: Float64[np.ndarray, " joints"]
    gripper_m: float
    reasons: tuple[str, ...] = ()
    """Why it is not what was given."""


@runtime_checkable
class ArmLink(Protocol):
    """One arm and its gripper, through its maker's library. Each call returns within a control period, or raises.

    What goes wrong on the wire is an `OSError`, what the controller refuses an `ArmError`.
    """

    def open(self) -> Identity:
        """Reach the controller; may take seconds."""
        ...

    def check(self) -> None:
        """Compare what the controller is set to with what is expected; raises `ArmError` naming each difference."""
        ...

    def enable(self) -> None:
        """Take control: torque, brakes, servo mode. Nothing moves. May take seconds."""
        ...

    def measure(self) -> Measurement: ...

    def send(self, positions: Float64[np.ndarray, " joints"], gripper_m: float) -> Sent:
        """Where to be one command period from now."""
        ...

    def halt(self) -> None:
        """Stand still under control, power kept."""
        ...

    def recover(self, trouble: Trouble | None) -> None:
        """After an operator's acknowledgement: clear what the controller has latched, and take control from nobody."""
        ...

    def close(self) -> None:
        """Let go of the wire; torque and brakes stay as the controller has them."""
        ...


@dataclasses.dataclass(frozen=True)
class KnownArm:
    """Whom a link may find: limits hold for one model and a range of firmware, and for nothing else."""

    models: tuple[str, ...]
    """As the controller names them; empty where it names none."""
    firmware_from: tuple[int, ...] = ()
    firmware_below: tuple[int, ...] = ()
    """The first version that is unknown; empty for no end."""
    serial: str = ""
    """Of this very arm, where the operator has said so."""

    def refusal(self, found: Identity) -> str | None:
        """Why this is not the arm, one sentence; `None` if it is."""
        if self.models and found.model not in self.models:
            return (
                f"the controller says it is a '{found.model}', expected {' or '.join(self.models)}: name the right arm"
            )
        if self.firmware_from and not found.firmware:
            return f"the controller names no firmware, expected {_range(self)}"
        if found.firmware < self.firmware_from or (self.firmware_below and found.firmware >= self.firmware_below):
            return (
                f"its firmware {_version(found.firmware)} is not {_range(self)}, for which limits are known: "
                "nothing is enabled"
            )
        if self.serial and found.serial != self.serial:
            return f"its serial number is '{found.serial}', expected '{self.serial}': another arm is plugged in"
        return None


def _range(known: KnownArm) -> str:
    end = f" up to, without, {_version(known.firmware_below)}" if known.firmware_below else " or later"
    return _version(known.firmware_from) + end


def _version(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
