"""What has to be known of an environment that others wrote, before its numbers mean anything.

    observation, info ──► which number, which unit, which way up ──► Observation of an explicit Embodiment
    action of it      ◄── the same words, read backwards         ◄── action in physical units

A field says `from: "action[6]", scale: -0.5, offset: 0.5` as an import's mapping does: what is ours is
`scale * theirs + offset`, so what is theirs is `(ours - offset) / scale`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from vla.embodiment import CameraSpec, Embodiment
from vla_datasets.exchange.mapping import FieldSource, Limits
from vla_datasets.exchange.pictures import Aspect, Orientation, Resize
from vla_sim.conventions import Conventions

ACTION = "action"
"""What fields of the action are `from`."""
OBSERVATION = "observation"
"""What fields are `from` where an observation is one array."""
INFO_PREFIX = "info/"
RENDER = "render"
"""A camera that is `from` what the environment's own `render()` gives."""
CAMERA_PREFIX = "camera:"
"""A camera that is `from` a camera of the MuJoCo model, drawn by us."""


class Maker(enum.Enum):
    """Who makes the environment."""

    GYMNASIUM = "gymnasium"
    ROBOSUITE = "robosuite"
    LIBERO = "libero"
    SIMPLER = "simpler"


class Physics(enum.Enum):
    """Where the simulator can be looked into: for its clock, and to render without costly effects."""

    NONE = "none"
    MUJOCO = "mujoco"
    """`unwrapped.model` and `unwrapped.data`, as Gymnasium's own."""
    DM_CONTROL = "dm_control"
    """`unwrapped._env.physics`."""
    ROBOSUITE = "robosuite"
    """`unwrapped.sim`."""


class TasksFrom(enum.Enum):
    """Where tasks come from that no mapping lists."""

    BDDL = "bddl"
    """The bddl files of the installed LIBERO."""


class ActionSpace(enum.Enum):
    """What is made of the limits that an environment itself states."""

    CHECK = "check"
    """The fields' limits lie within them, or the mapping is refused."""
    IGNORE = "ignore"
    """They are wrong, and the fields' own are kept to."""


class Channels(enum.Enum):
    """In which order a picture's colours come."""

    RGB = "rgb"
    BGR = "bgr"


class Layout(enum.Enum):
    """In which order a picture's axes come."""

    HEIGHT_WIDTH_CHANNELS = "hwc"
    CHANNELS_HEIGHT_WIDTH = "chw"


@dataclasses.dataclass(frozen=True, slots=True)
class GymCamera:
    """Where one camera's pictures come from."""

    camera: CameraSpec
    source: str
    orientation: Orientation
    channels: Channels
    layout: Layout
    resize: Resize
    aspect: Aspect


@dataclasses.dataclass(frozen=True, slots=True)
class Instruction:
    """A task in words."""

    training: tuple[str, ...]
    """Of which a seed takes one; with `info`, `{}` stands for what the environment says."""
    held_out: tuple[str, ...]
    """In no demonstration."""
    wrong: tuple[str, ...] = ()
    """To do something else in the same scene."""
    info: str | None = None
    """The key of the reset's info that holds the environment's own words."""


class SuccessKind(enum.Enum):
    """What success is read from."""

    INFO = "info"
    REWARD = "reward"
    TERMINATED = "terminated"


@dataclasses.dataclass(frozen=True, slots=True)
class SuccessRule:
    """When an episode has succeeded."""

    kind: SuccessKind
    key: str = ""
    """Of info."""
    at_least: float | None = None
    """None: the value of info is itself true or false."""


@dataclasses.dataclass(frozen=True, slots=True)
class GymTask:
    """One thing to do."""

    environment: str
    """What the maker knows it by."""
    options: Mapping[str, Any]
    """Given to the maker."""
    instruction: Instruction
    max_steps: int


@dataclasses.dataclass(frozen=True)
class GymMapping:
    """All of a mapping file."""

    name: str
    """What the suite is called."""
    maker: Maker
    imports: str | None
    """A module whose import registers the environments."""
    packages: tuple[str, ...]
    """Distributions whose versions an outcome depends on."""
    install: str
    """The line that installs them."""
    embodiment: Embodiment
    action: tuple[FieldSource, ...]
    trusts_action_space: bool
    """Whether what the environment says of its actions' limits is held against the fields'."""
    proprioception: tuple[FieldSource, ...]
    limits: Limits
    """What is done about a measurement outside its field's limits."""
    cameras: tuple[GymCamera, ...]
    tasks: Mapping[str, GymTask]
    success: SuccessRule
    settling_steps: int
    """Control steps of rest before an episode begins."""
    rest: Mapping[str, float]
    """What fields of the action are meanwhile, that are not at rest."""
    template: GymTask | None
    """What tasks are like that are found in the installed package; None if they are all in the file."""
    physics: Physics
    conventions: Conventions
    sha256: str
    """Of the file."""

    def to_json(self) -> dict[str, Any]:
        """What a report says of it: the choices that are worth points."""
        return {
            "sha256": self.sha256,
            "maker": self.maker.value,
            "cameras": {
                entry.camera.name: {
                    "from": entry.source,
                    "orientation": entry.orientation.value,
                    "channels": entry.channels.value,
                    "size": [entry.camera.height, entry.camera.width],
                    "resize": entry.resize.value,
                    "aspect": entry.aspect.value,
                }
                for entry in self.cameras
            },
            "action": {
                entry.field.name: {
                    "from": str(entry.source),
                    "scale": entry.scale * entry.factor,
                    "offset": entry.offset,
                }
                for entry in self.action
            },
            "gripper": self.embodiment.gripper,
            "settling_steps": self.settling_steps,
            "rest": dict(self.rest),
            "max_steps": {name: task.max_steps for name, task in self.tasks.items()},
            "success": {"by": self.success.kind.value, "key": self.success.key, "at_least": self.success.at_least},
        }
