"""The mapping from a foreign dataset to one embodiment, as its user has reviewed it.

    RawEpisode ── which number, which unit, which way up ──► Episode of an explicit Embodiment

What it does not say is an error: nothing about robots can be guessed from the shape of an array. `draft` (in
`mapping_draft.py`) writes down what a source states of itself; a person fills in the rest.
"""

from __future__ import annotations

import dataclasses
import enum
import re

import numpy as np
from jaxtyping import Float32, Float64

from vla.embodiment import CameraSpec, Embodiment, Field
from vla.errors import DataError
from vla.interfaces import Episode
from vla_datasets.exchange.pictures import Aspect, Orientation, Resize, fit_pictures
from vla_datasets.exchange.raw_episode import RawEpisode
from vla_datasets.exchange.rotations import SourceRotation, convert_rotations

ROTATIONS_PREFIX = "rotations."
"""`rotations.wrist[0]` is the first number of the rotation that the mapping calls `wrist`."""
RATE_TOLERANCE = 0.05
"""Share by which a source's median interval may differ from the embodiment's control interval."""


class Limits(enum.Enum):
    """What is done about a value outside its field's limits."""

    REFUSE = "refuse"
    CLIP = "clip"


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """A place in a source: `observation.state[3]`, `pose[:3,:3]`, or all of an array."""

    array: str
    index: tuple[int | slice, ...] = ()

    @staticmethod
    def parse(text: str) -> Reference | None:
        """What `text` means; None if it means nothing."""
        match = re.fullmatch(r"(?P<array>[^\[\]]+)(\[(?P<index>[-0-9:, ]+)\])?", text.strip())
        if match is None:
            return None
        parts = (match["index"] or "").split(",") if match["index"] else []
        if not all(re.fullmatch(r"\s*(\d+|\d*:\d*)\s*", part) for part in parts):
            return None
        return Reference(match["array"].strip(), tuple(_index(part.strip()) for part in parts))

    def __str__(self) -> str:
        return f"{self.array}[{','.join(_text(part) for part in self.index)}]" if self.index else self.array


@dataclasses.dataclass(frozen=True, slots=True)
class FieldSource:
    """Where one number of an action or of proprioception comes from: `scale * factor * x + offset`."""

    field: Field
    source: Reference
    factor: float = 1.0
    """From the source's unit to the field's."""
    scale: float = 1.0
    """Includes the sign."""
    offset: float = 0.0
    """In the field's unit."""


@dataclasses.dataclass(frozen=True, slots=True)
class RotationSource:
    """A rotation to convert, for fields to refer to."""

    source: Reference
    kind: SourceRotation
    factor: float
    """From the source's numbers to rad, the scale included; 1 for what has no angles."""


@dataclasses.dataclass(frozen=True, slots=True)
class CameraSource:
    """Where one camera's pictures come from."""

    camera: CameraSpec
    source: str
    orientation: Orientation
    resize: Resize
    aspect: Aspect


class Words(enum.Enum):
    """Where an episode's instruction or task comes from, if it is not one fixed text."""

    INSTRUCTION = "instruction"
    """The source's instruction."""
    TASK = "task"
    """The source's name of the task."""


@dataclasses.dataclass(frozen=True)
class EmbodimentMapping:
    """All that has to be known to read a source as episodes of `embodiment`."""

    embodiment: Embodiment
    action: tuple[FieldSource, ...]
    proprioception: tuple[FieldSource, ...]
    rotations: dict[str, RotationSource]
    cameras: tuple[CameraSource, ...]
    instruction: Words | str
    """From the source, or a fixed text."""
    task: Words | str
    success: bool | None
    """None: the source says."""
    limits: Limits
    licence: str


