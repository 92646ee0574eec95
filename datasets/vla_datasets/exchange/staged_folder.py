"""A folder that is filled at leisure and appears under its name when it is whole; a killed writer leaves none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from vla.errors import ConfigError


@contextlib.contextmanager
def staged_folder(destination: Path) -> Iterator[Path]:
    """A new folder beside `destination`, which takes its name if the `with` ends well and is deleted if not.

    What killed writers to the same destination left is deleted first.

    Raises:
        ConfigError: if the destination is there already.
    """
    _refuse_existing(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    staging, claim = _claimed(destination)
    try:
        yield staging
        _sync(staging)
        _refuse_existing(destination)
        os.rename(staging, destination)
        _sync_one(destination.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        os.close(claim)


def _refuse_existing(destination: Path) -> None:
    if destination.exists() or destination.is_symlink():
        raise ConfigError(f"{destination} is there already: choose another folder, or move it away")


def _claimed(destination: Path) -> tuple[Path, int]:
    """A new folder and the lock that says it is in use; made and looked for under the lock of the folder above."""
    prefix = f".staging-{destination.name}-"
    above = os.open(destination.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(above, fcntl.LOCK_EX)
        for abandoned in destination.parent.glob(f"{prefix}*"):
            _delete_if_free(abandoned)
        staging = destination.parent / f"{prefix}{uuid.uuid4().hex}"
        staging.mkdir()
        claim = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(claim, fcntl.LOCK_EX)
        return staging, claim
    finally:
        os.close(above)


def _delete_if_free(folder: Path) -> None:
    claim = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(folder)
    finally:
        os.close(claim)


def _sync(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
