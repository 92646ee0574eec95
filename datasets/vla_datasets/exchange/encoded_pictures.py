"""The pictures of an episode from JPEG or PNG, one a step, as they lie: no EXIF turn, no change of size."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from vla.errors import DataError
from vla_datasets.web.pictures import MAX_PIXELS, picture_size

MAX_EXPANSION = 1100
"""Pixels' bytes for each byte of file: no deflate stream yields more than 1032 (zlib's technical notes)."""
_HEADER_ALLOWANCE = 1 << 16
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"


def decode_steps(contents: Sequence[bytes], shape: tuple[int, ...], dtype: str, where: str) -> np.ndarray:
    """The pictures as one array (steps, *shape), RGB if they have colours.

    Args:
        contents: JPEG or PNG, one a step.
        shape: height, width and channels (3, or 1) that each of them has.
        dtype: `uint8`, or `uint16` for one channel.
        where: file, record and field, for errors.

    Raises:
        DataError: naming the step whose picture is damaged, of another shape, or absurdly large for its bytes.
    """
    for step, content in enumerate(contents):
        _check_header(content, shape, dtype, f"{where}, step {step}")
    pictures = np.empty((len(contents), *shape), dtype)
    for step, content in enumerate(contents):
        pictures[step] = _decode(content, shape, np.dtype(dtype), f"{where}, step {step}")
    return pictures


def _check_header(content: bytes, shape: tuple[int, ...], dtype: str, where: str) -> None:
    height, width = picture_size(content, where)
    if (height, width) != shape[:2]:
        raise DataError(f"{where} is {height} x {width}, expected {shape[0]} x {shape[1]}")
    size = height * width * shape[2] * np.dtype(dtype).itemsize
    if height * width > MAX_PIXELS or size > MAX_EXPANSION * len(content) + _HEADER_ALLOWANCE:
        raise DataError(f"{where} says {height} x {width} pixels in {len(content)} bytes: it is refused as a bomb")
    if content.startswith(_JPEG) and _JPEG_END not in content[-1024:]:
        raise DataError(f"{where} is cut off after {len(content)} bytes")
    if content.startswith(_PNG):
        _check_png_chunks(content, where)


def _check_png_chunks(content: bytes, where: str) -> None:
    """Return if every chunk is whole: decoders allocate what a chunk's length says, be it four gigabytes."""
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(content):
            raise DataError(f"{where} is cut off: a chunk at byte {at} ends at {end}, the file at {len(content)}")
        if zlib.crc32(content[at + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            raise DataError(f"{where} is altered: chunk {kind!r} at byte {at} does not have its checksum")
        if kind == b"acTL":
            raise DataError(f"{where} is an animation, expected one picture")
        at = end


def _decode(content: bytes, shape: tuple[int, ...], dtype: np.dtype, where: str) -> np.ndarray:
    colour = cv2.IMREAD_COLOR if shape[2] == 3 else cv2.IMREAD_GRAYSCALE
    flags = colour | cv2.IMREAD_IGNORE_ORIENTATION | (cv2.IMREAD_ANYDEPTH if dtype == np.uint16 else 0)
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        picture = None
    if picture is None or picture.dtype != dtype or picture.shape[:2] != shape[:2]:
        raise DataError(f"{where} is damaged: it does not decode to {shape[0]} x {shape[1]} pixels of {dtype}")
    return picture[..., ::-1] if shape[2] == 3 else picture[..., None]
