"""The embodiment: one hashed contract for robot, gripper and cameras, from dataset to motor.

Every dataset, checkpoint and server greeting carries an `Embodiment` and its `fingerprint`. Two that
differ are refused with a field-by-field difference; nothing is ever adapted silently.

Units are SI. Angles are in radians. Images are RGB, uint8, height x width x 3, row 0 at the top.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32

from vla.errors import EmbodimentMismatch, ObservationError


class ActionKind(enum.Enum):
    """What an action's motion fields mean."""

    DELTA_END_EFFECTOR = "delta_end_effector"
    """Change of the commanded end-effector pose during one control step."""
    ABSOLUTE_END_EFFECTOR = "absolute_end_effector"
    """The end-effector pose to have at the end of one control step."""
    DELTA_JOINT = "delta_joint"
    """Change of the commanded joint positions during one control step."""
    ABSOLUTE_JOINT = "absolute_joint"
    """The joint positions to have at the end of one control step."""


class Rotation(enum.Enum):
    """How the rotation fields of an action are written."""

    NONE = "none"
    YAW = "yaw"
    """One angle about the frame's z axis, counter-clockwise seen from above."""
    ROTATION_VECTOR = "rotation_vector"
    QUATERNION_WXYZ = "quaternion_wxyz"


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One number of an action or of proprioception."""

    name: str
    unit: str
    """`m`, `rad`, `m/s`, `1` (a ratio), ..."""
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"field '{self.name}' needs finite limits low < high, got {self.low}, {self.high}")


@dataclasses.dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera: RGB, uint8, `height` x `width` x 3."""

    name: str
    height: int
    width: int


@dataclasses.dataclass(frozen=True, slots=True)
class Embodiment:
    """Names, units and limits of all that a policy sees and commands."""

    name: str
    action: tuple[Field, ...]
    action_kind: ActionKind
    frame: str
    """The frame of the action's motion fields: `base`, `world` or `gripper`."""
    rotation: Rotation
    gripper: str
    """The gripper field in words: which end is open, absolute or delta."""
    proprioception: tuple[Field, ...]
    """Joint positions, then the gripper, then whatever else the robot measures of itself."""
    control_hz: float
    cameras: tuple[CameraSpec, ...]

    def __post_init__(self) -> None:
        for what, names in (
            ("action", [field.name for field in self.action]),
            ("proprioception", [field.name for field in self.proprioception]),
            ("camera", [camera.name for camera in self.cameras]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"embodiment '{self.name}' names a {what} field twice: {names}")
        if not (math.isfinite(self.control_hz) and self.control_hz > 0):
            raise ValueError(f"embodiment '{self.name}' needs a positive control_hz, got {self.control_hz}")

    @property
    def action_dim(self) -> int:
        return len(self.action)

    @property
    def state_dim(self) -> int:
        return len(self.proprioception)

    @property
    def control_dt_s(self) -> float:
        return 1.0 / self.control_hz

    @property
    def action_low(self) -> Float32[np.ndarray, " action_dim"]:
        return np.array([field.low for field in self.action], np.float32)

    @property
    def action_high(self) -> Float32[np.ndarray, " action_dim"]:
        return np.array([field.high for field in self.action], np.float32)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def camera(self, name: str) -> CameraSpec:
        """The camera of this name.

        Raises:
            ObservationError: if this embodiment has no such camera.
        """
        for camera in self.cameras:
            if camera.name == name:
                return camera
        known = ", ".join(camera.name for camera in self.cameras)
        raise ObservationError(f"'{name}' is not a camera of {self.name}; cameras: {known}")

    def to_json(self) -> dict[str, Any]:
        """A tree of JSON values that `from_json` reads back to an equal embodiment."""
        return {
            "name": self.name,
            "action": [_field_to_json(field) for field in self.action],
            "action_kind": self.action_kind.value,
            "frame": self.frame,
            "rotation": self.rotation.value,
            "gripper": self.gripper,
            "proprioception": [_field_to_json(field) for field in self.proprioception],
            "control_hz": float(self.control_hz),
            "cameras": [dataclasses.asdict(camera) for camera in self.cameras],
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> Embodiment:
        """The embodiment that `to_json` wrote."""
        return Embodiment(
            name=tree["name"],
            action=tuple(Field(**field) for field in tree["action"]),
            action_kind=ActionKind(tree["action_kind"]),
            frame=tree["frame"],
            rotation=Rotation(tree["rotation"]),
            gripper=tree["gripper"],
            proprioception=tuple(Field(**field) for field in tree["proprioception"]),
            control_hz=float(tree["control_hz"]),
            cameras=tuple(CameraSpec(**camera) for camera in tree["cameras"]),
        )

    def differences(self, other: Embodiment) -> list[str]:
        """What separates two embodiments, the name first, one line a leaf: `action[2].high: 0.05 against 0.04`."""
        lines = _differences("", self.to_json(), other.to_json())
        return sorted(lines, key=lambda line: not line.startswith("name: "))


def require_same_embodiment(expected: Embodiment, got: Embodiment, *, expected_name: str, got_name: str) -> None:
    """Return if both are the same contract.

    Args:
        expected_name: where `expected` comes from, for instance `checkpoint runs/a`.
        got_name: where `got` comes from, for instance `dataset data/b`.

    Raises:
        EmbodimentMismatch: naming both places and every field that differs.
    """
    differences = expected.differences(got)
    if differences:
        shown = "; ".join(differences[:6])
        more = f"; and {len(differences) - 6} more" if len(differences) > 6 else ""
        raise EmbodimentMismatch(f"{got_name} is for another embodiment than {expected_name}: {shown}{more}")


def _field_to_json(field: Field) -> dict[str, Any]:
    # 1 and 1.0 are one limit, and so one fingerprint.
    return {"name": field.name, "unit": field.unit, "low": float(field.low), "high": float(field.high)}


def _differences(path: str, expected: Any, got: Any) -> list[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        lines: list[str] = []
        for key in sorted(expected.keys() | got.keys()):
            inner = f"{path}.{key}" if path else key
            lines += _differences(inner, expected.get(key), got.get(key))
        return lines
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return [f"{path}: {len(expected)} entries against {len(got)}"]
        return [
            line
            for index, (a, b) in enumerate(zip(expected, got, strict=True))
            for line in _differences(f"{path}[{index}]", a, b)
        ]
    return [] if expected == got else [f"{path}: {expected!r} against {got!r}"]
