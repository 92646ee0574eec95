"""Which of a LeRobot robot's features is which joint, in which unit: declared by the owner, never guessed.

    joints:
      shoulder_pan: {feature: shoulder_pan.pos, unit: degrees, low_rad: -1.92, high_rad: 1.92, max_speed_rad_s: 3.0}
      elbow_flex: {feature: elbow_flex.pos, unit: normalised, low_rad: -1.69, high_rad: 1.69, max_speed_rad_s: 3.0}
    gripper: {feature: gripper.pos, closed: 0, open: 100, opening_m: 0.07}

`degrees` and `radians` count from the joint's zero (`zero:` where that is elsewhere, in their unit); `normalised` is
LeRobot's -100 to 100, the ends of the joint's calibrated range, which are `low_rad` and `high_rad`. `direction: -1`
turns a joint round.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float64

from vla.errors import ArmError, ConfigError, unknown
from vla.interfaces import ArmSpec
from vla.kinematics import ARMS, ArmKinematics

_END = 100.0
"""LeRobot's normalised positions go from minus this to this."""


class Unit(enum.Enum):
    """What LeRobot's numbers of a joint are."""

    DEGREES = "degrees"
    RADIANS = "radians"
    NORMALISED = "normalised"


@dataclasses.dataclass(frozen=True)
class MappedJoint:
    """One joint."""

    name: str
    feature: str
    """Of LeRobot's robot, in its observations and its actions."""
    unit: Unit
    low_rad: float
    high_rad: float
    max_speed_rad_s: float
    direction: int = 1
    """-1 where LeRobot's number grows as ours falls."""
    zero: float = 0.0
    """LeRobot's number where ours is 0; normalised has none."""

    def rad(self, number: float) -> float:
        """Our position for LeRobot's number."""
        return self._middle_rad + self.direction * self._rad_per_number * (number - self.zero)

    def number(self, rad: float) -> float:
        """LeRobot's number for our position."""
        return self.zero + self.direction * (rad - self._middle_rad) / self._rad_per_number

    @property
    def _rad_per_number(self) -> float:
        if self.unit is Unit.NORMALISED:
            return (self.high_rad - self.low_rad) / (2 * _END)
        return math.pi / 180 if self.unit is Unit.DEGREES else 1.0

    @property
    def _middle_rad(self) -> float:
        return (self.high_rad + self.low_rad) / 2 if self.unit is Unit.NORMALISED else 0.0


@dataclasses.dataclass(frozen=True)
class MappedGripper:
    """The gripper."""

    feature: str
    closed: float
    """LeRobot's number when it is closed ..."""
    open: float
    """... and when it is open ..."""
    opening_m: float
    """... which is so far."""

    def opening(self, number: float) -> float:
        """m, at LeRobot's number."""
        return (number - self.closed) / (self.open - self.closed) * self.opening_m

    def number(self, opening_m: float) -> float:
        """LeRobot's number at an opening, m."""
        return self.closed + opening_m / self.opening_m * (self.open - self.closed)


@dataclasses.dataclass(frozen=True)
class JointMapping:
    """All of an arm."""

    joints: tuple[MappedJoint, ...]
    gripper: MappedGripper

    @property
    def features(self) -> tuple[str, ...]:
        return (*(joint.feature for joint in self.joints), self.gripper.feature)

    def measured(self, observation: Mapping[str, Any]) -> tuple[Float64[np.ndarray, " joints"], float]:
        """Positions (rad) and opening (m) in an observation or an action of LeRobot's.

        Raises:
            ArmError: naming what is missing, or is no number.
        """
        positions = [joint.rad(_number(observation, joint.feature)) for joint in self.joints]
        return np.array(positions), self.gripper.opening(_number(observation, self.gripper.feature))

    def action(self, positions: Float64[np.ndarray, " joints"], opening_m: float) -> dict[str, float]:
        """LeRobot's action for positions (rad) and an opening (m)."""
        numbers = {
            joint.feature: joint.number(position)
            for joint, position in zip(self.joints, positions.tolist(), strict=True)
        }
        return numbers | {self.gripper.feature: self.gripper.number(opening_m)}

    def spec(self, name: str, rate_hz: float) -> ArmSpec:
        """What the arm is, as its owner declares it."""
        return ArmSpec(
            name=name,
            joints=tuple(joint.name for joint in self.joints),
            position_low=np.array([joint.low_rad for joint in self.joints]),
            position_high=np.array([joint.high_rad for joint in self.joints]),
            max_speed=np.array([joint.max_speed_rad_s for joint in self.joints]),
            gripper_low_m=0.0,
            gripper_high_m=self.gripper.opening_m,
            rate_hz=rate_hz,
        )


