"""The state machine that every arm driver runs, and the gate that every command passes.

    DISCONNECTED ─connect─► CONNECTED ─configure─► CONFIGURED ─arm─► ARMED ─run─► RUNNING ─hold─► HOLD
                                                       ▲                             ▲──────run─────┘
                                                       └─acknowledge─ FAULT ◄─fault─ any of those connected

Only RUNNING takes commands. A fault is latched: nothing but its acknowledgement, by name, leaves it.
"""

from __future__ import annotations

import math

import numpy as np

from vla.errors import ActionError, ArmError, ArmFault
from vla.interfaces import Applied, ArmCommand, ArmMode, ArmSpec

_FROM = {
    "connect": ({ArmMode.DISCONNECTED}, ArmMode.CONNECTED),
    "configure": ({ArmMode.CONNECTED, ArmMode.CONFIGURED}, ArmMode.CONFIGURED),
    "arm": ({ArmMode.CONFIGURED}, ArmMode.ARMED),
    "run": ({ArmMode.ARMED, ArmMode.HOLD}, ArmMode.RUNNING),
    "hold": ({ArmMode.RUNNING, ArmMode.HOLD}, ArmMode.HOLD),
}


class ArmModes:
    """Where one arm is in the state machine: a driver delegates to it, then acts."""

    def __init__(self, name: str) -> None:
        """Begin disconnected.

        Args:
            name: of the arm, for its errors.
        """
        self._name = name
        self._mode = ArmMode.DISCONNECTED
        self._fault: str | None = None
        self._sequence = -1

    @property
    def mode(self) -> ArmMode:
        return self._mode

    @property
    def fault(self) -> str | None:
        """The reason of the latched fault."""
        return self._fault

    def enter(self, verb: str) -> None:
        """Take the transition `connect`, `configure`, `arm`, `run` or `hold`.

        Raises:
            ArmFault: if a fault is latched.
            ArmError: if there is no such transition from the present mode.
        """
        self.require(verb)
        _, target = _FROM[verb]
        if target is ArmMode.ARMED:
            self._sequence = -1
        self._mode = target

    def require(self, verb: str) -> None:
        """Return if the transition of this name can be taken; raises as `enter` does."""
        self._refuse_fault(verb)
        sources, _ = _FROM[verb]
        if self._mode not in sources:
            wanted = " or ".join(sorted(mode.value for mode in sources))
            raise ArmError(f"{self._name} is {self._mode.value}: '{verb}' needs it {wanted}")

    def latch(self, reason: str) -> None:
        """Latch a fault; the first reason stays.

        Raises:
            ArmError: if the arm is disconnected.
        """
        self.require_connected("fault")
        if self._mode is not ArmMode.FAULT:
            self._mode, self._fault = ArmMode.FAULT, reason

    def acknowledge(self, reason: str) -> None:
        """Clear the latched fault; the arm is configured, and must be armed again.

        Raises:
            ArmError: if `reason` is not the fault that is latched.
        """
        if self._mode is not ArmMode.FAULT or reason != self._fault:
            latched = "no fault is latched" if self._fault is None else f"the latched fault is '{self._fault}'"
            raise ArmError(f"{self._name} cannot acknowledge '{reason}': {latched}")
        self._mode, self._fault = ArmMode.CONFIGURED, None

    def disconnect(self) -> None:
        self._mode, self._fault = ArmMode.DISCONNECTED, None

    def require_connected(self, verb: str) -> None:
        """Return if the wire is open.

        Raises:
            ArmError: if it is not.
        """
        if self._mode is ArmMode.DISCONNECTED:
            raise ArmError(f"{self._name} is disconnected: '{verb}' needs it connected")

    def admit(self, command: ArmCommand, spec: ArmSpec, now_s: float) -> Applied:
        """What the arm may make of this command now, within its own limits; it then counts as the last one.

        Raises:
            ArmFault: if a fault is latched.
            ArmError: if the arm is not running, or the command is stale or out of order.
            ActionError: if the command has the wrong shape or is not finite.
        """
        self._refuse_fault("write")
        if self._mode is not ArmMode.RUNNING:
            raise ArmError(f"{self._name} is {self._mode.value}: 'write' needs it running")
        if command.positions.shape != (len(spec.joints),):
            raise ActionError(f"{self._name} has {len(spec.joints)} joints, got a command of {command.positions.shape}")
        if not (np.isfinite(command.positions).all() and math.isfinite(command.gripper_m)):
            raise ActionError(f"a command of {self._name} is not finite: {command.positions}, {command.gripper_m}")
        if not now_s <= command.valid_until_s:
            late = now_s - command.valid_until_s
            raise ArmError(f"command {command.sequence} of {self._name} came {late:.3f} s after it was valid")
        if command.sequence <= self._sequence:
            raise ArmError(f"command {command.sequence} of {self._name} came after command {self._sequence}")
        self._sequence = command.sequence
        return _within_limits(command, spec)

    def _refuse_fault(self, verb: str) -> None:
        if self._mode is ArmMode.FAULT:
            raise ArmFault(f"{self._name} refuses '{verb}', a fault is latched: {self._fault}")


def _within_limits(command: ArmCommand, spec: ArmSpec) -> Applied:
    positions = np.clip(command.positions, spec.position_low, spec.position_high)
    gripper_m = min(max(command.gripper_m, spec.gripper_low_m), spec.gripper_high_m)
    stopped = [spec.joints[joint] for joint in np.flatnonzero(positions != command.positions)]
    stopped += ["the gripper"] if gripper_m != command.gripper_m else []
    reasons = (f"{spec.name} stops {', '.join(stopped)} at the arm's own limit",) if stopped else ()
    return Applied(positions, gripper_m, reasons)
