"""`tf.train.Example` from bytes: named lists of bytes, floats or integers, and nothing else of Protocol Buffers.

    Example   { 1: Features }
    Features  { 1: entry, ... }        entry { 1: name, 2: Feature }
    Feature   { 1: BytesList | 2: FloatList | 3: Int64List }, each with its values as field 1

The nesting is fixed, so nothing recurses; every length is compared with what is left, so nothing is allocated that is
not there. Numbers may be packed or one a field, as the format allows.

Source: the wire format in protobuf.dev/programming-guides/encoding; TensorFlow, core/example/{example,feature}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int64

from vla.errors import DataError

Values = list[bytes] | Float32[np.ndarray, " count"] | Int64[np.ndarray, " count"]
"""What one feature holds. A feature that says no kind is an empty list of bytes."""

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


def parse_example(data: bytes, where: str) -> dict[str, Values]:
    """The features of one serialised example, by name.

    Args:
        where: file and record, for errors.

    Raises:
        DataError: naming `where` and the byte at which it is no example.
    """
    try:
        return dict(_features(memoryview(data)))
    except _WireError as error:
        raise DataError(f"{where} is no tf.train.Example: {error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{where} is no tf.train.Example: the name of a feature is not UTF-8") from None


class _WireError(Exception):
    """What is wrong with the bytes; it leaves this module as a DataError."""


def _features(example: memoryview) -> Iterator[tuple[str, Values]]:
    for features in _messages(example, 1):
        for entry in _messages(features, 1):
            names, values = _messages(entry, 1), _messages(entry, 2)
            # As with every field that is not repeated: the last one counts, absent is empty.
            yield str(next(reversed(names), b""), "utf-8"), _values(next(reversed(values), memoryview(b"")))


def _values(feature: memoryview) -> Values:
    kinds = [(number, inner) for number, _, inner in _fields(feature) if number in (1, 2, 3)]
    if not kinds:
        return []
    kind, payload = kinds[-1]
    if not isinstance(payload, memoryview):
        raise _WireError(f"list {kind} of a feature is a number, not a message")
    return (_bytes_list, _float_list, _int64_list)[kind - 1](payload)


def _bytes_list(payload: memoryview) -> Values:
    return [bytes(value) for value in _messages(payload, 1)]


def _float_list(payload: memoryview) -> Values:
    parts = _numbers(payload, single=_FIXED32)
    if any(len(part) % 4 for part in parts):
        raise _WireError("the bytes of a list of floats are not a multiple of 4")
    return np.frombuffer(b"".join(parts), "<f4").astype(np.float32)


def _int64_list(payload: memoryview) -> Values:
    parts = _numbers(payload, single=_VARINT)
    if any(len(part) and part[-1] >= 0x80 for part in parts):
        raise _WireError("the last integer of a list is cut off")
    return _varints(np.frombuffer(b"".join(parts), np.uint8))


def _numbers(payload: memoryview, *, single: int) -> list[memoryview | bytes]:
    """The bytes of each field 1: one number (wire type `single`) or several (packed)."""
    fields = [(wire, value) for number, wire, value in _fields(payload) if number == 1]
    for wire, _ in fields:
        if wire not in (single, _DELIMITED):
            raise _WireError(f"a number has wire type {wire}, expected {single} or {_DELIMITED}")
    return [value for _, value in fields]


def _varints(packed: np.ndarray) -> Int64[np.ndarray, " count"]:
    """Every varint of `packed`, whose last one is whole, as two's complement.

    A varint has seven bits a byte, the lowest first; all bytes but its last have the eighth set.
    """
    if not len(packed):
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(packed < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_VARINT_BYTES:
        raise _WireError(f"an integer has {lengths.max()} bytes, at most {_MAX_VARINT_BYTES} are allowed")
    shifts = 7 * (np.arange(len(packed)) - np.repeat(starts, lengths))
    parts = (packed & 0x7F).astype(np.uint64) << shifts.astype(np.uint64)
    return np.bitwise_or.reduceat(parts, starts).view(np.int64)


# --------------------------------------------------------------------------- wire format


def _messages(message: memoryview, wanted: int) -> list[memoryview]:
    """The contents of the fields numbered `wanted`, which must be of the kind that has a length."""
    found = []
    for number, wire, value in _fields(message):
        if number == wanted:
            if not isinstance(value, memoryview):
                raise _WireError(f"field {number} has wire type {wire}, expected {_DELIMITED}")
            found.append(value)
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | bytes]]:
    """Number, wire type and content of each field; the content of a plain number is `bytes`."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise _WireError(f"a field at byte {at} has number 0")
        if wire == _VARINT:
            _, end = _varint(message, at)
            yield number, wire, bytes(message[at:end])
        elif wire == _DELIMITED:
            length, at = _varint(message, at)
            end = _end(message, at, length)
            yield number, wire, message[at:end]
        elif wire in _FIXED_SIZES:
            end = _end(message, at, _FIXED_SIZES[wire])
            yield number, wire, bytes(message[at:end])
        else:
            raise _WireError(f"field {number} has wire type {wire}, which examples do not have")
        at = end


def _end(message: memoryview, at: int, length: int) -> int:
    if length > len(message) - at:
        raise _WireError(f"a field says {length} bytes where {len(message) - at} are left")
    return at + length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The varint at `at`, unsigned, and the place behind it."""
    value = 0
    for index, byte in enumerate(message[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise _WireError(f"the number at byte {at} is cut off or longer than {_MAX_VARINT_BYTES} bytes")
