"""How many bytes a compressed chunk says it decodes to, before it is decoded.

Source: c-blosc, README_CHUNK_FORMAT.rst; RFC 8878, 3.1.1.1 (Zstandard's frame header); numcodecs, lz4.pyx.
"""

from __future__ import annotations

CODECS = (None, "blosc", "zstd", "lz4")
"""Those whose chunks say how large they are; None is a chunk as it is."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_DICTIONARY_BYTES = (0, 1, 2, 4)
_ZSTD_SIZE_BYTES = (0, 2, 4, 8)


def decoded_bytes(codec: str | None, head: bytes, stored: int) -> int:
    """The size that a chunk's header states; -1 if it states none, or is no header of this codec.

    Args:
        codec: one of `CODECS`.
        head: the first 18 bytes of the chunk, or all if it is shorter.
        stored: bytes of the whole chunk.
    """
    match codec:
        case None:
            return stored
        case "blosc":
            # version, versionlz, flags, typesize; then nbytes, blocksize and cbytes, of four bytes each.
            whole = len(head) >= 16 and int.from_bytes(head[12:16], "little") == stored
            return int.from_bytes(head[4:8], "little") if whole else -1
        case "lz4":
            return int.from_bytes(head[:4], "little") if len(head) >= 4 else -1
        case _:
            return _zstd_bytes(head)


def _zstd_bytes(head: bytes) -> int:
    if len(head) < 6 or not head.startswith(_ZSTD_MAGIC):
        return -1
    descriptor = head[4]
    is_single_segment = bool(descriptor & 0x20)
    start = 5 + (not is_single_segment) + _ZSTD_DICTIONARY_BYTES[descriptor & 3]
    width = _ZSTD_SIZE_BYTES[descriptor >> 6] or int(is_single_segment)
    field = head[start : start + width]
    if not width or len(field) < width:
        return -1
    # Two bytes count from 256: smaller sizes have one.
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)
