from __future__ import annotations

import numpy as np
import pytest

from tests.foreign_sources import delimited, example, varint
from vla.errors import DataError
from vla_datasets.exchange.tf_example import parse_example


def test_bytes_written_by_hand_are_read() -> None:
    # features { feature { key: "a" value { int64_list { value: [1, 300, -1] } } } }, counted out from the wire format.
    content = bytes.fromhex("0a180a160a016112111a0f0a0d01ac02ffffffffffffffffff01")
    (values,) = parse_example(content, "here").values()
    assert isinstance(values, np.ndarray)
    assert values.tolist() == [1, 300, -1]


def test_the_example_of_the_wire_formats_documentation_is_read() -> None:
    # 150 is 96 01 there; here as the one value of an int64 list, not packed.
    feature = delimited(3, b"\x08\x96\x01")
    content = delimited(1, delimited(1, delimited(1, b"x") + delimited(2, feature)))
    (values,) = parse_example(content, "here").values()
    assert isinstance(values, np.ndarray)
    assert values.tolist() == [150]


def test_every_kind_of_list_comes_back() -> None:
    parsed = parse_example(
        example({"b": [b"", b"xyz"], "f": np.array([0.5, -2.0], np.float32), "i": np.array([-(2**63), 0, 2**63 - 1])}),
        "here",
    )
    assert parsed["b"] == [b"", b"xyz"]
    np.testing.assert_array_equal(parsed["f"], np.array([0.5, -2.0], np.float32))
    np.testing.assert_array_equal(parsed["i"], np.array([-(2**63), 0, 2**63 - 1]))


def test_floats_that_are_not_packed_are_read() -> None:
    feature = delimited(2, b"".join(b"\x0d" + np.float32(value).tobytes() for value in (1.5, 2.5)))
    parsed = parse_example(delimited(1, delimited(1, delimited(1, b"x") + delimited(2, feature))), "here")
    np.testing.assert_array_equal(parsed["x"], np.array([1.5, 2.5], np.float32))


def test_fields_that_this_release_does_not_know_are_passed_over() -> None:
    unknown = varint(9 << 3) + varint(7) + varint(10 << 3 | 5) + bytes(4) + varint(11 << 3 | 1) + bytes(8)
    assert parse_example(unknown + example({"b": [b"x"]}) + delimited(12, b"more"), "here") == {"b": [b"x"]}


def test_a_feature_without_a_kind_is_empty() -> None:
    assert parse_example(delimited(1, delimited(1, delimited(1, b"x"))), "here") == {"x": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x0a\x05abc", "says 5 bytes where 3 are left"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "says 18446744073709551615 bytes where 0 are left"),
        (b"\xff" * 11, "longer than 10 bytes"),
        (b"\x0b", "field 1 has wire type 3, which examples do not have"),
        (b"\x02\x00", "has number 0"),
        (b"\x08\x01", "field 1 has wire type 0, expected 2"),
        (delimited(1, delimited(1, delimited(1, b"\xff"))), "the name of a feature is not UTF-8"),
        (
            delimited(1, delimited(1, delimited(2, delimited(2, delimited(1, bytes(5)))))),
            "the bytes of a list of floats are not a multiple of 4",
        ),
        (
            delimited(1, delimited(1, delimited(2, delimited(3, delimited(1, b"\x80"))))),
            "the last integer of a list is cut off",
        ),
        (
            delimited(1, delimited(1, delimited(2, delimited(3, delimited(1, b"\x80" * 11 + b"\x01"))))),
            "an integer has 12 bytes",
        ),
        (delimited(1, delimited(1, delimited(2, b"\x08\x01"))), "list 1 of a feature is a number"),
        (
            delimited(1, delimited(1, delimited(2, delimited(2, b"\x08\x01")))),
            "a number has wire type 0, expected 5 or 2",
        ),
    ],
)
def test_what_is_no_example_is_refused_by_place_and_reason(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"here is no tf.train.Example: .*{message}"):
        parse_example(content, "here")
