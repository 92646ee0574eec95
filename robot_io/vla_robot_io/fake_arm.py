"""An arm made of nothing but arithmetic, which can be told to fail: the arm that tests run on.

Each joint moves towards its command at its speed limit and stops there. Positions depend on the clock and on what
was commanded, on nothing else. Faults come and go at times that are written down beforehand (`ArmFaults`).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float64

from vla.arm_modes import ArmModes
from vla.interfaces import Applied, ArmCommand, ArmMode, ArmSpec, ArmState, Clock
from vla_robot_io.panda import panda_spec

PANDA_READY = np.array([0.0, -math.pi / 4, 0.0, -3 * math.pi / 4, 0.0, math.pi / 2, math.pi / 4])
"""rad; the pose that Franka's own examples begin from"""


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """From `start_s` up to, but without, `end_s`, in seconds since the arm was made."""

    start_s: float
    end_s: float = math.inf

    def __contains__(self, time_s: float) -> bool:
        return self.start_s <= time_s < self.end_s


_NEVER = Window(math.inf)


@dataclasses.dataclass(frozen=True, slots=True)
class ArmFaults:
    """What goes wrong with a fake arm, and when."""

    stale: Window = _NEVER
    """The link repeats the last reading whole: the classic of a server that froze."""
    frozen_clock: Window = _NEVER
    """Readings change, and the device's clock and sequence stand still."""
    nan: Window = _NEVER
    """Positions read NaN."""
    write_error: Window = _NEVER
    """Writing raises OSError, as a port does whose cable was pulled."""


class FakeArm:
    """A Panda of arithmetic, driven by a clock."""

    def __init__(
        self,
        clock: Clock,
        rate_hz: float = 100.0,
        start: Float64[np.ndarray, " joints"] | None = None,
        faults: ArmFaults | None = None,
    ) -> None:
        """Place the arm.

        Args:
            clock: by which it moves.
            rate_hz: how many commands, and new readings, a second.
            start: joint positions, rad; the Panda's ready pose if not given.
            faults: none if not given.
        """
        self._clock = clock
        self._spec = panda_spec(rate_hz, name="fake_panda")
        self._positions = (PANDA_READY if start is None else start).astype(np.float64).copy()
        self.faults = faults or ArmFaults()
        """What goes wrong; others may take their place at any time."""
        self._modes = ArmModes(self._spec.name)
        self._start_s = self._moved_s = clock.now()
        self._velocities = np.zeros_like(self._positions)
        self._gripper_m = self._spec.gripper_high_m
        self._commanded = (self._positions.copy(), self._gripper_m)
        self._read: ArmState | None = None

    @property
    def spec(self) -> ArmSpec:
        return self._spec

    @property
    def mode(self) -> ArmMode:
        return self._modes.mode

    def connect(self) -> None:
        self._modes.enter("connect")

    def configure(self) -> None:
        self._modes.enter("configure")

    def arm(self) -> None:
        self._modes.enter("arm")

    def run(self) -> None:
        self._modes.enter("run")

    def hold(self) -> None:
        self._modes.enter("hold")

    def fault(self, reason: str) -> None:
        self._modes.latch(reason)

    def acknowledge(self, reason: str) -> None:
        self._modes.acknowledge(reason)

    def close(self) -> None:
        self._modes.disconnect()

    def read(self) -> ArmState:
        self._modes.require_connected("read")
        self._move()
        state = self._reading()
        self._read = state
        return state

    def write(self, command: ArmCommand) -> Applied:
        applied = self._modes.admit(command, self._spec, self._clock.now())
        if self._elapsed() in self.faults.write_error:
            raise OSError("the port is gone")
        self._move()
        self._commanded = (applied.positions.copy(), applied.gripper_m)
        return applied

    def _reading(self) -> ArmState:
        before, elapsed = self._read, self._elapsed()
        if before is not None and elapsed in self.faults.stale:
            return dataclasses.replace(before, time_s=self._clock.now(), mode=self.mode, fresh=False)
        sequence = math.floor(elapsed * self._spec.rate_hz + 1e-6)
        if before is not None and elapsed in self.faults.frozen_clock:
            sequence = before.sequence
        is_nan = elapsed in self.faults.nan
        return ArmState(
            positions=np.full_like(self._positions, math.nan) if is_nan else self._positions.copy(),
            velocities=self._velocities.copy(),
            gripper_m=self._gripper_m,
            commanded=self._commanded[0].copy(),
            commanded_gripper_m=self._commanded[1],
            time_s=self._clock.now(),
            device_time_s=sequence / self._spec.rate_hz,
            sequence=sequence,
            mode=self.mode,
            fresh=before is None or sequence > before.sequence,
            fault=self._modes.fault,
        )

    def _move(self) -> None:
        """Move every joint towards its command, for the time that has passed."""
        now = self._clock.now()
        duration, self._moved_s = now - self._moved_s, now
        if duration <= 0:
            return
        reach = self._spec.max_speed * duration
        change = np.clip(self._commanded[0] - self._positions, -reach, reach)
        self._positions, self._velocities = self._positions + change, change / duration
        self._gripper_m = self._commanded[1]

    def _elapsed(self) -> float:
        return self._clock.now() - self._start_s
