"""One episode as the files of one plain Zarr v3 group, and back.

    <episode>/
      zarr.json                  the group; its attributes hold the sealed manifest
      image_<camera>/            uint8 (steps, height, width, 3), one shard, as `vla_datasets.image_codecs` says
      numbers/                   float64 (steps, columns), one shard: all else, side by side

Small arrays are packed into `numbers`, since an array costs a millisecond whatever its size; its attribute
`columns` says which columns are what. Float64 holds float32, bool and integers up to 2^53 exactly.
The manifest is sealed by its own SHA-256, and holds that of every other file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from vla.embodiment import Embodiment
from vla.errors import ActionError, ObservationError, StoreError
from vla.interfaces import Episode
from vla_datasets.commits import checksums
from vla_datasets.image_codecs import ImageCodec, chunk_codec
from vla_datasets.shards import SHARD_NAME, ShardReader, array_metadata, encode_shard

FORMAT = "vla-episode"
VERSION = 2
MANIFEST_FILE = "zarr.json"

_LABEL_PREFIX = "labels."


def encode_episode(episode: Episode, codec: ImageCodec = ImageCodec.LOSSLESS) -> dict[str, bytes]:
    """The files of the episode, by path inside its folder.

    Raises:
        ObservationError, ActionError, StoreError: naming the array that cannot be stored.
    """
    check_episode(episode)
    files = encode_numbers(episode)
    for camera, images in episode.images.items():
        files |= image_files(camera, codec, len(images), images.shape[1:], encode_shard(chunk_codec(codec), images))
    return files | {MANIFEST_FILE: manifest_file(episode, codec, checksums(files))}


def image_files(
    camera: str, codec: ImageCodec, num_frames: int, shape: tuple[int, ...], shard: bytes
) -> dict[str, bytes]:
    """The files of one camera's array."""
    height, width, _ = shape
    return {
        f"image_{camera}/zarr.json": array_metadata(chunk_codec(codec), num_frames, (height, width, 3)),
        f"image_{camera}/{SHARD_NAME}": shard,
    }


def encode_numbers(episode: Episode) -> dict[str, bytes]:
    """The files of the array that holds all but the pictures."""
    buffers: dict[str, Any] = {}
    _write_numbers(zarr.create_group(MemoryStore(buffers)), _rows_of(episode))
    return {name: buffer.to_bytes() for name, buffer in buffers.items() if name != MANIFEST_FILE}


