"""How pictures of an episode become bytes: a few frames at a time, so that any frame is near.

| codec      | a chunk                          | what is lost                                       |
|------------|----------------------------------|----------------------------------------------------|
| `lossless` | 32 frames, zstd                  | nothing                                            |
| `jpeg`     | 1 frame, quality 95, 4:4:4       | fine noise                                         |
| `video`    | 2 frames, H.264, 4:4:4, one key  | fine noise; needs a seventh of a JPEG's bytes      |

Which of them costs what: `docs/reference/store-format.md`, measured by `python -m benchmarks loading`.

Video is written in full-range YCbCr, as JPEG has it, without subsampled colour: a small red cube keeps its edges. A
chunk begins with a key frame and is decoded without any other; its layout is `_pack`'s. One thread encodes, so that the
same frames always give the same bytes.
"""

from __future__ import annotations

import enum
import itertools
import math
import struct
import threading
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from vla.errors import StoreError

type Frames = UInt8[np.ndarray, "frames height width 3"]


class ImageCodec(enum.Enum):
    """How a store keeps its pictures."""

    LOSSLESS = "lossless"
    """Bit for bit."""
    JPEG = "jpeg"
    """Each frame alone: the quickest to read, the largest of the two that lose."""
    VIDEO = "video"
    """Two frames together: the smallest."""


@runtime_checkable
class ChunkCodec(Protocol):
    """Frames of one camera to bytes and back."""

    @property
    def chunk_frames(self) -> int:
        """Frames encoded together."""
        ...

    @property
    def zarr_codecs(self) -> Sequence[Mapping[str, Any]]:
        """As they stand in the array's `zarr.json`, inside the shard, the chunk's checksum left out."""
        ...

    def encode(self, frames: Frames) -> bytes:
        """At most `chunk_frames` frames, at least one."""
        ...

    def num_frames(self, content: bytes) -> int:
        """Frames that a chunk holds.

        Raises:
            StoreError: if the content is not such a chunk.
        """
        ...

    def decode(self, content: bytes, shape: tuple[int, int, int], first: int, last: int) -> Frames:
        """Frames `first` to `last` of a chunk, each of `shape`.

        Raises:
            StoreError: if the content is not such a chunk.
        """
        ...


def chunk_codec(codec: ImageCodec) -> ChunkCodec:
    """The implementation."""
    return _CODECS[codec]


# --------------------------------------------------------------------------- lossless


class Lossless:
    """Zstandard over neighbouring frames, which are alike."""

    chunk_frames = 32
    """64 x 80 frames: 6,000 bytes each alone, 1,100 together."""
    zarr_codecs = (
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
    )

    def encode(self, frames: Frames) -> bytes:
        # Zarr's chunks are of one size: what is missing is black.
        whole = np.zeros((self.chunk_frames, *frames.shape[1:]), np.uint8)
        whole[: len(frames)] = frames
        return bytes(_zstd().encode(whole))

    def num_frames(self, content: bytes) -> int:
        return self.chunk_frames

    def decode(self, content: bytes, shape: tuple[int, int, int], first: int, last: int) -> Frames:
        try:
            numbers = np.frombuffer(_zstd().decode(content), np.uint8)
            return numbers.reshape(self.chunk_frames, *shape)[first : last + 1]
        except (RuntimeError, ValueError) as error:
            raise StoreError(f"not {self.chunk_frames} frames of {shape} in zstd: {error}") from None


def _zstd() -> Any:
    from numcodecs.zstd import Zstd

    return Zstd(level=3, checksum=False)


# --------------------------------------------------------------------------- JPEG


class Jpeg:
    """One frame a chunk."""

    chunk_frames = 1
    quality = 95
    zarr_codecs = ({"name": "vla.jpeg", "configuration": {}},)

    def encode(self, frames: Frames) -> bytes:
        import cv2

        options = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        done, content = cv2.imencode(".jpg", np.ascontiguousarray(frames[0, :, :, ::-1]), options)
        if not done:
            raise StoreError(f"a frame of {frames.shape[1:]} could not be written as JPEG")
        return content.tobytes()

    def num_frames(self, content: bytes) -> int:
        return 1

    def decode(self, content: bytes, shape: tuple[int, int, int], first: int, last: int) -> Frames:
        import cv2

        frame = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
        if frame is None or frame.shape != shape:
            raise StoreError(f"not a JPEG of {shape}")
        return frame[None]


