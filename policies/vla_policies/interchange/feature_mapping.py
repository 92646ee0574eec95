"""Which of another framework's features is which of ours, and how much of ours one of theirs is.

    cameras:
      corner2: {feature: observation.image, height: 480, width: 480}      # resized where the sizes differ
    state:
      feature: observation.state
      fields: [x, y, z, gripper]                                          # ours, in their order
      units: [1.0, 1.0, 1.0, 0.1]                                         # ours = theirs * unit + offset
    action:
      feature: action
      fields: [dx, dy, dz, gripper]
      units: [0.01, 0.01, 0.01, 1.0]

Nothing is guessed: a field or camera that an embodiment does not have, or that is left over, is an error that names it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import yaml
from jaxtyping import Float32

from vla.embodiment import Embodiment, Field
from vla.errors import ConfigError, EmbodimentMismatch

MAPPING_FILE = "vla_mapping.yaml"
"""In a policy's folder: how its features are ours."""
IMAGES, STATE, ACTION = "observation.images.", "observation.state", "action"
"""What LeRobot calls them, and what `vla data export format=lerobot` writes."""
_PACKAGE = "vla_policies.interchange"


@dataclasses.dataclass(frozen=True)
class PictureFeature:
    """One camera's pictures, as the other framework has them."""

    feature: str
    height: int
    width: int


@dataclasses.dataclass(frozen=True)
class NumbersFeature:
    """A vector of the other framework, whose numbers are fields of ours."""

    feature: str
    fields: tuple[str, ...]
    """Our names, in their order."""
    units: tuple[float, ...]
    """What one of theirs is in our unit; negative where it points the other way."""
    offsets: tuple[float, ...]
    """What their zero is in our unit."""

    def to_theirs(self, ours: Float32[np.ndarray, "*rows fields"], fields: tuple[Field, ...]) -> np.ndarray:
        """Their vectors for ours, whose last axis is `fields`: float32 (*rows, len(self.fields))."""
        names = [field.name for field in fields]
        chosen = ours[..., [names.index(name) for name in self.fields]]
        return (chosen - np.array(self.offsets, np.float32)) / np.array(self.units, np.float32)

    def to_ours(self, theirs: Float32[np.ndarray, "*rows numbers"], fields: tuple[Field, ...]) -> np.ndarray:
        """Our vectors for theirs: float32 (*rows, len(fields))."""
        converted = theirs * np.array(self.units, np.float32) + np.array(self.offsets, np.float32)
        return np.ascontiguousarray(converted[..., [self.fields.index(field.name) for field in fields]])


@dataclasses.dataclass(frozen=True)
class FeatureMapping:
    """All that a policy sees and commands, by both of its names."""

    cameras: Mapping[str, PictureFeature]
    """By our camera's name."""
    state: NumbersFeature | None
    """`None` where the other framework has no numbers to show."""
    action: NumbersFeature

    def require_fits(self, embodiment: Embodiment, *, whole_observation: bool) -> None:
        """Return if every name is one of this embodiment's, and nothing that is needed is left out.

        Args:
            whole_observation: whether all that our policy sees must come from theirs; if not, theirs may see less.

        Raises:
            EmbodimentMismatch: with a line for each name.
        """
        cameras = {camera.name for camera in embodiment.cameras}
        lines = _differing("cameras", set(self.cameras), cameras, may_lack=not whole_observation)
        state = set(self.state.fields if self.state else ())
        lines += _differing("state", state, {f.name for f in embodiment.proprioception}, may_lack=not whole_observation)
        lines += _differing("action", set(self.action.fields), {f.name for f in embodiment.action}, may_lack=False)
        if lines:
            raise EmbodimentMismatch(f"the feature mapping is not one of {embodiment.name}: {'; '.join(lines)}")

    def to_json(self) -> dict[str, Any]:
        """A tree that `mapping_from_json` reads back."""
        return {
            "cameras": {name: dataclasses.asdict(picture) for name, picture in self.cameras.items()},
            "state": None if self.state is None else _listed(self.state),
            "action": _listed(self.action),
        }


def same_names(embodiment: Embodiment) -> FeatureMapping:
    """The mapping of a policy that was trained on what `vla data export format=lerobot` writes: our units and sizes."""
    return FeatureMapping(
        {c.name: PictureFeature(f"{IMAGES}{c.name}", c.height, c.width) for c in embodiment.cameras},
        _same_numbers(STATE, embodiment.proprioception),
        _same_numbers(ACTION, embodiment.action),
    )


def read_mapping(file: Path) -> FeatureMapping:
    """The mapping in a YAML file.

    Raises:
        ConfigError: if it cannot be read, or is no mapping.
    """
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the feature mapping {file} cannot be read: {' '.join(str(error).split())}") from error
    return mapping_from_json(tree, str(file))


