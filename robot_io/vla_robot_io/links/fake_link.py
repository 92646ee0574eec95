"""A link of nothing but arithmetic, which can be told to fail: what the rules of `LinkedArm` are tested on.

Each joint goes to its command at its speed limit. What goes wrong is written down beforehand (`LinkFaults`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from vla.interfaces import ArmSpec, Clock
from vla_robot_io.fake_arm import Window
from vla_robot_io.links.link import Identity, Measurement, Sent, Trouble

_NEVER = Window(math.inf)


@dataclasses.dataclass(frozen=True)
class LinkFaults:
    """What goes wrong with a fake link, and when."""

    frozen: Window = _NEVER
    """The library hands out the last reading for ever."""
    silent: Window = _NEVER
    """Asking raises `OSError`."""
    backwards: Window = _NEVER
    """The controller was restarted: its clock begins anew."""
    zeros: Window = _NEVER
    """Every joint reads 0."""
    nan: Window = _NEVER
    """Positions read NaN."""
    slowed: Window = _NEVER
    """The speed slider stands at 10 %."""
    troubles: Mapping[Window, Trouble] = dataclasses.field(default_factory=dict)
    """What the controller says is wrong."""


class FakeLink:
    """An arm of arithmetic behind a link."""

    def __init__(
        self,
        clock: Clock,
        spec: ArmSpec,
        start: Float64[np.ndarray, " joints"],
        identity: Identity,
        faults: LinkFaults | None = None,
    ) -> None:
        self._clock, self._spec, self._identity, self._faults = clock, spec, identity, faults or LinkFaults()
        self._positions, self._goal = start.copy(), start.copy()
        self._gripper_m = spec.gripper_high_m
        self._start_s = self._moved_s = clock.now()
        self._last: Measurement | None = None
        self.sent: list[Float64[np.ndarray, " joints"]] = []
        """Every command that came."""
        self.halts = 0
        """How often it was told to stand still."""
        self.recoveries: list[Trouble | None] = []
        """What was cleared after an acknowledgement."""

    def open(self) -> Identity:
        return self._identity

    def check(self) -> None:
        """Nothing is set."""

    def enable(self) -> None:
        self._goal = self._positions.copy()

    def measure(self) -> Measurement:
        elapsed_s, faults = self._clock.now() - self._start_s, self._faults
        if elapsed_s in faults.silent:
            raise OSError("nothing answers")
        if elapsed_s in faults.frozen and self._last is not None:
            return self._last
        self._move()
        self._last = Measurement(
            positions=self._seen(elapsed_s),
            velocities=np.zeros_like(self._positions),
            gripper_m=self._gripper_m,
            device_time_s=math.floor(elapsed_s * self._spec.rate_hz + 1e-6) / self._spec.rate_hz,
            trouble=next((trouble for window, trouble in faults.troubles.items() if elapsed_s in window), None),
            speed_scaling=0.1 if elapsed_s in faults.slowed else 1.0,
        )
        if elapsed_s in faults.backwards:
            self._last = dataclasses.replace(
                self._last, device_time_s=self._last.device_time_s - faults.backwards.start_s
            )
        return self._last

    def send(self, positions: Float64[np.ndarray, " joints"], gripper_m: float) -> Sent:
        self._move()
        self._goal, self._gripper_m = positions.copy(), gripper_m
        self.sent.append(positions.copy())
        return Sent(positions, gripper_m)

    def halt(self) -> None:
        self._move()
        self.halts += 1

    def recover(self, trouble: Trouble | None) -> None:
        self.recoveries.append(trouble)

    def close(self) -> None:
        """There is no wire."""

    def _seen(self, elapsed_s: float) -> Float64[np.ndarray, " joints"]:
        if elapsed_s in self._faults.zeros:
            return np.zeros_like(self._positions)
        return np.full_like(self._positions, math.nan) if elapsed_s in self._faults.nan else self._positions.copy()

    def _move(self) -> None:
        now_s = self._clock.now()
        reach = self._spec.max_speed * (now_s - self._moved_s)
        self._positions = self._positions + np.clip(self._goal - self._positions, -reach, reach)
        self._moved_s = now_s
