from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from vla.errors import DataError
from vla_datasets.web.pictures import PictureFormat, decode_picture, encode_picture, picture_size

_IMAGE = np.random.default_rng(0).integers(0, 256, (7, 11, 3), np.uint8)


def _encoded(ending: str) -> bytes:
    encoded, content = cv2.imencode(ending, _IMAGE[..., ::-1])
    assert encoded
    return content.tobytes()


def _png_bomb(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_the_size_in_the_header_is_that_of_the_picture(ending: str) -> None:
    assert picture_size(_encoded(ending), "x") == (7, 11)
    assert decode_picture(_encoded(ending), "x").shape == (7, 11, 3)


def test_a_lossy_webp_states_its_size_too() -> None:
    content = cv2.imencode(".webp", _IMAGE, [cv2.IMWRITE_WEBP_QUALITY, 50])[1].tobytes()
    assert picture_size(content, "x") == (7, 11)


def test_png_comes_back_exactly_as_rgb() -> None:
    assert np.array_equal(decode_picture(encode_picture(_IMAGE), "x"), _IMAGE)
    small = encode_picture(_IMAGE, PictureFormat.JPEG, 50)
    assert small == encode_picture(_IMAGE, PictureFormat.JPEG, 50)


def test_grey_and_transparent_pictures_become_rgb() -> None:
    for shape in ((7, 11), (7, 11, 4)):
        content = cv2.imencode(".png", np.full(shape, 80, np.uint8))[1].tobytes()
        assert (decode_picture(content, "x") == 80).all()


def test_a_picture_of_gigapixels_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(DataError, match="x claims 60000 x 60000 pixels, at most"):
        decode_picture(_png_bomb(60000, 60000), "x")
    with pytest.raises(DataError, match="x claims 11 x 7 pixels, at most 76"):
        decode_picture(_encoded(".jpg"), "x", max_pixels=76)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_a_picture_that_is_cut_in_half_is_refused(ending: str) -> None:
    content = _encoded(ending)
    with pytest.raises(DataError, match="x is damaged"):
        decode_picture(content[: len(content) // 2], "x")


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<svg/>", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", _png_bomb(0, 4)])
def test_what_is_no_picture_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(DataError, match=r"x is (damaged|neither)"):
        decode_picture(content, "x")
