"""The file of a `GymMapping`: strict YAML, every key read; `docs/how-to/gymnasium.md` explains each of them."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from vla.embodiment import ActionKind, CameraSpec, Embodiment, Rotation
from vla.errors import ConfigError, unknown
from vla_datasets.exchange.mapping import Limits, Reference
from vla_datasets.exchange.mapping_file import FRAMES, read_field
from vla_datasets.exchange.mapping_section import Section, read_section
from vla_datasets.exchange.pictures import Aspect, Orientation, Resize
from vla_sim.conventions import AxisCheck, Conventions, GripperCheck, check_names
from vla_sim.gym_suite.mapping import (
    ACTION,
    CAMERA_PREFIX,
    ActionSpace,
    Channels,
    GymCamera,
    GymMapping,
    GymTask,
    Instruction,
    Layout,
    Maker,
    Physics,
    SuccessKind,
    SuccessRule,
    TasksFrom,
)

SHIPPED_FOLDER = "gym"
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def load_mapping(path: Path) -> GymMapping:
    """The mapping that a user's file describes.

    Raises:
        ConfigError: if it cannot be read, misses a key, has one too many, or says what does not fit together.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the mapping {path} cannot be read: {error}") from None
    try:
        return parse_mapping(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def shipped_mappings() -> dict[str, GymMapping]:
    """Those that come with this project, by the name of their suite."""
    folder = resources.files("vla_configs") / SHIPPED_FOLDER
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    found = [parse_mapping(file.read_text(encoding="utf-8")) for file in files]
    return {mapping.name: mapping for mapping in found}


def parse_mapping(text: str) -> GymMapping:
    """The mapping that YAML text describes; raises as `load_mapping` does."""
    section = read_section(text, "the mapping")
    mapping = _mapping(section, hashlib.sha256(text.encode()).hexdigest())
    section.refuse_rest()
    _check_action(mapping)
    check_names(mapping.conventions, mapping.embodiment)
    return mapping


def _mapping(section: Section, sha256: str) -> GymMapping:
    action = tuple(read_field(item, {}) for item in section.items("action"))
    proprioception = tuple(read_field(item, {}) for item in section.items("proprioception"))
    cameras = tuple(_camera(item) for item in section.items("cameras"))
    max_steps = section.count("max_steps")
    return GymMapping(
        name=section.text("suite"),
        maker=section.choice("maker", Maker),
        imports=_module(section),
        packages=tuple(_texts(section, "packages")),
        install=section.text("install"),
        embodiment=Embodiment(
            name=section.text("embodiment"),
            action=tuple(entry.field for entry in action),
            action_kind=section.choice("action_kind", ActionKind),
            frame=_frame(section),
            rotation=section.choice("rotation", Rotation),
            gripper=section.text("gripper"),
            proprioception=tuple(entry.field for entry in proprioception),
            control_hz=section.number("control_hz"),
            cameras=tuple(entry.camera for entry in cameras),
        ),
        action=action,
        trusts_action_space=section.choice("action_space", ActionSpace) is ActionSpace.CHECK
        if "action_space" in section
        else True,
        proprioception=proprioception,
        limits=section.choice("limits", Limits),
        cameras=cameras,
        tasks=_tasks(section, max_steps),
        success=_success(section.inner("success")),
        settling_steps=_whole(section, "settling_steps"),
        rest=_rest(section, [entry.field.name for entry in action]),
        template=_template(section, max_steps),
        physics=section.choice("physics", Physics),
        conventions=_conventions(section),
        sha256=sha256,
    )


def _check_action(mapping: GymMapping) -> None:
    """Return if the action's fields are numbers 0, 1, 2, ... of the environment's action, each once."""
    places = [str(entry.source) for entry in mapping.action]
    expected = {f"{ACTION}[{index}]" for index in range(len(places))}
    if set(places) != expected:
        raise ConfigError(
            f"action: {len(places)} fields are from {', '.join(sorted(expected))}, each once; got {', '.join(places)}"
        )


def _frame(section: Section) -> str:
    frame = section.text("frame")
    if frame not in FRAMES:
        raise ConfigError(f"frame: {unknown('frame', frame, FRAMES)}")
    return frame


def _module(section: Section) -> str | None:
    if "import" not in section:
        return None
    name = section.text("import")
    if not _MODULE.fullmatch(name):
        raise ConfigError(f"import: '{name}' is no name of an installed module")
    return name


def _camera(section: Section) -> GymCamera:
    source = section.text("from")
    is_drawn = source.startswith(CAMERA_PREFIX)
    entry = GymCamera(
        camera=CameraSpec(section.text("name"), section.count("height"), section.count("width")),
        source=source,
        orientation=Orientation.UPRIGHT if is_drawn else section.choice("orientation", Orientation),
        channels=Channels.RGB if is_drawn else section.choice("channels", Channels),
        layout=section.choice("layout", Layout) if "layout" in section else Layout.HEIGHT_WIDTH_CHANNELS,
        resize=Resize.NONE if is_drawn else section.choice("resize", Resize),
        aspect=Aspect.SAME if is_drawn else section.choice("aspect", Aspect),
    )
    section.refuse_rest()
    return entry


# --------------------------------------------------------------------------- tasks


def _template(section: Section, max_steps: int) -> GymTask | None:
    if "tasks_from" not in section:
        return None
    section.choice("tasks_from", TasksFrom)
    inner = section.inner("task_template")
    template = GymTask("", _options(section), _instruction(inner.inner("instruction")), max_steps)
    inner.refuse_rest()
    return template


def _rest(section: Section, names: list[str]) -> dict[str, float]:
    if "rest" not in section:
        return {}
    inner = section.inner("rest")
    values = {name: inner.number(name) for name in names if name in inner}
    inner.refuse_rest()
    return values


def _tasks(section: Section, max_steps: int) -> Mapping[str, GymTask]:
    if "tasks_from" in section:
        return {}
    tasks: dict[str, GymTask] = {}
    shared = _options(section)
    for name, inner in section.named("tasks"):
        tasks[name] = GymTask(
            environment=inner.text("environment"),
            options={**shared, **_options(inner)},
            instruction=_instruction(inner.inner("instruction")),
            max_steps=inner.count("max_steps") if "max_steps" in inner else max_steps,
        )
        inner.refuse_rest()
    if not tasks:
        raise ConfigError("tasks: expected at least one")
    return tasks


def _options(section: Section) -> dict[str, Any]:
    if "options" not in section:
        return {}
    options = section.value("options")
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise ConfigError(f"{section.where}.options: expected a mapping of names to values, got {options!r}")
    return options


def _instruction(section: Section) -> Instruction:
    info = section.text("info") if "info" in section else None
    words = Instruction(
        training=tuple(_texts(section, "training")) if info is None or "training" in section else ("{}",),
        held_out=tuple(_texts(section, "held_out")),
        wrong=tuple(_texts(section, "wrong")) if "wrong" in section else (),
        info=info,
    )
    section.refuse_rest()
    for sentence in (*words.training, *words.held_out) if info is not None else ():
        if sentence.count("{}") != 1:
            raise ConfigError(f"{section.where}: '{sentence}' should say with one {{}} where info '{info}' goes")
    return words


def _texts(section: Section, key: str) -> list[str]:
    value = section.value(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item.strip() for item in value):
        raise ConfigError(f"{section.where}: {key} should be a list of texts, got {value!r}")
    return value


def _success(section: Section) -> SuccessRule:
    kinds = [kind for kind in SuccessKind if kind.value in section]
    if len(kinds) != 1:
        raise ConfigError(f"success: say one of {', '.join(kind.value for kind in SuccessKind)}")
    kind = kinds[0]
    if kind is SuccessKind.INFO:
        key = section.text("info")
        rule = SuccessRule(kind, key, section.number("at_least") if "at_least" in section else None)
    elif kind is SuccessKind.REWARD:
        rule = SuccessRule(kind, at_least=section.number("reward"))
    else:
        rule = SuccessRule(kind)
        if section.value("terminated") is not True:
            raise ConfigError("success: terminated is true, or something else is said")
    section.refuse_rest()
    return rule


def _whole(section: Section, key: str) -> int:
    value = section.value(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{key}: expected a whole number from 0, got {value!r}")
    return value


# --------------------------------------------------------------------------- conventions


def _conventions(section: Section) -> Conventions:
    inner = section.inner("conventions")
    conventions = Conventions(
        gripper=tuple(_gripper(item) for item in inner.items("gripper")) if "gripper" in inner else (),
        axes=tuple(_axis(item) for item in inner.items("axes")) if "axes" in inner else (),
    )
    inner.refuse_rest()
    return conventions


def _gripper(section: Section) -> GripperCheck:
    check = GripperCheck(
        action=section.text("action"),
        opened=section.number("opened"),
        closed=section.number("closed"),
        measured=section.text("measured"),
        grows=_is_true(section, "grows"),
        steps=section.count("steps"),
    )
    section.refuse_rest()
    return check


def _axis(section: Section) -> AxisCheck:
    check = AxisCheck(section.text("action"), section.text("measured"))
    if "steps" in section:
        check = dataclasses.replace(check, steps=section.count("steps"))
    section.refuse_rest()
    return check


def _is_true(section: Section, key: str) -> bool:
    value = section.value(key)
    if not isinstance(value, bool):
        raise ConfigError(f"{section.where}.{key}: expected true or false, got {value!r}")
    return value


def number_at(place: Reference) -> int:
    """Which number of the environment's action a field is."""
    index = place.index[0]
    assert isinstance(index, int)
    return index
