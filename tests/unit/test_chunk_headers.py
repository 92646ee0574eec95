from __future__ import annotations

from typing import Any

import numcodecs
import pytest

from vla_datasets.exchange.chunk_headers import decoded_bytes


@pytest.mark.parametrize("codec", ["blosc", "zstd", "lz4"])
@pytest.mark.parametrize("size", [1, 100, 255, 256, 257, 65_535, 65_536, 65_791, 65_792, 1 << 20])
def test_a_chunk_says_what_it_decodes_to(codec: str, size: int) -> None:
    encoder: Any = numcodecs.get_codec({"id": codec})
    chunk = encoder.encode(bytes(size))
    assert decoded_bytes(codec, chunk[:18], len(chunk)) == size


def test_a_chunk_as_it_is_decodes_to_itself() -> None:
    assert decoded_bytes(None, b"abc", 3) == 3


@pytest.mark.parametrize(
    ("codec", "head"),
    [
        ("blosc", b""),
        ("blosc", bytes(15)),
        ("lz4", bytes(3)),
        ("zstd", b"no zstandard"),
        ("zstd", b"\x28\xb5\x2f\xfd\xe0\x01"),
        # A frame with a window and without a size.
        ("zstd", b"\x28\xb5\x2f\xfd\x00\x58\x01\x00"),
    ],
)
def test_a_header_that_is_cut_off_or_silent_says_nothing(codec: str, head: bytes) -> None:
    assert decoded_bytes(codec, head, len(head)) == -1
