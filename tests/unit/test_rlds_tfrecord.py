from __future__ import annotations

import struct
from pathlib import Path

import google_crc32c
import pytest

from tests.foreign_sources import crc32c, tfrecord
from vla.errors import DataError
from vla_datasets.exchange.tfrecord import count_records, masked_crc32c, read_records


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"123456789", 0xE3069283),
        # RFC 3720, B.4.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_the_crc_is_castagnolis(data: bytes, crc: int) -> None:
    assert google_crc32c.value(data) == crc32c(data) == crc
    assert masked_crc32c(data) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % (1 << 32)


def test_a_file_is_read_byte_for_byte_as_tensorflow_writes_it(tmp_path: Path) -> None:
    # Length, its check, data, its check.
    path = tmp_path / "one"
    length = struct.pack("<Q", 3)
    path.write_bytes(
        length + struct.pack("<I", masked_crc32c(length)) + b"foo" + struct.pack("<I", masked_crc32c(b"foo"))
    )
    assert path.read_bytes() == tfrecord([b"foo"])
    assert list(read_records(path)) == [b"foo"]


def test_records_come_in_order_and_are_counted_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "three"
    path.write_bytes(tfrecord([b"first", b"", b"third" * 100]))
    assert list(read_records(path)) == [b"first", b"", b"third" * 100]
    assert count_records(path) == 3


def test_an_altered_record_is_refused_by_number(tmp_path: Path) -> None:
    content = bytearray(tfrecord([b"first", b"second"]))
    content[-6] ^= 1
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(DataError, match="bad: record 1 is altered: its 6 bytes do not have their checksum"):
        list(read_records(tmp_path / "bad"))


def test_a_record_that_is_cut_off_is_refused_with_both_lengths(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(tfrecord([b"first"])[:-6])
    for read in (lambda path: list(read_records(path)), count_records):
        with pytest.raises(
            DataError, match="record 0, at byte 0, is cut off: 5 bytes and their checksum should follow, 3 "
        ):
            read(tmp_path / "cut")


def test_a_header_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(tfrecord([b"first"]) + b"\0\0\0")
    with pytest.raises(DataError, match="record 1, at byte 21, is cut off: 3 of the 12 bytes of its header are there"):
        count_records(tmp_path / "cut")


def test_an_absurd_length_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 60)
    (tmp_path / "bomb").write_bytes(length + struct.pack("<I", masked_crc32c(length)) + b"x" * 20)
    with pytest.raises(DataError, match="1152921504606846976 bytes and their checksum should follow, 20 bytes do"):
        list(read_records(tmp_path / "bomb"))


def test_an_altered_length_is_refused(tmp_path: Path) -> None:
    content = bytearray(tfrecord([b"first"]))
    content[0] ^= 1
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(DataError, match="its length, 4, does not have its checksum"):
        list(read_records(tmp_path / "bad"))


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent cannot be read: No such file"):
        count_records(tmp_path / "absent")
