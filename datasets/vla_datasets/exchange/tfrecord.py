"""TFRecord files: records end to end, each behind its length and between checksums.

    length   uint64, little-endian
    check    uint32: masked CRC-32C of the eight bytes of length
    data     `length` bytes
    check    uint32: masked CRC-32C of data

A CRC is masked so that one of bytes which hold CRCs is as good as any: turned right by 15 bits, plus a constant.

Source: TensorFlow, core/lib/io/record_writer.h and core/lib/hash/crc32c.h. The CRC is Castagnoli's: RFC 3720, B.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from vla.errors import DataError

_MASK_DELTA = 0xA282EAD8
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


def masked_crc32c(data: bytes) -> int:
    """The checksum of `data` as TFRecord files hold it."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file, one in memory at a time, each compared with its checksums.

    Raises:
        DataError: naming the file, the record and its place in bytes.
    """
    with _opened(path) as file:
        for number, length in _lengths(path, file):
            data = file.read(length)
            (check,) = _FOOTER.unpack(file.read(_FOOTER.size))
            if masked_crc32c(data) != check:
                raise DataError(f"{path}: record {number} is altered: its {length} bytes do not have their checksum")
            yield data


def count_records(path: Path) -> int:
    """How many records a file has; their lengths are checked, their contents are not read.

    Raises:
        DataError: naming the file and the record that is cut off, or whose length is altered.
    """
    count = 0
    with _opened(path) as file:
        for _, length in _lengths(path, file):
            file.seek(length + _FOOTER.size, 1)
            count += 1
    return count


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _lengths(path: Path, file: BinaryIO) -> Iterator[tuple[int, int]]:
    """The number and length of each record. The caller moves `file` past its data and footer before asking again."""
    size = path.stat().st_size
    number = 0
    while (start := file.tell()) < size:
        where = f"{path}: record {number}, at byte {start},"
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise DataError(f"{where} is cut off: {len(header)} of the {_HEADER.size} bytes of its header are there")
        length, check = _HEADER.unpack(header)
        if masked_crc32c(header[:8]) != check:
            raise DataError(f"{where} is altered: its length, {length}, does not have its checksum")
        if length + _FOOTER.size > (left := size - file.tell()):
            raise DataError(f"{where} is cut off: {length} bytes and their checksum should follow, {left} bytes do")
        yield number, length
        number += 1
