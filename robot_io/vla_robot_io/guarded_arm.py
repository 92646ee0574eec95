"""An arm that is only listened to while it is fresh, and whose wire is only trusted while it works.

    read ──► fresh? ──no, 50 ms──► not trusted ──no, 500 ms──► a fault is coming
         ├─► where it was commanded to be? ──no, 200 ms──────► a fault is coming ──► braked, at rest ──► FAULT
         └─► it raises ──────────────────────────────────────► a fault is coming
    write, run, hold ──it raises, or the arm has a fault of its own─────────────────────────────────────► FAULT

An arm that can still be commanded is braked before its fault is latched; one that takes no commands cannot be. FAULT is
latched in the arm, and raised as `ArmFault`. What may be written is decided elsewhere (`arm_runner.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math

import numpy as np

from vla.errors import ArmError, ArmFault, ConfigError, VlaError
from vla.interfaces import Applied, Arm, ArmCommand, ArmMode, ArmState, Clock
from vla_robot_io.envelope import Setpoint
from vla_robot_io.freshness import ArmWatch, is_finite, stale_arm
from vla_robot_io.reasons import Code, Reason, TripLog
from vla_robot_io.tracking import TrackingWatch


@dataclasses.dataclass
class GuardConfig:
    """When an arm is no longer trusted. Every one of these ends in HOLD or FAULT."""

    stale_hold_s: float = 0.05
    """Hold when the arm's own clock has not advanced for this long, s."""
    stale_fault_s: float = 0.5
    """Latch a fault when it has not for this long, s."""
    command_age_s: float = 0.1
    """How long after it was made the arm may take a command, s."""
    tracking_rad: float = 0.15
    """Latch a fault when a joint is farther than this from its command, rad ..."""
    tracking_s: float = 0.2
    """... for longer than this, s."""


