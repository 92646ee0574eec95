"""HDF5 files of others: no link is followed, no other file opened, nothing allocated that the file cannot fill.

An HDF5 file can point to others (external links, external storage, virtual datasets), can name plugins to load, and can
declare arrays of any size without holding them. All of this is refused by name, before anything is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vla.errors import DataError
from vla.libraries import require_library

if TYPE_CHECKING:
    import h5py

MAX_EXPANSION = 1100
"""Bytes of an array for each byte in the file: no deflate stream yields more than 1032 (zlib's technical notes)."""
_SMALL = 1 << 20
"""Bytes below which an array may be of any ratio."""
_BUILT_IN_FILTERS = frozenset(range(1, 7)) | {32000}
"""deflate, shuffle, fletcher32, szip, nbit, scale-offset; lzf, which h5py brings. All others are plugins."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hdf5Array:
    """An array of numbers that may be read."""

    dtype: str
    shape: tuple[int, ...]


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """The file, to read from. What the library finds wrong inside the `with` is a DataError that names the file.

    Raises:
        ConfigError: if h5py is not installed.
    """
    require_library("h5py", what=f"{path}, an HDF5 file,", extra="exchange")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError, OverflowError) as error:
        raise DataError(f"{path} is not a whole HDF5 file: {' '.join(str(error).split())}") from None


def group(parent: h5py.Group, name: str, path: Path) -> h5py.Group:
    """The group inside `parent`.

    Raises:
        DataError: if it is absent, a link, or an array.
    """
    import h5py

    if name not in children(parent, path) or not isinstance(found := parent[name], h5py.Group):
        raise DataError(f"{path} has no group '{_inner(parent, name)}'")
    return found


def children(parent: h5py.Group, path: Path) -> dict[str, Hdf5Array | None]:
    """What lies in a group by name: arrays of numbers with a first axis, and None for all else.

    Raises:
        DataError: naming a link, or an array that lies outside of the file or is too large for it.
    """
    import h5py

    found: dict[str, Hdf5Array | None] = {}
    for key in parent:
        name = str(key)
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path}: {_inner(parent, name)} is a link; links are not followed: copy what it points to")
        item = parent[name]
        found[name] = _checked(item, f"{path}: {_inner(parent, name)}") if isinstance(item, h5py.Dataset) else None
    return found


def read_array(parent: h5py.Group, name: str, expected: Hdf5Array, path: Path) -> np.ndarray:
    """The values of an array that `children` has described."""
    dataset: Any = parent[name]
    if (dataset.dtype.name, dataset.shape) != (expected.dtype, expected.shape):
        raise DataError(f"{path}: {_inner(parent, name)} has changed since the file was opened")
    values = np.empty(dataset.shape, dataset.dtype.newbyteorder("="))
    dataset.read_direct(values)
    return values


def attribute(parent: h5py.Group, name: str, path: Path) -> str:
    """An attribute as text; empty if there is none.

    Raises:
        DataError: if it is neither a text in UTF-8 nor one number.
    """
    if name not in parent.attrs:
        return ""
    where = f"{path}: attribute '{name}' of {parent.name}"
    stored = parent.attrs.get_id(name)
    if math.prod(stored.shape or ()) * stored.dtype.itemsize > _SMALL:
        raise DataError(f"{where} declares {stored.shape} values of {stored.dtype}: expected a text or a number")
    value: Any = parent.attrs[name]
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{where} is not UTF-8: {value[:40]!r}") from None
    if not isinstance(value, str) and np.ndim(value) != 0:
        raise DataError(f"{where} is not one value")
    return str(value)


def _inner(parent: h5py.Group, name: str) -> str:
    return f"{(parent.name or '').strip('/')}/{name}".strip("/")


def _checked(dataset: h5py.Dataset, where: str) -> Hdf5Array | None:
    if dataset.shape is None or not dataset.shape or dataset.dtype.kind not in "biuf":
        return None
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{where} keeps its values in other files; these are not opened: copy them into this one")
    _refuse_plugins(dataset, where)
    _refuse_absurd_size(dataset, where)
    return Hdf5Array(dtype=dataset.dtype.name, shape=tuple(dataset.shape))


def _refuse_plugins(dataset: h5py.Dataset, where: str) -> None:
    layout = dataset.id.get_create_plist()
    codes = [layout.get_filter(index)[0] for index in range(layout.get_nfilters())]
    if foreign := sorted(set(codes) - _BUILT_IN_FILTERS):
        raise DataError(f"{where} is compressed by plugin {foreign[0]}, which is not loaded: write it anew with gzip")


def _refuse_absurd_size(dataset: h5py.Dataset, where: str) -> None:
    """Return if the file can hold the array: libraries allocate what a header declares."""
    stored = dataset.id.get_storage_size()
    size = Path(dataset.file.filename).stat().st_size
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
    if declared and not stored:
        raise DataError(f"{where} declares {declared} bytes and holds none: it was never written")
    if max(declared, chunk) > max(_SMALL, MAX_EXPANSION * min(stored, size)):
        raise DataError(f"{where} declares {max(declared, chunk)} bytes in a file of {size}: refused as a bomb")