# --------------------------------------------------------------------------- video


class Video:
    """H.264: a key frame, then what changes."""

    chunk_frames = 2
    quality = 25
    """x264's constant rate factor: 18 is hardly told from the original, 28 is visibly worse."""
    zarr_codecs = ({"name": "vla.h264", "configuration": {}},)

    def encode(self, frames: Frames) -> bytes:
        import av

        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.height, context.width = frames.shape[1:3]
        context.pix_fmt, context.thread_count = "yuvj444p", 1
        context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
        context.options = {
            "crf": str(self.quality),
            "g": str(self.chunk_frames),
            "bf": "0",
            "preset": "veryfast",
            "tune": "zerolatency",
            # Read far more often than written: no arithmetic coding and no smoothing halve the time of a frame. Key
            # frames, which are half of all, are not favoured, nor are flat parts of a picture.
            "x264-params": "cabac=0:no-deblock=1:ipratio=1.0:aq-mode=0",
        }
        packets = []
        for index, frame in enumerate(frames):
            planes = av.VideoFrame.from_ndarray(_to_planes(frame), format="yuvj444p")
            planes.pts = index
            packets += context.encode(planes)
        packets += context.encode(None)
        return _pack([bytes(packet) for packet in packets])

    def num_frames(self, content: bytes) -> int:
        return len(_unpack(content))

    def decode(self, content: bytes, shape: tuple[int, int, int], first: int, last: int) -> Frames:
        import av
        from av.error import FFmpegError

        packets = _unpack(content)
        if last >= len(packets):
            raise StoreError(f"frame {last} of a chunk of {len(packets)}")
        context, pictures = _decoder(), []
        try:
            for packet in packets[: last + 1]:
                pictures += context.decode(av.Packet(packet))
            if len(pictures) <= last:
                pictures += context.decode(None)
            context.flush_buffers()
            return np.stack([_from_planes(picture, shape) for picture in pictures[first : last + 1]])
        except (FFmpegError, ValueError) as error:
            _local.decoder = None
            raise StoreError(f"not {last + 1} frames of {shape} in H.264: {error}") from None


_local = threading.local()


def _decoder() -> Any:
    """This thread's: making one costs as much as decoding a frame."""
    import av

    if getattr(_local, "decoder", None) is None:
        context = av.CodecContext.create("h264", "r")
        context.thread_count = 1
        context.options = {"flags": "low_delay"}
        _local.decoder = context
    return _local.decoder


def _to_planes(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "3 height width"]:
    import cv2

    luma_red_blue = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YCrCb)
    return np.ascontiguousarray(luma_red_blue.transpose(2, 0, 1)[[0, 2, 1]])


def _from_planes(picture: Any, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "height width 3"]:
    import cv2

    if (picture.height, picture.width, 3) != shape or picture.format.name != "yuvj444p":
        raise ValueError(f"a picture of {picture.height} x {picture.width} in {picture.format.name}")
    luma, blue, red = (
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: shape[0], : shape[1]] for plane in picture.planes
    )
    return cv2.cvtColor(cv2.merge([luma, red, blue]), cv2.COLOR_YCrCb2RGB)


def _pack(packets: Sequence[bytes]) -> bytes:
    """How many, the length of each (uint32, little-endian), then the packets: H.264 with start codes."""
    return struct.pack(f"<{len(packets) + 1}I", len(packets), *map(len, packets)) + b"".join(packets)


def _unpack(content: bytes) -> list[bytes]:
    try:
        (count,) = struct.unpack_from("<I", content)
        lengths = struct.unpack_from(f"<{count}I", content, 4) if 4 * (count + 1) <= len(content) else ()
    except struct.error:
        lengths = ()
    start = 4 * (len(lengths) + 1)
    if not lengths or start + sum(lengths) != len(content):
        raise StoreError(f"{len(content)} bytes that are not a chunk of video")
    ends = itertools.accumulate(lengths, initial=start)
    return [content[begin:end] for begin, end in itertools.pairwise(ends)]


_CODECS: dict[ImageCodec, ChunkCodec] = {
    ImageCodec.LOSSLESS: Lossless(),
    ImageCodec.JPEG: Jpeg(),
    ImageCodec.VIDEO: Video(),
}


def num_chunks(codec: ChunkCodec, num_frames: int) -> int:
    """Chunks that so many frames take."""
    return math.ceil(num_frames / codec.chunk_frames)
