"""Messages as bytes: msgpack with NumPy arrays, written exactly as the published `openpi-client` writes them.

    array    {b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [rows, columns]}
    scalar   {b"__npgeneric__": True, b"data": number, b"dtype": "<i8"}
    others   nil, bool, int, float, str, bytes, list, map with str keys

Reading is strict. The first byte of every value is looked at before msgpack may read it, so that neither depth nor
number of values nor any size is taken on the sender's word; an array is made only after its type, its shape and its
number of bytes are known to agree. There is no object type, no extension type, and nothing that could run code.
Whatever the bytes are, `decode` gives back a tree or raises `WireError`.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np

from vla.errors import WireError

DTYPES = ("|u1", "<i4", "<i8", "<f2", "<f4", "<f8")
"""Of arrays, as NumPy writes them; all else is refused."""
MAX_AXES = 4
MAX_AXIS = 2**24
"""Along one axis: an empty array has a shape too, which must not overflow."""
MAX_DEPTH = 8
"""Maps and lists within each other."""
MAX_VALUES = 4096
"""Values in one message, keys too; an array counts as its four fields."""
MAX_TEXT_BYTES = 65536

_ARRAY_KEYS = {b"__ndarray__", b"data", b"dtype", b"shape"}
_SCALAR_KEYS = {b"__npgeneric__", b"data", b"dtype"}


def encode(message: dict[str, Any]) -> bytes:
    """The bytes of a message.

    Raises:
        WireError: if it holds something that `decode` would refuse by its type.
    """
    try:
        data: bytes = msgpack.packb(message, default=_pack) or b""
        return data
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"the message cannot be written: {error}") from error


def decode(data: bytes, *, max_bytes: int) -> dict[str, Any]:
    """The message that these bytes are; arrays are read-only views of them.

    Args:
        max_bytes: how long `data` may be.

    Raises:
        WireError: if they are none.
    """
    if len(data) > max_bytes:
        raise WireError(f"a message has at most {max_bytes} bytes, this one has {len(data)}")
    try:
        message = _Reader(data).message()
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"the message is no msgpack: {type(error).__name__}: {error}".rstrip(": ")) from error
    if not isinstance(message, dict):
        raise WireError(f"a message is a map, this one is {_kind(message)}")
    return message


def _pack(value: object) -> dict[bytes, Any]:
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__} has no place in a message")
    if value.dtype.str not in DTYPES:
        raise TypeError(f"an array of {value.dtype} has no place in a message; these have: {', '.join(DTYPES)}")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}


class _Reader:
    """One pass over the bytes of one message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._values_left = MAX_VALUES
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=max(len(data), 1), max_str_len=MAX_TEXT_BYTES, max_bin_len=len(data), max_ext_len=0
        )
        self._unpacker.feed(data)

    def message(self) -> Any:
        value = self._value(0)
        if self._unpacker.tell() != len(self._data):
            raise WireError(f"{len(self._data) - self._unpacker.tell()} bytes follow the message")
        return value

    def _value(self, depth: int) -> Any:
        position = self._unpacker.tell()
        if position >= len(self._data):
            raise WireError("the message ends in the middle of a value")
        self._count(1)
        first = self._data[position]
        if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF):
            return self._map(depth + 1)
        if 0x90 <= first <= 0x9F or first in (0xDC, 0xDD):
            return self._list(depth + 1)
        if first == 0xC1 or 0xC7 <= first <= 0xC9 or 0xD4 <= first <= 0xD8:
            raise WireError(f"a value of msgpack type 0x{first:02x} has no place in a message")
        return self._unpacker.unpack()

    def _list(self, depth: int) -> list[Any]:
        length = self._unpacker.read_array_header()
        self._enter(depth, length)
        return [self._value(depth) for _ in range(length)]

    def _map(self, depth: int) -> Any:
        length = self._unpacker.read_map_header()
        self._enter(depth, 2 * length)
        read: dict[str | bytes, Any] = {}
        for _ in range(length):
            key = self._value(MAX_DEPTH)  # no map or list is a key
            if not isinstance(key, str | bytes) or key in read:
                raise WireError(f"a key is a text that comes once, got {_kind(key)}")
            read[key] = self._value(depth)
        return _array_or_scalar(read) if any(isinstance(key, bytes) for key in read) else read

    def _enter(self, depth: int, length: int) -> None:
        if depth > MAX_DEPTH:
            raise WireError(f"maps and lists lie at most {MAX_DEPTH} deep within each other")
        if length > self._values_left:
            raise WireError(f"a message holds at most {MAX_VALUES} values")

    def _count(self, values: int) -> None:
        self._values_left -= values
        if self._values_left < 0:
            raise WireError(f"a message holds at most {MAX_VALUES} values")


def _array_or_scalar(read: dict[str | bytes, Any]) -> Any:
    if read.keys() == _ARRAY_KEYS and read[b"__ndarray__"] is True:
        return _array(read[b"data"], _dtype(read[b"dtype"]), read[b"shape"])
    if read.keys() == _SCALAR_KEYS and read[b"__npgeneric__"] is True:
        return _scalar(read[b"data"], _dtype(read[b"dtype"]))
    keys = ", ".join(repr(key) for key in read)
    raise WireError(f"a map with keys of bytes is a NumPy array or scalar, this one is neither; its keys: {keys:.200}")


def _array(data: Any, dtype: np.dtype[Any], shape: Any) -> np.ndarray:
    axes_are_counts = isinstance(shape, list) and all(type(axis) is int and axis >= 0 for axis in shape)
    if not axes_are_counts or len(shape) > MAX_AXES:
        raise WireError(f"the shape of an array is a list of at most {MAX_AXES} counts, got {_kind(shape)}")
    if not isinstance(data, bytes):
        raise WireError(f"the data of an array are bytes, got {_kind(data)}")
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(data) or max(shape, default=0) > MAX_AXIS:
        raise WireError(f"an array of shape {tuple(shape)} and type {dtype.str} has {expected} bytes, got {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape)


def _scalar(value: Any, dtype: np.dtype[Any]) -> int | float:
    if type(value) not in (int, float):
        raise WireError(f"a NumPy scalar is a number, got {_kind(value)}")
    if (dtype.kind == "f") != isinstance(value, float):
        raise WireError(f"a NumPy scalar of type {dtype.str} is not {_kind(value)}")
    return value


def _dtype(name: Any) -> np.dtype[Any]:
    if not isinstance(name, str) or name not in DTYPES:
        shown = f"'{name:.20}'" if isinstance(name, str) else _kind(name)
        raise WireError(f"an array is of type {', '.join(DTYPES)}; this one is {shown}")
    return np.dtype(name)


def _kind(value: object) -> str:
    names = {dict: "a map", list: "a list", np.ndarray: "an array", bytes: "bytes", type(None): "nil"}
    return names.get(type(value), f"{value!r:.40}")