class GuardedArm:
    """One arm, its last reading, and the last command."""

    def __init__(self, arm: Arm, clock: Clock, config: GuardConfig, trips: TripLog) -> None:
        """Touch nothing yet.

        Args:
            arm: disconnected.
            clock: by which readings age and commands expire.
            config: checked here.
            trips: told of every limit that is met.

        Raises:
            ConfigError: if a time is not positive and finite.
        """
        for field in dataclasses.fields(config):
            require_positive(f"control.guard.{field.name}", getattr(config, field.name))
        self._arm = arm
        self._clock = clock
        self._config = config
        self._trips = trips
        self._watch = ArmWatch()
        self._tracking = TrackingWatch(arm.spec.joints, config.tracking_rad, config.tracking_s)
        self._last: Setpoint | None = None
        self._state: ArmState | None = None
        self._sequence = 0
        self._is_trusted, self._age_s = False, math.inf
        self.last_fault: str | None = None
        """The last fault that was latched here or is coming, or that the arm told of."""
        self._coming: str | None = None
        self._reasons: list[Reason] = []
        self._notes: list[str] = []

    @property
    def last(self) -> Setpoint:
        """The last command.

        Raises:
            ArmError: if the arm has never been enabled.
        """
        if self._last is None:
            raise ArmError(f"{self._arm.spec.name} has no last command: enable it first")
        return self._last

    @property
    def state(self) -> ArmState:
        """The last finite reading.

        Raises:
            ArmError: if there is none.
        """
        if self._state is None:
            raise ArmError(f"{self._arm.spec.name} has not been read")
        return self._state

    @property
    def mode(self) -> ArmMode:
        return self._arm.mode

    @property
    def is_trusted(self) -> bool:
        """Whether the last reading was new, or hardly older."""
        return self._is_trusted

    @property
    def latched(self) -> str | None:
        """The fault that is latched now, by the name that its acknowledgement needs."""
        if self._arm.mode is not ArmMode.FAULT:
            return None
        with contextlib.suppress(OSError, ArmError):
            return self._arm.read().fault
        return self.last_fault

    @property
    def coming_fault(self) -> str | None:
        """The fault that is latched as soon as the arm has been braked; None if there is none, or one is latched."""
        return None if self._arm.mode in (ArmMode.FAULT, ArmMode.DISCONNECTED) else self._coming

    @property
    def is_running(self) -> bool:
        return self._arm.mode is ArmMode.RUNNING

    @property
    def age_s(self) -> float:
        """How long ago the last new reading came."""
        return self._age_s

    # ------------------------------------------------------------------ coming up, going down

    def open(self) -> None:
        """Connect and configure, if that is yet to be done; no torque.

        Raises:
            ArmError: if the arm is not there, or is another.
        """
        if self._arm.mode is ArmMode.DISCONNECTED:
            try:
                self._arm.connect()
            except OSError as error:
                raise ArmError(f"{self._arm.spec.name} cannot be connected: {error}") from error
        if self._arm.mode is ArmMode.CONNECTED:
            self._arm.configure()

    def enable(self) -> Setpoint:
        """Torque on; commands start from what the arm says was commanded last, which is given back.

        Raises:
            ArmFault: if a fault is latched.
            ArmError: if the arm does not read a finite position.
        """
        if self.coming_fault is not None:
            raise ArmFault(f"{self._arm.spec.name} brakes, and is in fault then: {self.coming_fault}")
        if self._arm.mode is ArmMode.CONFIGURED:
            self._arm.arm()
        state = self._arm.read()
        self._heed_fault(state)
        if not is_finite(state):
            raise ArmError(f"{self._arm.spec.name} reads numbers that are not finite: {state.positions}")
        self._watch = ArmWatch()
        self._watch.look(state, self._clock.now())
        self._is_trusted, self._age_s = True, 0.0
        self._state, self._last = state, Setpoint(state.commanded.copy(), state.commanded_gripper_m)
        return self._last

    def run(self) -> None:
        """Take commands from now on.

        Raises:
            ArmFault: if the arm will not.
        """
        try:
            self._arm.run()
        except (OSError, ArmError) as error:
            raise self.fault(f"{self._arm.spec.name} would not run: {error}") from error

    def hold(self) -> None:
        """Stay at the last command.

        Raises:
            ArmFault: if the arm will not.
        """
        if not self.is_running:
            return
        try:
            self._arm.hold()
        except (OSError, ArmError) as error:
            raise self.fault(f"{self._arm.spec.name} would not hold: {error}") from error

    def distrust(self, text: str) -> None:
        """Have a fault come: whoever commands the arm brakes it, and latches the fault then; the first one stays."""
        if self.coming_fault is None:
            self._coming = self.last_fault = text
        self._is_trusted = False

    def fault(self, text: str) -> ArmFault:
        """Latch a fault, or the one that was coming, and give the error to raise."""
        text = self.coming_fault or text
        self._coming, self.last_fault = None, text
        if self._arm.mode is not ArmMode.DISCONNECTED:
            # An arm whose wire is gone cannot be told; nothing more is sent to it either way.
            with contextlib.suppress(OSError):
                self._arm.fault(text)
        return ArmFault(text)

    def acknowledge(self, fault: str) -> None:
        """Clear the latched fault; the arm must be enabled again.

        Raises:
            ArmError: if the latched fault is another.
        """
        self._arm.acknowledge(fault)
        self._coming = None

    def close(self) -> None:
        """Hold, and close the wire; torque stays as it is."""
        try:
            self.hold()
        finally:
            self._arm.close()

    # ------------------------------------------------------------------ listening, speaking

    def read(self) -> ArmState:
        """The arm's state, the last finite one if this one is not.

        An arm that cannot be read, has been stale for too long or does not go where it is commanded has a fault coming.

        Raises:
            ArmFault: if the arm reports one, or could not be read even once.
        """
        try:
            state = self._arm.read()
        except (OSError, ArmError) as error:
            return self._unread(error)
        self._age_s = self._watch.look(state, self._clock.now())
        self._heed_fault(state)
        self._is_trusted = self._age_s <= self._config.stale_hold_s
        if self._age_s > self._config.stale_fault_s:
            self._doubt(stale_arm(self._age_s, self._config.stale_fault_s))
        if is_finite(state) or self._state is None:
            self._state = state
        self._heed_tracking(state)
        return self._state

    def write(self, setpoint: Setpoint) -> Setpoint:
        """Send a command; what the arm says that it made of it.

        Raises:
            ArmFault: if the arm does not take it.
        """
        self._sequence += 1
        valid_until_s = self._clock.now() + self._config.command_age_s
        command = ArmCommand(setpoint.positions.copy(), setpoint.gripper_m, self._sequence, valid_until_s)
        try:
            applied = self._arm.write(command)
        except ArmFault:
            raise
        except (OSError, VlaError) as error:
            raise self._unwritten(error) from error
        self._notes += applied.reasons
        self._last = self._checked(applied)
        return self._last

    def note(self, reasons: tuple[Reason, ...], source: str) -> None:
        """Take note of limits that were met; sources are told apart as in `TripLog.record`."""
        self._trips.record(reasons, source)
        self._reasons += reasons

    def tell(self, note: str) -> None:
        """Add a sentence to those that the arm itself says."""
        self._notes.append(note)

    def take_reasons(self) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
        """Our reasons and the arm's own, since this was last asked: the first of each."""
        reasons = {(reason.code, reason.field): reason for reason in reversed(self._reasons)}
        notes = tuple(dict.fromkeys(self._notes))
        self._reasons, self._notes = [], []
        return tuple(reversed(reasons.values())), notes

    def _heed_fault(self, state: ArmState) -> None:
        if state.mode is ArmMode.FAULT:
            self.last_fault = state.fault or self.last_fault
            raise ArmFault(f"{self._arm.spec.name} is in fault: {state.fault}")

    def _heed_tracking(self, state: ArmState) -> None:
        reason = self._tracking.look(state, self._clock.now())
        if reason is not None:
            self._doubt(reason)

    def _doubt(self, reason: Reason) -> None:
        if self.coming_fault is None:
            self.note((reason,), "reading")
        self.distrust(reason.text)

    def _unread(self, error: Exception) -> ArmState:
        text = f"{self._arm.spec.name} cannot be read: {error}"
        if self._state is None:
            raise self.fault(text) from error
        self.distrust(text)
        return self._state

    def _unwritten(self, error: Exception) -> ArmFault:
        name = self._arm.spec.name
        text = f"{name} would not take command {self._sequence}: {error}"
        reason = Reason(Code.WRITE_ERROR, name, float(self._sequence), float(self._sequence), text)
        self.note((reason,), "write")
        return self.fault(text)

    def _checked(self, applied: Applied) -> Setpoint:
        if not (np.isfinite(applied.positions).all() and math.isfinite(applied.gripper_m)):
            raise self.fault(f"{self._arm.spec.name} says it applied a command that is not finite")
        return Setpoint(applied.positions, applied.gripper_m)


def require_positive(name: str, value: float) -> None:
    """Return if a configured number is finite and above 0.

    Raises:
        ConfigError: naming it, if it is not.
    """
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name} must be finite and above 0, got {value}")
