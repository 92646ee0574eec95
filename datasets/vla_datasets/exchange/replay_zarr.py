"""Replay buffers as diffusion-policy writes them: a Zarr v2 group, in a folder or a zip.

    data/<name>           (all steps, ...): the episodes end to end
    meta/episode_ends     int64: the step behind the last one of each episode, rising

Fields are named as the arrays of `data`: `action`, `state`, `img`. Pictures are uint8 (steps, height, width, 3), or
floats of that shape whose first picture holds whole numbers up to 255, as push-T's do: these become uint8, exactly.
The format has no instruction, task, success or rate. One episode is read at a time, and the chunks that it lies in.

Source: diffusion_policy, common/replay_buffer.py.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64, UInt8

from vla.errors import DataError
from vla_datasets.exchange.raw_episode import RawEpisode, SourceField
from vla_datasets.exchange.zarr_v2 import ArrayFiles, list_arrays, open_array

if TYPE_CHECKING:
    import zarr

_ENDS = "meta/episode_ends"
_DATA = "data/"
_MIN_PICTURE_SIDE = 8
"""Fewer pixels than that a side are a matrix of numbers."""


def open_source(path: Path) -> ReplayReader:
    """The replay buffer in a folder `*.zarr` or an archive `*.zarr.zip`.

    Raises:
        DataError: naming the array or chunk that is absent, unsafe, or of another length than the episodes.
    """
    arrays = list_arrays(path, anchor=_ENDS)
    ends = _read_ends(arrays[_ENDS], f"{path}: {_ENDS}")
    data = {name.removeprefix(_DATA): files for name, files in arrays.items() if name.startswith(_DATA)}
    for name, files in data.items():
        if files.shape[:1] != (ends[-1],):
            raise DataError(f"{path}: data/{name} has {files.shape[:1]} steps, {_ENDS} says {ends[-1]}")
    pictures = frozenset(name for name, files in data.items() if _is_picture(files))
    return ReplayReader(path=path, ends=ends, data=data, pictures=pictures)


@dataclasses.dataclass(frozen=True)
class ReplayReader:
    """A replay buffer all of whose chunks are there."""

    path: Path
    ends: Int64[np.ndarray, " episodes"]
    data: Mapping[str, ArrayFiles]
    pictures: frozenset[str]

    @property
    def fields(self) -> Mapping[str, SourceField]:
        return {name: SourceField(dtype=files.dtype, shape=files.shape[1:]) for name, files in self.data.items()}

    @property
    def control_hz(self) -> float | None:
        """The format does not say."""
        return None

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[RawEpisode]:
        return (self.read(position) for position in range(len(self)))

    def index_of(self, position: int) -> int:
        """Episodes are numbered as they lie."""
        return position

    def read(self, position: int) -> RawEpisode:
        """The episode at `position`, without those before it.

        Raises:
            DataError: as iteration does.
        """
        rows = slice(int(self.ends[position - 1]) if position else 0, int(self.ends[position]))
        columns = {name: self.data[name].read(array, rows) for name, array in self._opened.items()}
        return RawEpisode(
            index=position,
            arrays={name: rows for name, rows in columns.items() if name not in self.pictures},
            images={name: _as_bytes(columns[name], f"{self.path}: data/{name}") for name in sorted(self.pictures)},
            instruction="",
            task="",
            success=None,
            times_s=None,
        )

    @functools.cached_property
    def _opened(self) -> dict[str, zarr.Array[Any]]:
        return {name: open_array(files) for name, files in self.data.items()}


def _read_ends(files: ArrayFiles, where: str) -> Int64[np.ndarray, " episodes"]:
    if len(files.shape) != 1 or np.dtype(files.dtype).kind not in "iu" or not files.shape[0]:
        raise DataError(f"{where} is {files.dtype} {files.shape}, expected a list of whole numbers, at least one")
    ends = files.read(open_array(files), slice(None)).astype(np.int64)
    if (np.diff(ends, prepend=0) <= 0).any():
        raise DataError(f"{where} does not rise at episode {int(np.argmax(np.diff(ends, prepend=0) <= 0))}")
    return ends


def _is_picture(files: ArrayFiles) -> bool:
    if len(files.shape) != 4 or files.shape[3] != 3 or min(files.shape[1:3]) < _MIN_PICTURE_SIDE:
        return False
    if files.dtype == "uint8":
        return True
    if np.dtype(files.dtype).kind != "f":
        return False
    first = files.read(open_array(files), slice(0, 1))
    return _is_whole(first) and bool(first.max() > 1)


def _is_whole(values: np.ndarray) -> bool:
    return bool(((values >= 0) & (values <= 255) & (values == np.floor(values))).all())


def _as_bytes(values: np.ndarray, where: str) -> UInt8[np.ndarray, "steps height width 3"]:
    if values.dtype == np.uint8:
        return values
    if not _is_whole(values):
        raise DataError(f"{where} holds pictures, but not only whole numbers from 0 to 255")
    return values.astype(np.uint8)
