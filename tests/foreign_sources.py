"""Tiny datasets in the formats of others, written with nothing of the code that reads them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# --------------------------------------------------------------------------- TFRecord, tf.train.Example, TFDS


def varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; negative ones as 64-bit two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def delimited(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def example(features: Mapping[str, Any]) -> bytes:
    """A tf.train.Example: bytes from lists of bytes or texts, floats and integers (packed) from arrays."""
    entries = [delimited(1, delimited(1, name.encode()) + delimited(2, _feature(v))) for name, v in features.items()]
    return delimited(1, b"".join(entries))


def _feature(values: Any) -> bytes:
    if isinstance(values, list):
        pieces = [value.encode() if isinstance(value, str) else value for value in values]
        return delimited(1, b"".join(delimited(1, piece) for piece in pieces))
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return delimited(2, delimited(1, array.astype("<f4").tobytes()))
    return delimited(3, delimited(1, b"".join(varint(int(value)) for value in array.ravel())))


def crc32c(data: bytes) -> int:
    """Bit by bit, with Castagnoli's polynomial turned round."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def tfrecord(records: Sequence[bytes]) -> bytes:
    return b"".join(_framed(record) for record in records)


def _framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", _masked(length)) + record + struct.pack("<I", _masked(record))


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % (1 << 32)


def tensor(dtype: str, *shape: int) -> dict[str, Any]:
    return {"tensor": {"dtype": dtype, "encoding": "none", "shape": {"dimensions": [str(size) for size in shape]}}}


def image(*shape: int, dtype: str = "uint8") -> dict[str, Any]:
    return {"image": {"dtype": dtype, "encodingFormat": "jpeg", "shape": {"dimensions": [str(s) for s in shape]}}}


TEXT: dict[str, Any] = {"text": {}}


def dictionary(**children: Any) -> dict[str, Any]:
    return {"featuresDict": {"features": children}}


def write_rlds(
    folder: Path, steps: dict[str, Any], shards: Sequence[Sequence[bytes]], metadata: dict[str, Any] | None = None
) -> Path:
    """A TFDS folder of one split `train`.

    Args:
        steps: the feature tree of a step.
        shards: the serialised episodes of each file.
    """
    folder.mkdir(parents=True)
    tree = dictionary(steps={"sequence": {"feature": steps, "length": "-1"}}, episode_metadata=metadata or dictionary())
    (folder / "features.json").write_text(json.dumps(tree))
    split = {
        "name": "train",
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "shardLengths": [str(len(records)) for records in shards],
    }
    info = {"name": "tiny", "version": "1.0.0", "fileFormat": "tfrecord", "splits": [split]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    for index, records in enumerate(shards):
        (folder / f"tiny-train.tfrecord-{index:05d}-of-{len(shards):05d}").write_bytes(tfrecord(records))
    return folder


def png(picture: np.ndarray) -> bytes:
    import cv2

    ordered = picture[..., ::-1] if picture.ndim == 3 and picture.shape[2] == 3 else picture
    return cv2.imencode(".png", np.ascontiguousarray(ordered))[1].tobytes()


# --------------------------------------------------------------------------- HDF5, Zarr, MP4 with JSON lines


def write_hdf5(
    path: Path, demos: Sequence[Mapping[str, np.ndarray]], attributes: Mapping[str, Any] | None = None
) -> Path:
    """`data/demo_k` with the arrays of each demonstration by name (`actions`, `obs/state`)."""
    import h5py

    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        for name, value in (attributes or {}).items():
            data.attrs[name] = value if isinstance(value, str) else json.dumps(value)
        for number, arrays in enumerate(demos):
            demo = data.create_group(f"demo_{number}")
            demo.attrs["num_samples"] = len(arrays["actions"])
            for name, values in arrays.items():
                demo.create_dataset(name, data=values)
    return path


def write_replay(path: Path, data: Mapping[str, np.ndarray], ends: Sequence[int], chunk: int = 4) -> Path:
    """A Zarr v2 group with chunks of `chunk` steps, every chunk written."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=2)
    arrays = {f"data/{name}": values for name, values in data.items()}
    for name, values in (arrays | {"meta/episode_ends": np.asarray(ends, np.int64)}).items():
        chunks = (min(chunk, len(values)), *values.shape[1:])
        group.create_array(name, data=values, chunks=chunks, config={"write_empty_chunks": True})
    return path


def write_video(path: Path, frames: np.ndarray) -> Path:
    """An MP4 without loss of anything but colour resolution."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "0", "bf": "0"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_json_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
