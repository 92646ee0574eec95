"""Zarr v2 arrays of others, in a folder or a zip: checked file by file, then read by the Zarr library.

The library reads a missing chunk as zeros, follows links, and loads whatever codec an array names (one of them is
pickle). So that none of this happens, every array has all its chunks, each says how large it is when decoded, and the
codec is one of `CODECS`.

Source: zarr-specs.readthedocs.io, Zarr storage specification version 2.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vla.errors import DataError
from vla_datasets.exchange.chunk_headers import CODECS, decoded_bytes
from vla_datasets.exchange.inner_files import InnerFiles, list_files
from vla_datasets.exchange.json_files import parse_object

if TYPE_CHECKING:
    import zarr

MAX_CHUNK_BYTES = 1 << 30
_META = ".zarray"
_META_BYTES = 1 << 20
_HEADER_BYTES = 18


@dataclasses.dataclass(frozen=True)
class ArrayFiles:
    """One array all of whose chunks are there and of the declared size."""

    files: InnerFiles
    name: str
    """Inside of the group: `data/action`."""
    shape: tuple[int, ...]
    dtype: str

    @property
    def where(self) -> str:
        return f"{self.files.path}: {self.name}"

    def read(self, array: zarr.Array[Any], rows: slice) -> np.ndarray:
        """Some rows of the opened array.

        Raises:
            DataError: if a chunk does not decode.
        """
        try:
            values = np.asarray(array[rows])
        except Exception as error:  # Codecs raise what they like.
            raise DataError(f"{self.where} is damaged in steps {rows.start} to {rows.stop}: {error}") from None
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def list_arrays(path: Path, anchor: str) -> dict[str, ArrayFiles]:
    """Every array of the group by name, checked and not yet decoded.

    The group may lie some folders down, as in archives that were made from outside of it.

    Args:
        anchor: the name of an array that only the wanted group has.

    Raises:
        DataError: naming the file that is unsafe, missing or not as declared.
    """
    files = list_files(path)
    if "zarr.json" in files.sizes:
        raise DataError(f"{path} is Zarr v3, expected v2")
    names = sorted(name.removesuffix(f"/{_META}") for name in files.sizes if name.endswith(f"/{_META}"))
    tops = [name.removesuffix(anchor) for name in names if name == anchor or name.endswith(f"/{anchor}")]
    if len(tops) != 1:
        shown = f" ({', '.join(tops)})" if tops else ""
        raise DataError(f"{path} should hold one array '{anchor}', there are {len(tops)}{shown}")
    inner = dataclasses.replace(files, prefix=tops[0])
    own = [name.removeprefix(tops[0]) for name in names if name.startswith(tops[0])]
    return {name: _checked(inner, name) for name in own}


def open_array(files: ArrayFiles) -> zarr.Array[Any]:
    """The array as the Zarr library opens it.

    Raises:
        DataError: if it does not.
    """
    import zarr

    try:
        return zarr.open_array(files.files.store(), path=files.files.prefix + files.name, mode="r", zarr_format=2)
    except Exception as error:  # Of the library or of a codec.
        raise DataError(f"{files.where} cannot be opened: {error}") from None


def _checked(files: InnerFiles, name: str) -> ArrayFiles:
    where = f"{files.path}: {name}/{_META}"
    meta = _parsed(parse_object(files.head(f"{name}/{_META}", _META_BYTES), where), where)
    if meta.dtype.kind not in "biuf" or meta.filters or meta.codec not in CODECS:
        raise DataError(
            f"{where}: {meta.dtype} by compressor {meta.codec} and filters {meta.filters}, only numbers by compressor "
            f"{', '.join(str(codec) for codec in CODECS)} without filters are read"
        )
    _check_chunks(files, name, meta)
    return ArrayFiles(files=files, name=name, shape=meta.shape, dtype=meta.dtype.name)


@dataclasses.dataclass(frozen=True, slots=True)
class _Meta:
    """What `.zarray` says."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    codec: str | None
    filters: object
    separator: str


def _parsed(meta: Mapping[str, Any], where: str) -> _Meta:
    try:
        parsed = _Meta(
            shape=tuple(_size(size) for size in meta["shape"]),
            chunks=tuple(_size(size) for size in meta["chunks"]),
            dtype=np.dtype(str(meta["dtype"])),
            codec=None if meta["compressor"] is None else str(meta["compressor"]["id"]),
            filters=meta.get("filters"),
            separator=str(meta.get("dimension_separator", ".")),
        )
    except (KeyError, TypeError, ValueError, SyntaxError) as error:
        raise DataError(f"{where} does not describe a Zarr v2 array: {error!r}") from None
    is_whole = len(parsed.shape) == len(parsed.chunks) > 0 and 0 not in parsed.chunks
    if meta.get("zarr_format") != 2 or not is_whole or parsed.separator not in (".", "/"):
        raise DataError(f"{where} does not describe a Zarr v2 array of one axis or more")
    return parsed


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r} is no size")
    return value


def _check_chunks(files: InnerFiles, name: str, meta: _Meta) -> None:
    """Return if every chunk is there and decodes to as many bytes as it should, by what its header says."""
    where, size = f"{files.path}: {name}", math.prod(meta.chunks) * meta.dtype.itemsize
    if size > MAX_CHUNK_BYTES:
        raise DataError(f"{where} has chunks of {size} bytes, more than the {MAX_CHUNK_BYTES} that are read")
    grid = [-(-length // chunk) for length, chunk in zip(meta.shape, meta.chunks, strict=True)]
    # More chunks than files: said before they are counted off, which could take for ever.
    if (count := math.prod(grid)) > len(files.sizes):
        raise DataError(f"{where} should have {count} chunks, there are fewer files: chunks are missing")
    for place in itertools.product(*(range(number) for number in grid)):
        _check_chunk(files, f"{name}/{meta.separator.join(map(str, place))}", meta.codec, size)


def _check_chunk(files: InnerFiles, chunk: str, codec: str | None, size: int) -> None:
    stored = files.sizes.get(files.prefix + chunk)
    if stored is None:
        raise DataError(f"{files.path}: chunk {chunk} is missing")
    decoded = decoded_bytes(codec, files.head(chunk, _HEADER_BYTES), stored)
    if decoded != size:
        said = f"says {decoded} bytes" if decoded >= 0 else f"is not of {codec}"
        raise DataError(f"{files.path}: chunk {chunk} {said}, expected {size}: it is altered")
