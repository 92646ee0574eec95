"""Whether what a controller says can be true: its clock runs forward, and no joint is faster than it can be.

Libraries hand out what they hold: the last reading for ever when the link has died, zeros before the first packet, the
values of another session after a restart. None of that is a measurement.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from vla.interfaces import ArmSpec
from vla_robot_io.links.link import Measurement


@dataclasses.dataclass(frozen=True)
class PlausibilityConfig:
    """What is believed."""

    speed_factor: float = 2.0
    """A joint is not believed to have gone faster than this many times its speed limit ..."""
    slack_rad: float = 0.05
    """... plus this."""
    suspects_zeros: bool = True
    """Whether every joint at exactly zero means that nothing was measured."""


class Plausibility:
    """Compares each measurement with the one before it."""

    def __init__(self, spec: ArmSpec, config: PlausibilityConfig) -> None:
        """Begin with no measurement.

        Args:
            spec: whose speeds are believed.
        """
        self._spec, self._config = spec, config
        self._before: Measurement | None = None

    def forget(self) -> None:
        """The next measurement begins a new session."""
        self._before = None

    def refusal(self, measured: Measurement) -> str | None:
        """Why this is no measurement, one sentence; `None` if it is one, which is then compared with the next."""
        before = self._before
        if self._config.suspects_zeros and not measured.positions.any() and not measured.velocities.any():
            return "every joint reads exactly 0: that is no measurement"
        if before is not None and measured.device_time_s < before.device_time_s:
            return (
                f"the controller's clock went back from {before.device_time_s:.3f} s to {measured.device_time_s:.3f} s:"
                " it was restarted, or another one answers"
            )
        if before is not None and (jump := self._jump(before, measured)):
            return jump
        self._before = measured
        return None

    def _jump(self, before: Measurement, measured: Measurement) -> str | None:
        elapsed_s = measured.device_time_s - before.device_time_s
        reach = self._config.speed_factor * self._spec.max_speed * elapsed_s + self._config.slack_rad
        distance = np.abs(measured.positions - before.positions)
        for joint in np.flatnonzero(~(distance <= reach)):
            return (
                f"{self._spec.joints[joint]} is said to have gone {distance[joint]:.3f} rad in {elapsed_s:.3f} s, "
                f"over {reach[joint]:.3f} rad: that is no measurement"
            )
        return None


def is_finite(measured: Measurement) -> bool:
    """Whether every number of a measurement is."""
    arrays = (measured.positions, measured.velocities)
    scalars = (measured.gripper_m, measured.device_time_s, measured.speed_scaling)
    return all(map(math.isfinite, scalars)) and all(bool(np.isfinite(array).all()) for array in arrays)
