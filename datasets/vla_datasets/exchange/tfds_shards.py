"""The files of a TFDS dataset: `dataset_info.json` says their names and how many records each has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vla.errors import DataError
from vla_datasets.exchange.json_files import read_json
from vla_datasets.exchange.tfrecord import count_records

_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """One file of a split."""

    path: Path
    num_records: int


def read_shards(folder: Path) -> tuple[Shard, ...]:
    """Every file of every split, there and with as many records as it should have; contents are not read yet.

    Raises:
        DataError: naming the file that is absent, cut off, or of another length, with both numbers.
    """
    info_file = folder / "dataset_info.json"
    info = read_json(info_file)
    try:
        if (file_format := info.get("fileFormat", "tfrecord")) != "tfrecord":
            raise DataError(f"{info_file} says files of format '{file_format}', only tfrecord is read")
        shards = tuple(shard for split in info["splits"] for shard in _split(folder, info["name"], split))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{info_file} does not say name, splits and shardLengths: {error!r}") from None
    for shard in shards:
        _check(shard, info_file)
    return shards


def _split(folder: Path, dataset: str, split: Mapping[str, Any]) -> Iterator[Shard]:
    lengths = [int(length) for length in split.get("shardLengths", [])]
    for index, length in enumerate(lengths):
        values = {
            "{DATASET}": dataset,
            "{SPLIT}": split["name"],
            "{FILEFORMAT}": "tfrecord",
            "{SHARD_INDEX}": f"{index:05d}",
            "{NUM_SHARDS}": f"{len(lengths):05d}",
            "{SHARD_X_OF_Y}": f"{index:05d}-of-{len(lengths):05d}",
        }
        name = split.get("filepathTemplate") or _TEMPLATE
        for placeholder, value in values.items():
            name = name.replace(placeholder, value)
        yield Shard(path=folder / _plain(name, folder), num_records=length)


def _plain(name: str, folder: Path) -> str:
    if not name or name in (".", "..") or any(character in name for character in "/\\\0{}"):
        raise DataError(f"{folder / 'dataset_info.json'} names a file '{name}': expected a plain name in its folder")
    return name


def _check(shard: Shard, info_file: Path) -> None:
    if not shard.path.is_file() or shard.path.is_symlink():
        raise DataError(f"{shard.path} is not a file, but {info_file.name} names it")
    count = count_records(shard.path)
    if count != shard.num_records:
        raise DataError(f"{shard.path} has {count} records, {info_file.name} says {shard.num_records}")
