"""A mailbox gives the newest message, whole, or none."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.errors import ConfigError
from vla_robot_io.operating.letterbox import Mailbox


def test_a_reader_gets_the_newest_and_misses_the_rest(tmp_path: Path) -> None:
    writer = Mailbox(tmp_path / "box", 100)
    reader = Mailbox(tmp_path / "box")
    assert reader.read() is None
    for number in range(7):
        assert writer.write(f"message {number}".encode())
    assert reader.read() == b"message 6"
    assert reader.read() is None
    writer.write(b"short")
    assert reader.read() == b"short"


def test_parts_are_joined_and_arrays_are_parts(tmp_path: Path) -> None:
    writer = Mailbox(tmp_path / "box", 100)
    writer.write(b"head", np.arange(4, dtype=np.uint8).data)
    assert Mailbox(tmp_path / "box").read() == b"head\x00\x01\x02\x03"


def test_a_message_that_is_too_long_is_not_written(tmp_path: Path) -> None:
    writer = Mailbox(tmp_path / "box", 8)
    reader = Mailbox(tmp_path / "box")
    writer.write(b"fits")
    assert not writer.write(b"x" * 9)
    assert reader.read() == b"fits"


def test_a_second_writer_goes_on_where_the_first_left(tmp_path: Path) -> None:
    first = Mailbox(tmp_path / "box", 100)
    for _ in range(5):
        first.write(b"old")
    reader = Mailbox(tmp_path / "box")
    assert reader.read() == b"old"
    Mailbox(tmp_path / "box").write(b"new")
    assert reader.read() == b"new"


def test_a_mailbox_that_is_not_there_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        Mailbox(tmp_path / "box")


@given(
    sent=st.tuples(st.binary(min_size=1, max_size=64), st.binary(min_size=1, max_size=64)),
    place=st.floats(0, 1, exclude_max=True),
    flipped=st.integers(1, 255),
)
def test_damage_never_comes_out_as_a_message(sent: tuple[bytes, bytes], place: float, flipped: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "box"
        writer = Mailbox(path, 64)
        for message in sent:
            writer.write(message)
        raw = bytearray(path.read_bytes())
        raw[int(place * len(raw))] ^= flipped
        path.write_bytes(raw)
        assert Mailbox(path).read() in (None, *sent)
