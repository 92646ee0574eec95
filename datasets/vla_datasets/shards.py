"""One camera's pictures in one Zarr shard: chunks of frames, then an index that says where each begins.

    chunk 0 │ crc │ chunk 1 │ crc │ ... │ index: (offset, length) of each, uint64 │ crc of the index

Zarr's own sharding codec reads and writes the same bytes. This one reads a single frame with two reads of the file and
nothing else, which is what random access needs, and writes chunk by chunk, which is what a recorder needs.

Source: the Zarr v3 specification, codec `sharding_indexed`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import google_crc32c
import numpy as np
from jaxtyping import UInt8, UInt64

from vla.errors import StoreError
from vla_datasets.image_codecs import ChunkCodec, Frames, num_chunks

_CRC_BYTES = 4
SHARD_NAME = "c.0.0.0.0"


def array_metadata(codec: ChunkCodec, num_frames: int, shape: tuple[int, int, int]) -> bytes:
    """The array's `zarr.json`: uint8 (frames, height, width, 3), one shard."""
    frames = num_chunks(codec, num_frames) * codec.chunk_frames
    inner = [*codec.zarr_codecs, {"name": "crc32c"}]
    sharding = {
        "chunk_shape": [codec.chunk_frames, *shape],
        "codecs": inner,
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    tree = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [num_frames, *shape],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [frames, *shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
    }
    return json.dumps(tree, indent=2).encode()


class ShardWriter:
    """Takes frames one at a time and gives out the bytes of a shard as they come to be."""

    def __init__(self, codec: ChunkCodec) -> None:
        self._codec = codec
        self._waiting: list[UInt8[np.ndarray, "height width 3"]] = []
        self._lengths: list[int] = []

    def add(self, frame: UInt8[np.ndarray, "height width 3"]) -> bytes:
        """The next bytes of the shard; none while a chunk is not full."""
        self._waiting.append(frame)
        return self._flush() if len(self._waiting) == self._codec.chunk_frames else b""

    def finish(self) -> bytes:
        """The last bytes: a chunk that is not full, and the index."""
        rest = self._flush() if self._waiting else b""
        return rest + _with_crc(_index(self._lengths).tobytes())

    def _flush(self) -> bytes:
        chunk = _with_crc(self._codec.encode(np.stack(self._waiting)))
        self._lengths.append(len(chunk))
        self._waiting = []
        return chunk


def encode_shard(codec: ChunkCodec, frames: Frames) -> bytes:
    """All frames of an episode as one shard."""
    writer = ShardWriter(codec)
    return b"".join([*(writer.add(frame) for frame in frames), writer.finish()])


class ShardReader:
    """Any frame of a shard, each chunk compared with its checksum."""

    def __init__(
        self,
        codec: ChunkCodec,
        shape: tuple[int, int, int],
        num_frames: int,
        size: int,
        read: Callable[[int, int], bytes],
        where: str,
    ) -> None:
        """Read the index.

        Args:
            shape: height, width and 3.
            size: bytes of the shard.
            read: `read(start, length)` gives bytes of it.
            where: the file's name, for errors.

        Raises:
            StoreError: if the index is altered.
        """
        self._codec, self._shape, self._read, self._where = codec, shape, read, where
        self._num_frames = num_frames
        self._index = self._read_index(size)

    def frame(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """One frame.

        Raises:
            IndexError: beyond the episode.
            StoreError: if its chunk is altered.
        """
        if not 0 <= index < self._num_frames:
            raise IndexError(f"frame {index} of {self._num_frames}")
        chunk, last = divmod(index, self._codec.chunk_frames)
        return self._chunk(chunk, last, last)[0]

    def frames(self) -> Frames:
        """All of them."""
        return np.concatenate(list(self._chunks()))

    def _chunks(self) -> Iterator[Frames]:
        per_chunk = self._codec.chunk_frames
        for number in range(len(self._index)):
            yield self._chunk(number, 0, min(per_chunk, self._num_frames - number * per_chunk) - 1)

    def _chunk(self, number: int, first: int, last: int) -> Frames:
        start, length = (int(value) for value in self._index[number])
        where = f"{self._where}, chunk {number},"
        content = _without_crc(self._read(start, length), where)
        try:
            return self._codec.decode(content, self._shape, first, last)
        except StoreError as error:
            raise StoreError(f"{where} is altered: {error}") from None

    def _read_index(self, size: int) -> UInt64[np.ndarray, "chunks 2"]:
        count = num_chunks(self._codec, self._num_frames)
        length = 16 * count + _CRC_BYTES
        if size < length:
            raise StoreError(f"{self._where} has {size} bytes: too short for its index of {length}")
        content = _without_crc(self._read(size - length, length), f"{self._where}, its index,")
        return np.frombuffer(content, "<u8").reshape(count, 2)


def _index(lengths: Sequence[int]) -> UInt64[np.ndarray, "chunks 2"]:
    ends = np.cumsum(lengths, dtype=np.uint64)
    sizes = np.array(lengths, np.uint64)
    return np.stack([ends - sizes, sizes], axis=1)


def _with_crc(content: bytes) -> bytes:
    return content + _crc(content)


def _without_crc(content: bytes, where: str) -> bytes:
    body, crc = content[:-_CRC_BYTES], content[-_CRC_BYTES:]
    if _crc(body) != crc:
        raise StoreError(f"{where} is altered: its checksum does not fit")
    return body


def _crc(content: bytes) -> bytes:
    return int(google_crc32c.value(content)).to_bytes(_CRC_BYTES, "little")