def named_mapping(name: str, embodiment: Embodiment) -> FeatureMapping:
    """`same` names and units, one that is shipped (`metaworld`), or a file.

    Raises:
        ConfigError: if it is none of these.
    """
    if name == "same":
        return same_names(embodiment)
    shipped = resources.files(_PACKAGE) / "mappings" / f"{name}.yaml"
    if "/" not in name and shipped.is_file():
        return mapping_from_json(yaml.safe_load(shipped.read_text(encoding="utf-8")), name)
    if not Path(name).is_file():
        known = sorted(e.name.removesuffix(".yaml") for e in (resources.files(_PACKAGE) / "mappings").iterdir())
        raise ConfigError(f"mapping={name} is no file, and none of: same, {', '.join(known)}")
    return read_mapping(Path(name))


def write_mapping(file: Path, mapping: FeatureMapping) -> None:
    """Write the file that `read_mapping` reads."""
    file.write_text(yaml.safe_dump(mapping.to_json(), sort_keys=False), encoding="utf-8")


def mapping_from_json(tree: Any, source: str) -> FeatureMapping:
    """The mapping that `to_json` wrote, or a person.

    Args:
        source: where it is from, for messages.

    Raises:
        ConfigError: naming what is missing, not known or not of its kind.
    """
    top = _keys(tree, f"{source}", {"cameras", "state", "action"}, set())
    cameras = top["cameras"] or {}
    if not isinstance(cameras, dict):
        _refuse(f"{source}: cameras", "a map from our camera's name to their feature", cameras)
    pictures = {str(name): _picture(camera, f"{source}: cameras.{name}") for name, camera in cameras.items()}
    state = None if top["state"] is None else _numbers(top["state"], f"{source}: state")
    return FeatureMapping(pictures, state, _numbers(top["action"], f"{source}: action"))


# --------------------------------------------------------------------------- pieces of a file


def _picture(tree: Any, where: str) -> PictureFeature:
    values = _keys(tree, where, {"feature", "height", "width"}, set())
    for name in ("height", "width"):
        if type(values[name]) is not int or values[name] < 1:
            _refuse(f"{where}.{name}", "a number of pixels", values[name])
    return PictureFeature(_name(values["feature"], where), values["height"], values["width"])


def _numbers(tree: Any, where: str) -> NumbersFeature:
    values = _keys(tree, where, {"feature", "fields"}, {"units", "offsets"})
    fields = values["fields"]
    if not isinstance(fields, list) or not fields or not all(isinstance(name, str) for name in fields):
        _refuse(f"{where}.fields", "a list of our fields' names", fields)
    if len(set(fields)) != len(fields):
        _refuse(f"{where}.fields", "each of our fields once", fields)
    units = _floats(values.get("units", [1.0] * len(fields)), len(fields), f"{where}.units")
    offsets = _floats(values.get("offsets", [0.0] * len(fields)), len(fields), f"{where}.offsets")
    if 0.0 in units:
        _refuse(f"{where}.units", "no zero", list(units))
    return NumbersFeature(_name(values["feature"], where), tuple(fields), units, offsets)


def _floats(values: Any, count: int, where: str) -> tuple[float, ...]:
    is_list = isinstance(values, list) and len(values) == count
    if not is_list or not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        _refuse(where, f"{count} finite numbers, one for each field", values)
    return tuple(float(value) for value in values)


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        _refuse(f"{where}.feature", "the name of their feature", value)
    return value


def _keys(tree: Any, where: str, needed: set[str], optional: set[str]) -> dict[str, Any]:
    known = needed | optional
    if not isinstance(tree, dict) or not needed <= tree.keys() <= known:
        _refuse(where, f"a map with {', '.join(sorted(needed))}, and no more than {', '.join(sorted(known))}", tree)
    return tree


def _refuse(where: str, expected: str, got: Any) -> NoReturn:
    raise ConfigError(f"{where} is {expected}, got {got!r:.120}")


def _listed(numbers: NumbersFeature) -> dict[str, Any]:
    tree = dataclasses.asdict(numbers)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in tree.items()}


def _same_numbers(feature: str, fields: tuple[Field, ...]) -> NumbersFeature:
    count = len(fields)
    return NumbersFeature(feature, tuple(f.name for f in fields), (1.0,) * count, (0.0,) * count)


def _differing(what: str, mapped: set[str], ours: set[str], *, may_lack: bool) -> list[str]:
    lines = [f"{what}: '{name}' is mapped, and is none of {sorted(ours)}" for name in sorted(mapped - ours)]
    return lines + ([] if may_lack else [f"{what}: '{name}' is not mapped" for name in sorted(ours - mapped)])
