"""Where each sample of a folder of shards begins, so that any of them can be read at once.

    index.json          ours: written with the shards, with the SHA-256 of each
    .vla-index.json     made by one scan of the headers where there is none, and kept where the folder can be written

Offsets are all that is kept: eight bytes a sample in memory, and a read goes through a sample's own headers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from vla.errors import DataError
from vla.files import write_atomically
from vla_datasets.web.shard_samples import key_and_field
from vla_datasets.web.tar_members import members, open_for_reading

INDEX_FILE = "index.json"
SCAN_FILE = ".vla-index.json"
FORMAT, VERSION = "vla-web-shards", 1


@dataclasses.dataclass(frozen=True)
class Shard:
    """One archive and where its samples begin."""

    path: Path
    size: int
    """Bytes."""
    offsets: Int64[np.ndarray, " samples"]
    """Byte of the first header of each sample."""
    stop: int
    """Byte after the last sample."""
    sha256: str = ""
    """Empty if it was not written with an index."""

    def span(self, number: int) -> tuple[int, int]:
        """The bytes of one sample, headers and all."""
        following = self.offsets[number + 1] if number + 1 < len(self.offsets) else self.stop
        return int(self.offsets[number]), int(following)


def scan_shard(path: Path) -> Shard:
    """The samples of an archive, found by reading every header in it.

    Raises:
        DataError: naming the archive and the member, if it is damaged or unsafe, or a key's members lie apart.
    """
    descriptor = open_for_reading(path)
    try:
        offsets: list[int] = []
        seen: set[str] = set()
        last, stop = None, 0
        for member in members(descriptor, str(path)):
            key, _ = key_and_field(member.name)
            if key != last:
                if key in seen:
                    raise DataError(f"{path}: the members of '{key}' lie apart; a sample's members follow each other")
                offsets.append(member.header)
                seen.add(key)
            last, stop = key, -(-(member.offset + member.size) // 512) * 512
        return Shard(path, os.fstat(descriptor).st_size, np.array(offsets, np.int64), stop)
    finally:
        os.close(descriptor)


def load_shards(folder: Path) -> tuple[Shard, ...]:
    """The shards of a folder, from its index or by a scan.

    Raises:
        DataError: naming what is missing, unfinished, or not as the index says.
    """
    found = sorted(folder.glob("*.tar"))
    index = read_index(folder / INDEX_FILE)
    if index is not None:
        return _from_index(folder, index, found)
    if not found:
        raise DataError(f"{folder} has no shards: expected files NAME.tar")
    return _scanned(folder, found)


def index_of(shards: tuple[Shard, ...], plan: Mapping[str, Any]) -> dict[str, Any]:
    """What `index.json` holds: the plan, and of each shard its length, SHA-256 and offsets."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "plan": dict(plan),
        "shards": [_entry(dataclasses.replace(shard, sha256=file_sha256(shard.path))) for shard in shards],
    }


def file_sha256(path: Path) -> str:
    """64 hexadecimal digits of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --------------------------------------------------------------------------- as JSON


def _entry(shard: Shard) -> dict[str, Any]:
    return {
        "file": shard.path.name,
        "bytes": shard.size,
        "samples": len(shard.offsets),
        "stop": shard.stop,
        "sha256": shard.sha256,
        "offsets": shard.offsets.tolist(),
    }


def _shard(folder: Path, entry: Mapping[str, Any], where: Path) -> Shard:
    try:
        name, size, stop, sha256 = entry["file"], int(entry["bytes"]), int(entry["stop"]), str(entry["sha256"])
        offsets = np.array(entry["offsets"], np.int64)
        borders = np.append(offsets, stop)
        whole = offsets.ndim == 1 and len(offsets) == entry["samples"] and borders[0] >= 0 and stop <= size
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DataError(f"{where} is damaged: delete it and write the shards' index again") from None
    if not whole or (np.diff(borders) <= 0).any():
        raise DataError(f"{where} is damaged: the offsets of '{name}' do not rise within its {size} bytes")
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise DataError(f"{where} names a shard outside of its folder: '{name}'")
    return Shard(folder / name, size, offsets, stop, sha256)


def read_index(path: Path) -> dict[str, Any] | None:
    """Our index; `None` if there is none, or one of another format."""
    try:
        index = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path} is damaged: it is not JSON") from None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        return None
    if index.get("version") != VERSION or not isinstance(index.get("shards"), list):
        raise DataError(f"{path} is of version {index.get('version')!r}, this release reads {FORMAT} {VERSION}")
    return index


def _from_index(folder: Path, index: Mapping[str, Any], found: list[Path]) -> tuple[Shard, ...]:
    if not index["shards"]:
        raise DataError(f"{folder} is not finished: {len(found)} shards are written; run what writes them again")
    shards = tuple(_shard(folder, entry, folder / INDEX_FILE) for entry in index["shards"])
    for shard in shards:
        if shard.path not in found:
            raise DataError(f"{shard.path} is missing: the index promises {len(shard.offsets)} samples in it")
        if (size := shard.path.stat().st_size) != shard.size:
            raise DataError(f"{shard.path} has {size} bytes, its index says {shard.size}: it is cut off or altered")
    if more := sorted({path.name for path in found} - {shard.path.name for shard in shards}):
        raise DataError(f"{folder / more[0]} is not in the index: delete the index, or put the shard elsewhere")
    return shards


# --------------------------------------------------------------------------- scans that are kept


def _scanned(folder: Path, found: list[Path]) -> tuple[Shard, ...]:
    kept = read_index(folder / SCAN_FILE)
    state = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in found]
    if kept is not None and kept.get("state") == state:
        return tuple(_shard(folder, entry, folder / SCAN_FILE) for entry in kept["shards"])
    shards = tuple(scan_shard(path) for path in found)
    index = {"format": FORMAT, "version": VERSION, "state": state, "shards": [_entry(shard) for shard in shards]}
    # A folder that cannot be written to is scanned each time.
    with contextlib.suppress(OSError):
        write_atomically(folder / SCAN_FILE, json.dumps(index))
    return shards