def apply(raw: RawEpisode, mapping: EmbodimentMapping, *, source: str, seed: int) -> Episode:
    """The episode as one of the mapping's embodiment.

    Args:
        source: who acted, or which dataset this is from: `lerobot:so101_pick`.
        seed: tells the episodes of one source apart: their number in it.

    Raises:
        DataError: naming the episode, and the array, field, camera or step that is not as the mapping says.
    """
    try:
        return _applied(raw, mapping, source, seed)
    except DataError as error:
        raise DataError(f"episode {raw.index}: {error}") from None


def _applied(raw: RawEpisode, mapping: EmbodimentMapping, source: str, seed: int) -> Episode:
    steps = _checked_length(raw)
    rotations = {name: _rotation(raw, name, entry, mapping) for name, entry in mapping.rotations.items()}
    return Episode(
        embodiment=mapping.embodiment,
        images={entry.camera.name: _pictures(raw, entry) for entry in mapping.cameras},
        proprioception=_numbers(raw, mapping.proprioception, rotations, mapping.limits, steps),
        actions=_numbers(raw, mapping.action, rotations, mapping.limits, steps),
        times_s=_times(raw, mapping.embodiment.control_hz, steps),
        instruction=_words(raw, mapping.instruction, "instruction"),
        task=_words(raw, mapping.task, "task"),
        success=_success(raw, mapping.success),
        seed=seed,
        source=source,
        licence=mapping.licence,
    )


def _checked_length(raw: RawEpisode) -> int:
    """How many steps all arrays have."""
    everything = {**raw.arrays, **raw.images} | ({} if raw.times_s is None else {"times": raw.times_s})
    lengths = {name: len(values) for name, values in everything.items()}
    if len(set(lengths.values())) != 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"its arrays are of unequal lengths: {shown or 'there are none'}")
    steps = next(iter(lengths.values()))
    if steps < 1:
        raise DataError("it has no steps")
    return steps


# --------------------------------------------------------------------------- numbers


def _numbers(
    raw: RawEpisode,
    fields: tuple[FieldSource, ...],
    rotations: dict[str, np.ndarray],
    limits: Limits,
    steps: int,
) -> Float32[np.ndarray, "steps fields"]:
    columns = np.empty((steps, len(fields)), np.float32)
    for column, field in enumerate(fields):
        columns[:, column] = _column(raw, field, rotations, limits)
    return columns


def _column(raw: RawEpisode, entry: FieldSource, rotations: dict[str, np.ndarray], limits: Limits) -> np.ndarray:
    """One field's values over the episode, in its unit and within its limits."""
    values = _looked_up(raw, entry.source, rotations)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"field '{entry.field.name}': {entry.source} has shape {values.shape[1:]} a step, "
            "a field is one number: say which"
        )
    _require_finite(values, f"field '{entry.field.name}' ({entry.source})")
    if (entry.factor, entry.scale, entry.offset) != (1.0, 1.0, 0.0):
        values = entry.scale * (entry.factor * values) + entry.offset
    return _within(values.astype(np.float32), entry.field, limits)


def _within(values: Float32[np.ndarray, " steps"], field: Field, limits: Limits) -> Float32[np.ndarray, " steps"]:
    low, high = np.float32(field.low), np.float32(field.high)
    if limits is Limits.CLIP:
        return np.clip(values, low, high)
    is_outside = (values < low) | (values > high)
    if is_outside.any():
        step = int(np.argmax(is_outside))
        raise DataError(
            f"field '{field.name}' is {values[step]:.6g} {field.unit} at step {step}, outside of its limits "
            f"{field.low:g} to {field.high:g} ({int(is_outside.sum())} of {len(values)} steps are): "
            "correct the unit, the scale or the limits, or say 'limits: clip'"
        )
    return values


