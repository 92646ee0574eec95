"""The numbers of the safety envelope: what a command may ask of one arm, checked before the first one.

Joint limits and speeds are the arm's own (`ArmSpec`); the box, the floor and the margins are the operator's
(`EnvelopeConfig`). A number that is NaN, infinite, negative or leaves no room to move stops the program here:
a NaN limit would compare false to everything, and let everything through.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float64

from vla.clearance import SLOW_M
from vla.errors import ConfigError
from vla.interfaces import ArmSpec

AXES = ("end_effector_x", "end_effector_y", "end_effector_z")
TO_FULL_SPEED_S, TO_FULL_ACCELERATION_S = 0.25, 0.02
"""What an arm takes for which nobody publishes accelerations."""
SMALLEST_STEP_RAD = 1e-9
"""A limit below this moves no arm; it is a mistake in the configuration."""


@dataclasses.dataclass
class EnvelopeConfig:
    """What the envelope allows. Joint limits and speeds come from the arm's own `ArmSpec`."""

    box_low_m: list[float]
    """Lowest x, y, z of the end-effector in the arm's base frame, m. Required."""
    box_high_m: list[float]
    """Highest x, y, z of the end-effector in the arm's base frame, m. Required."""
    floor_m: float
    """Lowest z of the end-effector whatever the box says, m: the table's height plus a margin. Required."""
    soft_margin_rad: float = 0.05
    """How far inside its hard limit a joint is stopped, rad."""
    speed_factor: float = 0.2
    """The part of each joint's published speed limit that a command may ask for, above 0, at most 1."""
    acceleration_factor: float = 1.0
    """The part of each joint's acceleration and jerk limits that a command may ask for, above 0; above 1 for simulated
    arms alone, whose demonstrations change speed at once."""
    fault_factor: float = 4.0
    """A command this many steps away from the last is a jump, not a motion: it latches a fault."""
    slow_clearance_m: float = 0.05
    """Nearer to itself or to an obstacle than this the arm slows down as it comes nearer, m ..."""
    stop_clearance_m: float = 0.01
    """... and nearer than this it does not come, m."""
    obstacles: list[list[float]] = dataclasses.field(default_factory=list)
    """Boxes that stand around the arm: x, y, z of the middle in the base frame, half of each length, m."""
    refusals_to_fault: int = 3
    """This many non-finite commands ..."""
    refusal_window_s: float = 1.0
    """... within this time latch a fault, s. The first of them holds the arm."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """The numbers of an envelope, for one arm. Made by `limits_of`, which checks them."""

    joints: tuple[str, ...]
    soft_low: Float64[np.ndarray, " joints"]
    soft_high: Float64[np.ndarray, " joints"]
    max_step: Float64[np.ndarray, " joints"]
    """rad a command"""
    max_acceleration: Float64[np.ndarray, " joints"]
    """rad/s^2"""
    max_jerk: Float64[np.ndarray, " joints"]
    """rad/s^3"""
    gripper_low_m: float
    gripper_high_m: float
    box_low: Float64[np.ndarray, " 3"]
    """m; the floor is in it"""
    box_high: Float64[np.ndarray, " 3"]
    slow_clearance_m: float
    stop_clearance_m: float
    fault_factor: float
    refusals_to_fault: int
    refusal_window_s: float


def accelerations_of(spec: ArmSpec) -> Float64[np.ndarray, " joints"]:
    """rad/s^2: as published, or full speed in a quarter of a second."""
    return spec.max_speed / TO_FULL_SPEED_S if spec.max_acceleration is None else spec.max_acceleration


def limits_of(spec: ArmSpec, config: EnvelopeConfig) -> Limits:
    """The limits of this arm under this configuration.

    Raises:
        ConfigError: naming the first number that is not finite, negative, or leaves no room to move.
    """
    for name, values in (
        ("position_low", spec.position_low),
        ("position_high", spec.position_high),
        ("max_speed", spec.max_speed),
        ("max_acceleration", acceleration := accelerations_of(spec)),
        ("max_jerk", jerk := spec.max_jerk if spec.max_jerk is not None else acceleration / TO_FULL_ACCELERATION_S),
    ):
        _require_finite(f"{spec.name}'s {name}", values)
    for name in ("gripper_low_m", "gripper_high_m", "rate_hz"):
        _require_finite(f"{spec.name}'s {name}", getattr(spec, name))
    for field in dataclasses.fields(config):
        for values in getattr(config, field.name) if field.name == "obstacles" else [getattr(config, field.name)]:
            _require_finite(f"envelope.{field.name}", values)
    _require("envelope.soft_margin_rad", config.soft_margin_rad, config.soft_margin_rad >= 0, "at least 0")
    _require("envelope.speed_factor", config.speed_factor, 0 < config.speed_factor <= 1, "above 0, at most 1")
    _require("envelope.acceleration_factor", config.acceleration_factor, config.acceleration_factor > 0, "above 0")
    _require("envelope.fault_factor", config.fault_factor, config.fault_factor > 1, "above 1")
    _require("envelope.refusals_to_fault", config.refusals_to_fault, config.refusals_to_fault >= 1, "at least 1")
    _require("envelope.refusal_window_s", config.refusal_window_s, config.refusal_window_s > 0, "above 0")
    order = 0 <= config.stop_clearance_m < config.slow_clearance_m <= SLOW_M
    told = f"{config.stop_clearance_m} and {config.slow_clearance_m}"
    _require("envelope.stop_clearance_m and slow_clearance_m", told, order, f"in this order from 0 to {SLOW_M}")
    _require(f"{spec.name}'s rate_hz", spec.rate_hz, spec.rate_hz > 0, "above 0")
    limits = Limits(
        joints=spec.joints,
        soft_low=spec.position_low + config.soft_margin_rad,
        soft_high=spec.position_high - config.soft_margin_rad,
        max_step=config.speed_factor * spec.max_speed / spec.rate_hz,
        max_acceleration=config.acceleration_factor * acceleration,
        max_jerk=config.acceleration_factor * jerk,
        gripper_low_m=spec.gripper_low_m,
        gripper_high_m=spec.gripper_high_m,
        box_low=_box_corner("box_low_m", config.box_low_m),
        box_high=_box_corner("box_high_m", config.box_high_m),
        slow_clearance_m=config.slow_clearance_m,
        stop_clearance_m=config.stop_clearance_m,
        fault_factor=config.fault_factor,
        refusals_to_fault=config.refusals_to_fault,
        refusal_window_s=config.refusal_window_s,
    )
    limits.box_low[2] = max(limits.box_low[2], config.floor_m)
    _require_room(limits)
    return limits


def _box_corner(name: str, corner: list[float]) -> Float64[np.ndarray, " 3"]:
    if len(corner) != 3:
        raise ConfigError(f"envelope.{name} is x, y, z in m, got {len(corner)} numbers: {corner}")
    return np.array(corner, np.float64)


def _require_room(limits: Limits) -> None:
    for name, low, high in (
        *zip(limits.joints, limits.soft_low, limits.soft_high, strict=True),
        ("gripper", limits.gripper_low_m, limits.gripper_high_m),
        *zip(AXES, limits.box_low, limits.box_high, strict=True),
    ):
        _require(f"the envelope of {name}", f"{low:.4f} to {high:.4f}", bool(low < high), "a range with low < high")
    for name, values in (("acceleration", limits.max_acceleration), ("jerk", limits.max_jerk)):
        for joint, value in zip(limits.joints, values, strict=True):
            _require(f"the {name} limit of {joint}", value, bool(value > 0), "above 0")
    for name, step in zip(limits.joints, limits.max_step, strict=True):
        wanted = f"at least {SMALLEST_STEP_RAD:g} rad"
        _require(f"the step limit of {name}", step, bool(step >= SMALLEST_STEP_RAD), wanted)


def _require_finite(name: str, values: object) -> None:
    if not np.isfinite(np.asarray(values, np.float64)).all():
        raise ConfigError(f"{name} must be finite, got {values}")


def _require(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {wanted}, got {value}")
