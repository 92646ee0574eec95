"""A first draft of a mapping's file: all that a source states of itself, and a placeholder for all else.

The draft is refused as it stands. Ranges seen in the first episode are comments only: they help to tell degrees from
radians, but a limit is the robot's, not that of what it happened to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np

from vla.embodiment import ActionKind, Rotation
from vla.errors import DataError
from vla_datasets.exchange import units
from vla_datasets.exchange.mapping import Limits, Words
from vla_datasets.exchange.mapping_file import FRAMES, PLACEHOLDER
from vla_datasets.exchange.pictures import Aspect, Orientation, Resize
from vla_datasets.exchange.raw_episode import RawEpisode, SourceField, SourceReader

ACTION_NAMES = ("action", "actions")
STATE_NAMES = ("state", "states", "qpos", "proprio", "proprioception", "robot_states", "agent_pos")
"""Last words of names under which sources keep them. They only decide what a draft proposes."""


def draft(reader: SourceReader) -> str:
    """YAML for a person to complete.

    Raises:
        DataError: if the source has no episode to look at.
    """
    first = next(iter(reader), None)
    if first is None:
        raise DataError(f"{reader.path} has no episodes: there is nothing to draft a mapping from")
    return "\n".join(_lines(reader, first)) + "\n"


def _lines(reader: SourceReader, first: RawEpisode) -> Iterator[str]:
    yield f"# How {reader.path.name} ({len(reader)} episodes) becomes episodes of an embodiment."
    yield f"# Replace every {PLACEHOLDER}; ranges in comments are those of the first episode."
    yield f"# Units: {', '.join(units.UNITS)}; or {units.RAW}, with a scale."
    yield f"embodiment: {PLACEHOLDER}"
    yield f"control_hz: {PLACEHOLDER if reader.control_hz is None else f'{reader.control_hz:g}'}"
    yield f"action_kind: {PLACEHOLDER}  # {_choices(ActionKind)}"
    yield f"frame: {PLACEHOLDER}  # {', '.join(FRAMES)}"
    yield f"rotation: {PLACEHOLDER}  # {_choices(Rotation)}"
    yield f"gripper: {PLACEHOLDER}  # in words, for instance: absolute, 0 closed, 1 open"
    yield "# Optional in each field: sign (1 or -1), scale, offset (in the field's unit)."
    for key, names in (("action", ACTION_NAMES), ("proprioception", STATE_NAMES)):
        yield f"{key}:"
        yield from _fields(reader.fields, first, names)
    yield "# If the embodiment has a rotation: its fields say from: rotations.hand[0], ... and no source_unit."
    yield "# rotations:"
    yield '#   hand: {from: "action[3:6]", kind: euler_xyz, source_unit: rad}'
    yield "cameras:" if first.images else "cameras: []"
    for name, images in first.images.items():
        yield from _camera(name, images)
    others = [name for name in first.arrays if name.split(".")[-1].split("/")[-1] not in ACTION_NAMES + STATE_NAMES]
    if others:
        yield f"# The source also has: {', '.join(others)}"
    yield f"instruction: {_words(first.instruction, first.task)}  # instruction, task, or {{text: ...}}"
    yield f"task: {_words(first.task, '', name='task')}  # instruction, task, or {{text: ...}}"
    yield f"success: {PLACEHOLDER if first.success is None else 'source'}  # source, true, false"
    yield f"limits: {PLACEHOLDER}  # {_choices(Limits)}"
    yield f"licence: {PLACEHOLDER}"


def _fields(fields: Mapping[str, SourceField], first: RawEpisode, names: tuple[str, ...]) -> Iterator[str]:
    found = [name for name in first.arrays if name.split(".")[-1].split("/")[-1] in names]
    if not found:
        yield from _field(PLACEHOLDER, PLACEHOLDER, "")
        return
    for array in found:
        values = first.arrays[array].reshape(len(first.arrays[array]), -1)
        labels = fields[array].names if array in fields else ()
        for index in range(values.shape[1]):
            label = labels[index] if len(labels) == values.shape[1] else PLACEHOLDER
            yield from _field(label, f"{array}[{index}]", _range(values[:, index]))


def _field(name: str, place: str, comment: str) -> Iterator[str]:
    yield f"  - name: {_quoted(name)}{comment}"
    yield f"    from: {_quoted(place)}"
    yield f"    source_unit: {PLACEHOLDER}"
    yield f"    unit: {PLACEHOLDER}"
    yield f"    low: {PLACEHOLDER}"
    yield f"    high: {PLACEHOLDER}"


def _camera(name: str, images: np.ndarray) -> Iterator[str]:
    yield f"  - name: {_quoted(name.split('.')[-1].split('/')[-1])}"
    yield f"    from: {_quoted(name)}"
    yield f"    orientation: {PLACEHOLDER}  # {_choices(Orientation)}"
    yield f"    height: {images.shape[1]}"
    yield f"    width: {images.shape[2]}"
    yield f"    resize: none  # {_choices(Resize)}"
    yield f"    aspect: same  # {_choices(Aspect)}"


def _range(values: np.ndarray) -> str:
    if values.dtype.kind not in "fiub":
        return f"  # {values.dtype}"
    return f"  # {values.min():.4g} to {values.max():.4g}"


def _words(own: str, other: str, *, name: str = "instruction") -> str:
    if own:
        return Words(name).value
    return Words.TASK.value if other else PLACEHOLDER


def _choices(kind: type[Limits | ActionKind | Rotation | Orientation | Resize | Aspect]) -> str:
    return ", ".join(str(member.value) for member in kind)


def _quoted(text: str) -> str:
    return text if text == PLACEHOLDER else json.dumps(text, ensure_ascii=False)
