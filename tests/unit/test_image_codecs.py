"""Image codecs and shards: what comes back, frame by frame, and what any Zarr reader sees."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from vla.errors import StoreError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.image_codecs import ImageCodec, chunk_codec
from vla_datasets.shards import ShardReader, ShardWriter, encode_shard
from vla_datasets.store import EpisodeStore

SHAPE = (48, 64, 3)
STATED_ERROR = {ImageCodec.LOSSLESS: 0.0, ImageCodec.JPEG: 1.5, ImageCodec.VIDEO: 2.5}
"""Mean absolute error, of 255, of a smooth scene that moves."""


def moving_scene(num_frames: int) -> np.ndarray:
    """A red square that crosses a shaded table."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    table = np.stack([90 + rows, 120 + columns, 140 - rows], axis=2)
    frames = np.repeat(table[None], num_frames, axis=0).astype(np.uint8)
    for index, frame in enumerate(frames):
        left = (3 * index) % (SHAPE[1] - 12)
        frame[20:32, left : left + 12] = (220, 30, 20)
    return frames


def reader_of(codec: ImageCodec, shard: bytes, num_frames: int) -> ShardReader:
    return ShardReader(
        chunk_codec(codec), SHAPE, num_frames, len(shard), lambda start, length: shard[start : start + length], "shard"
    )


@pytest.mark.parametrize(("codec", "num_frames"), [*itertools.product(ImageCodec, [1, 3, 4, 33])])
def test_every_frame_comes_back_within_the_stated_error(codec: ImageCodec, num_frames: int) -> None:
    frames = moving_scene(num_frames)
    reader = reader_of(codec, encode_shard(chunk_codec(codec), frames), num_frames)
    back = reader.frames()
    assert back.shape == frames.shape
    error = np.abs(back.astype(float) - frames).mean(axis=(1, 2, 3))
    assert error.max() <= STATED_ERROR[codec]
    for index in reversed(range(num_frames)):
        np.testing.assert_array_equal(reader.frame(index), back[index])


@pytest.mark.parametrize("codec", ImageCodec)
def test_frames_added_one_by_one_give_the_same_bytes(codec: ImageCodec) -> None:
    frames = moving_scene(9)
    writer = ShardWriter(chunk_codec(codec))
    parts = [writer.add(frame) for frame in frames]
    assert b"".join([*parts, writer.finish()]) == encode_shard(chunk_codec(codec), frames)


@pytest.mark.parametrize(("codec", "steps"), [*itertools.product(ImageCodec, [1, 33])])
def test_any_zarr_reader_sees_the_same_frames(tmp_path: Path, codec: ImageCodec, steps: int) -> None:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT, image_codec=codec)
    key = store.append(make_episode(SMALL_EMBODIMENT, steps, 0))
    array = zarr.open_array(store.path / "episodes" / key / "image_scene", mode="r")
    np.testing.assert_array_equal(np.asarray(array[...]), store.read(key).images["scene"])
    np.testing.assert_array_equal(store.frame(key, "scene", steps - 1), store.read(key).images["scene"][-1])


@pytest.mark.parametrize("codec", ImageCodec)
def test_zarr_writes_what_we_read(codec: ImageCodec) -> None:
    frames, own = moving_scene(6), chunk_codec(codec)
    made = zarr.create_array(
        MemoryStore(),
        shape=frames.shape,
        dtype="uint8",
        chunks=(own.chunk_frames, *SHAPE),
        serializer=dict(own.zarr_codecs[0]),
        compressors=[dict(each) for each in own.zarr_codecs[1:]] or None,
    )
    made[...] = frames
    error = np.abs(np.asarray(made[...]).astype(float) - frames).mean()
    assert error <= STATED_ERROR[codec]


@pytest.mark.parametrize("codec", ImageCodec)
def test_a_flipped_bit_is_found_when_its_frame_is_read(codec: ImageCodec) -> None:
    shard = bytearray(encode_shard(chunk_codec(codec), moving_scene(4)))
    shard[len(shard) // 3] ^= 16
    with pytest.raises(StoreError, match=r"shard, chunk \d+, is altered"):
        reader_of(codec, bytes(shard), 4).frames()


def test_a_damaged_index_is_found_at_once() -> None:
    shard = bytearray(encode_shard(chunk_codec(ImageCodec.VIDEO), moving_scene(4)))
    shard[-10] ^= 1
    with pytest.raises(StoreError, match="its index, is altered"):
        reader_of(ImageCodec.VIDEO, bytes(shard), 4)
    with pytest.raises(StoreError, match="too short for its index"):
        reader_of(ImageCodec.VIDEO, bytes(shard[:8]), 4)


@pytest.mark.parametrize("codec", ImageCodec)
@pytest.mark.parametrize("content", [b"", b"\x01\0\0\0\x04\0\0\0abcd", bytes(64)])
def test_what_is_no_chunk_is_said_to_be_none(codec: ImageCodec, content: bytes) -> None:
    with pytest.raises(StoreError, match="not"):
        chunk_codec(codec).decode(content, SHAPE, 0, 0)


def test_a_frame_beyond_the_episode_is_refused() -> None:
    reader = reader_of(ImageCodec.JPEG, encode_shard(chunk_codec(ImageCodec.JPEG), moving_scene(2)), 2)
    with pytest.raises(IndexError, match="frame 2 of 2"):
        reader.frame(2)
