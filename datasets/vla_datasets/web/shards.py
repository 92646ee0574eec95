"""Image-text samples in WebDataset's tar shards: written with the same bytes each time, read in any order.

    samples ─► shard-000000.tar … ─► index.json ─► ShardCorpus ─► sample 17

A shard appears whole, by one rename, and is not written again: a writer that was killed goes on with the first shard
that is missing, and leaves the bytes that it would have left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vla.errors import ConfigError, DataError
from vla.files import only_writer, write_atomically
from vla_datasets.web.pictures import MAX_PIXELS, PictureFormat
from vla_datasets.web.samples import WebSample
from vla_datasets.web.shard_index import (
    FORMAT,
    INDEX_FILE,
    VERSION,
    Shard,
    file_sha256,
    index_of,
    load_shards,
    read_index,
    scan_shard,
)
from vla_datasets.web.shard_samples import (
    ShardFields,
    decode_foreign,
    decode_own,
    encode_sample,
    fields_read,
    key_and_field,
)
from vla_datasets.web.tar_members import END, members, open_for_reading, read_member

MAX_MEMBER_BYTES = 1 << 26
"""64 MiB: a longer picture or text is refused before it is read."""


@runtime_checkable
class Samples(Protocol):
    """Samples by number: a list, or any `WebCorpus`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> WebSample: ...


# --------------------------------------------------------------------------- writing


def write_shards(
    samples: Samples,
    folder: Path,
    samples_per_shard: int = 1000,
    *,
    identity: str = "",
    picture_format: PictureFormat = PictureFormat.PNG,
    quality: int = 90,
) -> int:
    """Write what is missing of the shards and then their index; how many shards were written now.

    Args:
        samples: those of shards that are already there are not asked for.
        folder: made if it is not there.
        identity: what the samples are made from, a hash of a configuration: shards of another are not added to.
        quality: of JPEG, 1 to 100.

    Raises:
        ConfigError: if the folder holds shards of other samples, or is being written by another process.
        DataError: naming a sample that cannot be written.
    """
    with only_writer(folder):
        plan = begin_shards(
            samples, folder, samples_per_shard, identity=identity, picture_format=picture_format, quality=quality
        )
        written = [
            write_shard(samples, folder, number, samples_per_shard, picture_format=picture_format, quality=quality)
            for number in range(num_shards(len(samples), samples_per_shard))
        ]
        _finish(folder, plan)
    return sum(written)


