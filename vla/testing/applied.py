"""What was really commanded to an arm, and whether any of it was past a limit: for tests that make things go wrong.

robot = dataclasses.replace(robot, arm=LoggedArm(robot.arm, clock))
...                                             # a fault, and what the loop makes of it
check_applied(robot.arm)                        # nothing past the limits, nothing moved in a fault
assert time_to_hold(robot.arm, fault_s) <= 0.1
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from vla.interfaces import Applied, Arm, ArmCommand, ArmMode, ArmSpec, ArmState, Clock
from vla.testing.promises import require

_STILL = frozenset({ArmMode.HOLD, ArmMode.FAULT, ArmMode.DISCONNECTED})
_ROUNDING = 1e-9
"""Of sums of floats, as a share of a step, and in rad."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One call that may change what an arm does."""

    time_s: float
    verb: str
    """`write`, or the name of a transition."""
    before: ArmMode
    after: ArmMode
    applied: Applied | None = None
    """Of a `write` that was taken."""
    text: str = ""
    """Of a `fault` or an `acknowledge`; of what was refused, why."""


class LoggedArm:
    """Another arm; every call that may change what it does is kept, with what it led to."""

    def __init__(self, arm: Arm, clock: Clock, hear: Callable[[Entry], None] | None = None) -> None:
        """Wrap it.

        Args:
            hear: is given every entry; they are kept in `entries` if there is none.
        """
        self._arm = arm
        self._clock = clock
        self.entries: list[Entry] = []
        self._hear = hear or self.entries.append

    @property
    def spec(self) -> ArmSpec:
        return self._arm.spec

    @property
    def mode(self) -> ArmMode:
        return self._arm.mode

    def connect(self) -> None:
        self._note("connect", self._arm.connect)

    def configure(self) -> None:
        self._note("configure", self._arm.configure)

    def arm(self) -> None:
        self._note("arm", self._arm.arm)

    def run(self) -> None:
        self._note("run", self._arm.run)

    def hold(self) -> None:
        self._note("hold", self._arm.hold)

    def fault(self, reason: str) -> None:
        self._note("fault", lambda: self._arm.fault(reason), reason)

    def acknowledge(self, reason: str) -> None:
        self._note("acknowledge", lambda: self._arm.acknowledge(reason), reason)

    def close(self) -> None:
        self._note("close", self._arm.close)

    def read(self) -> ArmState:
        """What the arm reads; noted if the arm has changed its mode by itself."""
        before = self._arm.mode
        state = self._arm.read()
        if self._arm.mode is not before:
            self._keep("read", before, text=state.fault or "")
        return state

    def write(self, command: ArmCommand) -> Applied:
        before = self._arm.mode
        try:
            applied = self._arm.write(command)
        except Exception as error:
            self._keep("write", before, text=str(error))
            raise
        kept = Applied(applied.positions.copy(), applied.gripper_m, applied.reasons)
        self._keep("write", before, kept)
        return applied

    @property
    def written(self) -> list[Entry]:
        """The commands that were taken."""
        return [entry for entry in self.entries if entry.applied is not None]

    def _note(self, verb: str, call: object, text: str = "") -> None:
        before = self._arm.mode
        try:
            call()  # type: ignore[operator]
        except Exception as error:
            self._keep(verb, before, text=f"{text}: {error}" if text else str(error))
            raise
        self._keep(verb, before, text=text)

    def _keep(self, verb: str, before: ArmMode, applied: Applied | None = None, text: str = "") -> None:
        after = self._arm.mode
        if after is ArmMode.FAULT and before is not after and not text:
            text = self._arm.read().fault or ""
        self._hear(Entry(self._clock.now(), verb, before, after, applied, text))


def check_applied(arm: LoggedArm, *, speed_factor: float = 1.0, resolution_rad: float = 0.0) -> None:
    """Return if nothing that was applied breaks a limit.

    Every command is finite, within the joints' and the gripper's range, at most one period of the joints' speed away
    from the one before it; it was taken while the arm ran, and so in no fault. A fault is left by its own
    acknowledgement, or by closing the wire.

    Args:
        speed_factor: of the joints' published speeds.
        resolution_rad: to which the arm rounds what it is commanded, as servos do to their ticks.

    Raises:
        AssertionError: with one sentence on what is wrong.
    """
    check = AppliedCheck(arm.spec, speed_factor=speed_factor, resolution_rad=resolution_rad)
    for entry in arm.entries:
        check.hear(entry)


class AppliedCheck:
    """The same, for entries as they come: `LoggedArm(arm, clock, AppliedCheck(arm.spec).hear)`."""

    def __init__(self, spec: ArmSpec, *, speed_factor: float = 1.0, resolution_rad: float = 0.0) -> None:
        self._spec = spec
        # Half of the resolution at both ends of a step.
        self._most = speed_factor * spec.max_speed / spec.rate_hz * (1 + _ROUNDING) + resolution_rad
        self._last: Float64[np.ndarray, " joints"] | None = None
        self._latched: str | None = None

    def hear(self, entry: Entry) -> None:
        """Return if this entry, after those before it, breaks nothing.

        Raises:
            AssertionError: with one sentence on what is wrong.
        """
        if entry.applied is not None:
            _check_command(self._spec, entry)
            positions = entry.applied.positions
            step = np.zeros(1) if self._last is None else np.abs(positions - self._last) / self._most
            require(float(step.max()) <= 1, f"at {entry.time_s:.3f} s a joint moves {step.max():.3g} steps in one")
            self._last = positions
        self._latched = _follow(entry, self._latched)
        if entry.verb == "arm":
            self._last = None


def time_to_hold(arm: LoggedArm, since_s: float) -> float:
    """Seconds from a moment, at which the arm moved, until it was told to stand still, or stood still by itself.

    Raises:
        AssertionError: if it never was.
    """
    held = [entry for entry in arm.entries if entry.time_s >= since_s and entry.after in _STILL]
    require(bool(held), f"the arm has not held since {since_s:.3f} s")
    return held[0].time_s - since_s


def _check_command(spec: ArmSpec, entry: Entry) -> None:
    assert entry.applied is not None
    why = _wrong(spec, entry.applied)
    if why is not None:
        raise AssertionError(f"the command at {entry.time_s:.3f} s {why}")
    require(
        entry.before is ArmMode.RUNNING,
        f"the command at {entry.time_s:.3f} s was taken while the arm was {entry.before.value}",
    )


def _wrong(spec: ArmSpec, applied: Applied) -> str | None:
    positions, gripper_m = applied.positions, applied.gripper_m
    if not (np.isfinite(positions).all() and math.isfinite(gripper_m)):
        return f"is not finite: {positions}, {gripper_m}"
    if not ((positions >= spec.position_low - _ROUNDING) & (positions <= spec.position_high + _ROUNDING)).all():
        return f"lies beyond a joint's limit: {positions}"
    if not spec.gripper_low_m <= gripper_m <= spec.gripper_high_m:
        return f"opens the gripper {gripper_m} m, beyond its range"
    return None


def _follow(entry: Entry, latched: str | None) -> str | None:
    """The fault that is latched after an entry."""
    if latched is None and entry.before is not ArmMode.FAULT:
        return entry.text if entry.after is ArmMode.FAULT else None
    if entry.after is ArmMode.FAULT:
        return latched
    left = entry.verb == "close" or (entry.verb == "acknowledge" and entry.text == latched)
    require(left, f"at {entry.time_s:.3f} s the fault '{latched}' was left by '{entry.verb}' ('{entry.text}')")
    return None
