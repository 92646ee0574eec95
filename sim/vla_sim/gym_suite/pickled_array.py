"""The array inside a file of `torch.save(array)`, read without running what the file says.

LIBERO keeps the states its episodes begin from as pickles in a zip, which `torch.load` runs as a program. What such a
file consists of is little: four known names, a shape, a type and the bytes. Only that is read here; anything else is
refused.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from vla.errors import DataError

_KNOWN_NAMES = {
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
    "numpy ndarray",
    "numpy dtype",
    "_codecs encode",
}
_DATA = "data.pkl"
_MOST_BYTES = 1 << 28
_MAX_AXES = 2


def read_pickled_array(path: Path) -> Float64[np.ndarray, "rows columns"]:
    """The float64 array that `torch.save` wrote, of two axes, or of one, which is then the only row.

    Raises:
        DataError: if the file is anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if info.filename.endswith(f"/{_DATA}")]
            if len(infos) != 1 or infos[0].file_size > _MOST_BYTES:
                raise DataError(f"{path} is no archive of one array")
            return _array(archive.read(infos[0]), path)
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _array(program: bytes, path: Path) -> Float64[np.ndarray, "rows columns"]:
    texts: list[str] = []
    numbers: list[int] = []
    raw: list[bytes] = []
    for operation, argument in _operations(program, path):
        if operation == "GLOBAL" and argument not in _KNOWN_NAMES:
            raise DataError(f"{path} names '{argument}', which is not part of an array: it is not read")
        match argument:
            case str() if operation != "GLOBAL":
                texts.append(argument)
            case bytes():
                raw.append(argument)
            case int() if operation in ("BININT", "BININT1", "BININT2"):
                numbers.append(argument)
    return _assembled(texts, numbers, raw, path)


def _operations(program: bytes, path: Path) -> list[tuple[str, object]]:
    try:
        return [(operation.name, argument) for operation, argument, _ in pickletools.genops(program)]
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from None


def _assembled(texts: list[str], numbers: list[int], raw: list[bytes], path: Path) -> Float64[np.ndarray, "_ _"]:
    """An array from the parts of its pickle, in their order: 0, version, shape, ..., type, bytes."""
    if "f8" not in texts or "<" not in texts:
        raise DataError(f"{path} holds no float64 array")
    longest = max(texts, key=len)
    try:
        content = max(raw, key=len) if raw else longest.encode("latin1")
    except UnicodeEncodeError:
        raise DataError(f"{path}: the array's bytes are not there") from None
    shape = tuple(numbers[2 : 2 + _MAX_AXES])
    if shape and shape[1:] != (1,) and 8 * shape[0] == len(content):
        shape = (1, shape[0])
    if len(shape) != _MAX_AXES or min(shape) < 1 or 8 * math.prod(shape) != len(content):
        raise DataError(f"{path}: {len(content)} bytes are no float64 array of shape {shape}")
    return np.frombuffer(content, "<f8").reshape(shape).astype(np.float64)
