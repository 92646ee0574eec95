"""The files inside of a folder or a zip archive, none of which leads out of it.

Refused by name, before anything is read: links, absolute paths and `..`, two entries of one name, and entries that
expand absurdly. Nothing is unpacked to the disk.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vla.errors import DataError
from vla_datasets.exchange.containment import require_plain

if TYPE_CHECKING:
    from zarr.abc.store import Store

MAX_EXPANSION = 1100
"""Bytes for each byte in the archive: no deflate stream yields more than 1032 (zlib's technical notes)."""
_SMALL = 1 << 16
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


@dataclasses.dataclass(frozen=True)
class InnerFiles:
    """A folder or archive, and the size of every file in it by path with forward slashes."""

    path: Path
    sizes: Mapping[str, int]
    prefix: str = ""
    """The folder inside that names are relative to: empty, or ending in a slash."""
    archive: zipfile.ZipFile | None = None
    """Open to read from, if it is one."""

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of a file.

        Raises:
            DataError: if it is not there or damaged.
        """
        try:
            if self.archive is None:
                with (self.path / (self.prefix + name)).open("rb") as file:
                    return file.read(count)
            with self.archive.open(self.prefix + name) as entry:
                return entry.read(count)
        except (OSError, EOFError, KeyError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path}: {self.prefix}{name} cannot be read: {error}") from None

    def store(self) -> Store:
        """The same files for the Zarr library."""
        from zarr.storage import LocalStore, ZipStore

        return LocalStore(self.path, read_only=True) if self.archive is None else ZipStore(self.path, mode="r")


def list_files(path: Path) -> InnerFiles:
    """Every file in the folder or archive at `path`.

    Raises:
        DataError: naming the entry that is a link, leads out, or is absurdly large.
    """
    if path.is_dir():
        return InnerFiles(path, dict(_in_folder(path)))
    if not path.is_file():
        raise DataError(f"{path} is neither a folder nor an archive")
    try:
        archive = zipfile.ZipFile(path)
        return InnerFiles(path, _in_archive(path, archive.infolist()), archive=archive)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no whole zip archive: {error}") from None


def _in_folder(path: Path) -> Iterator[tuple[str, int]]:
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            item = Path(folder) / name
            if item.is_symlink():
                raise DataError(f"{item} is a link; links are not followed: copy what it points to")
        for name in files:
            item = Path(folder) / name
            yield item.relative_to(path).as_posix(), item.stat().st_size


def _in_archive(path: Path, entries: list[zipfile.ZipInfo]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for entry in entries:
        _check_entry(path, entry)
        if entry.filename in sizes:
            raise DataError(f"{path}: entry {entry.filename!r} is there twice")
        if not entry.is_dir():
            sizes[entry.filename] = entry.file_size
    return sizes


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    # The name before Python shortened it at a zero byte.
    require_plain(entry.orig_filename, str(path))
    what = f"{path}: entry {entry.filename!r}"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{what} is a link or device, expected a file")
    if entry.compress_type not in _METHODS or entry.flag_bits & _ENCRYPTED:
        raise DataError(f"{what} is encrypted or compressed by method {entry.compress_type}, expected deflated")
    if entry.file_size > MAX_EXPANSION * entry.compress_size + _SMALL:
        raise DataError(f"{what} says {entry.file_size} bytes in {entry.compress_size}: it is refused as a bomb")
