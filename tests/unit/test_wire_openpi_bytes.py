"""Bytes as openpi-client 0.1.2 writes them, and what is refused."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest

from vla.errors import WireError
from vla_policies.serving.wire import MAX_DEPTH, MAX_VALUES, decode, encode

# openpi_client.msgpack_numpy.packb of OBSERVATION, and of {"seq": np.int64(7)}.
PUBLISHED = bytes.fromhex(
    "83b86f62736572766174696f6e2f696d616765732f777269737484c40b5f5f6e6461727261795f5fc3c40464617461c40c00010203040506"
    "0708090a0bc4056474797065a37c7531c405736861706593020203b16f62736572766174696f6e2f737461746584c40b5f5f6e6461727261"
    "795f5fc3c40464617461c4080000003f000080bfc4056474797065a33c6634c40573686170659102a670726f6d7074a77069636b207570"
)
PUBLISHED_SCALAR = bytes.fromhex("81a373657183c40d5f5f6e7067656e657269635f5fc3c4046461746107c4056474797065a33c6938")
OBSERVATION = {
    "observation/images/wrist": np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
    "observation/state": np.array([0.5, -1.0], np.float32),
    "prompt": "pick up",
}


def read(data: bytes) -> dict[str, Any]:
    return decode(data, max_bytes=1 << 20)


def array(data: bytes = b"\x00" * 4, dtype: object = "<f4", shape: object = (1,)) -> bytes:
    return msgpack.packb({"a": {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}}) or b""


def test_a_message_is_written_as_openpi_writes_it() -> None:
    assert encode(OBSERVATION) == PUBLISHED
    assert encode({"seq": np.int64(7)}) == PUBLISHED_SCALAR


def test_a_message_of_openpi_is_read() -> None:
    message = read(PUBLISHED)
    assert list(message) == list(OBSERVATION)
    assert np.array_equal(message["observation/images/wrist"], OBSERVATION["observation/images/wrist"])
    assert message["observation/state"].dtype == np.float32
    assert message["prompt"] == "pick up"
    assert read(PUBLISHED_SCALAR) == {"seq": 7}


def test_an_array_that_was_read_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        read(PUBLISHED)["observation/state"][0] = 1.0


def test_arrays_without_elements_keep_their_shape() -> None:
    assert read(encode({"a": np.zeros((0, 5), np.float32)}))["a"].shape == (0, 5)


@pytest.mark.parametrize("dtype", ["|O", "|V8", "<U4", "|S4", "|b1", ">f4", "<c8", "<M8[s]", "O", "f4", "", 4, None])
def test_an_array_of_another_type_is_refused_by_name(dtype: object) -> None:
    with pytest.raises(WireError, match=r"an array is of type \|u1"):
        read(array(b"\x00" * 8, dtype))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends in the middle"),
        (b"\xc0", "a message is a map, this one is nil"),
        (b"\x90", "a message is a map, this one is a list"),
        (b"\x80\x80", "1 bytes follow the message"),
        (b"\x80\x04\x95\x00", "3 bytes follow the message"),
        (b"\x81\xa1a", "ends in the middle"),
        (b"\x81\xa1\xff\xc0", "UnicodeDecodeError"),
        (b"\x81\x01\xc0", "a key is a text that comes once, got 1"),
        (b"\x81\x80\xc0", "at most 8 deep"),
        (b"\x82\xa1a\xc0\xa1a\xc0", "a key is a text that comes once"),
        (b"\x81\xa1a\xc1", "type 0xc1 has no place"),
        (b"\x81\xa1a\xd4\x05\x00", "type 0xd4 has no place"),
        (b"\x81\xa1a\xc7\x00\x05", "type 0xc7 has no place"),
        (b"\x81\xa1a" + b"\x91" * 10_000, f"at most {MAX_DEPTH} deep"),
        (b"\x81\xa1a\xdd\xff\xff\xff\xff", f"at most {MAX_VALUES} values"),
        (b"\xdf\xff\xff\xff\xff", f"at most {MAX_VALUES} values"),
        (b"\x81\xa1a\xdb\xff\xff\xff\xff", "no msgpack"),
        (b"\x81\xa1a\xc6\xff\xff\xff\xff", "no msgpack"),
        (b"\x81\xa1a\xdc\x0f\x00" + b"\x90" * 5000, f"at most {MAX_VALUES} values|follow the message"),
        (b"\x81\xc4\x01a\xc0", "neither; its keys: b'a'"),
        (array(shape=(2,)), r"shape \(2,\) and type <f4 has 8 bytes, got 4"),
        (array(shape=(-1,)), "a list of at most 4 counts"),
        (array(shape=(1.0,)), "a list of at most 4 counts"),
        (array(shape=(True,)), "a list of at most 4 counts"),
        (array(shape=(1, 1, 1, 1, 1)), "a list of at most 4 counts"),
        (array(shape=3), "a list of at most 4 counts"),
        (array(b"", shape=(0, 2**62)), "has 0 bytes"),
        (array(shape=(2**40, 2**40)), "got 4"),
    ],
)
def test_what_is_no_message_is_refused_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        read(data)


def test_a_message_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(WireError, match="at most 10 bytes, this one has 167"):
        decode(PUBLISHED, max_bytes=10)


@pytest.mark.parametrize("value", [np.zeros(2, object), np.zeros(2, ">f4"), np.zeros(2, bool), object(), {1, 2}, 2**70])
def test_what_could_not_be_read_is_not_written(value: object) -> None:
    with pytest.raises(WireError, match="cannot be written"):
        encode({"a": value})