def manifest_file(episode: Episode, codec: ImageCodec, files: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The group's `zarr.json` with the sealed manifest.

    Args:
        episode: its pictures are not looked at.
        files: `checksums` of all other files.
    """
    sealed = seal(_manifest_of(episode, codec, files))
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": sealed}, indent=2).encode()


def decode_episode(files: Mapping[str, bytes], manifest: Mapping[str, Any], embodiment: Embodiment) -> Episode:
    """The episode that `encode_episode` wrote; `files` have passed their checksums."""
    rows = decode_numbers(files)
    images = {}
    for camera in embodiment.cameras:
        shard = files[f"image_{camera.name}/{SHARD_NAME}"]
        reader = image_reader(camera.name, manifest, embodiment, len(shard), _reader_of(shard), camera.name)
        images[camera.name] = reader.frames()
    return Episode(
        embodiment=embodiment,
        images=images,
        proprioception=rows["proprioception"],
        actions=rows["actions"],
        times_s=rows["times_s"],
        instruction=manifest["instruction"],
        task=manifest["task"],
        success=manifest["success"],
        seed=manifest["seed"],
        source=manifest["source"],
        licence=manifest["licence"],
        labels={name.removeprefix(_LABEL_PREFIX): rows[name] for name in rows if name.startswith(_LABEL_PREFIX)},
    )


def decode_numbers(files: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    """All arrays but the pictures, by name (labels begin with `labels.`); `files` have passed their checksums."""
    from_bytes = default_buffer_prototype().buffer.from_bytes
    own = {name: from_bytes(content) for name, content in files.items() if name.startswith("numbers/")}
    array = zarr.open_array(MemoryStore(own), path="numbers", mode="r")
    return _unpack(np.asarray(array[...]), dict(array.attrs))


def image_reader(
    camera: str,
    manifest: Mapping[str, Any],
    embodiment: Embodiment,
    size: int,
    read: Callable[[int, int], bytes],
    where: str,
) -> ShardReader:
    """Any frame of one camera of an episode.

    Args:
        size: bytes of the shard.
        read: `read(start, length)` gives bytes of it.
        where: the file's name, for errors.
    """
    spec, codec = embodiment.camera(camera), chunk_codec(ImageCodec(manifest["image_codec"]))
    return ShardReader(codec, (spec.height, spec.width, 3), manifest["num_steps"], size, read, where)


def _reader_of(content: bytes) -> Callable[[int, int], bytes]:
    return lambda start, length: content[start : start + length]


def open_manifest(content: bytes, where: str) -> dict[str, Any]:
    """The manifest in the group file `content`, if its seal holds and its version is known.

    Args:
        where: the file's name, for errors.

    Raises:
        StoreError: naming `where`.
    """
    try:
        attributes = json.loads(content)["attributes"]
        manifest, expected = attributes["manifest"], attributes["manifest_sha256"]
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{where} is altered: it holds no episode manifest") from None
    if _digest(manifest) != expected:
        raise StoreError(f"{where} is altered: the manifest's SHA-256 is not the one beside it")
    if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
        got = f"{manifest['format']} {manifest['version']}"
        raise StoreError(f"{where} is written as {got}, this release reads {FORMAT} {VERSION}")
    return manifest


def check_episode(episode: Episode) -> None:
    """Return if the episode can be stored: shapes as its embodiment promises, nothing missing, nothing not finite.

    Labels alone may hold NaN.

    Raises:
        ObservationError, ActionError, StoreError: naming the array and the mismatch.
    """
    embodiment, steps = episode.embodiment, episode.num_steps
    if steps < 1:
        raise StoreError(f"an episode has at least one step; that of '{episode.task}', seed {episode.seed}, has none")
    cameras = {camera.name: (steps, camera.height, camera.width, 3) for camera in embodiment.cameras}
    if cameras.keys() != episode.images.keys():
        raise ObservationError(f"{embodiment.name} has cameras {sorted(cameras)}, the episode {sorted(episode.images)}")
    for name, shape in cameras.items():
        _check(f"camera '{name}'", episode.images[name], shape, np.uint8, ObservationError)
    check_numbers(episode)


def check_numbers(episode: Episode) -> None:
    """Return if all but the pictures can be stored.

    Raises:
        ObservationError, ActionError, StoreError: naming the array and the mismatch.
    """
    embodiment, steps = episode.embodiment, episode.num_steps
    state = (steps, embodiment.state_dim)
    _check("proprioception", episode.proprioception, state, np.float32, ObservationError)
    _check("actions", episode.actions, (steps, embodiment.action_dim), np.float32, ActionError)
    _check("times_s", episode.times_s, (steps,), np.float64, ObservationError)
    for name, values in episode.labels.items():
        _check_label(name, values, steps)


def _check(
    what: str,
    values: np.ndarray,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    error: type[ObservationError | ActionError],
) -> None:
    if values.shape != shape or values.dtype != dtype:
        raise error(f"the episode's {what} should be {np.dtype(dtype)} {shape}, got {values.dtype} {values.shape}")
    if not np.isfinite(values).all():
        step = int(np.argwhere(~np.isfinite(values))[0][0])
        raise error(f"the episode's {what} is not finite at step {step}")


def _check_label(name: str, values: np.ndarray, steps: int) -> None:
    if values.ndim < 1 or len(values) != steps:
        raise StoreError(f"label '{name}' should have {steps} rows, one a step, got shape {values.shape}")
    if values.dtype.kind not in "fiub" or not np.array_equal(
        values.astype(np.float64).astype(values.dtype), values, equal_nan=values.dtype.kind == "f"
    ):
        raise StoreError(f"label '{name}' of type {values.dtype} has values that float64 cannot hold")


# --------------------------------------------------------------------------- arrays


def _rows_of(episode: Episode) -> dict[str, np.ndarray]:
    labels = {_LABEL_PREFIX + name: values for name, values in episode.labels.items()}
    own = {"proprioception": episode.proprioception, "actions": episode.actions, "times_s": episode.times_s}
    return own | labels


def _write_numbers(group: zarr.Group, rows: Mapping[str, np.ndarray]) -> None:
    columns: dict[str, Any] = {}
    start = 0
    for name, values in rows.items():
        stop = start + math.prod(values.shape[1:])
        columns[name] = {"start": start, "stop": stop, "shape": list(values.shape[1:]), "dtype": values.dtype.name}
        start = stop
    numbers = np.concatenate([v.reshape(len(v), -1).astype(np.float64) for v in rows.values()], axis=1)
    group.create_array(
        "numbers",
        data=numbers,
        compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=8)],
        chunks=numbers.shape,
        shards=numbers.shape,
        # An array of zeros is written too: a chunk that is not there is a fault.
        config={"write_empty_chunks": True},
        chunk_key_encoding={"name": "default", "separator": "."},
        attributes={"columns": columns},
    )


def _unpack(numbers: np.ndarray, attributes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {
        name: numbers[:, c["start"] : c["stop"]].reshape(len(numbers), *c["shape"]).astype(c["dtype"])
        for name, c in attributes["columns"].items()
    }


# --------------------------------------------------------------------------- manifest


def _manifest_of(episode: Episode, codec: ImageCodec, files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "embodiment": episode.embodiment.fingerprint,
        "task": episode.task,
        "seed": int(episode.seed),
        "source": episode.source,
        "success": bool(episode.success),
        "num_steps": episode.num_steps,
        "instruction": episode.instruction,
        "licence": episode.licence,
        "image_codec": codec.value,
        "files": dict(files),
    }


def seal(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that hold a manifest, and the checksum that shows whether it is as it was written."""
    return {"manifest": dict(manifest), "manifest_sha256": _digest(manifest)}


def _digest(manifest: Any) -> str:
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
