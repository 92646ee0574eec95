"""An arm behind a maker's library, as `vla.interfaces.Arm`. Not safety-rated.

    connect     the controller is reached, and is the model and firmware whose limits are known; no torque changes
    configure   what the controller is set to is compared with what is expected
    arm         control is taken; commands start from where the controller holds the arm, else from where it is
    read        fresh when the controller's clock advanced; what cannot be true is refused, and latches a fault
    write       slowed as the controller's own speed slider is
    fault       the arm stands; what the controller latched is cleared by an operator's acknowledgement, if at all

Whether a library says that it is connected is never asked: a dead link goes on saying so for seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from vla.arm_modes import ArmModes
from vla.errors import ArmError
from vla.interfaces import Applied, ArmCommand, ArmMode, ArmSpec, ArmState, Clock
from vla_robot_io.links.link import ArmLink, KnownArm, Measurement, Trouble
from vla_robot_io.links.plausibility import Plausibility, PlausibilityConfig, is_finite

_ROUNDING_RAD = 1e-9
_ATTEMPTS = 25
"""So often is an arm asked before it is armed: one that stands may answer late."""

SpeedsAt = Callable[
    [Float64[np.ndarray, " joints"]], tuple[Float64[np.ndarray, " joints"], Float64[np.ndarray, " joints"]]
]


class LinkedArm:
    """One arm on one link."""

    def __init__(
        self,
        link: ArmLink,
        spec: ArmSpec,
        known: KnownArm,
        clock: Clock,
        plausibility: PlausibilityConfig | None = None,
        speeds_at: SpeedsAt | None = None,
    ) -> None:
        """Take hold of the link; nothing is sent.

        Args:
            spec: of the arm that should answer.
            known: who may answer.
            plausibility: what is believed.
            speeds_at: the lowest and the highest speed of each joint (rad/s) at given positions (rad), where these
                depend on positions.
        """
        self._link, self._spec, self._known, self._clock = link, spec, known, clock
        self._modes = ArmModes(spec.name)
        self._speeds_at = speeds_at
        self._plausibility = Plausibility(spec, plausibility or PlausibilityConfig())
        self._last: ArmState | None = None
        self._sequence = 0
        self._scaling = 1.0
        self._commanded: tuple[Float64[np.ndarray, " joints"], float] | None = None
        self._troubled_s = math.nan

    @property
    def spec(self) -> ArmSpec:
        return self._spec

    @property
    def mode(self) -> ArmMode:
        return self._modes.mode

    # ------------------------------------------------------------------ modes

    def connect(self) -> None:
        """Reach the controller.

        Raises:
            ArmError: if it does not answer, or is not the arm that was named.
        """
        self._modes.require("connect")
        try:
            found = self._link.open()
        except OSError as error:
            raise ArmError(f"{self._spec.name} does not answer: {error}") from error
        refusal = self._known.refusal(found)
        if refusal is not None:
            self._link.close()
            raise ArmError(f"{self._spec.name}: {refusal}")
        self._begin_session()
        self._modes.enter("connect")

    def configure(self) -> None:
        self._modes.require("configure")
        self._link.check()
        self._modes.enter("configure")

    def arm(self) -> None:
        """Take control; nothing moves.

        Raises:
            ArmError: if the controller will not, or says nothing that can be true.
        """
        self._modes.require("arm")
        measured = self._trusted("arm")
        if measured.trouble is not None:
            raise ArmError(f"{self._spec.name} cannot be armed: {measured.trouble.text}")
        self._link.enable()
        here = measured.positions if measured.target is None else measured.target
        opening_m = min(max(measured.gripper_m, self._spec.gripper_low_m), self._spec.gripper_high_m)
        self._commanded = (np.clip(here, self._spec.position_low, self._spec.position_high), opening_m)
        self._modes.enter("arm")

    def run(self) -> None:
        self._modes.enter("run")

    def hold(self) -> None:
        self._modes.enter("hold")
        self._link.halt()

    def fault(self, reason: str) -> None:
        is_new = self._modes.mode is not ArmMode.FAULT
        self._modes.latch(reason)
        if is_new:
            # A link that is gone cannot be told; nothing more is sent to it either way.
            with contextlib.suppress(OSError, ArmError):
                self._link.halt()

    def acknowledge(self, reason: str) -> None:
        """Clear the latched fault, and what the controller has latched with it.

        Raises:
            ArmError: if `reason` is not the fault that is latched, or it is not to be cleared from here, or not yet.
        """
        if self._modes.mode is ArmMode.FAULT and reason == self._modes.fault:
            self._recover()
        self._modes.acknowledge(reason)

    def close(self) -> None:
        if self._modes.mode is not ArmMode.DISCONNECTED:
            self._link.close()
        self._modes.disconnect()
        self._begin_session()

    # ------------------------------------------------------------------ reading, writing

    def read(self) -> ArmState:
        """What the controller says now; the last reading, not fresh, where it says nothing new.

        Raises:
            ArmError: if there is no reading yet to fall back on.
        """
        self._modes.require_connected("read")
        measured = self._measured()
        if measured is None:
            return self._stale()
        if self._last is not None and measured.device_time_s == self._last.device_time_s:
            self._heed(measured.trouble)
            return self._stale()
        refusal = self._plausibility.refusal(measured)
        if refusal is not None:
            self._latch(refusal)
            return self._stale()
        self._heed(measured.trouble)
        self._scaling = min(max(measured.speed_scaling, 0.0), 1.0)
        self._last = self._state(measured)
        return self._last

    def write(self, command: ArmCommand) -> Applied:
        admitted = self._modes.admit(command, self._spec, self._clock.now())
        slowed, reasons = self._slowed(admitted)
        slowed, near = self._kept_from_ends(slowed)
        sent = self._link.send(slowed, admitted.gripper_m)
        if not (np.isfinite(sent.positions).all() and math.isfinite(sent.gripper_m)):
            raise ArmError(f"{self._spec.name} says it was sent a command that is not finite: {sent.positions}")
        positions = np.clip(sent.positions, self._spec.position_low, self._spec.position_high)
        opening_m = min(max(sent.gripper_m, self._spec.gripper_low_m), self._spec.gripper_high_m)
        self._commanded = (positions.copy(), opening_m)
        return Applied(positions, opening_m, admitted.reasons + reasons + near + sent.reasons)

    def _slowed(self, admitted: Applied) -> tuple[Float64[np.ndarray, " joints"], tuple[str, ...]]:
        """As far towards a command as the controller's speed slider lets the arm come: nothing queues up behind it."""
        if self._commanded is None or self._scaling >= 1.0 or np.array_equal(admitted.positions, self._commanded[0]):
            return admitted.positions, ()
        last = self._commanded[0]
        told = f"{self._spec.name} is slowed to {100 * self._scaling:.0f} % by its controller"
        return last + self._scaling * (admitted.positions - last), (told,)

    def _kept_from_ends(
        self, asked: Float64[np.ndarray, " joints"]
    ) -> tuple[Float64[np.ndarray, " joints"], tuple[str, ...]]:
        """As far on the way as each joint's speed where it is allows; all joints are slowed alike."""
        if self._speeds_at is None or self._commanded is None:
            return asked, ()
        last = self._commanded[0]
        low, high = (speed / self._spec.rate_hz for speed in self._speeds_at(last))
        step = asked - last
        fast = (step > high + _ROUNDING_RAD) | (step < low - _ROUNDING_RAD)
        if not fast.any():
            return asked, ()
        limit = np.where(step > 0, high, low)
        part = float(np.min(limit[fast] / step[fast]))
        names = ", ".join(self._spec.joints[joint] for joint in np.flatnonzero(fast))
        return last + part * step, (f"{self._spec.name} slows {names} near the end of its range",)

    def _measured(self) -> Measurement | None:
        try:
            measured = self._link.measure()
        except OSError:
            return None
        return measured if is_finite(measured) else None

    def _trusted(self, verb: str) -> Measurement:
        measured = next((found for _ in range(_ATTEMPTS) if (found := self._measured()) is not None), None)
        if measured is None:
            raise ArmError(f"{self._spec.name} does not answer with finite numbers: '{verb}' needs that")
        refusal = self._plausibility.refusal(measured)
        if refusal is not None:
            raise ArmError(f"{self._spec.name}: {refusal}")
        return measured

    def _stale(self) -> ArmState:
        if self._last is None:
            raise ArmError(f"{self._spec.name} does not answer, and has not been read before")
        positions, opening_m = self._commanded or (self._last.commanded, self._last.commanded_gripper_m)
        self._last = dataclasses.replace(
            self._last,
            commanded=positions.copy(),
            commanded_gripper_m=opening_m,
            time_s=self._clock.now(),
            mode=self.mode,
            fresh=False,
            fault=self._modes.fault,
        )
        return self._last

    def _state(self, measured: Measurement) -> ArmState:
        here = measured.positions if measured.target is None else measured.target
        commanded, opening_m = self._commanded or (here, measured.gripper_m)
        before = self._last
        fresh = before is None or measured.device_time_s > before.device_time_s
        self._sequence += fresh
        return ArmState(
            positions=measured.positions.copy(),
            velocities=measured.velocities.copy(),
            gripper_m=measured.gripper_m,
            commanded=commanded.copy(),
            commanded_gripper_m=opening_m,
            time_s=self._clock.now(),
            device_time_s=measured.device_time_s,
            sequence=self._sequence,
            mode=self.mode,
            fresh=fresh,
            fault=self._modes.fault,
        )

    # ------------------------------------------------------------------ trouble

    def _heed(self, trouble: Trouble | None) -> None:
        if trouble is None:
            self._troubled_s = math.nan
            return
        if math.isnan(self._troubled_s):
            self._troubled_s = self._clock.now()
        self._latch(f"{trouble.kind}: {trouble.text}")

    def _latch(self, reason: str) -> None:
        if self._modes.mode is not ArmMode.FAULT:
            self.fault(reason)

    def _recover(self) -> None:
        measured = self._measured()
        trouble = None if measured is None else measured.trouble
        if trouble is not None:
            self._require_clearable(trouble)
        try:
            self._link.recover(trouble)
        except OSError as error:
            raise ArmError(f"{self._spec.name} does not answer, so nothing is cleared: {error}") from error
        self._begin_session()

    def _require_clearable(self, trouble: Trouble) -> None:
        if not trouble.is_clearable:
            raise ArmError(
                f"{self._spec.name}, {trouble.kind}: {trouble.text}; it is cleared at the robot, not from here"
            )
        stood_s = 0.0 if math.isnan(self._troubled_s) else self._clock.now() - self._troubled_s
        if stood_s < trouble.wait_s:
            raise ArmError(
                f"{self._spec.name}, {trouble.kind}: it may be cleared {trouble.wait_s:g} s after it came, "
                f"{stood_s:.1f} s have passed: look at the arm first"
            )

    def _begin_session(self) -> None:
        self._plausibility.forget()
        self._last, self._commanded, self._troubled_s, self._scaling = None, None, math.nan, 1.0