def _looked_up(raw: RawEpisode, place: Reference, rotations: dict[str, np.ndarray]) -> Float64[np.ndarray, "steps ..."]:
    if place.array.startswith(ROTATIONS_PREFIX):
        values = rotations[place.array.removeprefix(ROTATIONS_PREFIX)]
    elif place.array in raw.arrays:
        values = raw.arrays[place.array]
    else:
        raise DataError(f"there is no array '{place.array}'; arrays: {', '.join(sorted(raw.arrays))}")
    if values.dtype.kind not in "fiub":
        raise DataError(f"array '{place.array}' is {values.dtype}, not numbers")
    _require_inside(values, place)
    return values[(slice(None), *place.index)].astype(np.float64)


def _require_inside(values: np.ndarray, place: Reference) -> None:
    """Return if every part of the index exists: a slice that runs over the end is no shorter slice."""
    shape = values.shape[1:]
    ends = [part.stop or 0 if isinstance(part, slice) else part + 1 for part in place.index]
    if len(ends) > len(shape) or any(end > size for end, size in zip(ends, shape, strict=False)):
        raise DataError(f"{place} does not exist: '{place.array}' has shape {shape} a step")


def _rotation(raw: RawEpisode, name: str, entry: RotationSource, mapping: EmbodimentMapping) -> np.ndarray:
    what = f"rotation '{name}' ({entry.source})"
    values = _looked_up(raw, entry.source, {})
    _require_finite(values, what)
    if entry.kind is SourceRotation.YAW and values.ndim == 1:
        values = values[:, None]
    scaled = values if entry.factor == 1.0 else values * entry.factor
    return convert_rotations(scaled, entry.kind, mapping.embodiment.rotation, what)


def _require_finite(values: np.ndarray, what: str) -> None:
    is_bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if is_bad.any():
        raise DataError(f"{what} is not finite at step {int(np.argmax(is_bad))}")


# --------------------------------------------------------------------------- pictures, times, words


def _pictures(raw: RawEpisode, entry: CameraSource) -> np.ndarray:
    if entry.source not in raw.images:
        known = ", ".join(sorted(raw.images)) or "none"
        raise DataError(f"there are no pictures '{entry.source}' for camera '{entry.camera.name}'; pictures: {known}")
    images = raw.images[entry.source]
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise DataError(f"pictures '{entry.source}' should be uint8 RGB, got {images.dtype} {images.shape[1:]} a step")
    return fit_pictures(images, entry.camera, entry.orientation, entry.resize, entry.aspect)


def _times(raw: RawEpisode, control_hz: float, steps: int) -> Float64[np.ndarray, " steps"]:
    if raw.times_s is None:
        return np.arange(steps) / control_hz
    times = raw.times_s.astype(np.float64)
    _require_finite(times, "its times")
    intervals = np.diff(times)
    if (intervals <= 0).any():
        raise DataError(f"its times do not rise at step {int(np.argmax(intervals <= 0)) + 1}")
    if steps > 1 and abs(float(np.median(intervals)) * control_hz - 1) > RATE_TOLERANCE:
        raise DataError(
            f"its steps are {np.median(intervals):.4g} s apart, the mapping says control_hz: {control_hz:g}; "
            "an import does not resample"
        )
    return times


def _words(raw: RawEpisode, wanted: Words | str, key: str) -> str:
    if isinstance(wanted, str):
        return wanted
    text = raw.instruction if wanted is Words.INSTRUCTION else raw.task
    if not text:
        raise DataError(f"the source gives no {wanted.value} here: write a fixed text, '{key}: {{text: ...}}'")
    return text


def _success(raw: RawEpisode, fixed: bool | None) -> bool:
    if fixed is not None:
        return fixed
    if raw.success is None:
        raise DataError("the source does not say whether it succeeded: write 'success: true' or 'success: false'")
    return raw.success


def _index(part: str) -> int | slice:
    if ":" not in part:
        return int(part)
    first, last = part.split(":")
    return slice(int(first) if first else None, int(last) if last else None)


def _text(part: int | slice) -> str:
    if isinstance(part, int):
        return str(part)
    return f"{'' if part.start is None else part.start}:{'' if part.stop is None else part.stop}"