def mapping_of(spec: ArmSpec, unit: Unit) -> JointMapping:
    """An arm of ours as LeRobot would name it: `shoulder_pan.pos`, ..., `gripper.pos` from 0 to 100."""
    joints = zip(spec.joints, spec.position_low, spec.position_high, spec.max_speed, strict=True)
    return JointMapping(
        tuple(
            MappedJoint(name, f"{name}.pos", unit, float(low), float(high), float(speed))
            for name, low, high, speed in joints
        ),
        MappedGripper("gripper.pos", 0.0, _END, spec.gripper_high_m),
    )


def load_mapping(source: str | Mapping[str, Any]) -> JointMapping:
    """A mapping: the file of this name, or one of ours by its name.

    Args:
        source: a YAML file; the same as a tree; or an arm of `vla.kinematics.ARMS` whose joints have the names that
            LeRobot gives them, in degrees.

    Raises:
        ConfigError: naming what is missing, unknown, or not a range.
    """
    if not isinstance(source, str):
        return _mapping(source, "the mapping")
    if source in ARMS:
        return _by_name(source)
    try:
        tree = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"mapping={source}: {error.strerror}, nor is it one of {', '.join(ARMS)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"mapping={source} is not YAML: {error}") from error
    return _mapping(tree, source)


def _by_name(arm: str) -> JointMapping:
    body = ArmKinematics(arm)
    spec = ArmSpec(
        arm, body.joints, body.position_low, body.position_high, body.max_speed, 0.0, body.opening_high_m, rate_hz=1.0
    )
    return mapping_of(spec, Unit.DEGREES)


def _mapping(tree: Any, source: str) -> JointMapping:
    if not isinstance(tree, Mapping) or set(tree) != {"joints", "gripper"} or not isinstance(tree["joints"], Mapping):
        raise ConfigError(f"{source} maps 'joints', by our names, and 'gripper'; got {tree!r:.200}")
    if not tree["joints"]:
        raise ConfigError(f"{source} maps no joint")
    joints = tuple(_joint(str(name), entry, source) for name, entry in tree["joints"].items())
    gripper = MappedGripper(**_fields(MappedGripper, tree["gripper"], f"{source}, gripper"))
    if gripper.open == gripper.closed or gripper.opening_m <= 0:
        raise ConfigError(f"{source}, gripper: closed, open and opening_m make no range: {gripper}")
    mapping = JointMapping(joints, gripper)
    if len(set(mapping.features)) < len(mapping.features):
        raise ConfigError(f"{source} maps one feature twice: {', '.join(mapping.features)}")
    return mapping


def _joint(name: str, entry: Any, source: str) -> MappedJoint:
    where = f"{source}, joint '{name}'"
    if isinstance(entry, Mapping) and "name" in entry:
        raise ConfigError(f"{where} is named by its key, it has no field 'name'")
    joint = MappedJoint(**_fields(MappedJoint, {"name": name, **_tree(entry, where)}, where))
    if not joint.low_rad < joint.high_rad or joint.max_speed_rad_s <= 0 or joint.direction not in (-1, 1):
        raise ConfigError(f"{where}: low_rad < high_rad, max_speed_rad_s > 0 and direction 1 or -1 are needed: {joint}")
    if joint.unit is Unit.NORMALISED and joint.zero:
        raise ConfigError(f"{where}: 'normalised' has its zero in the middle of its range; leave 'zero' out")
    return joint


def _tree(entry: Any, where: str) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} is a map of its fields, got {entry!r:.200}")
    return dict(entry)


def _fields(kind: type[MappedJoint | MappedGripper], entry: Any, where: str) -> dict[str, Any]:
    """What a dataclass is made of, each field of its type."""
    tree, fields = _tree(entry, where), {field.name: field for field in dataclasses.fields(kind)}
    for name in tree:
        if name not in fields:
            raise unknown(f"field of {where}", str(name), fields)
    missing = [n for n, field in fields.items() if field.default is dataclasses.MISSING and n not in tree]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}: limits and units are declared, never guessed")
    return {name: _value(fields[name].type, value, f"{where}, {name}") for name, value in tree.items()}


def _value(kind: Any, value: Any, where: str) -> Any:
    if kind == "Unit":
        if value not in [unit.value for unit in Unit]:
            raise unknown(f"unit of {where}", str(value), [unit.value for unit in Unit])
        return Unit(value)
    if kind == "str":
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{where} is a word, got {value!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{where} is a finite number, got {value!r}")
    return int(value) if kind == "int" else float(value)


def _number(numbers: Mapping[str, Any], feature: str) -> float:
    try:
        return float(numbers[feature])
    except KeyError as error:
        raise ArmError(f"LeRobot's robot tells no '{feature}', it tells {', '.join(map(str, numbers))}") from error
    except (TypeError, ValueError) as error:
        raise ArmError(f"LeRobot's robot tells no number for '{feature}', but {numbers[feature]!r:.80}") from error
