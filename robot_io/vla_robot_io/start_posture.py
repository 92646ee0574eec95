"""Where an arm should stand when a task begins: far from it, it is refused before torque, or led there slowly first.

    reading ─► near the posture that is declared? ─ no ─► refused, the joint named
                                                     └──► go_there=true: a straight way in joint space, at 0.1 rad/s

A policy has seen demonstrations from around one posture; from another its first action is a leap of its imagination.
The slow way goes through the envelope as every other: what is in it stops the arm.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float64

from vla.errors import ArmError, ArmFault, ArmHeld, ConfigError
from vla_robot_io.arm_link import ArmLink

_ARRIVED_RAD = 1e-3
_PROGRESS = 0.01
"""A part of the way that is smaller than this part of what was asked for is none."""


@dataclasses.dataclass
class StartConfig:
    """Where the arm is expected to stand when a task begins."""

    posture_rad: list[float] = dataclasses.field(default_factory=list)
    """Of each joint, rad; nothing is compared if it is empty."""
    tolerance_rad: float = 0.2
    """An arm of which a joint is farther away than this is refused ..."""
    go_there: bool = False
    """... or led there first, if this says so: look that the way is free."""
    speed_rad_s: float = 0.1
    """Of the joint that has the longest way, rad/s."""


class StartPosture:
    """The posture that one arm should begin from."""

    def __init__(self, joints: tuple[str, ...], config: StartConfig) -> None:
        """Check the numbers.

        Raises:
            ConfigError: naming what is not finite, not above 0, or of another arm.
        """
        self._joints, self._config = joints, config
        self._posture = np.array(config.posture_rad, np.float64)
        for name in ("tolerance_rad", "speed_rad_s"):
            value = getattr(config, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"control.start.{name} must be finite and above 0, got {value}")
        if self.is_declared and not (len(self._posture) == len(joints) and np.isfinite(self._posture).all()):
            told = f"{len(joints)} finite numbers, of {', '.join(joints)}"
            raise ConfigError(f"control.start.posture_rad is {told}; got {config.posture_rad}")

    @property
    def is_declared(self) -> bool:
        return self._posture.size > 0

    def require_near(self, positions: Float64[np.ndarray, " joints"]) -> None:
        """Return if the arm stands near enough, or may be led there.

        Raises:
            ArmError: naming the joint that is farthest away.
        """
        if not self.is_declared or self._config.go_there:
            return
        gaps = np.abs(positions - self._posture)
        worst = int(gaps.argmax())
        # Written so that NaN is never near.
        if gaps[worst] <= self._config.tolerance_rad:
            return
        raise ArmError(
            f"{self._joints[worst]} is at {positions[worst]:.3f} rad, {gaps[worst]:.3f} rad from where the task "
            f"begins, over {self._config.tolerance_rad:g} rad: move the arm there by hand, or have it go there slowly "
            f"with control.start.go_there=true"
        )

    def go(self, link: ArmLink, rate_hz: float, ticks: int) -> None:
        """Lead an arm that has torque there, slowly, and hold it; nothing if it is not to be led, or stands there.

        Args:
            link: of the arm.
            rate_hz: of its ticks.
            ticks: how often in between somebody looks how it goes.

        Raises:
            ArmHeld: if something stands in the way; the arm holds.
            ArmFault: if a fault is latched or met.
        """
        if not (self.is_declared and self._config.go_there):
            return
        while (gap := self._gap(link)) is not None:
            farthest = float(np.abs(gap).max())
            steps = max(1, math.ceil(farthest * rate_hz / self._config.speed_rad_s))
            link.carry_out(gap / steps, link.report().reference.gripper_m, min(ticks, steps))
            self._require_progress(link, farthest * (1 - _PROGRESS * min(ticks, steps) / steps))
        link.hold()

    def _gap(self, link: ArmLink) -> Float64[np.ndarray, " joints"] | None:
        """What is left of the way; None where the arm is led no farther."""
        gap = self._posture - link.look().reference.positions
        return None if np.abs(gap).max() <= _ARRIVED_RAD else gap

    def _require_progress(self, link: ArmLink, most_rad: float) -> None:
        report = link.report()
        if report.failure is not None:
            raise ArmFault(report.failure)
        left = self._posture - report.reference.positions
        if report.halt is None and np.abs(left).max() <= most_rad:
            return
        reasons, _ = link.take_reasons()
        told = "; ".join(reason.text for reason in reasons) or (report.halt.text if report.halt else "it stands still")
        link.hold()
        raise ArmHeld(f"on its way to where the task begins the arm was stopped: {told}")
