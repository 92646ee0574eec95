"""RLDS datasets as TFDS prepares them (Open X-Embodiment), read without TensorFlow.

    <dataset>/<version>/
      features.json            the fields of a step, see `tfds_features`
      dataset_info.json        splits, and how many episodes each of their files has
      <name>-<split>.tfrecord-00000-of-00008    episodes, see `tfrecord` and `tf_example`

A record is an episode. A field of its steps is one list, `steps/observation/state`, of all steps end to end; a picture
is JPEG or PNG. Fields are named without `steps/`: `observation/state`, `action`. Text fields have dtype `str`.
All splits are read, in the order of `dataset_info.json`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from vla.errors import DataError
from vla_datasets.exchange.encoded_pictures import decode_steps
from vla_datasets.exchange.json_files import read_json
from vla_datasets.exchange.raw_episode import RawEpisode, SourceField
from vla_datasets.exchange.tf_example import Values, parse_example
from vla_datasets.exchange.tfds_features import STEPS, Leaf, LeafKind, episode_leaves, step_leaves
from vla_datasets.exchange.tfds_shards import Shard, read_shards
from vla_datasets.exchange.tfrecord import read_records
from vla_datasets.web.pictures import picture_size

INSTRUCTIONS = (
    "language_instruction",
    "observation/natural_language_instruction",
    "natural_language_instruction",
    "observation/language_instruction",
)
"""The text fields that are an episode's instruction, the first that a dataset has."""
SUCCESS = "episode_metadata/success"


def open_source(path: Path) -> RldsReader:
    """The dataset in the folder of one version, which holds `features.json`.

    Raises:
        DataError: naming the file that is missing, or does not hold what `dataset_info.json` says.
    """
    _require_version(path)
    file = path / "features.json"
    tree = read_json(file)
    shards = read_shards(path)
    leaves = step_leaves(tree, str(file))
    first = next(_records(shards), None)
    if first is None:
        raise DataError(f"{path} has no episodes")
    leaves = {name: _measured(name, leaf, first) for name, leaf in leaves.items()}
    return RldsReader(path=path, shards=shards, leaves=leaves, metadata=episode_leaves(tree, str(file)))


@dataclasses.dataclass(frozen=True)
class RldsReader:
    """An RLDS dataset whose files are all there and have as many records as they should."""

    path: Path
    shards: tuple[Shard, ...]
    leaves: Mapping[str, Leaf]
    """Of a step."""
    metadata: Mapping[str, Leaf]
    """Of an episode."""

    @functools.cached_property
    def fields(self) -> Mapping[str, SourceField]:
        return {name: SourceField(dtype=leaf.dtype, shape=leaf.shape) for name, leaf in self.leaves.items()}

    @property
    def control_hz(self) -> float | None:
        """RLDS does not say."""
        return None

    def __len__(self) -> int:
        return sum(shard.num_records for shard in self.shards)

    def __iter__(self) -> Iterator[RawEpisode]:
        for index, (where, record) in enumerate(_records(self.shards)):
            yield self._episode(index, parse_example(record, where), where)

    def _episode(self, index: int, example: Mapping[str, Values], where: str) -> RawEpisode:
        steps = _num_steps(example, self.leaves, where)
        columns = {name: _column(name, leaf, example, steps, where) for name, leaf in self.leaves.items()}
        images = {name for name, leaf in self.leaves.items() if leaf.kind is LeafKind.PICTURE and leaf.shape[2] == 3}
        return RawEpisode(
            index=index,
            arrays={name: column for name, column in columns.items() if name not in images},
            images={name: columns[name] for name in images},
            instruction=_instruction(columns, where),
            task="",
            success=_success(example, self.metadata, where),
            times_s=None,
        )


def _require_version(path: Path) -> None:
    if (path / "features.json").is_file():
        return
    versions = sorted(file.parent.name for file in path.glob("*/features.json"))
    hint = f"; its versions are {', '.join(versions)}: name one" if versions else ""
    raise DataError(f"{path} has no features.json: expected the folder of one version of a TFDS dataset{hint}")


def _records(shards: tuple[Shard, ...]) -> Iterator[tuple[str, bytes]]:
    """Where each record lies, and its bytes."""
    for shard in shards:
        for number, record in enumerate(read_records(shard.path)):
            yield f"{shard.path}: record {number}", record


