"""Paths that a dataset names inside of its own folder, and nowhere else."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vla.errors import DataError


def require_plain(name: str, where: str) -> PurePosixPath:
    """The relative path that `name` is.

    Args:
        where: what names it, for errors.

    Raises:
        DataError: if it is absolute, climbs (`..`), is empty, or has a backslash, a drive or a zero byte.
    """
    path = PurePosixPath(name)
    bad = not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or name[1:2] == ":"
    if bad:
        raise DataError(f"{where} names the path {name!r}: expected one inside of its folder, without '..'")
    return path


def file_inside(folder: Path, name: str, where: str) -> Path:
    """The file `name` of a dataset's folder, links followed.

    Raises:
        DataError: if the path leaves the folder, by its words or by a link, or there is no such file.
    """
    path = folder / require_plain(name, where)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{where} names the path {name!r}, which a link leads out of {folder}")
    if not path.is_file():
        raise DataError(f"{where} names {path}, which is not there")
    return path
