"""The file of an `EmbodimentMapping`: strict YAML, every key read, none unread, no placeholder left.

embodiment: so101
control_hz: 30
action_kind: absolute_joint            # see vla.embodiment.ActionKind
frame: base
rotation: none
gripper: "absolute: 0 closed, 1 open"
action:
  - {name: shoulder_pan, from: "action[0]", source_unit: deg, unit: rad, low: -2.0, high: 2.0}
  - {name: gripper, from: "action[5]", source_unit: "%", unit: "1", low: 0.0, high: 1.0, sign: -1, offset: 1.0}
proprioception: ...                    # likewise
rotations:                             # only if the embodiment has rotations; fields say from: rotations.hand[0]
  hand: {from: "action[3:7]", kind: quaternion_xyzw}
cameras:
  - {name: front, from: observation.images.front, orientation: upright, height: 480, width: 640,
     resize: none, aspect: same}
instruction: instruction               # or task, or {text: "pick up the cube"}
task: {text: pick}
success: source                        # or true, or false
limits: refuse                         # or clip
licence: CC-BY-4.0
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vla.embodiment import ActionKind, CameraSpec, Embodiment, Field, Rotation
from vla.errors import ConfigError, unknown
from vla_datasets.exchange import units
from vla_datasets.exchange.mapping import (
    ROTATIONS_PREFIX,
    CameraSource,
    EmbodimentMapping,
    FieldSource,
    Limits,
    Reference,
    RotationSource,
    Words,
)
from vla_datasets.exchange.mapping_section import PLACEHOLDER as PLACEHOLDER
from vla_datasets.exchange.mapping_section import Section, read_section
from vla_datasets.exchange.pictures import Aspect, Orientation, Resize
from vla_datasets.exchange.rotations import WIDTHS, SourceRotation

FRAMES = ("base", "world", "gripper")
END_EFFECTOR_KINDS = (ActionKind.DELTA_END_EFFECTOR, ActionKind.ABSOLUTE_END_EFFECTOR)


def load_mapping(path: Path) -> EmbodimentMapping:
    """The mapping that the file describes.

    Raises:
        ConfigError: if the file is not YAML, still has a placeholder (naming its lines), misses a key, has one too
            many, or says something that does not fit together (naming the key).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the mapping {path} cannot be read: {error}") from None
    try:
        return parse_mapping(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_mapping(text: str) -> EmbodimentMapping:
    """The mapping that YAML text describes; raises as `load_mapping` does."""
    return _mapping(read_section(text, "the mapping"))


def _mapping(section: Section) -> EmbodimentMapping:
    rotation = section.choice("rotation", Rotation)
    rotations = _rotations(section, rotation)
    action = tuple(read_field(item, rotations) for item in section.items("action"))
    proprioception = tuple(read_field(item, rotations) for item in section.items("proprioception"))
    cameras = tuple(_camera(item) for item in section.items("cameras"))
    embodiment = _embodiment(section, rotation, action, proprioception, cameras)
    mapping = EmbodimentMapping(
        embodiment=embodiment,
        action=action,
        proprioception=proprioception,
        rotations=rotations,
        cameras=cameras,
        instruction=_words(section, "instruction"),
        task=_words(section, "task"),
        success=_success(section),
        limits=section.choice("limits", Limits),
        licence=section.text("licence"),
    )
    section.refuse_rest()
    _check_rotation(mapping)
    return mapping


def _embodiment(
    section: Section,
    rotation: Rotation,
    action: tuple[FieldSource, ...],
    proprioception: tuple[FieldSource, ...],
    cameras: tuple[CameraSource, ...],
) -> Embodiment:
    frame = section.text("frame")
    if frame not in FRAMES:
        raise ConfigError(f"frame: {unknown('frame', frame, FRAMES)}")
    try:
        return Embodiment(
            name=section.text("embodiment"),
            action=tuple(entry.field for entry in action),
            action_kind=section.choice("action_kind", ActionKind),
            frame=frame,
            rotation=rotation,
            gripper=section.text("gripper"),
            proprioception=tuple(entry.field for entry in proprioception),
            control_hz=section.number("control_hz"),
            cameras=tuple(entry.camera for entry in cameras),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None


def read_field(section: Section, rotations: dict[str, RotationSource]) -> FieldSource:
    """One number of an action or of proprioception; raises ConfigError, naming the key that is wrong."""
    place = _reference(section)
    unit = section.text("unit")
    source_unit = unit if _refers_to_rotation(section, place, rotations) else section.text("source_unit")
    factor = units.factor(source_unit, unit, section.where)
    if source_unit == units.RAW and "scale" not in section:
        raise ConfigError(f"{section.where}.scale is missing: '{units.RAW}' numbers become {unit} only by a scale")
    try:
        field = Field(section.text("name"), unit, section.number("low"), section.number("high"))
    except ValueError as error:
        raise ConfigError(f"{section.where}: {error}") from None
    scale = _sign(section) * section.number("scale", 1.0)
    if scale == 0.0:
        raise ConfigError(f"{section.where}.scale is 0, which forgets the source")
    entry = FieldSource(field, place, factor, scale, section.number("offset", 0.0))
    section.refuse_rest()
    return entry


def _refers_to_rotation(section: Section, place: Reference, rotations: dict[str, RotationSource]) -> bool:
    if not place.array.startswith(ROTATIONS_PREFIX):
        return False
    name = place.array.removeprefix(ROTATIONS_PREFIX)
    if name not in rotations:
        raise ConfigError(f"{section.where}.from: {unknown('rotation', name, rotations)}")
    for key in ("source_unit", "sign", "scale", "offset"):
        if key in section:
            raise ConfigError(f"{section.where}.{key}: a converted rotation takes none; its unit is said at rotations")
    return True


def _rotations(section: Section, rotation: Rotation) -> dict[str, RotationSource]:
    if "rotations" not in section:
        return {}
    if rotation is Rotation.NONE:
        raise ConfigError("rotations: the embodiment says 'rotation: none', so there is nothing to convert to")
    return {name: _rotation(item) for name, item in section.named("rotations")}


def _rotation(section: Section) -> RotationSource:
    kind = section.choice("kind", SourceRotation)
    factor = _angle_factor(section) if kind.is_angular else 1.0
    entry = RotationSource(_reference(section), kind, factor)
    section.refuse_rest()
    return entry


def _angle_factor(section: Section) -> float:
    """Rad for one of the source's numbers; normalised ones, as robosuite's actions, need a scale."""
    source_unit = section.text("source_unit")
    if source_unit == units.RAW and "scale" not in section:
        raise ConfigError(f"{section.where}.scale is missing: '{units.RAW}' numbers become rad only by a scale")
    return units.factor(source_unit, "rad", section.where) * section.number("scale", 1.0)


def _camera(section: Section) -> CameraSource:
    camera = CameraSpec(section.text("name"), section.count("height"), section.count("width"))
    entry = CameraSource(
        camera=camera,
        source=section.text("from"),
        orientation=section.choice("orientation", Orientation),
        resize=section.choice("resize", Resize),
        aspect=section.choice("aspect", Aspect),
    )
    section.refuse_rest()
    return entry


def _check_rotation(mapping: EmbodimentMapping) -> None:
    """Return if an end-effector action has exactly the rotation its embodiment names, from one converted rotation."""
    places = [entry.source for entry in mapping.action if entry.source.array.startswith(ROTATIONS_PREFIX)]
    rotation, kind = mapping.embodiment.rotation, mapping.embodiment.action_kind
    for entry in (*mapping.action, *mapping.proprioception):
        _check_rotation_unit(entry, rotation)
    if kind not in END_EFFECTOR_KINDS:
        if rotation is not Rotation.NONE:
            raise ConfigError(f"rotation: {rotation.value} does not go with action_kind: {kind.value}; say none")
        return
    if rotation is Rotation.NONE:
        return
    width = WIDTHS[rotation]
    indices = [place.index for place in places]
    if len({place.array for place in places}) != 1 or indices != [(index,) for index in range(width)]:
        found = ", ".join(str(place) for place in places) or "none"
        raise ConfigError(
            f"action: 'rotation: {rotation.value}' needs its {width} numbers in order, from one entry of rotations "
            f"(rotations.NAME[0] ... [{width - 1}]); found {found}"
        )


def _check_rotation_unit(entry: FieldSource, rotation: Rotation) -> None:
    unit = "1" if rotation is Rotation.QUATERNION_WXYZ else "rad"
    if entry.source.array.startswith(ROTATIONS_PREFIX) and entry.field.unit != unit:
        raise ConfigError(f"field '{entry.field.name}' is part of a {rotation.value}: its unit is {unit}")


def _reference(section: Section) -> Reference:
    text = section.text("from")
    place = Reference.parse(text)
    if place is None:
        raise ConfigError(f"{section.where}.from: '{text}' is no place in an array; write NAME, NAME[3] or NAME[3:7]")
    return place


def _sign(section: Section) -> float:
    sign = section.number("sign", 1.0)
    if abs(sign) != 1.0:
        raise ConfigError(f"{section.where}.sign is 1 or -1, got {sign:g}; other factors are a scale")
    return sign


def _words(section: Section, key: str) -> Words | str:
    if section.holds_mapping(key):
        inner = section.inner(key)
        text = inner.text("text")
        inner.refuse_rest()
        return text
    return section.choice(key, Words)


def _success(section: Section) -> bool | None:
    value: Any = section.value("success")
    if value == "source":
        return None
    if not isinstance(value, bool):
        raise ConfigError(f"success: expected source, true or false, got {value!r}")
    return value
