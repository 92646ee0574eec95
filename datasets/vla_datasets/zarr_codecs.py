"""The image codecs as Zarr knows them, found through its entry points: to any Zarr reader they are plain frames."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from vla_datasets.image_codecs import ChunkCodec, Jpeg, Video


@dataclasses.dataclass(frozen=True)
class _FrameCodec(ArrayBytesCodec):
    """One chunk of frames, encoded by one of ours."""

    is_fixed_size = False

    @property
    def _codec(self) -> ChunkCodec:
        raise TypeError(f"{type(self).__name__} names no codec")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> _FrameCodec:
        return cls()

    def to_dict(self) -> dict[str, Any]:
        return dict(self._codec.zarr_codecs[0])

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        frames, height, width, _ = chunk_spec.shape
        # The last chunk of an episode may hold fewer: what is missing is black, and beyond the array's end.
        content = chunk_data.to_bytes()
        held = self._codec.decode(content, (height, width, 3), 0, self._codec.num_frames(content) - 1)
        whole = np.zeros((frames, height, width, 3), np.uint8)
        whole[: len(held)] = held
        return chunk_spec.prototype.nd_buffer.from_numpy_array(whole)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        content = self._codec.encode(chunk_data.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(content)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise TypeError("the size of an encoded picture depends on the picture")


class JpegCodec(_FrameCodec):
    """`vla.jpeg`."""

    @property
    def _codec(self) -> ChunkCodec:
        return Jpeg()


class H264Codec(_FrameCodec):
    """`vla.h264`."""

    @property
    def _codec(self) -> ChunkCodec:
        return Video()