def num_shards(num_samples: int, samples_per_shard: int) -> int:
    """How many shards hold the samples; the last may be short."""
    return -(-num_samples // samples_per_shard)


def shard_path(folder: Path, number: int) -> Path:
    """Where shard `number` lies."""
    return folder / f"shard-{number:06d}.tar"


def write_shard(
    samples: Samples,
    folder: Path,
    number: int,
    samples_per_shard: int,
    *,
    picture_format: PictureFormat = PictureFormat.PNG,
    quality: int = 90,
) -> bool:
    """Write one shard, unless it is there; whether it was written now.

    After `begin_shards`, many processes may write shards of one folder, each its own numbers; `write_shards` with the
    same arguments then writes what is missing, and the index.
    """
    path = shard_path(folder, number)
    if path.exists():
        return False
    first = number * samples_per_shard
    keys = range(first, min(first + samples_per_shard, len(samples)))
    parts = [encode_sample(samples[key], f"{key:09d}", picture_format, quality) for key in keys]
    write_atomically(path, b"".join((*parts, END)))
    return True


def begin_shards(
    samples: Samples,
    folder: Path,
    samples_per_shard: int = 1000,
    *,
    identity: str = "",
    picture_format: PictureFormat = PictureFormat.PNG,
    quality: int = 90,
) -> dict[str, Any]:
    """Write into the folder what it is to hold, or compare with what it says; the plan, as JSON values.

    Raises:
        ConfigError: if the folder holds shards of other samples.
    """
    if samples_per_shard < 1 or len(samples) < 1:
        raise ConfigError(f"shards hold at least one sample, got {len(samples)} by {samples_per_shard} a shard")
    plan = {
        "samples": len(samples),
        "samples_per_shard": samples_per_shard,
        "identity": identity,
        "pictures": picture_format.value,
        "quality": quality if picture_format is PictureFormat.JPEG else None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / INDEX_FILE
    if path.exists():
        _check_plan(folder, plan)
        return plan
    if stray := sorted(folder.glob("*.tar")):
        raise ConfigError(f"{stray[0]} lies in a folder without {INDEX_FILE}: choose an empty folder")
    write_atomically(path, json.dumps({"format": FORMAT, "version": VERSION, "plan": plan, "shards": []}))
    return plan


def _check_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    index = read_index(folder / INDEX_FILE) or {}
    held = index.get("plan")
    if not isinstance(held, dict):
        raise ConfigError(f"{folder / INDEX_FILE} is not of shards that we write: choose another folder")
    if differing := [name for name in plan if held.get(name) != plan[name]]:
        name = differing[0]
        raise ConfigError(
            f"{folder} holds other samples: their {name} is {held.get(name)!r}, here it is {plan[name]!r}; choose "
            "another folder"
        )


def _finish(folder: Path, plan: Mapping[str, Any]) -> None:
    for leftover in folder.glob(".staging-*"):
        leftover.unlink()
    numbers = range(num_shards(plan["samples"], plan["samples_per_shard"]))
    shards = tuple(scan_shard(shard_path(folder, number)) for number in numbers)
    write_atomically(folder / INDEX_FILE, json.dumps(index_of(shards, plan)) + "\n")


# --------------------------------------------------------------------------- reading


class ShardCorpus:
    """The samples of a folder of shards, by number, in the order of the shards' names.

    It holds no open file: processes and threads may share it.

    Args:
        folder: with NAME.tar files; their index is made, and kept there if possible, if there is none.
        fields: what is what in shards that others wrote; not given for ours.
        max_pixels: of a picture; checked before it is decoded.

    Raises:
        DataError: naming the shard that is missing, damaged or unsafe.
    """

    def __init__(
        self, folder: Path, fields: ShardFields | None = None, *, name: str = "", max_pixels: int = MAX_PIXELS
    ) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder of shards")
        self._name = name or folder.resolve().name
        self._fields = fields
        self._max_pixels = max_pixels
        self._shards = load_shards(folder)
        self._ends = np.cumsum([len(shard.offsets) for shard in self._shards])

    @property
    def name(self) -> str:
        return self._name

    @property
    def shards(self) -> tuple[Shard, ...]:
        """What the index says of each archive."""
        return self._shards

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> WebSample:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._name} has samples 0 to {len(self) - 1}, not {index}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        shard = self._shards[number]
        within = index - int(self._ends[number]) + len(shard.offsets)
        key, contents = self._contents(shard, *shard.span(within))
        where = f"{shard.path}: {key}"
        if self._fields is None:
            return decode_own(contents, where, self._max_pixels)
        return decode_foreign(contents, where, self._fields, self._max_pixels, f"{self._name}:{key}")

    def verify(self) -> None:
        """Return if every shard is, byte by byte, the one that was written with the index.

        Raises:
            DataError: naming the shard that is altered, or has no checksum to compare with.
        """
        for shard in self._shards:
            if not shard.sha256:
                raise DataError(f"{shard.path} was written without an index: there is no checksum to compare with")
            if (digest := file_sha256(shard.path)) != shard.sha256:
                raise DataError(f"{shard.path} is altered: its SHA-256 is {digest[:12]}, not {shard.sha256[:12]}")

    def _contents(self, shard: Shard, start: int, stop: int) -> tuple[str, dict[str, bytes]]:
        """Key and contents by field of the sample in these bytes of a shard."""
        descriptor = open_for_reading(shard.path)
        try:
            key, contents = "", {}
            for member in members(descriptor, str(shard.path), start, stop):
                key, field = key_and_field(member.name)
                if field in contents:
                    raise DataError(f"{shard.path}: member '{member.name}' is there twice")
                if not fields_read(self._fields, field):
                    continue
                if member.size > MAX_MEMBER_BYTES:
                    raise DataError(f"{shard.path}: member '{member.name}' has {member.size} bytes, too many to read")
                contents[field] = read_member(descriptor, member, str(shard.path))
            return key, contents
        finally:
            os.close(descriptor)
