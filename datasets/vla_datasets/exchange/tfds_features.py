"""What `features.json` of a TFDS dataset says of one step: every field's name, kind and shape.

The file is a tree: dictionaries (`featuresDict`), sequences (`sequence`; `steps` is one) and leaves (`tensor`, `image`,
`text`). The class names in it are not looked at. A leaf that has no fixed shape a step (a list of varying length) is no
field, and neither are audio, video and compressed tensors.

Source: TensorFlow Datasets, core/proto/feature.proto.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vla.errors import DataError

STEPS = "steps"

_MAX_DEPTH = 16
_MAX_NUMBERS = 1 << 24
"""Of one field in one step."""
_NUMBER_TYPES = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
}
_TEXT_TYPES = {"string", "object"}


class LeafKind(enum.Enum):
    """How a leaf is written in an example."""

    NUMBERS = "numbers"
    PICTURE = "picture"
    TEXT = "text"


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    """One field of a step, or of an episode."""

    kind: LeafKind
    dtype: str
    """As the dataset's users see it: all integers are written as int64, all floats as float32."""
    shape: tuple[int, ...]
    """Of one step. 0 for a picture's height or width that is not declared."""


def step_leaves(tree: object, where: str) -> dict[str, Leaf]:
    """The fields of a step by path: `observation/image`, `action`.

    Raises:
        DataError: if the tree has no steps, or is no feature tree.
    """
    steps = _children(tree, where).get(STEPS)
    sequence = steps.get("sequence") if isinstance(steps, dict) else None
    if not isinstance(sequence, dict):
        raise DataError(f"{where} has no sequence '{STEPS}': it is not an RLDS dataset")
    return dict(_leaves(sequence.get("feature"), "", where))


def episode_leaves(tree: object, where: str) -> dict[str, Leaf]:
    """The fields that an episode has once, by path: `episode_metadata/file_path`."""
    rest = {name: child for name, child in _children(tree, where).items() if name != STEPS}
    return {
        path: leaf
        for name, child in sorted(rest.items())
        for path, leaf in _leaves(child, name, where)
        if leaf is not None
    }


def _leaves(node: object, path: str, where: str, depth: int = 0) -> Iterator[tuple[str, Leaf]]:
    if not isinstance(node, dict) or depth > _MAX_DEPTH:
        raise DataError(f"{where} is no feature tree: '{path}' is not a feature, or nested deeper than {_MAX_DEPTH}")
    if "featuresDict" in node:
        for name, child in sorted(_children(node, where).items()):
            yield from _leaves(child, f"{path}/{name}" if path else name, where, depth + 1)
    elif (leaf := _leaf(node, f"{where}: '{path}'")) is not None:
        yield path, leaf


def _children(node: object, where: str) -> Mapping[str, Any]:
    inner = node.get("featuresDict") if isinstance(node, dict) else None
    children = inner.get("features") if isinstance(inner, dict) else None
    if not isinstance(children, dict):
        raise DataError(f"{where} is no feature tree: expected featuresDict with features")
    return children


def _leaf(node: Mapping[str, Any], where: str) -> Leaf | None:
    """None for what is no field."""
    if "text" in node:
        return Leaf(LeafKind.TEXT, "str", ())
    if isinstance(image := node.get("image"), dict):
        return _picture(image, where)
    if isinstance(tensor := node.get("tensor"), dict):
        return _numbers(tensor, where)
    return None


def _picture(image: Mapping[str, Any], where: str) -> Leaf | None:
    shape, dtype = _shape(image, where), image.get("dtype") or "uint8"
    if len(shape) != 3:
        raise DataError(f"{where} is a picture of shape {shape}, expected height, width and channels")
    known = (shape[2], dtype) in ((3, "uint8"), (1, "uint8"), (1, "uint16"))
    return Leaf(LeafKind.PICTURE, dtype, tuple(max(size, 0) for size in shape)) if known else None


def _numbers(tensor: Mapping[str, Any], where: str) -> Leaf | None:
    shape, dtype = _shape(tensor, where), tensor.get("dtype")
    if tensor.get("encoding", "none") not in ("none", "", None) or -1 in shape:
        return None
    if dtype in _TEXT_TYPES:
        return Leaf(LeafKind.TEXT, "str", ()) if not shape else None
    if dtype not in _NUMBER_TYPES:
        return None
    if math.prod(shape) > _MAX_NUMBERS:
        raise DataError(f"{where} has {math.prod(shape)} numbers a step, more than {_MAX_NUMBERS}")
    return Leaf(LeafKind.NUMBERS, np.dtype(dtype).name, shape)


def _shape(node: Mapping[str, Any], where: str) -> tuple[int, ...]:
    """The dimensions; -1 for one that varies."""
    shape = node.get("shape") or {}
    dimensions = shape.get("dimensions", []) if isinstance(shape, dict) else None
    if not isinstance(dimensions, list):
        raise DataError(f"{where} has no list of dimensions")
    try:
        sizes = tuple(int(size) for size in dimensions)
    except (TypeError, ValueError):
        raise DataError(f"{where} has dimensions {dimensions}, expected whole numbers") from None
    if any(size < -1 for size in sizes):
        raise DataError(f"{where} has dimensions {dimensions}, expected none below -1")
    return sizes