# --------------------------------------------------------------------------- one episode


def _num_steps(example: Mapping[str, Values], leaves: Mapping[str, Leaf], where: str) -> int:
    """The steps that the first field has; every other field is then held to it."""
    for name, leaf in leaves.items():
        values = _list(name, example, where)
        if (each := _each(leaf)) and len(values) % each == 0:
            if not len(values):
                raise DataError(f"{where} is an episode without steps")
            return len(values) // each
    raise DataError(f"{where} has no field whose length is a whole number of steps")


def _each(leaf: Leaf) -> int:
    """How many values a step has."""
    return math.prod(leaf.shape) if leaf.kind is LeafKind.NUMBERS else 1


def _list(name: str, example: Mapping[str, Values], where: str) -> Values:
    key = f"{STEPS}/{name}"
    if key not in example:
        raise DataError(f"{where} has no list '{key}', which features.json declares")
    return example[key]


def _column(name: str, leaf: Leaf, example: Mapping[str, Values], steps: int, where: str) -> np.ndarray:
    """A field's values, a row a step."""
    values, where = _list(name, example, where), f"{where}: '{STEPS}/{name}'"
    if len(values) != steps * _each(leaf):
        raise DataError(f"{where} has {len(values)} values, expected {steps} steps of {_each(leaf)}")
    if leaf.kind is LeafKind.NUMBERS:
        return _as_numbers(values, leaf, where).reshape(steps, *leaf.shape)
    if not isinstance(values, list):
        raise DataError(f"{where} holds numbers, expected {leaf.kind.value}")
    if leaf.kind is LeafKind.TEXT:
        return np.array([_text(value, where) for value in values], np.str_)
    return decode_steps(values, leaf.shape, leaf.dtype, where)


def _as_numbers(values: Values, leaf: Leaf, where: str) -> np.ndarray:
    """The values as the type they had before they were written as int64 or float32."""
    if isinstance(values, list):
        raise DataError(f"{where} holds bytes, expected {leaf.dtype}")
    dtype = np.dtype(leaf.dtype)
    if (values.dtype.kind == "f") != (dtype.kind == "f"):
        raise DataError(f"{where} holds {values.dtype}, expected {dtype}")
    with np.errstate(over="ignore"):
        typed = values.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(typed.astype(np.int64), values):
        raise DataError(f"{where} has numbers that {dtype} cannot hold")
    return typed


def _text(value: bytes, where: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise DataError(f"{where} is not UTF-8") from None


def _instruction(columns: Mapping[str, np.ndarray], where: str) -> str:
    name = next((name for name in INSTRUCTIONS if name in columns and columns[name].dtype.kind == "U"), None)
    if name is None:
        return ""
    words = list(dict.fromkeys(columns[name].tolist()))
    if len(words) > 1:
        raise DataError(
            f"{where}: '{STEPS}/{name}' changes from '{words[0]}' to '{words[1]}': expected one instruction an episode"
        )
    return str(words[0])


def _success(example: Mapping[str, Values], metadata: Mapping[str, Leaf], where: str) -> bool | None:
    """What the episode's metadata say, if they say it by a bool."""
    leaf = metadata.get(SUCCESS)
    if leaf is None or (leaf.dtype, leaf.shape) != ("bool", ()):
        return None
    values = example.get(SUCCESS)
    if not isinstance(values, np.ndarray) or len(values) != 1 or values[0] not in (0, 1):
        raise DataError(f"{where}: '{SUCCESS}' is not one of 0 and 1")
    return bool(values[0])


def _measured(name: str, leaf: Leaf, first: tuple[str, bytes]) -> Leaf:
    """A picture's leaf with the size of its first picture, where its declaration leaves that open."""
    if leaf.kind is not LeafKind.PICTURE or 0 not in leaf.shape:
        return leaf
    where, record = first
    values = _list(name, parse_example(record, where), where)
    if not len(values) or not isinstance(values[0], bytes):
        raise DataError(f"{where}: '{STEPS}/{name}' has no picture to take its size from")
    return dataclasses.replace(leaf, shape=(*picture_size(values[0], f"{where}: '{STEPS}/{name}'"), leaf.shape[2]))
