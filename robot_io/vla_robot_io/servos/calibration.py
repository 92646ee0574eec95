"""What a servo's ticks mean on one arm: which way a joint turns, where it is zero, how far it may go.

Written by `vla robot calibrate`, read before torque is enabled, compared with what the servos themselves keep.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from vla.errors import ConfigError
from vla.files import read_json, write_atomically
from vla_robot_io.servos.registers import ServoModel

FORMAT = "vla.servo_calibration/1"
SMALLEST_RANGE_TICKS = 100
"""A joint that was moved less than this was not moved through its range."""


@dataclasses.dataclass(frozen=True)
class JointCalibration:
    """One joint's servo."""

    name: str
    id: int
    zero: int
    """Ticks at which the joint is at 0 rad."""
    direction: int
    """1 where ticks and the joint's angle grow together, else -1."""
    low: int
    """Lowest ticks it may go to."""
    high: int
    """Highest."""


@dataclasses.dataclass(frozen=True)
class GripperCalibration:
    """The gripper's servo: its opening is taken as proportional to its ticks."""

    id: int
    closed: int
    """Ticks."""
    open: int
    opening_m: float
    """Between the fingers when open."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """All servos of an arm."""

    joints: tuple[JointCalibration, ...]
    gripper: GripperCalibration

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: naming the joint whose numbers cannot be.
        """
        ids = [*(joint.id for joint in self.joints), self.gripper.id]
        if len(set(ids)) != len(ids):
            raise ConfigError(f"calibration: every servo has an id of its own, got {ids}")
        for joint in self.joints:
            if joint.direction not in (-1, 1):
                raise ConfigError(f"calibration: direction of {joint.name} is 1 or -1, got {joint.direction}")
            if joint.high - joint.low < SMALLEST_RANGE_TICKS:
                raise ConfigError(
                    f"calibration: {joint.name} goes from {joint.low} to {joint.high} ticks, which is hardly a motion: "
                    f"calibrate it again, and move it through its whole range"
                )
        gripper = self.gripper
        if abs(gripper.open - gripper.closed) < SMALLEST_RANGE_TICKS or not 0 < gripper.opening_m < 1:
            raise ConfigError(
                f"calibration: the gripper goes from {gripper.closed} to {gripper.open} ticks and opens "
                f"{gripper.opening_m} m: calibrate it again"
            )

    @property
    def ids(self) -> tuple[int, ...]:
        """Of the joints, in their order, and of the gripper."""
        return (*(joint.id for joint in self.joints), self.gripper.id)

    # ------------------------------------------------------------------ ticks and radians

    def limits(self, model: ServoModel) -> tuple[Float64[np.ndarray, " joints"], Float64[np.ndarray, " joints"]]:
        """Lowest and highest position of each joint, rad."""
        ends = np.stack([self._angles(model, "low"), self._angles(model, "high")])
        return ends.min(0), ends.max(0)

    def positions(self, model: ServoModel, ticks: list[int]) -> Float64[np.ndarray, " joints"]:
        """The joints' positions at these ticks, rad."""
        return (np.array(ticks) - self._zeros) * self._directions * model.rad_per_tick

    def ticks(self, model: ServoModel, positions: Float64[np.ndarray, " joints"]) -> Int64[np.ndarray, " joints"]:
        """The nearest ticks to these positions (rad) that the joints may go to."""
        low, high = [joint.low for joint in self.joints], [joint.high for joint in self.joints]
        return np.clip(self.nearest_ticks(model, positions), low, high)

    def nearest_ticks(
        self, model: ServoModel, positions: Float64[np.ndarray, " joints"]
    ) -> Int64[np.ndarray, " joints"]:
        """The nearest ticks to these positions (rad), wherever they are."""
        return np.rint(positions * self._directions / model.rad_per_tick).astype(np.int64) + self._zeros

    def opening(self, ticks: int) -> float:
        """Of the gripper, m; a little beyond its ends where the servo is."""
        gripper = self.gripper
        return gripper.opening_m * (ticks - gripper.closed) / (gripper.open - gripper.closed)

    def gripper_ticks(self, opening_m: float) -> int:
        """Nearest to an opening (m), between closed and open."""
        gripper = self.gripper
        share = min(max(opening_m / gripper.opening_m, 0.0), 1.0)
        return round(gripper.closed + share * (gripper.open - gripper.closed))

    @property
    def _directions(self) -> Int64[np.ndarray, " joints"]:
        return np.array([joint.direction for joint in self.joints])

    @property
    def _zeros(self) -> Int64[np.ndarray, " joints"]:
        return np.array([joint.zero for joint in self.joints])

    def _angles(self, model: ServoModel, end: str) -> Float64[np.ndarray, " joints"]:
        return self.positions(model, [getattr(joint, end) for joint in self.joints])

    # ------------------------------------------------------------------ files

    def save(self, path: Path) -> None:
        """Write it."""
        joints = {
            joint.name: {k: v for k, v in dataclasses.asdict(joint).items() if k != "name"} for joint in self.joints
        }
        tree = {"format": FORMAT, "joints": joints, "gripper": dataclasses.asdict(self.gripper)}
        write_atomically(path, json.dumps(tree, indent=1))

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            ConfigError: if there is no such file, or it is no calibration.
        """
        absent = f"there is no calibration at {path}: `vla robot calibrate` makes one"
        tree = read_json(path, ConfigError, absent=absent)
        try:
            return cls._from_json(tree)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path} is no calibration of servos: {type(error).__name__}: {error}") from error

    @classmethod
    def _from_json(cls, tree: Any) -> Calibration:
        if tree["format"] != FORMAT:
            raise ConfigError(f"expected a calibration of format '{FORMAT}', got '{tree['format']}'")
        joints = tuple(
            JointCalibration(str(name), **{key: _whole(key, value) for key, value in numbers.items()})
            for name, numbers in tree["joints"].items()
        )
        numbers = dict(tree["gripper"])
        opening_m = float(numbers.pop("opening_m"))
        return cls(
            joints,
            GripperCalibration(**{key: _whole(key, value) for key, value in numbers.items()}, opening_m=opening_m),
        )


def _whole(name: str, value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"expected a whole number as {name}, got {value!r}")
    return value
