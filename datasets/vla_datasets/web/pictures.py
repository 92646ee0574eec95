"""Pictures from bytes that may be hostile, and bytes from pictures: PNG, JPEG and WebP.

The width and height stand in a file's first bytes, and are read there before any pixel is decoded: a PNG of a few
kilobytes can claim gigapixels. Formats are told by their first bytes, never by a file's name.

Source: PNG (RFC 2083, 11.2.2), JPEG (ITU-T T.81, B.2.2), WebP (RFC 9649).
"""

from __future__ import annotations

import enum

import cv2
import numpy as np
from jaxtyping import UInt8

from vla.errors import DataError

MAX_PIXELS = 1 << 26
"""67 million: a picture of 8192 x 8192, 192 MiB as RGB."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# Markers of frames; 0xC4, 0xC8 and 0xCC define tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD9)))


class PictureFormat(enum.Enum):
    """How pictures are written: without loss, or small."""

    PNG = "png"
    JPEG = "jpg"


def picture_size(content: bytes, where: str) -> tuple[int, int]:
    """Height and width in pixels, as the file's header states them.

    Raises:
        DataError: if it is neither PNG, JPEG nor WebP, or is cut off before it says.
    """
    size = None
    if content.startswith(_PNG):
        size = _png_size(content)
    elif content.startswith(_JPEG):
        size = _jpeg_size(content)
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        size = _webp_size(content)
    else:
        raise DataError(f"{where} is neither PNG, JPEG nor WebP: it begins with {content[:8]!r}")
    if size is None or min(size) < 1:
        raise DataError(f"{where} is damaged: its header does not give a width and a height")
    return size


def decode_picture(content: bytes, where: str, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "height width 3"]:
    """The picture as RGB, upright as its EXIF orientation says; transparency is dropped.

    Args:
        where: archive and member, or path, for errors.
        max_pixels: how many it may have; checked before decoding.

    Raises:
        DataError: if it is too large, damaged, or of another format.
    """
    height, width = picture_size(content, where)
    if height * width > max_pixels:
        raise DataError(f"{where} claims {width} x {height} pixels, at most {max_pixels} are decoded")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None or sorted(image.shape[:2]) != sorted((height, width)):
        raise DataError(f"{where} is damaged: its {width} x {height} pixels cannot be decoded")
    return np.asarray(image, np.uint8)


def encode_picture(
    image: UInt8[np.ndarray, "height width 3"], picture_format: PictureFormat = PictureFormat.PNG, quality: int = 90
) -> bytes:
    """The file of an RGB picture; the same bytes for the same picture and the same OpenCV.

    Args:
        quality: of a JPEG, 1 to 100.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if picture_format is PictureFormat.JPEG else []
    encoded, content = cv2.imencode(f".{picture_format.value}", image[..., ::-1], options)
    assert encoded
    return content.tobytes()


# --------------------------------------------------------------------------- sizes


def _png_size(content: bytes) -> tuple[int, int] | None:
    if content[12:16] != b"IHDR" or len(content) < 24:
        return None
    return int.from_bytes(content[20:24]), int.from_bytes(content[16:20])


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """From the first frame; segments before it are stepped over by their lengths."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _JPEG_FRAMES:
            return int.from_bytes(content[at + 5 : at + 7]), int.from_bytes(content[at + 7 : at + 9])
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    kind, body = content[12:16], content[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(body[7:10], "little") + 1, int.from_bytes(body[4:7], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(body[8:10], "little") & 0x3FFF, int.from_bytes(body[6:8], "little") & 0x3FFF
    return None
